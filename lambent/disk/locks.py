"""Locks: what one process holds at a time, and what the system lets go of when that process ends, however it ends."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


class HeldElsewhereError(Exception):
    """Another holds the lock; `owner` is the number of its process, or "unknown"."""

    def __init__(self, owner: str) -> None:
        super().__init__(f"held by process {owner}")
        self.owner = owner


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock that stands at `path`: a file with the number of this process, taken away at the end.

    Raises `HeldElsewhereError` at once, without waiting, and OSError where no such file can be or none can be locked.
    """
    from filelock import FileLock, Timeout

    # A marker file, filelock's way where a disk knows no locks, would outlive a process that is killed.
    lock = FileLock(path, timeout=0, fallback_to_soft=False, on_acquired=_sign)
    while not lock.is_locked:
        try:
            lock.acquire()
        except Timeout:
            owner = _owner(path)
            if owner is not None:
                raise HeldElsewhereError(owner) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # before it is let go: after that it may be another's
        lock.release()


def _sign(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())


def _owner(path: Path) -> str | None:
    """Who holds the lock; None where it has just been given up, and the file taken away."""
    try:
        number = path.read_bytes()[:20].decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    except OSError:  # Windows keeps others from reading, too
        number = ""
    return number if number.isdigit() else "unknown"
