"""Stores: where encoded rows lie, and how some of them are read by their numbers."""

import os
import threading
import weakref
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np

from lambent.data.kinds.modality import Modality
from lambent.data.readers.pictures import Pictures
from lambent.data.readers.sounds import Sounds
from lambent.errors import DataError
from lambent.part import Shape

SPAN = 2**24  # bytes that one read may cover where the rows wanted lie close together
DENSE = 4  # how many times the rows wanted a read may cover


class Store(ABC):
    """Encoded rows [rows, *event] of one type: uint8, uint16 (which are int32 in memory) or float32."""

    readers: ClassVar[int] = 1  # threads that may read at once
    digest: str | None = None  # stands for the rows where to go through all of them would take long
    files: list[str] | None = None  # the file of each row, its path within the folder, where each has its own
    rows: int
    event: Shape
    dtype: np.dtype

    @property
    def row_bytes(self) -> int:
        return self.dtype.itemsize * int(np.prod(self.event, dtype=np.int64))

    @abstractmethod
    def read(self, numbers: np.ndarray, seed: int | None = None) -> np.ndarray:
        """The rows of these numbers, in their order, [n, *event]; `DataError` where the files are no longer what they were.

        seed: draws the view of each row where there are many, such as the crops of a photograph; none: the fixed one.
        """

    def check(self) -> None:
        """Raise `DataError` if what is stored has changed since it was opened."""


class FlatFile(Store):
    """Rows one after the other in a file, from a byte on.

    They are read, not mapped: what is mapped counts as memory of the process, and a file that is cut short would end it.
    """

    readers = 4

    def __init__(self, path: Path, shape: Shape, dtype: np.dtype, start: int = 0) -> None:
        self.path, self.rows, self.event, self.dtype, self.start = path, shape[0], tuple(shape[1:]), dtype, start
        try:
            self._file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None
        weakref.finalize(self, os.close, self._file)
        self._lock = threading.Lock()
        self._stamp = self._now()
        if self._stamp[0] < start + self.rows * self.row_bytes:
            raise DataError(f"{path}: has {self._stamp[0]:,} bytes, too few for {self.rows:,} rows; it was cut short")

    def check(self) -> None:
        if self._now() != self._stamp:
            raise DataError(f"{self.path}: changed while it was read; start again when its writer is done")

    def _now(self) -> tuple[int, int]:
        found = os.fstat(self._file)
        return found.st_size, found.st_mtime_ns

    def read(self, numbers: np.ndarray, seed: int | None = None) -> np.ndarray:
        out = np.empty((len(numbers), *self.event), self.dtype)
        size = self.row_bytes
        flat = out.reshape(-1).view(np.uint8)
        view = flat.data
        if not len(numbers):
            return out
        low, high = int(numbers.min()), int(numbers.max())
        covered = high - low + 1
        if covered == len(numbers) and bool((np.diff(numbers) == 1).all()):
            self.fill(view, low)
        elif covered <= DENSE * len(numbers) and covered * size <= SPAN:
            whole = np.empty((covered, size), np.uint8)
            self.fill(whole.reshape(-1).data, low)
            np.take(whole, numbers - low, axis=0, out=flat.reshape(-1, size))
        else:
            order = np.argsort(
                numbers, kind="stable"
            )  # in the order of the file, so that a disk need not go to and fro
            for slot, row in zip(order.tolist(), numbers[order].tolist(), strict=True):
                self.fill(view[slot * size : (slot + 1) * size], row)
        return out

    def fill(self, view: memoryview, row: int) -> None:
        """Read bytes from the start of a row on until the view is full."""
        place, done = self.start + row * self.row_bytes, 0
        while done < len(view):
            try:
                got = self._read_at(view[done:] if done else view, place + done)
            except OSError as error:
                raise DataError(f"{self.path}: cannot be read ({error.strerror})") from None
            if got == 0:
                raise DataError(f"{self.path}: ends before row {row:,}; it was cut short while it was read")
            done += got

    def _read_at(self, view: memoryview, place: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self._file, [view[: 2**30]], place)
        with self._lock:  # where there is no such call, the place of the file is shared
            os.lseek(self._file, place, os.SEEK_SET)
            piece = os.read(self._file, min(len(view), 2**24))
        view[: len(piece)] = piece
        return len(piece)


class DecodedFiles(Store):
    """Pictures or sounds in files, decoded each time they are read. One thread asks for rows; they are decoded by several.

    digest: SHA-256 over the files' names, sizes and times of change.
    """

    def __init__(self, found: Pictures | Sounds, modality: Modality, digest: str, folder: Path) -> None:
        self.digest = digest
        self.files = [os.path.relpath(path, folder) for path in found.files]
        self.found, self.rows, self.event = found, len(found), modality.event
        levels = np.uint8 if modality.white == 255 else np.uint16
        self.dtype = np.dtype(levels if modality.of_bytes else np.float32)
        # A row that fell out would shift those behind it: files that cannot be decoded were left out before.
        strict = {**modality.spec(), "skip_bad": False}
        self.modality = type(modality).from_spec({**strict, "condition": ()}).restore(modality.state())

    def read(self, numbers: np.ndarray, seed: int | None = None) -> np.ndarray:
        if not len(numbers):
            return np.empty((0, *self.event), self.dtype)
        return self.modality.encode(self.found[numbers]).numpy().astype(self.dtype, copy=False)
