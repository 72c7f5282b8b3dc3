"""Pieces: files that are larger than memory, read a piece at a time, in the order of their rows."""

import importlib
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from lambent.data.readers import arrays, delimited
from lambent.data.readers import regular as files
from lambent.data.readers.frames import LARGEST_INTEGER, LIMIT_COLUMNS, Columns, from_frame
from lambent.errors import DataError

PIECE = 2**24  # bytes of raw rows that are held at a time
HEAD = 2**20  # bytes of a CSV file from which the types of its columns are found


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


@dataclass
class ParquetPieces(Pieces):
    """Rows of a Parquet file, by record batches."""

    def __post_init__(self) -> None:
        with self._opened() as source:
            self.rows, self.columns = source.metadata.num_rows, source.metadata.num_columns
        if self.columns > LIMIT_COLUMNS:
            raise DataError(f"{self.path}: its footer announces {self.columns:,} columns, more than are read")
        if not self.rows or not self.columns:
            raise DataError(f"{self.path}: has {self.rows} rows and {self.columns} columns; there is no data")
        self.facts = {"path": str(self.path)}

    def needs(self, itemsize: int) -> int:
        return int(8 * self.count() * self.columns)

    def __iter__(self) -> Iterator[Columns]:
        arrow: Any = importlib.import_module("pyarrow")
        start, size = 0, max(1, PIECE // (8 * self.columns))
        try:
            with files.unchanged(self.path), self._opened() as source:
                for batch in source.iter_batches(batch_size=size, use_threads=False):
                    if batch.num_rows:
                        yield _placed(arrow.Table.from_batches([batch]), self.path, start)
                    start += batch.num_rows
        except DataError:
            raise
        except (OSError, ValueError, NotImplementedError) as error:  # ArrowInvalid is a ValueError
            raise DataError(f"{self.path}: is damaged or no Parquet file ({str(error)[:100]})") from None

    def _opened(self) -> Any:
        parquet: Any = importlib.import_module("pyarrow.parquet")
        try:
            # A buffer in place of whole column chunks: a row group may be as large as the file.
            return parquet.ParquetFile(files.regular(self.path), pre_buffer=False, buffer_size=2**20)
        except (OSError, ValueError, NotImplementedError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{self.path}: is damaged or no Parquet file ({str(error)[:100]})") from None


@dataclass
class DelimitedPieces(Pieces):
    """Rows of a CSV file in UTF-8.

    The types of its columns are those of its first mebibyte: numbers are read as float64 all the way down.
    """

    delimiter: str | None = None
    header: str = "auto"
    decimal: str = "auto"

    def __post_init__(self) -> None:
        with files.regular(self.path).open("rb") as stream:
            text = stream.read(HEAD)
        if len(text) == HEAD:
            text = text[: text.rfind(b"\n") + 1] or text
        text, legacy = delimited.utf8(text, self.path)
        if legacy:
            raise DataError(f"{self.path}: is not in UTF-8; save it so, to have it read a piece at a time")
        self.delimiter, self.named = delimited.form(text, self.path, self.delimiter, self.header)
        table, self.decimal, self.commaed = delimited.with_decimals(
            text, self.path, self.delimiter, self.named, self.decimal
        )
        self.density = max(1.0, len(text) / max(1, table.num_rows))  # bytes a row
        self.schema = table.schema
        self.facts = {"path": str(self.path)}

    def needs(self, itemsize: int) -> int:
        size = self.path.stat().st_size
        return max(size, int(8 * len(self.schema) * size / self.density))

    def __iter__(self) -> Iterator[Columns]:
        arrow: Any = importlib.import_module("pyarrow")
        start = 0
        try:
            with files.unchanged(self.path), self._opened(arrow) as reader:
                for batch in reader:
                    if batch.num_rows:
                        yield self._piece(arrow.Table.from_batches([batch]), start)
                    start += batch.num_rows
        except (arrow.ArrowException, OSError) as error:
            raise DataError(f"{self.path}: cannot be parsed as CSV ({str(error)[:200]})") from None

    def _opened(self, arrow: Any) -> Any:
        reader: Any = importlib.import_module("pyarrow.csv")
        return reader.open_csv(
            str(self.path),
            read_options=reader.ReadOptions(
                block_size=PIECE // 4, use_threads=False, autogenerate_column_names=not self.named
            ),
            parse_options=reader.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
            convert_options=reader.ConvertOptions(
                strings_can_be_null=False,
                decimal_point=self.decimal,
                column_types={one.name: _lasting(arrow, one.type) for one in self.schema},
            ),
        )

    def _piece(self, table: Any, start: int) -> Columns:
        if not self.named:
            table = table.rename_columns([f"x{i}" for i in range(table.num_columns)])
        piece = replace(_placed(table, self.path, start), named=self.named)
        arrow: Any = importlib.import_module("pyarrow")
        for place, one in enumerate(self.schema):
            if arrow.types.is_integer(one.type):
                beyond = np.flatnonzero(np.abs(piece.read(place)) > LARGEST_INTEGER)
                if len(beyond):
                    raise DataError(f"{piece.cell(piece.names[place], int(beyond[0]))}: is an integer beyond 2^53")
        piece.notices.update({} if self.named else {"no_header": 1})
        for place in self.commaed:
            piece.notices.note("decimal_comma", piece.names[place])
        return piece


def _lasting(arrow: Any, kind: Any) -> Any:
    """The type that a column keeps from its first rows to its last."""
    types = arrow.types
    if types.is_integer(kind) or types.is_floating(kind) or types.is_null(kind):
        return arrow.float64()
    return kind if types.is_boolean(kind) else arrow.string()


def _placed(table: Any, path: Path, start: int) -> Columns:
    """A piece as columns whose rows are counted from the file's first."""
    return replace(from_frame(table, str(path), "file"), place=lambda row: start + row)


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


def pieces_of(
    source: str | Path,
    split: str = "train",
    delimiter: str | None = None,
    header: str = "auto",
    decimal: str = "auto",
) -> Pieces:
    """The reader of a .npy, .npz, Parquet or CSV file; `DataError` for a file of another kind."""
    file, key = arrays.divided(source)
    if arrays.is_array_file(source):
        if zipfile.is_zipfile(file):
            return MemberPieces(file, key, split)
        arrays.whole_split(split, file)
        return ArrayPieces(file)
    arrays.whole_split(split, file)
    with files.regular(file).open("rb") as stream:
        start = stream.read(4)
    if start == b"PAR1" or file.suffix.lower() in (".parquet", ".pq"):
        return ParquetPieces(file)
    if file.suffix.lower() in (".csv", ".tsv", ".txt", ".data"):
        return DelimitedPieces(file, delimiter, header, decimal)
    raise DataError(f"{file}: is not read a piece at a time; .npy, .npz, Parquet, CSV and folders of images are")
