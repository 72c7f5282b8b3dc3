"""Numeric: a column of real numbers, centred and scaled; and what learns one, a piece at a time."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from lambent.data.kinds.census import IQR_OF_GAUSSIAN, Census
from lambent.data.kinds.columns.base import NUMBERS, Column, Intervals, Kind, after
from lambent.data.kinds.columns.cells import read_word
from lambent.data.kinds.columns.left_out import Constant
from lambent.data.kinds.columns.restriction import Restriction
from lambent.data.kinds.moments import Moments, Quartiles
from lambent.data.readers.frames import Columns, numbers
from lambent.data.readers.typed import Declared, Typed
from lambent.errors import DataError, UsageError

Scale = Literal["standard", "robust", "none"]
FURTHEST = 1e30  # scales that a value may lie out, well within float32
ALIKE = 10 * np.finfo(np.float64).eps  # relative difference up to which values are the same but for rounding
FLOAT = Declared("Float64")
MOST_DECIMALS = 6


@dataclass
class Numeric(Column):
    """A real column: (value − centre) / scale, worked out in float64; of scale 1 where all columns of a table are constant."""

    tag: ClassVar[str] = "numeric"
    name: str
    centre: float = 0.0
    scale: float = 1.0
    constant: bool = False
    kind: str = "real"
    why: str = ""
    declared: Declared = FLOAT
    least: float | None = None  # of the values that were learned from, as the next two are
    most: float | None = None
    decimals: int | None = None  # none: more than can be told
    source: Declared = FLOAT  # the type that made rows come back with

    @property
    def width(self) -> int:
        return 1

    @property
    def use(self) -> str:
        return "learned from"

    def encode(self, table: Columns) -> np.ndarray:
        values = (numbers(table, self.name, gaps=True) - self.centre) / self.scale
        beyond = np.flatnonzero(np.abs(values) > np.finfo(np.float32).max)
        if len(beyond):
            raise DataError(f"{table.cell(self.name, int(beyond[0]))}: lies {values[beyond[0]]:.3g} scales out")
        return values.astype(np.float32)[:, None]

    def decode(self, x: np.ndarray, first: int = 0) -> Typed:
        return Typed(x[:, 0].astype(np.float64) * self.scale + self.centre, self.declared)

    def held(self, made: Typed) -> Typed:
        """Values of made rows, held to the range and the decimals of those that were learned from."""
        if self.least is None or self.most is None:
            return made
        values = np.clip(made.values, self.least, self.most)
        return Typed(values if self.decimals is None else np.round(values, self.decimals), self.source)

    def notice(self) -> str | None:
        return "all_constant" if self.constant else None

    def log_slope(self, x: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(x), 0.0, -math.log(self.scale))

    def intervals(self, restriction: Restriction) -> Intervals:
        read = [read_word(text, "number") for text in restriction.values]
        values = [value for value in read if value is not None]
        if len(values) < len(read):
            raise UsageError(f"column {self.name!r} is {self.kind}: {restriction} compares it with what is no number")
        points = [pair for value in sorted(values) if (pair := self._stretch(value)) is not None]
        if restriction.operator in ("=", "in"):
            return self._inside(points)
        if restriction.operator in ("!=", "not in"):
            ends = [-math.inf, *(end for pair in points for end in pair), math.inf]
            return self._inside(list(zip(ends[::2], ends[1::2], strict=True)))
        low, high = self._ends(values[0])
        return self._inside({
            "<": [(-math.inf, low)], "<=": [(-math.inf, high)], ">": [(high, math.inf)], ">=": [(low, math.inf)],
        }[restriction.operator])  # fmt: skip

    def _ends(self, value: float) -> tuple[float, float]:
        """Where what is less than a value ends and what is more begins, encoded: with so many decimals, half a step off it."""
        if self.decimals is None:
            # As single precision has it, so that a row with the very value is on its side.
            point = float(np.float32((value - self.centre) / self.scale))
            return point, after(point)
        step = 10.0**-self.decimals
        place = value / step
        low, high = (math.ceil(place - 1e-9) - 0.5) * step, (math.floor(place + 1e-9) + 0.5) * step
        return (low - self.centre) / self.scale, (high - self.centre) / self.scale

    def _stretch(self, value: float) -> tuple[float, float] | None:
        """What is encoded of a value alone; None of one with more decimals than the column has."""
        low, high = self._ends(value)
        return (low, high) if low < high else None

    def _inside(self, intervals: Intervals) -> Intervals:
        """Of intervals what made rows can reach."""
        if self.least is None or self.most is None:
            return intervals
        first, last = self._ends(self.least)[0], self._ends(self.most)[1]
        cut = [(max(low, first), min(high, last)) for low, high in intervals]
        return [(low, high) for low, high in cut if low < high]


class Learner:
    """A column of numbers that is being learned, a piece of the table at a time.

    Mean and deviation, for the robust scale the quartiles (of at most so many values; none: of all), and what is noticed on
    the way.
    """

    def __init__(self, name: str, scale: str, most: int | None = None) -> None:
        self.name = name
        self.moments, self.census = Moments(), Census()
        self.rows = self.gaps = 0
        self.decimals: int | None = 0
        self.source = FLOAT
        self.quartiles = Quartiles(most) if scale == "robust" else None

    def add(self, table: Columns) -> None:
        """Take in the next rows; `DataError` names a cell that is no number."""
        values = numbers(table, self.name, gaps=True)
        declared = table.declared(self.name)
        self.source = replace(declared, native="") if table.backend == "file" else declared
        missing = np.isnan(values)
        self.rows += len(values)
        if missing.any():
            kept = np.flatnonzero(~missing)
            self.gaps += len(values) - len(kept)
            if not len(kept):
                return
            values, table = values[kept], table[kept]
        self.census.add(values, table.place)
        self.moments.add(values)
        self.decimals = None if self.decimals is None else _decimals(values, self.decimals)
        if self.quartiles is not None:
            self.quartiles.add(values)

    @property
    def constant(self) -> bool:
        """Whether all rows hold the same value."""
        mean, deviation = self.moments.values()
        # Rounding alone gives a constant column a deviation of this order, and dividing by it would blow up noise.
        return bool(deviation <= ALIKE * abs(mean))

    @property
    def empty(self) -> bool:
        """Whether no row holds a value."""
        return self.gaps == self.rows

    def left_out(self) -> Constant:
        """The column that this is where all rows hold the same value."""
        return Constant(self.name, self.census.first)

    def column(self, scale: Scale, kind: Kind | None = None) -> Numeric:
        """The column, once all rows were taken in, brought to such a scale; kind: what it is, where that was found."""
        made = self._scaled(scale)
        made.kind, made.why = self._kind() if kind is None or kind.name not in NUMBERS else kind
        made.least, made.most, made.decimals = self.census.least, self.census.most, self.decimals
        made.source = self.source
        return made

    def _kind(self) -> Kind:
        """Whole numbers or not, as the ends and the mean tell it."""
        least, most = self.census.least, self.census.most
        told = f"from {least:.6g} to {most:.6g}"
        if self.census.whole:
            mean, deviation = self.moments.values()
            if least in (0, 1) and deviation**2 > mean and mean < most / 4:
                return Kind("count", f"whole numbers {told}, many of them low")
            return Kind("integer", f"whole numbers {told}")
        if least >= 0 and most <= 1:
            return Kind("bounded", f"numbers {told}: all lie between 0 and 1")
        return Kind("real", f"numbers {told}")

    def _scaled(self, scale: Scale) -> Numeric:
        mean, deviation = self.moments.values()
        constant = self.constant
        if scale == "none":
            return Numeric(self.name, constant=constant)
        if self.quartiles is not None and not constant:
            low, median, high = self.quartiles.values()
            spread = (high - low) / IQR_OF_GAUSSIAN
            # Where half of the values coincide the quartiles do too, and say nothing of the rest.
            apart = spread > max(ALIKE * max(abs(low), abs(high)), deviation / FURTHEST)
            return Numeric(self.name, median, spread if apart else deviation)
        return Numeric(self.name, mean, 1.0 if constant else deviation, constant)


def _decimals(values: np.ndarray, least: int) -> int | None:
    """How many decimals all values have, `least` or more; None where more than can be told."""
    for decimals in range(least, MOST_DECIMALS + 1):
        whole = values * 10.0**decimals
        if bool((np.abs(whole - np.rint(whole)) <= 1e-9 * np.maximum(1.0, np.abs(whole))).all()):
            return decimals
    return None
