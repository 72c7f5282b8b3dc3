"""Values of arrays as rows of a model, and back to the bit: whole numbers, truth values, fractions of white."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lambent.codec.content.planes import Planes
from lambent.data.kinds import planes as pixels
from lambent.errors import ArtifactError, DataError
from lambent.fitted import Fitted
from lambent.part import Shape, elements

Array = NDArray[Any]
UNITS = ("levels", "ones", "fractions")


class Teller(Protocol):
    """How values [n, …] of one array become rows, with the unit that says how to have them back.

    each: rows of the model in one of them.
    """

    @property
    def each(self) -> int: ...

    def rows(self, values: Array) -> tuple[Tensor, str] | None: ...

    def values(self, rows: Tensor, count: int, dtype: np.dtype, unit: str) -> Array: ...

    def facts(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Pixels:
    """Arrays of pictures [n, H, W], [n, H, W, C], [n, C, H, W] or flat, of any size.

    shape: of one of them, as it lies. last: whether its last axis is that of the bands.
    """

    planes: Planes
    shape: Shape
    last: bool = False

    @classmethod
    def of(cls, planes: Planes, array: Array) -> "Pixels | None":
        """None of an array that holds no pictures such as the model takes."""
        try:
            laid = pixels.layout(array[:0], (planes.height, planes.width), True)
        except DataError:
            return None
        if not planes.takes(laid.shape[1]):
            return None
        return cls(planes, tuple(array.shape[1:]), array.ndim == 4 and laid.shape[1:] != array.shape[1:])

    def facts(self) -> dict[str, Any]:
        return {"last": self.last}

    @property
    def each(self) -> int:
        """Rows of the model in one of them."""
        if not self.planes.takes(self._laid[0]):
            raise ArtifactError(
                f"the archive describes pictures of {self._laid[0]} bands, which its model does not take"
            )
        return self.planes.count(*self._laid)

    @property
    def _laid(self) -> tuple[int, int, int]:
        """Bands, height and width."""
        if len(self.shape) == 1:
            bands = elements(self.shape) // (self.planes.height * self.planes.width)
            return bands, self.planes.height, self.planes.width
        if len(self.shape) == 2:
            return 1, self.shape[0], self.shape[1]
        bands, height, width = (self.shape[2], *self.shape[:2]) if self.last else self.shape
        return bands, height, width

    def rows(self, values: Array) -> tuple[Tensor, str] | None:
        laid = values.transpose(0, 3, 1, 2) if self.last else values.reshape(len(values), *self._laid)
        for unit in UNITS:
            levels = told(laid, unit, self.planes)
            if levels is None or not same(untold(levels, unit, values.dtype, self.planes), laid):
                continue
            if (found := self.planes.rows(levels)) is not None:
                return found, unit
        return None

    def values(self, rows: Tensor, count: int, dtype: np.dtype, unit: str) -> Array:
        bands, height, width = self._laid
        deep = self.planes.white > 255
        levels = self.planes.levels(rows, (count, bands, height, width), deep)
        laid = untold(levels, unit, dtype, self.planes)
        return laid.transpose(0, 2, 3, 1) if self.last else laid.reshape(count, *self.shape)


@dataclass(frozen=True)
class Numbers:
    """Arrays whose rows are those of the model, as they stand: whole numbers, truth values, or floats that are."""

    shape: Shape
    each = 1

    @classmethod
    def of(cls, fitted: Fitted, array: Array) -> "Numbers | None":
        """None of an array of other rows."""
        event = tuple(array.shape[1:])
        return cls(event) if event == fitted.model.event_shape and array.dtype.kind in "biuf" else None

    def facts(self) -> dict[str, Any]:
        return {}

    def rows(self, values: Array) -> tuple[Tensor, str] | None:
        whole = values.astype(np.int64) if values.dtype.kind != "f" or bool(np.isfinite(values).all()) else None
        if whole is None or not same(whole.astype(values.dtype), values):
            return None
        low, high = int(whole.min(initial=0)), int(whole.max(initial=0))
        if low < 0 or high > 65535:
            return None
        return torch.from_numpy(whole.astype(np.uint8 if high < 256 else np.int32)), "levels"

    def values(self, rows: Tensor, count: int, dtype: np.dtype, unit: str) -> Array:
        found: Array = rows.detach().cpu().numpy().astype(dtype).reshape(count, *self.shape)
        return found


def told(values: Array, unit: str, planes: Planes) -> Array | None:
    """Values as levels of pictures, bytes or, where the model is of more than 8 bits, of 16; None where the unit is another.

    levels: whole numbers as they are; ones: 0 and 1, or truth values, which are black and white; fractions: k / white.
    """
    white = planes.white
    if unit == "ones":
        only = bool(((values == 0) | (values == 1)).all())
        return (
            (values != 0).astype(np.uint8) * np.uint8(255) if only and (planes.binary or values.dtype == bool) else None
        )
    if not values.size or values.dtype == bool or values.dtype.kind not in "iuf":
        return None if values.size else np.zeros(values.shape, np.uint8)
    scaled = values.astype(np.float64) * white if unit == "fractions" else values
    if values.dtype.kind == "f" and not bool(np.isfinite(scaled).all()):
        return None
    low, high = float(scaled.min()), float(scaled.max())
    if low < 0 or high > white + 0.25 or (unit == "fractions" and values.dtype.kind != "f"):
        return None
    return np.rint(scaled).astype(np.uint16 if white > 255 else np.uint8)


def untold(levels: Array, unit: str, dtype: np.dtype, planes: Planes) -> Array:
    """The inverse of `told`."""
    values = levels
    if unit == "ones":
        values = levels > 0
    elif unit == "fractions":
        values = levels / np.asarray(planes.white, dtype)
    found: Array = values.astype(dtype)
    return found


def same(first: Array, second: Array) -> bool:
    """Whether two arrays of one type hold the same bits."""
    one, other = np.ascontiguousarray(first), np.ascontiguousarray(second)
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
