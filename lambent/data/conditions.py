"""Conditions: columns beside the data as the vectors that a model is conditioned on, p(x | c).

A category becomes one number for each of its levels, one of them 1 (one-hot); a number becomes (value − centre) / scale. What
training has seen is plain JSON, kept in the model file.
"""

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from lambent.data.kinds.moments import Moments
from lambent.errors import ArtifactError, DataError, UsageError, nearest

FEW = 20  # whole numbers of at most so many different values are categories
MOST_LEVELS = 10_000
SHOWN = 12  # levels that a message lists


class Condition(ABC):
    """One column that conditions: values ↔ `width` numbers a row."""

    kind: ClassVar[str]
    name: str

    @property
    @abstractmethod
    def width(self) -> int:
        """How many numbers one value becomes."""

    @abstractmethod
    def encode(self, values: np.ndarray) -> np.ndarray:
        """Values [rows] → float32 [rows, width]; `DataError` with the row of one that cannot be."""

    @abstractmethod
    def typical(self, count: int, generator: torch.Generator) -> np.ndarray:
        """So many values, drawn as often as training has seen them."""

    @property
    @abstractmethod
    def known(self) -> str:
        """Which values there are, in words."""

    @property
    @abstractmethod
    def example(self) -> str:
        """A value that training has seen, or could have, as one would type it."""

    def state(self) -> dict[str, Any]:
        """Plain JSON; `restored` is the inverse."""
        return {"kind": self.kind, **asdict(self)}  # type: ignore[call-overload]


@dataclass
class Category(Condition):
    """A column of names, one-hot. levels: those that training has seen, in order, and how often."""

    kind: ClassVar[str] = "category"
    name: str
    levels: list[str]
    counts: list[int]

    @classmethod
    def seen(cls, name: str, counts: Mapping[str, int]) -> "Category":
        """The levels that were seen, in the order of numbers where they are numbers, else of the alphabet."""
        if len(counts) < 2:
            raise DataError(
                f"condition {name!r} is {next(iter(counts))} in every row: there is nothing to condition on"
            )
        pairs = sorted(counts.items(), key=lambda pair: _numeric_first(pair[0]))
        return cls(name, [level for level, _ in pairs], [int(n) for _, n in pairs])

    @property
    def width(self) -> int:
        return len(self.levels)

    @property
    def log_frequencies(self) -> Tensor:
        """Log of the share of each level among the training rows, [levels]."""
        return torch.tensor(self.counts, dtype=torch.float64).div(sum(self.counts)).log()

    def encode(self, values: np.ndarray) -> np.ndarray:
        place = {level: i for i, level in enumerate(self.levels)}
        out = np.zeros((len(values), self.width), np.float32)
        for row, value in enumerate(values):
            index = place.get(level_of(value))
            if index is None:
                near = nearest(level_of(value), self.levels) if len(self.levels) <= SHOWN else f"known: {self.known}"
                raise DataError(
                    f"condition {self.name!r}, row {row + 1}: no level is called {level_of(value)!r}; {near}"
                )
            out[row, index] = 1
        return out

    def typical(self, count: int, generator: torch.Generator) -> np.ndarray:
        weights = torch.tensor(self.counts, dtype=torch.float64)
        drawn = torch.multinomial(weights, count, replacement=True, generator=generator)
        return np.array([self.levels[i] for i in drawn.tolist()], dtype=object)

    @property
    def known(self) -> str:
        more = f" and {len(self.levels) - SHOWN:,} more" if len(self.levels) > SHOWN else ""
        return ", ".join(self.levels[:SHOWN]) + more

    @property
    def example(self) -> str:
        return self.levels[0]


@dataclass
class Number(Condition):
    """A column of numbers, (value − centre) / scale."""

    kind: ClassVar[str] = "number"
    name: str
    centre: float
    scale: float
    low: float
    high: float

    @property
    def width(self) -> int:
        return 1

    def encode(self, values: np.ndarray) -> np.ndarray:
        return ((_numbers(self.name, values) - self.centre) / self.scale).astype(np.float32)[:, None]

    def typical(self, count: int, generator: torch.Generator) -> np.ndarray:
        noise = torch.randn(count, generator=generator, dtype=torch.float64).numpy()
        return np.clip(self.centre + self.scale * noise, self.low, self.high)

    @property
    def known(self) -> str:
        return f"a number, {self.low:g} … {self.high:g} in training"

    @property
    def example(self) -> str:
        return f"{self.centre:.3g}"


