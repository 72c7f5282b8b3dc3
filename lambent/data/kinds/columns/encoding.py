"""Encoding: the columns of a table side by side, as numbers [N, D] and back."""

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from lambent.data.kinds.columns.base import Column, Intervals
from lambent.data.kinds.columns.left_out import Constant
from lambent.data.kinds.columns.numeric import Numeric
from lambent.data.kinds.columns.restriction import Restriction
from lambent.data.kinds.columns.settling import restored
from lambent.data.readers import regular as files
from lambent.data.readers.frames import Columns
from lambent.data.readers.typed import Typed
from lambent.errors import UsageError, nearest
from lambent.part import Spec


@dataclass
class Encoding:
    """Every column of a table, in order.

    gappy: the names of those that are modelled and had gaps in training. ranks: whether each is encoded by its rank, and the gaps
    of those have indicators; of_counts: whether they are low counts; leaves: whether each is as a likelihood of its own wants it.
    """

    columns: list[Column] = field(default_factory=list)
    gappy: list[str] = field(default_factory=list)
    ranks: bool = False
    of_counts: bool = False
    leaves: bool = False

    def __post_init__(self) -> None:
        self.modelled = [column for column in self.columns if column.width]
        places = {column.name: place for place, column in enumerate(self.modelled)}
        self.indicates = tuple(places[name] for name in self.gappy) if self.ranks else ()

    @property
    def width(self) -> int:
        """D: a number for each column that is modelled, and one for each indicator."""
        return len(self.modelled) + len(self.indicates)

    @property
    def names(self) -> list[str]:
        """Of the encoded columns, in order."""
        own = [column.name for column in self.modelled]
        return own + [f"{own[place]} is missing" for place in self.indicates]

    @property
    def tokens(self) -> tuple[int, ...]:
        """How many tokens each encoded column has."""
        return tuple(column.tokens for column in self.modelled) + (2,) * len(self.indicates)

    @property
    def seen(self) -> tuple[str, ...]:
        """How a model is to see the tokens of each encoded column."""
        return tuple(column.seen for column in self.modelled) + ("levels",) * len(self.indicates)

    @property
    def likelihoods(self) -> list[Spec]:
        """What suits each encoded column, where columns are independent given z; none under ranks."""
        return [] if self.ranks else [column.likelihood for column in self.modelled]

    @property
    def unchanging(self) -> bool:
        """Whether values are encoded as they are, if single precision holds them."""
        return all(isinstance(c, Numeric) and c.centre == 0 and c.scale == 1 for c in self.columns)

    def needed(self) -> list[str]:
        """The columns that rows must have: those that are modelled, and constant ones."""
        return [column.name for column in self.columns if column.width or isinstance(column, Constant)]

    def column(self, name: str) -> Column:
        """The column of that name; `UsageError` with the nearest if there is none."""
        found = next((column for column in self.columns if column.name == name), None)
        if found is None:
            raise UsageError(f"no column is called {name!r}; {nearest(name, [one.name for one in self.columns])}")
        return found

    def intervals(self, restriction: Restriction) -> tuple[int, Intervals]:
        """(an encoded column, the half-open intervals of its values that satisfy the restriction)."""
        column = self.column(restriction.column)
        if not restriction.of_gaps:
            found = column.intervals(restriction)  # which refuses for a column that is left out
            return self.modelled.index(column), found
        if column.name not in self.gappy or not self.ranks:
            if column.kind == "empty":
                raise UsageError(f"{restriction}: column {column.name!r} is empty: it is missing in every row, unasked")
            told = "no cell of it was missing in training" if self.ranks else "gaps have indicators under ranks alone"
            raise UsageError(f"{restriction}: column {column.name!r} has no gaps to ask for: {told}")
        wanted = float(restriction.operator == "=")
        return len(self.modelled) + self.gappy.index(column.name), [(wanted, wanted + 1)]

    def encode(self, table: Columns) -> np.ndarray:
        """float32 [N, D]; indicators are left open, NaN."""
        out = files.empty((table.rows, self.width), np.dtype(np.float32), table.origin)
        for place, column in enumerate(self.modelled):
            out[:, place : place + 1] = column.encode(table)
        out[:, len(self.modelled) :] = np.nan
        return out

    def typed(self, values: np.ndarray, first: int = 0) -> dict[str, Typed]:
        """float64 [N, D] → values with their types, by column; missing where an indicator is 1."""
        if self.indicates:
            values = values.copy()
            for number, place in enumerate(self.indicates, len(self.modelled)):
                values[values[:, number] >= 0.5, place] = np.nan
        own = {column.name: values[:, place : place + 1] for place, column in enumerate(self.modelled)}
        none = np.empty((len(values), 0))
        return {column.name: column.decode(own.get(column.name, none), first) for column in self.columns}

    def made(self, values: np.ndarray, first: int = 0) -> dict[str, Typed]:
        """The same of rows that were made: numbers keep to the range and the decimals of those that were learned from."""
        found = self.typed(values, first)
        scaled = [column for column in self.columns if isinstance(column, Numeric)]
        return found | {column.name: column.held(found[column.name]) for column in scaled}

    def log_slope(self, values: np.ndarray) -> np.ndarray:
        """log |d encoded / d value|, float64 [N, D]; 0 for indicators."""
        found = np.zeros(values.shape)
        for place, column in enumerate(self.modelled):
            found[:, place] = column.log_slope(values[:, place])
        return found

    def state(self) -> dict[str, Any]:
        """Plain JSON; `restored` is the inverse."""
        return {
            "columns": [column.state() for column in self.columns],
            "gappy": self.gappy,
            "ranks": self.ranks,
            "of_counts": self.of_counts,
            "leaves": self.leaves,
        }

    @classmethod
    def restored(cls, state: dict[str, Any]) -> Self:
        """What `state` describes; `ArtifactError`, KeyError, TypeError or ValueError if it describes none."""
        columns = [restored(column) for column in state["columns"]]
        own = {column.name for column in columns if column.width}
        if not own or len({column.name for column in columns}) != len(columns):
            raise ValueError("no columns, or two of one name")
        gappy = [name for name in state.get("gappy", []) if name in own]
        flags = (bool(state.get(name, False)) for name in ("ranks", "of_counts", "leaves"))
        return cls(columns, gappy, *flags)
