"""Coded rows: several tables of the same columns as numbers, by one coding that all of them share."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lambent.data.readers.frames import Columns
from lambent.errors import DataError

Rows = NDArray[np.float64]  # [N, D]: numbers as they are, categories by the number of their level; NaN: missing

DATE = re.compile(r"\s*\d{4}-\d\d-\d\d")
Kind = Literal["number", "time", "category", "text"]
ENOUGH = 50  # rows from which a column of nothing but different texts is taken for names or free text
DIFFERENT = 0.95  # the share of values that occur once which makes it so


@dataclass(frozen=True)
class Coding:
    """How one column is coded. levels: of a category, those most frequent in the first table first; else none."""

    name: str
    kind: Literal["number", "time", "category"]
    levels: tuple[str, ...] = ()

    @property
    def category(self) -> bool:
        """Whether its codes are numbers of levels, which have no order."""
        return self.kind == "category"


@dataclass(frozen=True)
class Coded:
    """Tables by one coding. left_out: columns that are nothing but different texts, which no measure can compare."""

    tables: list[Rows]
    columns: tuple[Coding, ...]
    left_out: tuple[str, ...] = ()

    @property
    def categories(self) -> NDArray[np.bool_]:
        """[D]: which columns are categories."""
        return np.array([column.category for column in self.columns], bool)

    def index(self, name: str) -> int:
        """The place of a column."""
        return [column.name for column in self.columns].index(name)


def coded(tables: Sequence[Columns], leave_out: Sequence[str] = (), categories: Sequence[str] = ()) -> Coded:
    """The columns that all tables have, in the order of the first, which also settles their kinds.

    Numbers of more than two values stay numbers, unless `categories` names them; times are seconds; all else are categories.
    Errors: `DataError` where the tables share no column, or a cell does not fit the kind that the column has in the first.
    """
    first = tables[0]
    shared = [name for name in first.names if name not in leave_out and all(name in table for table in tables)]
    found: list[tuple[Coding, list[NDArray[np.float64]]]] = []
    left_out = []
    for name in shared:
        values = [table.values(name) for table in tables]
        kind: Kind = "category" if name in categories else _kind(values[0])
        if kind == "text":
            left_out.append(name)
        elif kind == "category":
            found.append(_by_levels(name, values))
        else:
            numbers = [_numbers(table, name, cells, kind) for table, cells in zip(tables, values, strict=True)]
            found.append((Coding(name, kind), numbers))
    if not found:
        raise DataError(f"{tables[-1].origin} and {first.origin} share no column that can be compared")
    rows = [np.stack([column[1][i] for column in found], 1) for i in range(len(tables))]
    return Coded(rows, tuple(column[0] for column in found), tuple(left_out))


def _kind(values: NDArray[Any]) -> "Kind":
    if values.dtype.kind in "Mm":
        return "time"
    if values.dtype.kind in "iuf":
        there = values[~np.isnan(values)] if values.dtype.kind == "f" else values
        return "number" if len(np.unique(there)) > 2 else "category"
    if values.dtype.kind == "b":
        return "category"
    there = [value for value in values if not _missing(value)]
    if there and all(hasattr(value, "isoformat") or hasattr(value, "total_seconds") for value in there):
        return "time"
    if there and all(isinstance(value, str) and DATE.match(value) for value in there) and _as_times(there) is not None:
        return "time"
    if there and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in there):
        return "number" if len(set(there)) > 2 else "category"
    once = sum(number == 1 for number in Counter(map(str, there)).values())
    return "text" if len(there) >= ENOUGH and once > DIFFERENT * len(there) else "category"


def _missing(value: Any) -> bool:
    return value is None or value == "" or value != value  # NaN and NaT differ from themselves


def _by_levels(name: str, values: Sequence[NDArray[Any]]) -> tuple[Coding, list[NDArray[np.float64]]]:
    """Codes of levels: those of the first table by frequency, then those that only others have."""
    words = [[None if _missing(value) else _word(value) for value in cells] for cells in values]
    codes: dict[str | None, float] = {None: np.nan}
    for cells in words:
        for word, _ in sorted(Counter(cells).items(), key=lambda pair: (-pair[1], str(pair[0]))):
            codes.setdefault(word, float(len(codes) - 1))
    levels = tuple(str(word) for word in list(codes)[1:])
    return Coding(name, "category", levels), [np.array([codes[word] for word in cells], float) for cells in words]


def _word(value: Any) -> str:
    """A level's name, the same whether a column of numbers came as integers or, for its gaps, as floats."""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _numbers(table: Columns, name: str, values: NDArray[Any], kind: str) -> NDArray[np.float64]:
    if values.dtype.kind in "biuf":
        return values.astype(np.float64)
    if values.dtype.kind in "Mm":
        return _seconds(values)
    there = np.array([not _missing(value) for value in values])
    out = np.full(len(values), np.nan)
    try:
        cells = values[there]
        found = _as_times(cells) if kind == "time" else np.array([float(value) for value in cells])
    except (TypeError, ValueError):
        found = None
    if found is None:
        raise DataError(f"{table.origin}: column {name!r} holds what is no {kind}, as it is in the real rows")
    out[there] = found
    return out


def _as_times(cells: Any) -> NDArray[np.float64] | None:
    """Dates, times and spans as seconds; None for what is none."""
    try:
        if len(cells) and hasattr(cells[0], "total_seconds"):
            return np.array([cell.total_seconds() for cell in cells], float)
        texts = [str(cell if isinstance(cell, str) else cell.isoformat()).strip() for cell in cells]
        return _seconds(np.array([text.removesuffix("Z")[:26] for text in texts], "datetime64[us]"))
    except (TypeError, ValueError, AttributeError):
        return None


def _seconds(values: NDArray[Any]) -> NDArray[np.float64]:
    unit = np.timedelta64(1, "s")
    spans = values - np.datetime64(0, "s") if values.dtype.kind == "M" else values
    return np.where(np.isnat(values), np.nan, spans / unit)
