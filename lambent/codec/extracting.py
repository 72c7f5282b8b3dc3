"""Extracting: an archive into a folder or a file, which appears when all of it is there."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch

from lambent.codec.archive import Reader, Salvage
from lambent.codec.content import arrays
from lambent.codec.content.pictures import into
from lambent.codec.content.samples import Form, picture_of
from lambent.codec.content.texts import RestoredTexts
from lambent.codec.opening import Opened
from lambent.disk.whole import explained, write_bytes, write_whole
from lambent.errors import MachineError, UsageError
from lambent.fitted import Fitted


@dataclass
class Extracted:
    """What came out. kind: of the content. count: files, rows or tables. lost: what of a damaged archive could not be had."""

    kind: str
    out: Path
    count: int
    lost: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Reading:
    """How an archive is read: the model, where it is named, and by what name; whether what is intact of a damaged one will do."""

    model: Fitted | None = None
    name: str = "the model that was given"
    salvage: bool = False
    device: str | torch.device = "cpu"
    threads: int = 1


@contextmanager
def opened(source: Path | BinaryIO, how: Reading) -> Iterator[Opened]:
    """An archive at a path, or in a stream that is read once."""
    beside = source.absolute().parent if isinstance(source, Path) else None
    if how.salvage and not isinstance(source, Path):
        raise UsageError("--salvage needs the archive as a file: what is damaged is looked for everywhere in it")
    with Salvage(source) if how.salvage and isinstance(source, Path) else Reader(source) as archive:
        yield Opened(archive, how.model, how.name, beside, how.device, how.threads)


def decompress(source: Path | BinaryIO, out: Path, how: Reading, force: bool = False) -> Extracted:
    """An archive into `out`: a folder for pictures, a file for arrays. Nothing stands there before all of it does.

    Errors: `ArtifactError` for a damaged archive, or one of another model; `MachineError` on a machine that computes differently,
    or where the disk refuses; `UsageError` where something stands at `out` already.
    """
    with opened(source, how) as archive:
        made = {"arrays": _arrays, "pictures": _folder, "table": _text}
        return made[archive.archive.header["kind"]](archive, out, force)


def in_memory(source: Path | BinaryIO, how: Reading) -> tuple[str, Any]:
    """(form, what came out): one array, arrays by name, or pictures and other files by name, as arrays and bytes."""
    held: dict[str, Any] = {}

    def put(path: Path, form: Form | None, content: Any) -> None:
        held[path.as_posix()] = content if form is None else picture_of(form, content)

    with opened(source, how) as archive:
        restored = archive.restored(put)
        found = archive.all_into(restored)
    if isinstance(restored, arrays.RestoredArrays):
        return restored.form, found if restored.form == "npz" else found[""]
    return ("table", found) if isinstance(restored, RestoredTexts) else ("pictures", held)


def _arrays(archive: Opened, out: Path, force: bool) -> Extracted:
    restored = archive.restored(_nowhere)
    assert isinstance(restored, arrays.RestoredArrays)
    _free(out, force)
    arrays.check_out(out, restored.form)
    found = archive.all_into(restored)
    write_whole(out, lambda temporary: arrays.write(temporary, found, restored.form))
    return Extracted("arrays", out, sum(len(array) if array.ndim else 1 for array in found.values()), archive.lost)


def _text(archive: Opened, out: Path, force: bool) -> Extracted:
    _free(out, force)
    found = archive.all_into(archive.restored(_nowhere))
    write_bytes(out, found)
    return Extracted("table", out, 1, archive.lost)


def _free(out: Path, force: bool) -> None:
    """Refuse a name that a file cannot have here, or that one has."""
    if out.is_dir():
        raise UsageError(f"--out {out}: is a folder, and the archive holds one file: name a file in it")
    if os.path.lexists(out) and not force:
        raise UsageError(f"--out {out}: exists; add --force to replace it, or choose another name")


def _nowhere(path: Path, form: Form | None, content: Any) -> None: ...


def _folder(archive: Opened, out: Path, force: bool) -> Extracted:
    if os.path.lexists(out) and not out.is_dir():
        raise UsageError(f"--out {out}: is a file, and the archive holds a folder of files: name a folder")
    if out.is_dir() and any(out.iterdir()) and not force:
        raise UsageError(f"--out {out}: holds files already; add --force to write beside them, or choose another")
    count = 0
    with _beside(out) as temporary:
        write = into(temporary)

        def put(path: Path, form: Form | None, content: Any) -> None:
            nonlocal count
            write(path, form, content)
            count += 1

        archive.all_into(archive.restored(put))
    return Extracted("pictures", out, count, archive.lost)


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """A folder beside `out`, which takes its place, or gives it its files, when nothing was raised; else it is removed."""
    temporary = None
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name[:40]}.", suffix=".part", dir=out.absolute().parent))
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o777 & ~mask)
        if out.is_dir():
            _moved(temporary, out)
        else:
            os.rename(temporary, out)
    except OSError as error:
        place = error.filename or out
        raise MachineError(
            f"cannot write {place}: {explained(error)}. Nothing was changed; choose another place"
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _moved(temporary: Path, out: Path) -> None:
    """Each file into the folder that is there; links in it that lead elsewhere are not followed."""
    home = out.resolve()
    for path in sorted(temporary.rglob("*")):
        place = out / path.relative_to(temporary)
        if path.is_dir() and not path.is_symlink():
            place.mkdir(exist_ok=True)
            if not place.resolve().is_relative_to(home):
                raise UsageError(f"--out {out}: {place} leads out of the folder; choose an empty one")
        elif place.is_dir():
            raise UsageError(
                f"--out {out}: {place} is a folder, where a file of the archive should stand; choose an empty one"
            )
        else:
            os.replace(path, place)
