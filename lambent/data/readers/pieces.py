"""Pieces: files that are larger than memory, read a piece at a time, in the order of their rows."""

import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lambent.data.readers import arrays
from lambent.data.readers import regular as files
from lambent.errors import DataError

PIECE = 2**24  # bytes of raw rows that are held at a time


@dataclass
class Pieces(ABC):
    """The raw rows of one file. Each pass yields pieces that a modality opens: arrays, or `Columns`.

    rows: how many there are; None where only a pass tells. labels: those that lie beside the rows.
    """

    path: Path
    rows: int | None = field(default=None, init=False)
    labels: np.ndarray | None = field(default=None, init=False)
    facts: dict[str, Any] = field(default_factory=dict, init=False)

    @abstractmethod
    def __iter__(self) -> Iterator[Any]: ...

    @abstractmethod
    def needs(self, itemsize: int) -> int:
        """About how many bytes the rows would take in memory: as they are read or, if that is more, encoded."""

    def count(self) -> int:
        """The number of rows; a pass over the file where it does not say."""
        if self.rows is None:
            self.rows = sum(len(piece) for piece in self)
        return self.rows


@dataclass
class ArrayPieces(Pieces):
    """Rows of a .npy file in C order."""

    def __post_init__(self) -> None:
        with files.regular(self.path).open("rb") as stream:
            self.heading = _in_rows(arrays.heading(stream, self.path.stat().st_size, str(self.path)), str(self.path))
        self.rows, self.facts = self.heading.shape[0], {"path": str(self.path)}

    def needs(self, itemsize: int) -> int:
        return self.heading.size // self.heading.dtype.itemsize * max(itemsize, self.heading.dtype.itemsize)

    def __iter__(self) -> Iterator[np.ndarray]:
        with files.unchanged(self.path), self.path.open("rb") as stream:
            stream.seek(self.heading.start)
            yield from _read(stream, self.heading, str(self.path))


@dataclass
class MemberPieces(Pieces):
    """Rows of one array in an .npz file; labels beside them are read at once."""

    key: str | None = None
    split: str | None = None

    def __post_init__(self) -> None:
        with arrays.explained(self.path), zipfile.ZipFile(files.regular(self.path)) as archive:
            self.info, labels, self.facts = arrays.chosen(archive, self.path, self.key, self.split)
            with arrays.member(archive, self.info, self.path) as (stream, where):
                self.heading = _in_rows(arrays.heading(stream, self.info.file_size, where), where)
            if labels is not None:
                with arrays.member(archive, labels, self.path) as (stream, where):
                    form = arrays.heading(stream, labels.file_size, where)
                    flat = files.empty((form.size // form.dtype.itemsize,), form.dtype, where)
                    arrays.fill(stream, flat, where)
                    self.labels = arrays.shaped(flat, form.shape, where)
        self.rows = self.heading.shape[0]
        if self.labels is not None and len(self.labels) != self.rows:
            raise DataError(f"{self.path}: {len(self.labels)} labels for {self.rows} rows")

    def needs(self, itemsize: int) -> int:
        return self.heading.size // self.heading.dtype.itemsize * max(itemsize, self.heading.dtype.itemsize)

    def __iter__(self) -> Iterator[np.ndarray]:
        with (
            files.unchanged(self.path),
            arrays.explained(self.path),
            zipfile.ZipFile(self.path) as archive,
            arrays.member(archive, self.info, self.path) as (stream, where),
        ):
            yield from _read(stream, arrays.heading(stream, self.info.file_size, where), where)


def _in_rows(found: arrays.Heading, where: str) -> arrays.Heading:
    if not found.shape or not found.size:
        raise DataError(f"{where}: an array of shape {found.shape} holds no rows")
    if found.fortran and len(found.shape) > 1:
        raise DataError(f"{where}: lies in Fortran order, column by column; save it with numpy.ascontiguousarray")
    return found


def _read(stream: Any, found: arrays.Heading, where: str) -> Iterator[np.ndarray]:
    each = max(1, found.size // found.shape[0])
    step = max(1, PIECE // each)
    for start in range(0, found.shape[0], step):
        rows = min(step, found.shape[0] - start)
        flat = np.empty(rows * each // found.dtype.itemsize, found.dtype)
        arrays.advance(stream, flat, where)
        yield arrays.shaped(flat, (rows, *found.shape[1:]), where)
