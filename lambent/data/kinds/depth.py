"""Depth: how many levels a pixel has, found from the data; and the units that pixels came in, which they go back to."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from lambent.errors import DataError

BITS = (8, 10, 12, 16)
DEEPEST = 65535
Depth = Literal["auto", 8, 10, 12, 16]
Unit = Literal["levels", "fractions", "bits", "truth"]
UNITS: tuple[Unit, ...] = ("levels", "fractions", "bits", "truth")
CHUNK = 2**24  # values converted at a time, so that float arrays cost little extra memory


@dataclass(frozen=True)
class Scale:
    """The levels of encoded pixels, 0 … `white`, and how raw ones become these.

    deep: the white of whole numbers of more than 8 bits where they are brought to bytes; None where none are taken.
    unit: what pixels came as, in an array: levels (whole numbers), fractions (floats in [0, 1]), bits (0 and 1), truth values.
    """

    white: int = 255
    deep: int | None = None
    unit: Unit = "levels"

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.uint8 if self.white == 255 else np.uint16)

    @property
    def bits(self) -> int:
        return self.white.bit_length()

    @classmethod
    def found(cls, highest: int, asked: Depth, where: str, unit: Unit = "levels") -> Self:
        """Of data whose greatest whole number is `highest` (255 of bytes): of that depth, or of the one asked for."""
        own = bits_for(highest)
        if asked == "auto" or asked == own:
            return cls(white_of(own), None, unit)
        if own == 8 or asked == 8:
            return cls(white_of(asked), None if own == 8 else white_of(own), unit)
        if asked < own:
            raise DataError(
                f"{where}: pixels up to {highest:,} do not fit into {asked} bits; --data.depth {own} holds them"
            )
        return cls(white_of(asked), None, unit)

    def joined(self, other: "Scale") -> "Scale":
        """Of pieces of one array: the deeper of the two; 0 and 1 in one of them are levels where there are more in another."""
        unit: Unit = self.unit if self.unit == other.unit else "levels"
        deep = max((d for d in (self.deep, other.deep) if d is not None), default=None)
        return Scale(max(self.white, other.white), deep, unit)

    def told(self, rows: int) -> dict[str, int]:
        """What is to be said of it: of more than 8 bits what was found, or that they were brought to bytes."""
        if self.deep is not None:
            return {f"brought from {self.deep.bit_length()} to 8 bits": rows}
        return {f"kept at {self.bits} bits": rows} if self.bits > 8 else {}

    def levels(self, values: np.ndarray, where: str) -> np.ndarray:
        """Whole numbers of a file or an array → levels: bytes of a deeper scale are spread over it, others kept.

        Raises `DataError` for what lies beyond white.
        """
        if values.dtype == np.uint8:
            return values if self.white == 255 else spread(values, 255, self.white)
        high = int(values.max(initial=0))
        limit = self.deep or self.white
        if high > limit:
            raise DataError(
                f"{where}: pixels up to {high:,}, and those of the data that it is to be like go up to {limit:,}; "
                "say their depth, such as --data.depth 16, where these are fitted, or rescale them"
            )
        if self.deep is not None:
            return spread(values, self.deep, self.white)
        return values.astype(self.dtype)

    def fractions(self, values: np.ndarray, notices: Counter[str]) -> np.ndarray:
        """Floats in [0, 1] [n, …] → round(white · x); what lay between two levels is counted."""
        out = np.empty(values.shape, self.dtype)
        step = max(1, CHUNK // max(1, int(np.prod(values.shape[1:]))))
        for start in range(0, len(values), step):
            scaled = values[start : start + step].astype(np.float64) * self.white
            whole = np.rint(scaled)
            off_grid = (np.abs(scaled - whole) > max(1e-2, 1e-6 * self.white)).reshape(len(whole), -1).any(axis=1)
            notices["rounded_to_bytes" if self.white == 255 else "rounded_to_levels"] += int(off_grid.sum())
            out[start : start + step] = whole
        return out

    def returned(self, values: np.ndarray) -> np.ndarray:
        """Numbers 0 … white, between levels too → the unit that pixels came in, as uint8 or uint16, float32, or truth values."""
        if self.unit == "fractions":
            return (values / self.white).astype(np.float32)
        if self.unit == "levels":
            whole: np.ndarray = np.rint(values).astype(self.dtype)
            return whole
        above: np.ndarray = values * 2 > self.white
        return above if self.unit == "truth" else above.astype(np.uint8)

    def state(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"white": self.white, "deep": self.deep, "unit": self.unit}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> Self:
        """The inverse of `state`; of nothing, bytes. Raises ValueError for what is none."""
        whites = [white_of(bits) for bits in BITS]
        white, deep, unit = state.get("white", 255), state.get("deep"), state.get("unit", "levels")
        if white not in whites or deep not in (*whites, None) or unit not in UNITS:
            raise ValueError(f"the scale {str(state)[:80]}")
        return cls(white, deep, unit)


def white_of(bits: int) -> int:
    """The greatest whole number of so many bits."""
    return (1 << bits) - 1


def bits_for(highest: int) -> int:
    """The least depth that holds a number."""
    return next(bits for bits in BITS if highest <= white_of(bits) or bits == BITS[-1])


def spread(values: np.ndarray, white: int, onto: int) -> np.ndarray:
    """Levels 0 … white → round(v · onto / white)."""
    whole: np.ndarray = (values.astype(np.uint32) * np.uint32(onto) + np.uint32(white // 2)) // np.uint32(white)
    return whole.astype(np.uint8 if onto == 255 else np.uint16)
