"""Conditions: columns beside the data as the vectors that a model is conditioned on, p(x | c).

A category becomes one number for each of its levels, one of them 1 (one-hot); a number becomes (value − centre) / scale. What
training has seen is plain JSON, kept in the model file. A level that is missing is a row of noughts, where gaps are allowed: an
objective that learns from rows without a label takes them, all else refuses them.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lambent.data.condition import (
    MOST_LEVELS,
    Category,
    Condition,
    Number,
    is_missing,
    level_of,
    numbers_of,
    restored,
    single,
)
from lambent.data.kinds.moments import Moments
from lambent.errors import ArtifactError, DataError, UsageError, nearest

FEW = 20  # whole numbers of at most so many different values are categories


class Learner:
    """A condition that is being learned, some of its rows at a time: numbers of few whole values are levels too."""

    def __init__(self, name: str, gaps: bool = False) -> None:
        self.name = name
        self.gaps = gaps  # whether a level may be missing
        self.missing, self.first_missing = 0, 0  # how many are, and the number of the first row without, from 1
        self.counts: Counter[str] = Counter()
        self.moments = Moments()
        self.low, self.high = math.inf, -math.inf
        self.numeric = self.few = True  # all numbers so far; and whole ones, of which there are few
        self.rows = self.taken = 0  # and those of them that had a value

    def add(self, values: np.ndarray) -> None:
        """Take in values [rows]; `DataError` for a row without one, unless gaps are allowed, and for too many levels."""
        missing = np.array([is_missing(value) for value in values], bool)
        if missing.any():
            self.first_missing = self.first_missing or self.rows + int(missing.argmax()) + 1
            self.missing += int(missing.sum())
            if not self.gaps:
                raise _missing(self.name, self.first_missing, self.missing)
            self.rows += int(missing.sum())
            values = values[~missing]
            if not len(values):
                return
        numeric = values.dtype.kind in "iuf"
        if self.taken and numeric != self.numeric:
            raise DataError(
                f"condition {self.name!r}: holds numbers up to row {self.rows}, and then text, or the other way"
            )
        self.numeric = numeric
        if self.numeric:
            numbers = numbers_of(self.name, values)
            self.moments.add(numbers)
            self.low, self.high = min(self.low, float(numbers.min())), max(self.high, float(numbers.max()))
            self.few = self.few and bool((numbers == np.rint(numbers)).all())
        if self.few or not self.numeric:
            self._count(values)
        self.rows += len(values)
        self.taken += len(values)

    def _count(self, values: np.ndarray) -> None:
        for value, count in zip(*np.unique(values, return_counts=True), strict=True) if self.numeric else ():
            self.counts[level_of(value)] += int(count)
        self.counts.update(() if self.numeric else [level_of(value) for value in values])
        self.few = self.few and len(self.counts) <= FEW
        if not self.numeric and len(self.counts) > MOST_LEVELS:
            raise DataError(
                f"condition {self.name!r} has {len(self.counts):,} different levels; at most {MOST_LEVELS:,} are taken. "
                "Is it an identifier?"
            )

    def condition(self) -> Condition:
        """The condition, once all rows were taken in; `DataError` if all are alike, or a number is missing."""
        if not self.taken:
            raise DataError(f"condition {self.name!r} has no value in any row: there is nothing to condition on")
        if not self.numeric or self.few:
            return Category.seen(self.name, self.counts)
        if self.missing:
            raise _missing(self.name, self.first_missing, self.missing)
        mean, deviation = self.moments.values()
        if not deviation > 10 * np.finfo(np.float64).eps * abs(mean):
            raise DataError(f"condition {self.name!r} is {self.low:g} in every row: there is nothing to condition on")
        return Number(self.name, mean, deviation, self.low, self.high)


@dataclass
class Conditions:
    """All that a model is conditioned on, side by side."""

    items: list[Condition] = field(default_factory=list)

    @classmethod
    def fit(cls, columns: Mapping[str, np.ndarray], gaps: bool = False) -> "Conditions":
        """Learn the levels and the scales of columns [rows] by name. gaps: whether levels may be missing."""
        learners = {name: Learner(name, gaps) for name in columns}
        for name, values in columns.items():
            learners[name].add(np.asarray(values))
        return cls([one.condition() for one in learners.values()])

    @property
    def width(self) -> int:
        """Numbers of the vector that conditions; 0 for none."""
        return sum(item.width for item in self.items)

    @property
    def widths(self) -> list[int]:
        """Numbers of each condition, in order."""
        return [item.width for item in self.items]

    @property
    def names(self) -> list[str]:
        return [item.name for item in self.items]

    def __bool__(self) -> bool:
        return bool(self.items)

    def category(self, name: str) -> Category:
        """The condition of that name, which must be one of levels; `UsageError` names those there are."""
        found = next((item for item in self.items if item.name == name), None)
        if isinstance(found, Category):
            return found
        categories = [item.name for item in self.items if isinstance(item, Category)]
        if not categories:
            raise UsageError(
                f"this model has no condition of levels to tell apart; it is conditioned on {self._listed()}"
            )
        raise UsageError(f"this model is not conditioned on levels of {name!r}; {nearest(name, categories)}")

    def encode(self, columns: Mapping[str, np.ndarray], gaps: bool = False) -> Tensor:
        """Columns by name → float32 [rows, width]; `DataError` names a column that is missing.

        gaps: whether levels may be missing, each a row of noughts.
        """
        for name in self.names:
            if name not in columns:
                raise DataError(
                    f"the model is conditioned on {self._listed()}, and these rows have no {name!r}: "
                    f"give data that have it, or one value for all with --given {name}=VALUE (in Python given={{{name!r}: …}})"
                )
        parts = [item.encode(np.asarray(columns[item.name]), gaps) for item in self.items]
        return torch.from_numpy(np.concatenate(parts, 1))

    def place(self, name: str) -> int:
        """The number of the first column of that condition in a context."""
        return sum(self.widths[: self.names.index(name)])

    def without_gaps(self, context: Tensor, start: int = 0) -> Tensor:
        """A context [rows, width], if no level of it is missing; `DataError` names the first row where one is.

        start: the number of the first of these rows.
        """
        for item, own in zip(self.items, context.split(self.widths, 1), strict=True):
            if isinstance(item, Category) and not bool((there := (own != 0).any(1)).all()):
                gaps = (~there).nonzero()[:, 0]
                raise _missing(item.name, start + int(gaps[0]) + 1, len(gaps))
        return context

    def completed(
        self, columns: Mapping[str, np.ndarray], values: Mapping[str, Any], rows: int, gaps: bool = False
    ) -> Tensor:
        """Columns of so many rows, in place of some of them the same value for all, [rows, width].

        gaps: as in `encode`. Errors: those of `encode` for the columns, those of `given` for the values.
        """
        same = self._of_each(values)
        if len(same) == len(self.items) and same:
            return torch.cat(list(same.values()), 1).expand(rows, -1)
        rest = Conditions([item for item in self.items if item.name not in same])
        own = dict(zip(rest.names, rest.encode(columns, gaps).split(rest.widths, 1), strict=True))
        parts = [same[name].expand(rows, -1) if name in same else own[name] for name in self.names]
        return torch.cat(parts, 1)

    def replaced(self, context: Tensor, values: Mapping[str, Any]) -> Tensor:
        """A context [rows, width] with the same value for all rows in place of some of its conditions; errors of `given`."""
        same = self._of_each(values)
        parts = zip(self.names, context.split(self.widths, 1), strict=True)
        return torch.cat([same[name].to(own).expand_as(own) if name in same else own for name, own in parts], 1)

    def given(self, values: Mapping[str, Any], rows: int) -> Tensor:
        """The same values for so many rows, [rows, width]; `UsageError` names what is missing, unknown or of another type."""
        same = self._of_each(values)
        for item in self.items:
            if item.name not in same:
                raise UsageError(
                    f"this model is conditioned on {self._listed()}, and no {item.name} was given: "
                    f"say --given {item.name}=VALUE (in Python given={{{item.name!r}: …}}); known: {item.known}"
                )
        return self.completed({}, values, rows)

    def _of_each(self, values: Mapping[str, Any]) -> dict[str, Tensor]:
        """Each given value, [1, its width], in the order of the conditions; `UsageError` for one unknown or of another type."""
        for name in values:
            if not self.items:
                raise UsageError(f"this model is not conditioned on anything, so {name!r} cannot be given")
            if name not in self.names:
                raise UsageError(f"this model is not conditioned on {name!r}; {nearest(str(name), self.names)}")
        try:
            return {
                item.name: torch.from_numpy(item.encode(np.array([single(item.name, values[item.name])], dtype=object)))
                for item in self.items
                if item.name in values
            }
        except DataError as error:
            raise UsageError(str(error).replace(", row 1", "")) from None

    def typical(self, rows: int, generator: torch.Generator) -> Tensor:
        """Conditions for new rows, each drawn by itself as often as training has seen it, [rows, width]."""
        return self.encode({item.name: item.typical(rows, generator) for item in self.items})

    def state(self) -> list[dict[str, Any]]:
        """Plain JSON; `restored` is the inverse."""
        return [item.state() for item in self.items]

    @classmethod
    def restored(cls, state: Any) -> "Conditions":
        """The conditions that `state` describes; `ArtifactError` if it describes none."""
        try:
            found = [restored(dict(one)) for one in state or []]
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"the stored conditions are damaged ({error!r})") from None
        if len({item.name for item in found}) != len(found):
            raise ArtifactError("the stored conditions hold two of one name")
        return cls(found)

    def _listed(self) -> str:
        return ", ".join(self.names) or "nothing"


def _missing(name: str, row: int, count: int) -> DataError:
    """The refusal of rows of which a level or a number is missing."""
    return DataError(
        f"condition {name!r}, row {row}: has no value ({count:,} such rows in all); leave such rows out, or, where names are "
        "missing, learn from both with the SemiSupervised objective"
    )


def named(given: Iterable[str]) -> dict[str, str]:
    """`label=3` and the like as names and values; `UsageError` for anything else."""
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise UsageError(f"--given {text[:40]!r}: takes NAME=VALUE, such as label=3")
        if name in found:
            raise UsageError(f"--given {name}: stands there twice")
        found[name] = value
    return found
