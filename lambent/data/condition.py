"""Condition: one column beside the data, of names or of numbers, as numbers that condition a model."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from lambent.errors import DataError, UsageError, nearest

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
    def encode(self, values: np.ndarray, gaps: bool = False) -> np.ndarray:
        """Values [rows] → float32 [rows, width]; `DataError` with the row of one that cannot be.

        gaps: whether a level may be missing, which makes a row of noughts.
        """

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

    def encode(self, values: np.ndarray, gaps: bool = False) -> np.ndarray:
        place = {level: i for i, level in enumerate(self.levels)}
        out = np.zeros((len(values), self.width), np.float32)
        for row, value in enumerate(values):
            if is_missing(value):
                if gaps:
                    continue
                raise DataError(f"condition {self.name!r}, row {row + 1}: has no value; known: {self.known}")
            index = place.get(level_of(value))
            if index is None and isinstance(value, (bool, np.bool_)):
                index = place.get(str(int(value)))  # labels of True and False are kept as 1 and 0
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

    def encode(self, values: np.ndarray, gaps: bool = False) -> np.ndarray:
        return ((numbers_of(self.name, values) - self.centre) / self.scale).astype(np.float32)[:, None]

    def typical(self, count: int, generator: torch.Generator) -> np.ndarray:
        noise = torch.randn(count, generator=generator, dtype=torch.float64).numpy()
        return np.clip(self.centre + self.scale * noise, self.low, self.high)

    @property
    def known(self) -> str:
        return f"a number, {self.low:g} … {self.high:g} in training"

    @property
    def example(self) -> str:
        return f"{self.centre:.3g}"


KINDS: dict[str, type[Condition]] = {"category": Category, "number": Number}


def level_of(value: Any) -> str:
    """A value as the name of a level: 3, 3.0 and "3" are one."""
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value)).lower()
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def is_missing(value: Any) -> bool:
    """Whether a cell is empty: nothing, NaN, or text of blanks alone."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, (float, np.floating)) and math.isnan(value))


def single(name: str, value: Any) -> Any:
    """A value that holds for all rows, as a plain one; `UsageError` for several."""
    if np.ndim(value):
        raise UsageError(f"condition {name!r} is given one value for all rows, not {np.size(value):,}")
    return value.item() if isinstance(value, Tensor) else value


def numbers_of(name: str, values: np.ndarray) -> np.ndarray:
    """Values [rows] as float64; `DataError` for one that is no finite number."""
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


def restored(fields: dict[str, Any]) -> Condition:
    """The condition that `fields` describe; `KeyError`, `TypeError` or `ValueError` if they describe none."""
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
