"""Writing files so that a reader finds the old one or the new one, never a mixture."""

import contextlib
import errno
import importlib
import os
import secrets
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lambent.errors import MachineError

_HERE = f"{zlib.crc32(str(getattr(os, 'uname', lambda: ('', 'this machine'))()[1]).encode()):08x}"
_under_way: set[str] = set()  # temporary files of this very process, by name
_ABSENT = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM, errno.EISDIR)


def write_whole(path: str | os.PathLike[str], write: Callable[[Path], object]) -> Path:
    """Have `write` fill a temporary file beside `path`, and move it into place; see `replacing`."""
    with replacing(path) as temporary:
        write(temporary)
    return Path(path)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary file beside `path`, to be made and filled: flushed to the disk and moved into place when nothing was raised.

    A link at `path` is replaced, not followed. What a killed process left of an earlier attempt is removed first.

    Raises `MachineError` where the folder or the disk refuses; nothing is left behind then.
    """
    path = Path(path)
    start, end = _ends(path)
    temporary = path.with_name(f"{start}{_HERE}-{os.getpid()}-{secrets.token_hex(4)}{end}")
    _under_way.add(temporary.name)
    placed = False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        placed = True
        _flush_folder(path.parent)
    except OSError as error:
        after = "It is there, but may not outlast a power failure" if placed else "Nothing was changed"
        raise MachineError(f"cannot write {path}: {explained(error)}. {after}; choose another place") from error
    finally:
        if not placed:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        _under_way.discard(temporary.name)


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    return write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str | os.PathLike[str], data: bytes) -> Path:
    def write(temporary: Path) -> None:
        with open(temporary, "xb") as file:
            file.write(data)

    return write_whole(path, write)


def _ends(path: Path) -> tuple[str, str]:
    """What a temporary file for `path` begins and ends with; short, for a name may have 255 bytes in all."""
    name = os.fsdecode(os.fsencode(path.name)[:60])
    return f".{name}.", f".part{path.suffix if len(os.fsencode(path.suffix)) < 16 else ''}"


def remove_leftovers(path: Path) -> None:
    """Remove temporary files for `path` whose process, on this machine, is no more; and nothing else."""
    start, end = _ends(path)
    try:
        with os.scandir(path.parent) as entries:
            names = [e.name for e in entries if e.name.startswith(start) and e.name.endswith(end)]
    except FileNotFoundError:
        return
    for name in names:
        parts = name[len(start) : len(name) - len(end)].split("-")
        if len(parts) == 3 and parts[0] == _HERE and parts[1].isdecimal() and len(parts[2]) == 8:
            owner = int(parts[1])
            if name not in _under_way if owner == os.getpid() else not _alive(owner):
                with contextlib.suppress(OSError):
                    (path.parent / name).unlink()


def _alive(process: int) -> bool:
    if os.name == "nt":  # where sending signal 0 would end the process
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def explained(error: OSError) -> str:
    """The system's words, and the limit that was met, if it is one that can be raised."""
    words = error.strerror or str(error)
    name, command = {
        errno.EFBIG: ("RLIMIT_FSIZE", "ulimit -f"),
        errno.EMFILE: ("RLIMIT_NOFILE", "ulimit -n"),
    }.get(error.errno or 0, ("", ""))
    if not name:
        return words
    try:
        resource: Any = importlib.import_module("resource")
    except ImportError:
        return words
    return f"{words} (the limit is {resource.getrlimit(getattr(resource, name))[0]}: {command})"


def _flush_folder(folder: Path) -> None:
    """The rename itself must reach the disk too; where a folder cannot be flushed at all, there is nothing to do."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        if error.errno in _ABSENT:
            return
        raise
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _ABSENT:
            raise
    finally:
        os.close(descriptor)
