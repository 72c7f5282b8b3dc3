"""Demands on new rows of a table: cells that are given, intervals for others, relations between columns."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lambent.data.kinds.columns.base import Column, Intervals
from lambent.data.kinds.columns.levels import Levels
from lambent.data.kinds.columns.restriction import Restriction
from lambent.data.kinds.table import Table
from lambent.data.readers.filling import there
from lambent.data.readers.framing import plain
from lambent.errors import UsageError, nearest
from lambent.tasks.partial import place_of

COMPARED = {
    "<=": np.less_equal, ">=": np.greater_equal, "!=": np.not_equal, "==": np.equal, "=": np.equal, "<": np.less,
    ">": np.greater,
}  # fmt: skip
_RELATION = re.compile("(<=|>=|!=|==|=|<|>)")
Given = Mapping[str, Any] | Iterable[str]


@dataclass(frozen=True)
class Demand:
    """What new rows are to be: by encoded column a value that it has, or half-open intervals one of which it falls into."""

    cells: dict[int, float] = field(default_factory=dict)
    among: dict[int, Intervals] = field(default_factory=dict)
    words: str = ""

    def __bool__(self) -> bool:
        return bool(self.cells or self.among)

    def with_among(self, place: int, intervals: Intervals, words: str) -> "Demand":
        """The same, and one more column restricted."""
        joined = {**self.among, place: intersected(self.among.get(place), intervals)}
        return Demand(self.cells, joined, ", ".join(filter(None, (self.words, words))))


@dataclass(frozen=True)
class Relation:
    """A relation between two columns of a row, such as start<=end; where either is missing it holds."""

    left: Column
    operator: str
    right: Column

    def __str__(self) -> str:
        return f"{self.left.name}{self.operator}{self.right.name}"

    def holds(self, table: Table, x: Tensor) -> Tensor:
        """Of encoded rows [rows, columns], bool [rows]."""
        sides = []
        kept = np.ones(len(x), bool)
        values = x.double().numpy()
        for column in (self.left, self.right):
            found = column.decode(values[:, [table.names.index(column.name)]])
            kept &= there(found)
            sides.append(_comparable(column, plain(found)))
        relates = np.ones(len(x), bool)
        relates[kept] = COMPARED[self.operator](sides[0][kept], sides[1][kept])
        return torch.from_numpy(relates)


def _comparable(column: Column, values: NDArray[Any]) -> NDArray[Any]:
    return values if isinstance(column, Levels) or values.dtype.kind in "Mm" else values.astype(np.float64)


def relations(table: Table, texts: Iterable[str]) -> list[Relation]:
    """The relations that texts such as start<=end state; `UsageError` for a text that states none."""
    return [_relation(table, text) for text in texts]


def _relation(table: Table, text: str) -> Relation:
    found = _RELATION.search(text)
    names = [column.name for column in table.columns if column.width]
    if found is None:
        raise UsageError(f"--where {text[:60]!r}: takes COLUMN<=COLUMN, with one of {', '.join(COMPARED)}")
    sides = [text[: found.start()].strip(), text[found.end() :].strip()]
    for name in sides:
        if name not in names:
            raise UsageError(
                f"--where {text[:60]!r}: no column is called {name!r}; {nearest(name, names)} Values are for --given."
            )
    left, right = (table.column(name) for name in sides)
    forms = [getattr(column, "form", "number") for column in (left, right)]
    if forms[0] != forms[1] or (forms[0] == "text" and found.group() not in ("=", "==", "!=")):
        raise UsageError(
            f"--where {text[:60]!r}: a column of kind {left.kind} is not so compared with one of {right.kind}"
        )
    return Relation(left, found.group(), right)


def restrictions(table: Table, given: Given) -> list[Restriction]:
    """What is given, as restrictions: texts such as age>40, or values by name, lists of them for sets, None for missing."""
    if not isinstance(given, Mapping):
        return [table.restriction(str(text)) for text in given]
    found = []
    for name, value in given.items():
        table.column(name)  # which refuses a name that is none
        if isinstance(value, (list, tuple, set, frozenset)):
            found.append(Restriction(name, "in", tuple(_word(one) for one in value)))
        elif value is None:
            found.append(Restriction(name, "=", ("missing",)))
        else:
            found.append(Restriction(name, "=", (_word(value),)))
    return found


def _word(value: Any) -> str:
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def demanded(table: Table, asked: Iterable[Restriction]) -> Demand:
    """What restrictions ask of encoded rows, each column's intersected.

    A column that is asked for a value is not to be missing. Raises `UsageError` where no value satisfies all.
    """
    asked = list(asked)
    among: dict[int, Intervals] = {}
    for one in asked:
        place, intervals = table.intervals(one)
        among[place] = intersected(among.get(place), intervals)
        if not one.of_gaps:
            gap = f"{one.column} is missing"
            if gap in table.names:
                indicator = table.names.index(gap)
                among[indicator] = intersected(among.get(indicator), [(0.0, 1.0)])
        if any(not found for found in among.values()):
            told = ", ".join(str(each) for each in asked if each.column == one.column)
            raise UsageError(f"{told}: no value of column {one.column!r} satisfies that")
    points = {place: found[0][0] for place, found in among.items() if _is_point(found)}
    rest = {place: found for place, found in among.items() if place not in points}
    return Demand(points, rest, ", ".join(str(one) for one in asked))


def _is_point(found: Intervals) -> bool:
    """Whether it is one value of a continuous column, of which no draw falls into anything so narrow."""
    (low, high), *others = found
    return not others and high <= float(np.nextafter(np.float32(low), np.float32(np.inf)))


def intersected(first: Intervals | None, second: Intervals) -> Intervals:
    """What lies in both; None: in all."""
    if first is None:
        return list(second)
    pairs = [(max(a, c), min(b, d)) for a, b in first for c, d in second]
    return sorted((low, high) for low, high in pairs if low < high)


def levels_of(table: Table, name: str) -> list[tuple[str, Intervals]]:
    """The levels of a column by name, each with the intervals of its encoded values; `UsageError` for a column without."""
    place_of(table, name)
    column = table.column(name)
    if not isinstance(column, Levels):
        raise UsageError(
            f"column {name!r} is {column.kind}: only columns of levels can be balanced, such as categorical ones"
        )
    return [(str(level), [(float(place), place + 1.0)]) for place, level in enumerate(column.levels)]
