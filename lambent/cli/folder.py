"""The run folder: claimed by one process at a time, never half overwritten; and the model in it."""

import contextlib
import importlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lambent.errors import ArtifactError, MachineError, UsageError

if TYPE_CHECKING:
    from lambent.fitted import Fitted

CONFIG, MODEL, HISTORY = "config.yaml", "model.safetensors", "history.jsonl"
CHECKPOINT, METRICS, REPORT = "checkpoint.safetensors", "metrics.json", "report.html"
PICTURES = ("reconstructions.png", "samples.png", "interpolation.png", "traversals.png")
OWN = (CONFIG, MODEL, HISTORY, CHECKPOINT, METRICS, REPORT, *PICTURES)
LOCK = ".lambent.lock"


def vacant(folder: Path, force: bool) -> None:
    """Refuse a folder that holds a run already, unless it may be replaced; nothing is removed yet."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file; a run needs a folder of its own")
    held = [name for name in OWN if os.path.lexists(folder / name)]
    if held and not force:
        unfinished = CHECKPOINT in held and MODEL not in held
        what = "an unfinished run" if unfinished else "a run"
        way = f"go on with it (lambent train --resume {folder}), " if unfinished else ""
        raise UsageError(f"{folder}: holds {what} already ({held[0]}); {way}choose another --out, or add --force")


def emptied(folder: Path) -> None:
    """Remove the files of an earlier run, and only those."""
    for name in OWN:
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            (folder / name).unlink()


def apart(folder: Path, source: str) -> None:
    """Refuse to write a run into the folder that its data come from: the next run would read its pictures."""
    data, here = Path(source).resolve(), folder.resolve()
    if data == here or (data.is_dir() and data in here.parents):
        raise UsageError(f"--out {folder}: lies inside the data ({source}); choose a folder outside of it")


@contextmanager
def claimed(folder: Path) -> Iterator[Path]:
    """The folder, made if need be, held by this process alone; a folder left empty is taken away again.

    Raises `UsageError` while another process holds it, `MachineError` where it cannot be written to.
    """
    made = [p for p in (folder, *folder.parents) if not p.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = _lock(folder)
    except OSError as error:
        raise MachineError(f"{folder}: cannot be written to ({error.strerror}); choose another --out") from None
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):
            (folder / LOCK).unlink()
        os.close(held)
        with contextlib.suppress(OSError):
            for path in made:
                path.rmdir()


def _lock(folder: Path) -> int:
    """A descriptor that holds the lock; the system lets go of it when the process ends, however it ends."""
    path = folder / LOCK
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        if not _seize(descriptor):
            owner = os.read(descriptor, 20).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise UsageError(
                f"{folder}: another run (process {owner or 'unknown'}) is writing there; wait for it, or choose another --out"
            )
        # Between our opening and our locking, the previous owner may have removed the file: then it is not the one there now.
        if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
            return descriptor
        os.close(descriptor)


def _seize(descriptor: int) -> bool:
    """Whether the lock could be had; on systems without POSIX locks, Windows' own."""
    try:
        fcntl: Any = importlib.import_module("fcntl")
    except ImportError:
        msvcrt: Any = importlib.import_module("msvcrt")
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unused(parent: Path, name: str) -> Path:
    """A folder for a run that was given none: parent/name, or with the first free number behind it."""
    if not (parent / name).exists():
        return parent / name
    return next(p for i in range(2, 1_000_000) if not (p := parent / f"{name}-{i}").exists())


def model_file(run: str) -> Path:
    """The model file of a run folder, or the file itself; `ArtifactError` says what is there instead."""
    path = Path(run)
    try:
        if not path.is_dir():
            return path
    except (OSError, ValueError):
        raise ArtifactError(f"there is no run at {run}") from None
    if (path / MODEL).is_file():
        return path / MODEL
    if (path / CHECKPOINT).is_file():
        raise ArtifactError(f"{run}: the run is not finished; go on with it: lambent train --resume {run}")
    raise ArtifactError(f"{run}: holds no {MODEL}; is it a run folder?")


def opened(run: str, device: str) -> tuple[Path, "Fitted"]:
    """The path of the model file, and what it holds, on the device."""
    from lambent.fitted import load
    from lambent.training.precision import device_of

    where = device_of(device)
    path = model_file(run)
    return path, load(path, where)


def now() -> str:
    """The time as ISO 8601 with its zone."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
