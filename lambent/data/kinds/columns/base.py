"""Column: how the values of one column become numbers and come back; a type of column is one subclass."""

from abc import ABC, abstractmethod
from dataclasses import asdict
from typing import Any, ClassVar, Literal, NamedTuple, get_args

import numpy as np

from lambent.data.kinds.columns.restriction import Restriction
from lambent.data.readers.frames import Columns
from lambent.data.readers.typed import Declared, Typed
from lambent.errors import UsageError
from lambent.part import Spec

Name = Literal[
    "real", "positive", "bounded", "integer", "count", "binary", "boolean", "categorical", "ordinal", "datetime", "duration",
    "constant", "identifier", "text", "empty",
]  # fmt: skip
KINDS: tuple[str, ...] = get_args(Name)
NUMBERS = ("real", "positive", "bounded", "integer", "count")
TIMES = ("datetime", "duration")
NAMED = ("binary", "boolean", "categorical", "ordinal")
LEFT_OUT = ("constant", "identifier", "text", "empty")
Seen = Literal["levels", "values", "bins"]
Intervals = list[tuple[float, float]]
GOLDEN = 0.6180339887498949  # multiples of it, less their whole part, fill [0, 1) evenly


class Kind(NamedTuple):
    """A kind and the reason for it, a sentence."""

    name: str
    why: str


class Column(ABC):
    """One column: values of its own kind ↔ `width` float32 numbers a row, NaN where a value is missing.

    kind: what its values are; why: how that is known, a sentence. declared: the type that it came in.
    """

    tag: ClassVar[str]
    name: str
    kind: str
    why: str
    declared: Declared

    @property
    @abstractmethod
    def width(self) -> int:
        """How many numbers one value becomes; 0: it is no part of the model."""

    @abstractmethod
    def encode(self, table: Columns) -> np.ndarray:
        """The column of the same name in `table` → float32 [rows, width]; `DataError` names a cell that does not fit."""

    @abstractmethod
    def decode(self, x: np.ndarray, first: int = 0) -> Typed:
        """[rows, width] → [rows] in the original units and type; first: the number of the first row, from which what is left
        open is settled."""

    @abstractmethod
    def notice(self) -> str | None:
        """What the user should know of this column, under which name it is counted; or None."""

    @property
    @abstractmethod
    def use(self) -> str:
        """What the model does with it, in words."""

    @property
    def likelihood(self) -> Spec:
        """The likelihood that suits its encoded values, where columns are independent given z."""
        return {"type": "StudentT", "scale": "predicted"}

    def log_slope(self, x: np.ndarray) -> np.ndarray:
        """log |d encoded / d value| at encoded values [rows], nats; 0 for levels and what is missing."""
        return np.zeros(len(x))

    def intervals(self, restriction: Restriction) -> Intervals:
        """Half-open intervals of encoded values that satisfy it; `UsageError` for a value that the column cannot have."""
        raise UsageError(f"column {self.name!r} is {self.kind}, and no part of the model: nothing can be asked of it")

    @property
    def tokens(self) -> int:
        """How many tokens its encoded values begin with, floor(x); 0 of a column that is not encoded by tokens."""
        return 0

    @property
    def seen(self) -> Seen:
        """How a model is to see its tokens: as names, as values of which each is one, or as bins with places in them."""
        return "values"

    def state(self) -> dict[str, Any]:
        """Plain JSON; `restored` is the inverse."""
        return {"column": self.tag, **asdict(self), "declared": self.declared.state()}  # type: ignore[call-overload]


def evenly(rows: int, name: str, first: int = 0) -> np.ndarray:
    """A number in [0, 1) for each row that only its place and the column's name decide, float64 [rows]; evenly spread."""
    start = sum((place + 1) * code for place, code in enumerate(name.encode("utf-8", "replace"))) * GOLDEN**2
    return np.asarray((start + GOLDEN * np.arange(first + 1, first + rows + 1)) % 1.0)


def as_single(token: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """token + inner, 0 ≤ inner < 1, in float32, without a step to the next token."""
    x = (token + inner).astype(np.float32)
    return np.asarray(np.where(x >= token + 1, np.nextafter(x, np.float32(0)), x), np.float32)


def after(x: float) -> float:
    """The next number in single precision."""
    return float(np.nextafter(np.float32(x), np.float32(np.inf)))
