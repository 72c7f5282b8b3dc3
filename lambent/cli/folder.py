"""The run folder: claimed by one process at a time, never half overwritten; and the model in it."""

import contextlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lambent.disk.locks import HeldElsewhereError, held
from lambent.errors import ArtifactError, MachineError, UsageError

if TYPE_CHECKING:
    from lambent.fitted import Fitted

CONFIG, MODEL, HISTORY = "config.yaml", "model.safetensors", "history.jsonl"
CHECKPOINT, METRICS, REPORT = "checkpoint.safetensors", "metrics.json", "report.html"
DETECTION = "detection.html"  # of a run that lambent detect made
PICTURES = ("reconstructions.png", "samples.png", "interpolation.png", "traversals.png")
OWN = (CONFIG, MODEL, HISTORY, CHECKPOINT, METRICS, REPORT, DETECTION, *PICTURES)
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
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.callback(_take_away, made)
            stack.enter_context(held(folder / LOCK))
        except HeldElsewhereError as error:
            raise UsageError(
                f"{folder}: another run (process {error.owner}) is writing there; wait for it, or choose another --out"
            ) from None
        except OSError as error:
            raise MachineError(f"{folder}: cannot be written to ({error.strerror}); choose another --out") from None
        yield folder


def _take_away(folders: list[Path]) -> None:
    """Remove folders, innermost first, as far as they are empty."""
    with contextlib.suppress(OSError):
        for path in folders:
            path.rmdir()


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


def opened(run: str, device: str, threads: str) -> tuple[Path, "Fitted"]:
    """The path of the model file, and what it holds, on the device; as many threads as suit it compute from now on."""
    from lambent.fitted import load
    from lambent.training.precision import device_of
    from lambent.training.threads import checked, suit

    where, number = device_of(device), checked(threads)
    path = model_file(run)
    fitted = load(path, where)
    suit(fitted.model, number)
    return path, fitted


def now() -> str:
    """The time as ISO 8601 with its zone."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