class Learner:
    """A condition that is being learned, some of its rows at a time: numbers of few whole values are levels too."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.counts: Counter[str] = Counter()
        self.moments = Moments()
        self.low, self.high = math.inf, -math.inf
        self.numeric = self.few = True  # all numbers so far; and whole ones, of which there are few
        self.rows = 0

    def add(self, values: np.ndarray) -> None:
        """Take in values [rows]; `DataError` for a row without one, and for too many levels."""
        missing = [row for row, value in enumerate(values) if value is None or value != value]
        if missing:
            where = f"row {self.rows + missing[0] + 1}"
            raise DataError(f"condition {self.name!r}, {where}: has no value ({len(missing):,} such rows in all)")
        numeric = values.dtype.kind in "iuf"
        if self.rows and numeric != self.numeric:
            raise DataError(
                f"condition {self.name!r}: holds numbers up to row {self.rows}, and then text, or the other way"
            )
        self.numeric = numeric
        if self.numeric:
            numbers = _numbers(self.name, values)
            self.moments.add(numbers)
            self.low, self.high = min(self.low, float(numbers.min())), max(self.high, float(numbers.max()))
            self.few = self.few and bool((numbers == np.rint(numbers)).all())
        if self.few or not self.numeric:
            self._count(values)
        self.rows += len(values)

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
        """The condition, once all rows were taken in; `DataError` if all are alike."""
        if not self.numeric or self.few:
            return Category.seen(self.name, self.counts)
        mean, deviation = self.moments.values()
        if not deviation > 10 * np.finfo(np.float64).eps * abs(mean):
            raise DataError(f"condition {self.name!r} is {self.low:g} in every row: there is nothing to condition on")
        return Number(self.name, mean, deviation, self.low, self.high)


KINDS: dict[str, type[Condition]] = {"category": Category, "number": Number}


@dataclass
class Conditions:
    """All that a model is conditioned on, side by side."""

    items: list[Condition] = field(default_factory=list)

    @classmethod
    def fit(cls, columns: Mapping[str, np.ndarray]) -> "Conditions":
        """Learn the levels and the scales of columns [rows] by name."""
        learners = {name: Learner(name) for name in columns}
        for name, values in columns.items():
            learners[name].add(np.asarray(values))
        return cls([one.condition() for one in learners.values()])

    @property
    def width(self) -> int:
        """Numbers of the vector that conditions; 0 for none."""
        return sum(item.width for item in self.items)

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

    def encode(self, columns: Mapping[str, np.ndarray]) -> Tensor:
        """Columns by name → float32 [rows, width]; `DataError` names a column that is missing."""
        for name in self.names:
            if name not in columns:
                raise DataError(
                    f"the model is conditioned on {self._listed()}, and these rows have no {name!r}: "
                    f"give data that have it, or one value for all with --given {name}=VALUE (in Python given={{{name!r}: …}})"
                )
        parts = [item.encode(np.asarray(columns[item.name])) for item in self.items]
        return torch.from_numpy(np.concatenate(parts, 1))

    def completed(self, columns: Mapping[str, np.ndarray], values: Mapping[str, Any], rows: int) -> Tensor:
        """Columns of so many rows, in place of some of them the same value for all, [rows, width]."""
        for name in values:
            if name not in self.names:
                raise UsageError(f"this model is not conditioned on {name!r}; {nearest(str(name), self.names)}")
        return self.encode(
            {**columns, **{name: np.array([value] * rows, dtype=object) for name, value in values.items()}}
        )

    def given(self, values: Mapping[str, Any], rows: int) -> Tensor:
        """The same values for so many rows, [rows, width]; `UsageError` names what is missing, unknown or of another type."""
        for name in values:
            if name not in self.names:
                if not self.items:
                    raise UsageError(f"this model is not conditioned on anything, so {name!r} cannot be given")
                raise UsageError(f"this model is not conditioned on {name!r}; {nearest(str(name), self.names)}")
        for item in self.items:
            if item.name not in values:
                raise UsageError(
                    f"this model is conditioned on {self._listed()}, and no {item.name} was given: "
                    f"say --given {item.name}=VALUE (in Python given={{{item.name!r}: …}}); known: {item.known}"
                )
        try:
            one = self.encode({name: np.array([value], dtype=object) for name, value in values.items()})
        except DataError as error:
            raise UsageError(str(error).replace(", row 1", "")) from None
        return one.expand(rows, -1)

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
            found = [_restored(dict(one)) for one in state or []]
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"the stored conditions are damaged ({error!r})") from None
        if len({item.name for item in found}) != len(found):
            raise ArtifactError("the stored conditions hold two of one name")
        return cls(found)

    def _listed(self) -> str:
        return ", ".join(self.names) or "nothing"


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


def level_of(value: Any) -> str:
    """A value as the name of a level: 3, 3.0 and "3" are one."""
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value)).lower()
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _numbers(name: str, values: np.ndarray) -> np.ndarray:
    try:
        numbers = np.array([float(value) for value in values], np.float64)
    except (TypeError, ValueError):
        bad = next(value for value in values if not _is_number(value))
        raise DataError(f"condition {name!r} takes numbers, and {str(bad)[:40]!r} is none") from None
    if not np.isfinite(numbers).all():
        row = int(np.flatnonzero(~np.isfinite(numbers))[0])
        raise DataError(f"condition {name!r}, row {row + 1}: is missing or not finite")
    return numbers


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _numeric_first(level: str) -> tuple[int, float, str]:
    return (0, float(level), level) if _is_number(level) and math.isfinite(float(level)) else (1, 0.0, level)


def _restored(fields: dict[str, Any]) -> Condition:
    item = KINDS[fields.pop("kind")](**fields)
    if isinstance(item, Category):
        item.levels, item.counts = [str(level) for level in item.levels], [int(n) for n in item.counts]
        if not 2 <= len(item.levels) <= MOST_LEVELS or len(item.levels) != len(item.counts) or min(item.counts) < 1:
            raise ValueError(f"levels and counts of {item.name!r}")
        if len(set(item.levels)) != len(item.levels):
            raise ValueError(f"{item.name!r} has a level twice")
    if isinstance(item, Number):
        numbers = (item.centre, item.scale, item.low, item.high)
        if not all(isinstance(n, (int, float)) and math.isfinite(n) for n in numbers) or item.scale <= 0:
            raise ValueError(f"scale of {item.name!r}")
    item.name = str(item.name)
    return item
