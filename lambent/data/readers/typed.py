"""Typed: what a column was declared to be, and values with their type, from which a frame is made again."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Declared:
    """What a column's source says of it.

    type: the data type, by narwhals' name: Boolean, Int64, Float32, String, Categorical, Enum, Datetime, Date, Time,
    Duration, Decimal, Object; Unknown for a column without any value. zone: the time zone of dates with one. levels: the
    categories that were declared, in their order. ordered: whether that order means something. native: the type by the
    source's own name, such as Int64 or datetime64[ns, UTC]. form: how a text file writes the values; see `forms`.
    """

    type: str
    zone: str | None = None
    levels: tuple[str, ...] | None = None
    ordered: bool = False
    native: str = ""
    form: str = ""

    def state(self) -> dict[str, Any]:
        """Plain JSON; `restored` is the inverse."""
        return asdict(self) | {"levels": None if self.levels is None else list(self.levels)}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> "Declared":
        """What `state` describes; TypeError, KeyError or ValueError if it describes none."""
        zone, levels = state.get("zone"), state.get("levels")
        return cls(
            str(state["type"]),
            None if zone is None else str(zone),
            None if levels is None else tuple(str(one) for one in levels),
            bool(state.get("ordered", False)),
            str(state.get("native", "")),
            str(state.get("form", "")),
        )


@dataclass(frozen=True)
class Typed:
    """Values of one column with their type.

    values [rows]: booleans, integers, floats (NaN: missing), datetime64 in UTC or timedelta64 (NaT: missing), or objects
    that are text or None; with levels: their numbers, −1 for what is missing.
    """

    values: np.ndarray
    declared: Declared
    levels: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.values)
