"""Source: the bytes of an archive, from a file or a pipe, never more of them in memory than have come."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lambent.errors import ArtifactError, DataError, LambentError

PIECE = 1 << 20


class Source:
    """Reads an archive front to back and keeps the SHA-256 of what was read; a file can also be read at any place.

    Errors: `DataError` for what cannot be opened, `ArtifactError`, naming the file, for a file that breaks off.
    """

    def __init__(self, given: str | os.PathLike[str] | BinaryIO) -> None:
        self.owned = isinstance(given, (str, os.PathLike))
        self.name = str(given) if isinstance(given, (str, os.PathLike)) else _name(given)
        self._file = _opened(given) if isinstance(given, (str, os.PathLike)) else given
        self.seekable = self._file.seekable()
        self._begin = self._file.tell() if self.seekable else 0
        self.place = 0
        self.hash = hashlib.sha256()

    @property
    def size(self) -> int:
        """Bytes of a file."""
        here = self._file.tell()
        end = self._file.seek(0, os.SEEK_END) - self._begin
        self._file.seek(here)
        return end

    def some(self, count: int) -> bytes:
        """The next bytes: `count` of them, fewer only at the end."""
        pieces, lacking = [], count
        while lacking and (piece := self._file.read(min(lacking, PIECE))):
            pieces.append(piece)
            lacking -= len(piece)
        data = b"".join(pieces)
        self.place += len(data)
        self.hash.update(data)
        return data

    def exactly(self, count: int, what: str) -> bytes:
        """The next `count` bytes, which are `what`."""
        if self.seekable and count > self.size - self.place:
            raise ArtifactError(f"breaks off within {what}")
        data = self.some(count)
        if len(data) < count:
            raise ArtifactError(f"breaks off within {what}")
        return data

    def at(self, offset: int, count: int) -> bytes:
        """Bytes from anywhere in a file, fewer where it ends; they are no part of the SHA-256, and reading goes on as before."""
        here = self._file.tell()
        self._file.seek(self._begin + offset)
        data = self._file.read(max(0, min(count, self.size - offset)))
        self._file.seek(here)
        return data

    def rewind(self, place: int) -> None:
        """Read a file from its beginning again, as far as `place`."""
        self._file.seek(self._begin)
        self.place, self.hash = 0, hashlib.sha256()
        self.some(place)

    def close(self) -> None:
        if self.owned:
            self._file.close()

    @contextmanager
    def named(self) -> Iterator[None]:
        """Errors raised within begin with the file's name."""
        try:
            yield
        except LambentError as error:
            if str(error).startswith(self.name):
                raise
            joint = " " if str(error).split()[0] in ("is", "has", "breaks", "goes") else ": "
            raise type(error)(f"{self.name}{joint}{error}") from None
        except OSError as error:
            raise DataError(f"cannot read {self.name}: {error.strerror or error}") from None


def _opened(path: str | os.PathLike[str]) -> BinaryIO:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise DataError(f"there is no file at {path}") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder, not an archive") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None


def _name(file: BinaryIO) -> str:
    name = getattr(file, "name", None)
    if isinstance(name, str):
        return "the standard input" if name == "<stdin>" else Path(name).name
    return "the archive"
