"""Columns of a table: each type knows how its values become numbers and come back.

A new type is a `Column` subclass entered in `KINDS`; `Table` treats all types alike.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from lambent.data.kinds.moments import Moments, Quartiles
from lambent.data.readers.frames import Columns, numbers
from lambent.errors import ArtifactError, DataError

Scale = Literal["standard", "robust", "none"]
IQR_OF_GAUSSIAN = 1.3489795003921634  # so that the robust scale of Gaussian data is their standard deviation


class Column(ABC):
    """One column: values of its own kind ↔ `width` float32 numbers a row."""

    kind: ClassVar[str]
    name: str

    @property
    @abstractmethod
    def width(self) -> int:
        """How many numbers one value becomes."""

    @classmethod
    @abstractmethod
    def accepts(cls, values: np.ndarray) -> bool:
        """Whether values of this type of array are for this kind."""

    @classmethod
    @abstractmethod
    def learner(cls, name: str, scale: Scale, most: int | None = None) -> "Learner":
        """What learns a column of that name from pieces of tables, holding at most so many of its values; none: all."""

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


class Learner(ABC):
    """A column that is being learned, a piece of the table at a time."""

    @abstractmethod
    def add(self, table: Columns) -> None:
        """Take in the next rows; `DataError` names a cell that the kind does not take."""

    @abstractmethod
    def column(self) -> Column:
        """The column, once all rows were taken in."""


@dataclass
class Numeric(Column):
    """A real column: (value − centre) / scale, worked out in float64; a constant column has scale 1."""

    kind: ClassVar[str] = "numeric"
    name: str
    centre: float = 0.0
    scale: float = 1.0
    constant: bool = False

    @property
    def width(self) -> int:
        return 1

    @classmethod
    def accepts(cls, values: np.ndarray) -> bool:
        return values.dtype.kind in "biuf"

    @classmethod
    def learner(cls, name: str, scale: Scale, most: int | None = None) -> "NumericLearner":
        return NumericLearner(name, scale, most)

    def encode(self, table: Columns) -> np.ndarray:
        values = (numbers(table, self.name) - self.centre) / self.scale
        beyond = np.flatnonzero(np.abs(values) > np.finfo(np.float32).max)
        if len(beyond):
            raise DataError(f"{table.cell(self.name, int(beyond[0]))}: lies {values[beyond[0]]:.3g} scales out")
        return values.astype(np.float32)[:, None]

    def decode(self, x: np.ndarray) -> np.ndarray:
        return x[:, 0].astype(np.float64) * self.scale + self.centre

    def notice(self) -> str | None:
        return "constant" if self.constant else None


class NumericLearner(Learner):
    """Mean and deviation, and for the robust scale the quartiles."""

    def __init__(self, name: str, scale: Scale, most: int | None) -> None:
        self.name, self.scale = name, scale
        self.moments = Moments()
        self.quartiles = Quartiles(most) if scale == "robust" else None

    def add(self, table: Columns) -> None:
        values = numbers(table, self.name)
        self.moments.add(values)
        if self.quartiles is not None:
            self.quartiles.add(values)

    def column(self) -> Numeric:
        mean, deviation = self.moments.values()
        # Rounding alone gives a constant column a deviation of this order, and dividing by it would blow up noise.
        constant = bool(deviation <= 10 * np.finfo(np.float64).eps * abs(mean))
        if self.scale == "none":
            return Numeric(self.name, constant=constant)
        if self.quartiles is not None and not constant:
            low, median, high = self.quartiles.values()
            spread = (high - low) / IQR_OF_GAUSSIAN
            # Where half of the values coincide the quartiles do too, and say nothing of the rest.
            return Numeric(self.name, median, spread if spread > 1e-9 * deviation else deviation)
        return Numeric(self.name, mean, 1.0 if constant else deviation, constant)


KINDS: dict[str, type[Column]] = {Numeric.kind: Numeric}


def learner(table: Columns, name: str, scale: Scale, most: int | None = None) -> Learner | None:
    """What learns the column of that name, by the first kind that accepts its values; None if no kind does."""
    for kind in KINDS.values():
        if kind.accepts(table.values(name)):
            return kind.learner(name, scale, most)
    return None


def restored(state: dict[str, Any]) -> Column:
    """The column that `state` describes; `ArtifactError` if it describes none."""
    try:
        fields = dict(state)
        column = KINDS[fields.pop("kind")](**fields)
    except (KeyError, TypeError, ValueError):
        raise ArtifactError(f"the stored state of Table has a damaged column: {str(state)[:200]}") from None
    if isinstance(column, Numeric) and not (math.isfinite(column.centre) and 0 < column.scale < math.inf):
        raise ArtifactError(f"the stored state of Table scales column {column.name!r} by {column.scale}")
    return column
