"""Pieces of tables: Parquet, Feather and delimited text that are larger than memory, read by batches of rows."""

import importlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lambent.data.readers import delimited, packed, pieces
from lambent.data.readers import regular as files
from lambent.data.readers.columnar import explained, opened_feather
from lambent.data.readers.frames import LARGEST_INTEGER, LIMIT_COLUMNS, Columns, from_frame
from lambent.data.readers.pieces import Pieces
from lambent.errors import DataError

HEAD = 2**20  # bytes of a file of text by which the types of its columns are first taken
UNPACKED = 8  # times as large as it is packed, about, is text
_COLUMN = re.compile(r"CSV column #(\d+)")


@dataclass
class ParquetPieces(Pieces):
    """Rows of a Parquet file, by record batches."""

    def __post_init__(self) -> None:
        with explained(self.path, "Parquet"), self._opened() as source:
            found = source.metadata
        self.rows, self.columns = found.num_rows, found.num_columns
        if self.columns > LIMIT_COLUMNS:
            raise DataError(f"{self.path}: its footer announces {self.columns:,} columns, more than are read")
        if not self.rows or not self.columns:
            raise DataError(f"{self.path}: has {self.rows} rows and {self.columns} columns; there is no data")
        groups = (found.row_group(place).total_byte_size for place in range(found.num_row_groups))
        self.each = max(8 * self.columns, sum(groups) // self.rows)  # bytes a row
        self.facts = {"path": str(self.path)}

    def needs(self, itemsize: int) -> int:
        return int(self.count() * self.each)

    def __iter__(self) -> Iterator[Columns]:
        arrow: Any = importlib.import_module("pyarrow")
        start, size = 0, max(1, pieces.PIECE // self.each)
        with explained(self.path, "Parquet"), files.unchanged(self.path), self._opened() as source:
            for batch in source.iter_batches(batch_size=size, use_threads=False):
                if batch.num_rows:
                    yield placed(arrow.Table.from_batches([batch]), self.path, start)
                start += batch.num_rows

    def _opened(self) -> Any:
        parquet: Any = importlib.import_module("pyarrow.parquet")
        # A buffer in place of whole column chunks: a row group may be as large as the file.
        return parquet.ParquetFile(files.regular(self.path), pre_buffer=False, buffer_size=2**20)


@dataclass
class FeatherPieces(Pieces):
    """Rows of a Feather file, by record batches, mapped from the disk where they are not compressed."""

    def __post_init__(self) -> None:
        files.regular(self.path)
        rows = 0
        for batch in self._batches():
            rows += batch.num_rows
        if not rows:
            raise DataError(f"{self.path}: has no rows; there is no data")
        self.rows, self.facts = rows, {"path": str(self.path)}

    def needs(self, itemsize: int) -> int:
        return max(self.path.stat().st_size, 8 * self.count() * self.columns)

    def __iter__(self) -> Iterator[Columns]:
        arrow: Any = importlib.import_module("pyarrow")
        start = 0
        for batch in self._batches():
            size = max(1, pieces.PIECE // max(1, batch.nbytes // max(1, batch.num_rows)))
            for first in range(0, batch.num_rows, size):
                part = batch.slice(first, size)
                with explained(self.path, "Feather"):
                    part.validate(full=True)  # offsets that point beyond the file would be read elsewhere
                yield placed(arrow.Table.from_batches([part]), self.path, start)
                start += part.num_rows

    def _batches(self) -> Iterator[Any]:
        arrow: Any = importlib.import_module("pyarrow")
        with (
            explained(self.path, "Feather"),
            files.unchanged(self.path),
            arrow.memory_map(str(self.path)) as stream,
            opened_feather(stream) as reader,
        ):
            self.columns = len(reader.schema)
            if self.columns > LIMIT_COLUMNS:
                raise DataError(f"{self.path}: has {self.columns:,} columns; at most {LIMIT_COLUMNS:,} are taken")
            places = range(getattr(reader, "num_record_batches", 0))
            yield from map(reader.get_batch, places) if hasattr(reader, "get_batch") else reader


@dataclass
class DelimitedPieces(Pieces):
    """Rows of a file of text in UTF-8, packed or not.

    The types of its columns are first those of its first mebibyte. A column of which a later cell is of no such type, which
    the pass that counts the rows finds, is text all the way down; numbers are read as float64, whole ones declared as such.
    """

    delimiter: str | None = None
    header: str = "auto"
    decimal: str = "auto"

    def __post_init__(self) -> None:
        with packed.plain(files.regular(self.path)) as stream:
            text = stream.read(HEAD)
            whole = len(text) < HEAD
        text = text if whole else text[: text.rfind(b"\n") + 1] or text
        text, legacy = delimited.utf8(text, self.path)
        if legacy:
            raise DataError(f"{self.path}: is not in UTF-8; save it so, to have it read a piece at a time")
        self.delimiter, self.named = delimited.form(text, self.path, self.delimiter, self.header)
        form = (self.path, self.delimiter, self.named)
        table, self.decimal, self.commaed = delimited.with_decimals(text, *form, self.decimal)
        table = delimited.with_long_integers(table, text, *form)
        self.density = max(1.0, len(text) / max(1, table.num_rows))  # bytes a row
        self.forms = delimited.forms_in(text, *form, table)
        arrow: Any = importlib.import_module("pyarrow")
        self.whole = [arrow.types.is_integer(kind) for kind in table.schema.types]
        self.types = {one.name: _lasting(arrow, one.type) for one in table.schema}
        self.facts = {"path": str(self.path)}

    def count(self) -> int:
        """The number of rows, by a pass over the file, which also settles the types of its columns."""
        while self.rows is None:
            before = dict(self.types)
            try:
                self.rows = sum(len(piece) for piece in self._pieces(self._retyped))
            except DataError:
                if self.types == before:
                    raise
        return self.rows

    def needs(self, itemsize: int) -> int:
        size = self.path.stat().st_size * (UNPACKED if self.path.suffix.lower() == ".gz" else 1)
        return max(size, int(8 * len(self.types) * size / self.density))

    def __iter__(self) -> Iterator[Columns]:
        return self._pieces(lambda place: None)

    def _pieces(self, told: Callable[[int], None]) -> Iterator[Columns]:
        """The pieces; `told`: called with the place of a column before a cell of it is refused."""
        arrow: Any = importlib.import_module("pyarrow")
        start = 0
        try:
            with files.unchanged(self.path), self._opened() as reader:
                for batch in reader:
                    if batch.num_rows:
                        yield self._piece(arrow.Table.from_batches([batch]), start, told)
                    start += batch.num_rows
        except (arrow.ArrowException, OSError) as error:
            found = _COLUMN.search(str(error))
            if found is not None:
                told(int(found[1]))
            raise DataError(f"{self.path}: cannot be parsed as CSV ({str(error)[:200]})") from None

    def _retyped(self, place: int) -> None:
        """Take a column for text from now on."""
        self.types[list(self.types)[place]] = importlib.import_module("pyarrow").string()

    def _opened(self) -> Any:
        reader: Any = importlib.import_module("pyarrow.csv")
        arrow: Any = importlib.import_module("pyarrow")
        source: Any = str(self.path)
        if self._is_packed():
            source = arrow.CompressedInputStream(arrow.OSFile(source), "gzip")
        return reader.open_csv(
            source,
            read_options=reader.ReadOptions(
                block_size=pieces.PIECE // 4, use_threads=False, autogenerate_column_names=not self.named
            ),
            parse_options=reader.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
            convert_options=reader.ConvertOptions(
                strings_can_be_null=False, decimal_point=self.decimal, column_types=self.types
            ),
        )

    def _is_packed(self) -> bool:
        with self.path.open("rb") as stream:
            return stream.read(2) == packed.MARK

    def _piece(self, table: Any, start: int, told: Callable[[int], None]) -> Columns:
        table = delimited.tidied(table)
        piece = delimited.columns_of(table, self.path, self.named, self.forms)
        whole = {place for place, one in enumerate(self.whole) if one and str(table.schema.types[place]) == "double"}
        declare = piece.declare
        assert declare is not None
        piece = replace(
            piece,
            place=lambda row: start + row,
            declare=lambda place: replace(declare(place), type="Int64") if place in whole else declare(place),
        )
        for place in whole:
            beyond = np.flatnonzero(np.abs(piece.read(place)) > LARGEST_INTEGER)
            if len(beyond):
                told(place)
                raise DataError(f"{piece.cell(piece.names[place], int(beyond[0]))}: is an integer beyond 2^53")
        piece.notices.update({} if self.named else {"no_header": 1})
        for place in self.commaed:
            piece.notices.note("decimal_comma", piece.names[place])
        return piece


def _lasting(arrow: Any, kind: Any) -> Any:
    """The type that a column keeps from its first rows to its last."""
    types = arrow.types
    return arrow.float64() if types.is_integer(kind) or types.is_floating(kind) or types.is_null(kind) else kind


def placed(table: Any, path: Path, start: int) -> Columns:
    """A piece as columns whose rows are counted from the file's first."""
    return replace(from_frame(table, str(path), "file"), place=lambda row: start + row)
