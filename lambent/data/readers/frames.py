"""Columns: one view of CSV, Parquet, data frames and 2-D arrays."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import numpy as np

from lambent.data.notices import Notices
from lambent.data.readers import series as one
from lambent.data.readers.typed import Declared
from lambent.errors import CellError, DataError, nearest

LIMIT_COLUMNS = 100_000
LARGEST_INTEGER = 2**53  # beyond it float64 skips integers
LARGEST = 1e30  # squares and sums of such numbers still fit float64, the numbers themselves float32
_COMMA = re.compile(r"[+-]?\d*,\d+")
_UNNAMED = ("", "Unnamed: 0", "__index_level_0__")  # what CSV, pandas and Parquet call an index without a name


@dataclass
class Columns:
    """A table by column; `read` gives one column as booleans, integers, floats, dates, durations or objects.

    declare: what the source says of a column; none: what its values say. strings: a column of text as an arrow array of
    strings; None where it is none. origin: a path or the kind of frame, for messages. backend: what `decode` should hand back.
    line: the line of a text file that holds a row (0-based), where that is known. place: the row's number in the source.
    named: whether the names are the data's own; those of arrays, and of files without a row of names, are not.
    """

    names: list[str]
    rows: int
    read: Callable[[int], np.ndarray]
    origin: str
    backend: str
    line: Callable[[int], int | None] = lambda row: None
    place: Callable[[int], int] = lambda row: row
    notices: Notices = field(default_factory=Notices)
    named: bool = True
    declare: Callable[[int], Declared] | None = None
    strings: Callable[[int], Any] = lambda column: None

    def __post_init__(self) -> None:
        if len(self.names) > LIMIT_COLUMNS:
            raise DataError(f"{self.origin}: has {len(self.names):,} columns; at most {LIMIT_COLUMNS:,} are taken")
        repeated = [name for name, n in Counter(self.names).items() if n > 1]
        if repeated:
            advice = "give each its own name, or set header to none if the file has no row of names"
            places = [f"{name!r} ({_places(self.names, name)})" for name in repeated[:8]]
            more = f" and {len(repeated) - 8} names more" if len(repeated) > 8 else ""
            raise DataError(f"{self.origin}: several columns are called {', '.join(places)}{more}; {advice}")
        if not self.names or self.rows == 0:
            counts = f"has {self.rows} rows and {len(self.names)} columns"
            lacking = "rows: 0 sample(s)" if self.names else f"columns: 0 feature(s) (shape=({self.rows}, 0))"
            raise DataError(f"{self.origin}: {counts}; there is no data, {lacking} while a minimum of 1 is required.")
        self._index = {name: i for i, name in enumerate(self.names)}

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, index: np.ndarray) -> "Columns":
        """The rows at `index`, which keep their numbers and lines in messages."""
        return replace(
            self,
            rows=len(index),
            read=lambda column: self.read(column)[index],
            line=lambda row: self.line(int(index[row])),
            place=lambda row: self.place(int(index[row])),
            strings=lambda column: _taken(self.strings(column), index),
        )

    def __contains__(self, name: str) -> bool:
        return name in self._index

    def values(self, name: str) -> np.ndarray:
        """The column of that name; `DataError` with the nearest name if there is none.

        Booleans, integers, floats (NaN: missing), datetime64[us] in UTC and timedelta64[us] (NaT: missing), or objects: str,
        or None where it is missing. Booleans and integers with gaps are floats.
        """
        return self.read(self._placed(name))

    def declared(self, name: str) -> Declared:
        """What the source says of the column of that name: its type, zone and categories."""
        place = self._placed(name)
        return Declared(one.typed(self.read(place))) if self.declare is None else self.declare(place)

    def text(self, name: str) -> np.ndarray:
        """The column of that name as objects, str or None, whatever it holds: integers beyond 2^53 too."""
        return one.written(self.values(name), self.declared(name).type)

    def coded(self, name: str) -> tuple[np.ndarray, list[str]]:
        """The column of that name as text, by numbers of levels [rows] int32 (−1: missing), and the levels as they come."""
        found = self.strings(self._placed(name))
        return one.coded(one.strings(self.text(name)) if found is None else found)

    def _placed(self, name: str) -> int:
        if name not in self._index:
            raise DataError(f"{self.origin}: has no column {name!r}; {nearest(name, filter(None, self.names[:200]))}")
        return self._index[name]

    def cell(self, name: str, row: int) -> str:
        """Where a cell is, in words; rows are counted from 1."""
        line = self.line(row)
        return f"{self.origin}: column {name!r}, row {self.place(row) + 1}" + (f" (line {line})" if line else "")

    def index_like(self) -> str | None:
        """The column that is an index saved along: unnamed, whole numbers, all different; first, or last in Parquet."""
        found = next((n for n in (self.names[0], self.names[-1]) if n in _UNNAMED), None)
        if found is None or len(self.names) == 1:
            return None
        values = self.values(found)
        return found if values.dtype.kind in "iu" and len(np.unique(values)) == self.rows else None


def _taken(found: Any, index: np.ndarray) -> Any:
    """The rows of an arrow array at `index`; None stays None."""
    return None if found is None else found.take(index)


def _places(names: Sequence[str], name: str) -> str:
    """Where among the columns those of a name stand, counted from 1."""
    found = [str(place + 1) for place, one in enumerate(names) if one == name]
    return f"columns {', '.join(found[:-1])} and {found[-1]}" if len(found) < 6 else f"{len(found)} columns"


def listed(names: Sequence[str], most: int = 8) -> str:
    """Names in quotes, the first few of many."""
    return ", ".join(repr(n) for n in names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def numbers(table: Columns, name: str, gaps: bool = False) -> np.ndarray:
    """A column as float64; `DataError` naming the cell for one that is infinite, too large or text, or missing.

    gaps: whether cells may be missing; they are NaN.
    """
    values = table.values(name)
    if values.dtype.kind not in "biuf":
        row = first_text(values)
        if row is None:
            _refuse(table, name, one.beyond(values), "is an integer beyond 2^53, which no float can hold")
            raise DataError(f"{table.cell(name, 0)}: {str(values[0])[:40]!r} is text; turn the column into numbers")
        refuse_cell(table, name, row)
    if values.dtype.kind in "iu" and values.itemsize == 8:
        _refuse(table, name, (values > LARGEST_INTEGER) | (values < -LARGEST_INTEGER), "is an integer beyond 2^53")
    values = values.astype(np.float64)
    if not gaps:
        _refuse(table, name, np.isnan(values), f"is missing or not a number{_nan(table)}; fill or leave out such cells")
    _refuse(table, name, np.abs(values) > LARGEST, f"is infinite or beyond ±{LARGEST:g}")
    return values


def _nan(table: Columns) -> str:
    """What a missing cell looks like in memory; in a file it is empty."""
    return "" if table.backend == "file" else " (NaN)"


def refuse_cell(table: Columns, name: str, row: int, advice: str = "") -> NoReturn:
    """Refuse a cell that is no number, by what it is."""
    value = table.values(name)[row]
    shown = repr(str(value)[:40])
    where = table.cell(name, row)
    if isinstance(value, (str, bytes, np.datetime64, np.timedelta64)) or hasattr(value, "isoformat"):
        comma = " (with a decimal comma? say --data.decimal ,)" if _COMMA.fullmatch(str(value).strip()) else ""
        raise DataError(f"{where}: {shown} is no number{comma}{advice}")
    kind = type(value).__name__
    raise CellError(f"{where}: {shown} is a {kind}; a cell of this argument must be a string or a number{advice}")


def _refuse(table: Columns, name: str, bad: np.ndarray, why: str) -> None:
    if bad.any():
        more = int(bad.sum()) - 1
        others = f" ({more} more in this column)" if more else ""
        raise DataError(f"{table.cell(name, int(bad.argmax()))}: {why}{others}")


def first_text(values: np.ndarray) -> int | None:
    """The first row whose value is present and does not read as a number."""
    if values.dtype.kind in "Mm":
        there = np.flatnonzero(~np.isnat(values))
        return int(there[0]) if len(there) else None
    for row, value in enumerate(values):
        try:
            if value is not None:
                float(value)
        except (TypeError, ValueError):
            return row
    return None


def from_array(array: np.ndarray) -> Columns:
    """A 2-D numeric array; its columns are called x0, x1, …"""
    if isinstance(array, np.ma.MaskedArray):
        array = np.ma.filled(array.astype(np.float64), np.nan)  # a masked cell is a missing one
    array = np.asarray(array)
    fields = array.dtype.names
    if fields:
        return Columns(list(fields), len(array), lambda i: array[fields[i]], "the array", "array")
    if array.ndim != 2:
        raise DataError(f"a table has two axes, rows and columns, not the shape {array.shape}{_reshaping(array.ndim)}")
    if array.dtype.kind not in "biufO":
        raise DataError(f"a table of type {array.dtype}; booleans, integers and floats are taken{_instead(array)}")
    names = [f"x{i}" for i in range(array.shape[1])]
    return Columns(names, len(array), lambda i: _tidy(array[:, i]), "the array", "array", named=False)


def _reshaping(axes: int) -> str:
    if axes == 1:
        return ". Reshape your data: x.reshape(-1, 1) makes one column of it, x.reshape(1, -1) one row"
    return ". Reshape your data: x.reshape(len(x), -1) makes one row of each entry" if axes > 2 else ""


def _instead(array: np.ndarray) -> str:
    """What to do with an array of another type."""
    if array.dtype.kind == "c":
        return ". Complex data not supported: give real and imaginary parts as columns, np.hstack([x.real, x.imag])"
    if array.dtype.kind in "Mm":
        return ". Turn times into numbers, such as days: (x - x.min()) / np.timedelta64(1, 'D')"
    if array.dtype.kind in "US":
        return ". Turn text into numbers, x.astype(float), or give a data frame and leave out its columns of text"
    return ""


def _tidy(values: np.ndarray) -> np.ndarray:
    """Objects as what they are: numbers, dates or text."""
    return one.loose(values)[0] if values.dtype.kind == "O" else values


def is_frame(raw: Any) -> bool:
    """Whether narwhals knows it as a data frame (pandas, polars, pyarrow, …)."""
    import narwhals as nw

    try:
        return isinstance(nw.from_native(raw, pass_through=True), (nw.DataFrame, nw.LazyFrame))
    except nw.exceptions.DuplicateError:
        return True


def from_frame(raw: Any, origin: str | None = None, backend: str | None = None) -> Columns:
    """Any data frame that narwhals reads; duplicate names are found before it sees them."""
    import narwhals as nw

    origin = origin or f"the {type(raw).__module__.split('.')[0]} frame"
    if not hasattr(raw, "collect"):  # listing a lazy frame's columns is slow, and they cannot repeat
        listed = raw.column_names if hasattr(raw, "column_names") else getattr(raw, "columns", ["-"])
        Columns([str(n) for n in listed], 1, lambda i: np.empty(0), origin, "")  # checks the names
    wrapped = nw.from_native(raw)
    frame = wrapped.collect() if isinstance(wrapped, nw.LazyFrame) else wrapped
    names = list(frame.columns)
    backend = backend or frame.implementation.name.lower()
    return Columns(
        [str(n) for n in names],
        len(frame),
        lambda i: one.values(frame[:, i]),
        origin,
        backend,
        declare=lambda i: one.declared(frame[:, i]),
        strings=lambda i: one.text(frame[:, i]),
    )
