"""Columns of a table: each type knows how its values become numbers and come back.

A type is a `Column` subclass entered in `KINDS`; `Table` treats all types alike.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from lambent.data.kinds.census import IQR_OF_GAUSSIAN, Census
from lambent.data.kinds.moments import Moments, Quartiles
from lambent.data.readers.frames import Columns, numbers
from lambent.errors import ArtifactError, DataError

Scale = Literal["auto", "standard", "robust", "none"]
FURTHEST = 1e30  # scales that a value may lie out, well within float32
ALIKE = 10 * np.finfo(np.float64).eps  # relative difference up to which values are the same but for rounding


class Column(ABC):
    """One column: values of its own kind ↔ `width` float32 numbers a row."""

    kind: ClassVar[str]
    name: str

    @property
    @abstractmethod
    def width(self) -> int:
        """How many numbers one value becomes."""

    @abstractmethod
    def encode(self, table: Columns) -> np.ndarray:
        """The column of the same name in `table` → float32 [rows, width]."""

    @abstractmethod
    def decode(self, x: np.ndarray) -> np.ndarray:
        """[rows, width] → [rows] in the original units."""

    @abstractmethod
    def notice(self) -> str | None:
        """What the user should know of this column, under which name it is counted; or None."""

    def state(self) -> dict[str, Any]:
        """Plain JSON; `restored` is the inverse."""
        return {"kind": self.kind, **asdict(self)}  # type: ignore[call-overload]


@dataclass
class Constant(Column):
    """A column that was the same in every row: no part of the model, it adds nothing to a density; it comes back in rows."""

    kind: ClassVar[str] = "constant"
    name: str
    value: float = 0.0

    @property
    def width(self) -> int:
        return 0

    def encode(self, table: Columns) -> np.ndarray:
        return np.empty((len(numbers(table, self.name)), 0), np.float32)

    def decode(self, x: np.ndarray) -> np.ndarray:
        return np.full(len(x), self.value)

    def notice(self) -> str | None:
        return "constant"

    def changed(self, table: Columns) -> np.ndarray:
        """The rows that hold another value, as their type writes it."""
        kind = table.values(self.name).dtype
        value = float(np.asarray(self.value, kind)) if kind.kind == "f" else self.value
        return np.flatnonzero(np.abs(numbers(table, self.name) - value) > ALIKE * abs(value))


@dataclass
class Numeric(Column):
    """A real column: (value − centre) / scale, worked out in float64; of scale 1 where all columns of a table are constant."""

    kind: ClassVar[str] = "numeric"
    name: str
    centre: float = 0.0
    scale: float = 1.0
    constant: bool = False

    @property
    def width(self) -> int:
        return 1

    def encode(self, table: Columns) -> np.ndarray:
        values = (numbers(table, self.name) - self.centre) / self.scale
        beyond = np.flatnonzero(np.abs(values) > np.finfo(np.float32).max)
        if len(beyond):
            raise DataError(f"{table.cell(self.name, int(beyond[0]))}: lies {values[beyond[0]]:.3g} scales out")
        return values.astype(np.float32)[:, None]

    def decode(self, x: np.ndarray) -> np.ndarray:
        return x[:, 0].astype(np.float64) * self.scale + self.centre

    def notice(self) -> str | None:
        return "all_constant" if self.constant else None


KINDS: dict[str, type[Column]] = {Numeric.kind: Numeric, Constant.kind: Constant}


class Learner:
    """A column of numbers that is being learned, a piece of the table at a time.

    Mean and deviation, for the robust scale the quartiles (of at most so many values; none: of all), and what is noticed on
    the way.
    """

    def __init__(self, name: str, scale: Scale, most: int | None = None) -> None:
        self.name = name
        self.moments, self.census = Moments(), Census()
        self.quartiles = Quartiles(most) if scale == "robust" else None

    def add(self, table: Columns) -> None:
        """Take in the next rows; `DataError` names a cell that is no number."""
        values = numbers(table, self.name)
        self.census.add(values, table.place)
        self.moments.add(values)
        if self.quartiles is not None:
            self.quartiles.add(values)

    @property
    def constant(self) -> bool:
        """Whether all rows hold the same value."""
        mean, deviation = self.moments.values()
        # Rounding alone gives a constant column a deviation of this order, and dividing by it would blow up noise.
        return bool(deviation <= ALIKE * abs(mean))

    def left_out(self) -> Constant:
        """The column that this is where all rows hold the same value."""
        return Constant(self.name, self.census.first)

    def column(self, scale: Scale) -> Numeric:
        """The column, once all rows were taken in, brought to such a scale."""
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


def learner(table: Columns, name: str, scale: Scale, most: int | None = None) -> Learner | None:
    """What learns the column of that name; None if its values are no numbers."""
    return Learner(name, scale, most) if table.values(name).dtype.kind in "biuf" else None


def restored(state: dict[str, Any]) -> Column:
    """The column that `state` describes; `ArtifactError` if it describes none."""
    try:
        fields = dict(state)
        column = KINDS[fields.pop("kind")](**fields)
    except (KeyError, TypeError, ValueError):
        raise ArtifactError(f"the stored state of Table has a damaged column: {str(state)[:200]}") from None
    if isinstance(column, Numeric) and not (math.isfinite(column.centre) and 0 < column.scale < math.inf):
        raise ArtifactError(f"the stored state of Table scales column {column.name!r} by {column.scale}")
    if isinstance(column, Constant) and not math.isfinite(column.value):
        raise ArtifactError(f"the stored state of Table has column {column.name!r} constant at {column.value}")
    return column
