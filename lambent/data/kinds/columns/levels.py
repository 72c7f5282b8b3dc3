"""Levels: a column of names, each a token of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from lambent.data.kinds.columns.base import Column, Intervals, Seen, evenly
from lambent.data.kinds.columns.cells import Cells, Form, as_word, cells, read_word, typed
from lambent.data.kinds.columns.restriction import Restriction
from lambent.data.kinds.columns.tally import Tally
from lambent.data.readers.frames import Columns
from lambent.data.readers.typed import Declared, Typed
from lambent.errors import UsageError, nearest
from lambent.part import Spec

MOST = 1000  # levels with a token of their own, and as many rare ones
FEW = 100  # rows up to which a level that occurs once has a token too
Level = str | float


@dataclass
class Levels(Column):
    """Names, codes, truth values: x is the place of the level, 0 … K − 1.

    The last place is that of all "other" levels: rare ones, x = K − 1 + u, where u in (0, 1) says which, each having a stretch as
    long as its share among the rare; and those that were never seen, x = K − 1 exactly. Both are one event of the model, and
    `log_slope` has the share of a rare one in it: a likelihood need not draw u. What comes back from K − 1 exactly is a rare
    level, by frequency, chosen by the number of the row; where no level is rare, any level by frequency.

    levels: in their order; counts: how often each occurs; rare, shares: the rare ones, and theirs among them. form: what the
    levels are: text, numbers, or 0 and 1 for false and true. whole: that a level
    is rare is all that x tells of it, for likelihoods of whole numbers.
    """

    tag: ClassVar[str] = "levels"
    name: str
    kind: str
    why: str
    form: Form
    levels: list[Level]
    counts: list[int]
    rare: list[Level] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    declared: Declared = Declared("String")
    whole: bool = False

    def __post_init__(self) -> None:
        self._ends = np.cumsum([0.0, *self.shares])
        self._place: dict[Level, float] = {level: float(place) for place, level in enumerate(self.levels)}
        middles = np.zeros(len(self.rare)) if self.whole else (self._ends[:-1] + self._ends[1:]) / 2
        self._place |= {level: len(self.levels) + float(u) for level, u in zip(self.rare, middles, strict=True)}

    @classmethod
    def learned(
        cls, tally: Tally, kind: str, why: str, order: Sequence[str] | None = None, whole: bool = False
    ) -> "Levels":
        """The levels of a column that was tallied; order: those that were declared to stand in one, the lowest first.

        Levels that occur once have no token of their own, unless rows are few; at most `MOST` have.
        """
        assert tally.form is not None
        values: list[Level] = list(tally.words) if tally.form == "text" else [float(v) for v in tally.values]
        seen = dict(zip(values, tally.counts.tolist(), strict=True))
        by_count = sorted(seen, key=lambda level: -seen[level])  # of equal ones the first in their order
        enough = 1 if tally.kept <= FEW or max(seen.values()) < 2 else 2
        kept = {level for level in by_count[:MOST] if seen[level] >= enough}
        rare = [level for level in by_count if level not in kept][:MOST]
        if order is not None and len(order) <= MOST and kept <= set(order):
            levels: list[Level] = list(order)
            rare = [level for level in rare if level not in order]
        else:
            levels = [level for level in values if level in kept]
        total = sum(seen[level] for level in rare)
        return cls(
            tally.name, kind, why, tally.form, levels, [int(seen.get(level, 0)) for level in levels],
            rare, [seen[level] / total for level in rare], tally.declared, whole,
        )  # fmt: skip

    @property
    def width(self) -> int:
        return 1

    @property
    def tokens(self) -> int:
        return len(self.levels) + 1

    @property
    def seen(self) -> Seen:
        return "values" if self.kind == "ordinal" else "levels"

    @property
    def likelihood(self) -> Spec:
        """A truth value has two levels; other names have one more, for those that were never seen."""
        if self.form == "boolean" and len(self.levels) == 2:
            return {"type": "Bernoulli"}
        return {"type": "Ordinal" if self.kind == "ordinal" else "Categorical", "levels": self.tokens}

    @property
    def use(self) -> str:
        merged = f", {len(self.rare):,} rare ones as one" if len(self.rare) > 1 else ""
        levels = "1 level" if len(self.levels) == 1 else f"{len(self.levels):,} levels"
        return f"learned from, as {levels}{merged}"

    def notice(self) -> str | None:
        return "merged_levels" if len(self.rare) > 1 else None

    def encode(self, table: Columns) -> np.ndarray:
        found = cells(table, self.name)
        if found.form == "text":
            return found.spread([self._of_word(word) for word in found.words]).astype(np.float32)[:, None]
        different, places = np.unique(found.values, return_inverse=True)  # NaN, if any, comes last
        codes = np.array([np.nan if np.isnan(v) else self._of_number(float(v), found) for v in different])
        return codes[places].astype(np.float32)[:, None]

    def _of_word(self, word: str) -> float:
        level: Level | None = word if self.form == "text" else read_word(word, self.form)
        return self._other if level is None else self._place.get(level, self._other)

    def _of_number(self, value: float, found: Cells) -> float:
        if self.form == "text":
            return self._place.get(as_word(value, found.form), self._other)
        place = self._place.get(value)
        if place is None and not value.is_integer():  # the same in single precision
            alike = (one for one in self._place if np.float32(one) == np.float32(value))
            place = next((self._place[one] for one in alike), None)
        return self._other if place is None else place

    @property
    def _other(self) -> float:
        return float(len(self.levels))

    def decode(self, x: np.ndarray, first: int = 0) -> Typed:
        values = x[:, 0]
        missing = np.isnan(values)
        codes = np.clip(np.floor(np.where(missing, 0, values)), 0, len(self.levels)).astype(np.int64)
        other = np.flatnonzero(codes == len(self.levels))
        codes[other] = self._drawn(values[other] - len(self.levels), evenly(len(values), self.name, first)[other])
        codes[missing] = -1
        every = [*self.levels, *self.rare]
        if self.form == "text":
            return Typed(codes.astype(np.int32), self.declared, [str(level) for level in every])
        return typed(np.array([*map(float, every), np.nan])[codes], self.form, self.declared)

    def _drawn(self, inner: np.ndarray, evenly_spread: np.ndarray) -> np.ndarray:
        """The numbers of levels, kept ones first, that "other" stands for."""
        u = np.where(inner > 0, inner, evenly_spread)
        if not self.rare:
            ends = np.cumsum(self.counts) / max(1, sum(self.counts))
            return np.minimum(np.searchsorted(ends, u, side="right"), len(self.levels) - 1)
        return len(self.levels) + np.minimum(np.searchsorted(self._ends[1:], u, side="right"), len(self.rare) - 1)

    def log_slope(self, x: np.ndarray) -> np.ndarray:
        """Of a rare level the log of its share of "other", which the model knows as one event; 0 for all else."""
        inner = np.nan_to_num(x, nan=0.0) - self._other
        rare = (inner > 0) & (len(self.rare) > 0)
        if not rare.any():
            return np.zeros(len(x))
        place = np.minimum(np.searchsorted(self._ends[1:], inner, side="right"), len(self.rare) - 1)
        return np.where(rare, np.log(self.shares)[place], 0.0)

    def intervals(self, restriction: Restriction) -> Intervals:
        """Of a rare level: its stretch of "other"."""
        order = {level: place for place, level in enumerate(self.levels)}
        operator = restriction.operator
        if operator in ("<", "<=", ">", ">=") and self.form == "text" and self.kind == "categorical":
            raise UsageError(f"column {self.name!r} is {self.kind}: its levels have no order; ask with =, != or in")
        wanted = {self._level(value) for value in restriction.values}
        if operator in ("<", "<=", ">", ">="):
            return self._ordered(operator, order[self._kept(wanted.pop())])
        chosen = [(place, place + 1) for level, place in order.items() if level in wanted]
        within = [self._stretch(level) for level in self.rare if level in wanted]
        if operator in ("=", "in"):
            return [(float(a), float(b)) for a, b in (*chosen, *within)]
        rest = [(float(place), place + 1.0) for level, place in order.items() if level not in wanted]
        others = [self._stretch(level) for level in self.rare if level not in wanted]
        return [*rest, *(others if within else [(self._other, self._other + 1)])]

    def _stretch(self, level: Level) -> tuple[float, float]:
        place = self.rare.index(level)
        return self._other + float(self._ends[place]), self._other + float(self._ends[place + 1])

    def _ordered(self, operator: str, place: int) -> Intervals:
        low, high = {"<": (0, place), "<=": (0, place + 1), ">": (place + 1, len(self.levels))}.get(
            operator, (place, len(self.levels))
        )
        return [(float(low), float(high))] if low < high else []

    def _kept(self, level: Level) -> Level:
        if level in self.rare:
            raise UsageError(f"column {self.name!r}: {level!r} is rare, and has no place in the order of levels")
        return level

    def _level(self, text: str) -> Level:
        """The level that text names, if need be but for blanks around it and for case."""
        if self.form != "text":
            number = read_word(text, self.form)
            if number is not None and number in self._place:
                return number
        names = {as_word(level, self.form) if isinstance(level, float) else level: level for level in self._place}
        if text in names:
            return names[text]
        alike = [level for name, level in names.items() if name.strip().lower() == text.strip().lower()]
        if len(alike) == 1:
            return alike[0]
        listed = sorted(names, key=lambda name: self._place[names[name]])[:12]
        more = f" and {len(names) - 12:,} more" if len(names) > 12 else ""
        hint = nearest(text.strip(), names).partition("Allowed:")[0]
        told = f"; {hint}" if hint else ". "
        raise UsageError(f"column {self.name!r} has no level {text.strip()!r}{told}It has {', '.join(listed)}{more}.")
