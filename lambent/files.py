"""Writing files so that a reader finds the old one or the new one, never a mixture."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from lambent.errors import MachineError


def write_whole(path: str | os.PathLike[str], write: Callable[[Path], object]) -> Path:
    """Have `write` fill a temporary file beside `path`, flush it to the disk, and move it into place.

    Raises `MachineError` where the folder or the disk refuses; nothing is left behind then.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name[:60]}.{secrets.token_hex(4)}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # some writers make private files
        os.replace(temporary, path)
        _flush_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise MachineError(
            f"cannot write {path}: {error.strerror or error}. Nothing was changed; choose another place"
        ) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    return write_whole(path, lambda p: p.write_text(text, encoding="utf-8"))


def write_bytes(path: str | os.PathLike[str], data: bytes) -> Path:
    return write_whole(path, lambda p: p.write_bytes(data))


def _flush_folder(folder: Path) -> None:
    """The rename itself must reach the disk too; not every system lets a folder be opened for it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)
