"""Files: regular, and read whole and unchanged."""

import hashlib
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from lambent.errors import DataError, MachineError
from lambent.memory import free_memory, shown

WORTH_ASKING = 2**26  # bytes of an array from which on it is asked whether there is room
LIMIT_BYTES = 16 * 2**30  # the most that one array or one file may take in memory


def regular(path: str | Path) -> Path:
    """The path of an ordinary file (links are followed); `DataError` for anything else, so that no pipe can hang us."""
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DataError(f"{path}: cannot be read ({reason})") from None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a device, pipe or socket"
        raise DataError(f"{path}: is {kind}, not a file")
    return path


@contextmanager
def unchanged(path: Path) -> Iterator[None]:
    """Raises `DataError` at its end if the file was written to, replaced or removed meanwhile."""
    before = _identity(path)
    changed = DataError(f"{path}: changed while it was read; read it again when its writer is done")
    try:
        yield
    except OSError:  # such as that of a file which has gone
        if _identity(path) != before:
            raise changed from None
        raise
    if _identity(path) != before:
        raise changed


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def empty(shape: tuple[int, ...], dtype: np.dtype, what: str) -> np.ndarray:
    """An uninitialized array; `DataError` beyond the size limit, `MachineError` where memory is short."""
    size = dtype.itemsize
    for length in shape:
        size *= int(length)
    if size > LIMIT_BYTES:
        raise DataError(f"{what}: would take {size:,} bytes in memory; at most {LIMIT_BYTES:,} are read at once")
    # Where memory is given before it is there, a process that takes too much is not told, but ended.
    free = free_memory() if size > WORTH_ASKING else None
    try:
        if free is not None and size > free:
            raise MemoryError
        return np.empty(shape, dtype)
    except MemoryError:
        there = "than this machine has free" if free is None else f"than the {shown(free)} that are free"
        raise MachineError(f"{what}: needs {shown(size)} of memory, more {there}") from None


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with regular(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
