"""Ranked: a column of numbers by their rank: tokens in the order of values, and the place within a token."""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from lambent.data.kinds.columns.base import Column, Intervals, Seen, after, as_single, evenly
from lambent.data.kinds.columns.binning import grid, rounded, tokens
from lambent.data.kinds.columns.cells import Form, cells, read_as, read_word, typed
from lambent.data.kinds.columns.restriction import Restriction
from lambent.data.kinds.columns.tally import Tally
from lambent.data.readers.frames import Columns
from lambent.data.readers.typed import Declared, Typed
from lambent.errors import UsageError

DAY = 86400.0
RESOLUTIONS = (DAY, 3600.0, 60.0, 1.0, 1e-3, 1e-6)  # seconds, of times
SINGLE = 1.2e-7  # relative difference of a value from an atom that single precision makes
FINEST = 2.0**-15  # of a token that single precision tells apart, whatever the token


@dataclass
class Ranked(Column):
    """Numbers, dates and durations: x = token + u, tokens in the order of values, 0 ≤ u < 1.

    An atom is one value, u = 0; a bin an interval of values, u = (value − low) / (high − low). The last token is "elsewhere": any
    value that no other holds, at u = the share of a Cauchy distribution about the middle, of the column's whole width, that lies
    below it outside of all tokens; so that every value has a place and a finite log-density. Very far ones share a place.
    Values on a grid come back on it.

    form: numbers, times or durations; unit: seconds in one of the numbers below (86400: dates without a time); step: of the grid,
    0 for none; low, high: of each token; inflated: values far more frequent than all that lie near them.
    """

    tag: ClassVar[str] = "ranked"
    name: str
    kind: str
    why: str
    form: Form
    low: list[float]
    high: list[float]
    step: float = 0.0
    unit: float = 1.0
    inflated: list[float] = field(default_factory=list)
    declared: Declared = Declared("Float64")

    def __post_init__(self) -> None:
        low, high = np.array(self.low), np.array(self.high)
        self._low, self._wide, self._atoms = low, high - low, low == high
        self._middle = float(low[0] + high[-1]) / 2
        self._scale = max(float(high[-1] - low[0]), 10 * self.step, 1e-9 * abs(self._middle)) or 1.0
        half = np.where(self._atoms, self.step / 2, 0.0)
        below, above = self._share(low - half), self._share(high + half)
        # The parts of [0, 1], by share of the Cauchy, that no token covers, and how much of them lies below each of their ends.
        ends = np.concatenate([[0.0], np.stack([below, np.maximum.accumulate(above)], 1).reshape(-1), [1.0]])
        widths = np.maximum(0.0, ends[1::2] - ends[::2])
        self._outside = float(widths.sum())
        self._ends = np.maximum.accumulate(ends)
        self._filled = np.repeat(np.cumsum([0.0, *widths]), 2)[1:-1] / self._outside

    @classmethod
    def learned(cls, tally: Tally, kind: str, why: str) -> "Ranked":
        """The tokens of a column that was tallied."""
        assert tally.form is not None
        unit, values = 1.0, tally.values
        if tally.form == "number":
            step = grid(values, tally.single)
        else:
            unit = DAY if (np.fmod(values, DAY) == 0).all() and tally.form == "datetime" else 1.0
            values = values / unit
            step = 1.0 if unit == DAY else resolution(values)
        made = tokens(values, tally.counts, step)
        why = f"{why}; {_inflated(made.inflated, tally)}" if made.inflated else why
        return cls(tally.name, kind, why, tally.form, made.low, made.high, step, unit, made.inflated, tally.declared)

    @property
    def width(self) -> int:
        return 1

    @property
    def tokens(self) -> int:
        return len(self.low) + 1

    @property
    def seen(self) -> Seen:
        return "values" if self._atoms.all() else "bins"

    @property
    def use(self) -> str:
        atoms = int(self._atoms.sum())
        bins = len(self.low) - atoms
        parts = [f"{atoms:,} value{'s' * (atoms != 1)}"] * (atoms > 0) + [f"{bins:,} bin{'s' * (bins != 1)}"] * (
            bins > 0
        )
        return f"learned from, as {' and '.join(parts)}"

    def notice(self) -> str | None:
        return None

    def encode(self, table: Columns) -> np.ndarray:
        found = read_as(cells(table, self.name), self.form, table, self.name)
        return self.placed(found.values / self.unit)[:, None]

    def placed(self, values: np.ndarray) -> np.ndarray:
        """Values in its own unit → encoded, float32 [rows]."""
        missing = np.isnan(values)
        values = rounded(np.where(missing, self._middle, values), self.step)
        token = np.clip(np.searchsorted(self._low, values, side="right") - 1, 0, len(self._low) - 1)
        next_one = np.minimum(token + 1, len(self._low) - 1)
        alike = SINGLE * np.abs(values) if self.form == "number" else np.zeros(len(values))
        near = np.minimum(alike, self.step / 4) if self.step else alike
        token = np.where(
            self._atoms[next_one] & (self._low[next_one] - values <= near) & (self._low[next_one] >= values),
            next_one,
            token,
        )
        apart = values - self._low[token]
        atom = self._atoms[token]
        inside = np.where(atom, np.abs(apart) <= near, (apart >= 0) & (apart <= self._wide[token]))
        u = np.where(atom, 0.0, apart / np.where(atom, 1.0, self._wide[token]))
        outside = np.clip(np.interp(self._share(values), self._ends, self._filled), FINEST, 1 - FINEST)
        token, u = np.where(inside, token, len(self._low)), np.where(inside, u, outside)
        x = as_single(token, np.minimum(u, 1 - 1e-9))
        x[missing] = np.nan
        return x

    def decode(self, x: np.ndarray, first: int = 0) -> Typed:
        return typed(self.values(x[:, 0], first) * self.unit, self.form, self.declared)

    def values(self, x: np.ndarray, first: int = 0) -> np.ndarray:
        """Encoded values [rows] → values in its own unit; an "elsewhere" without a place in it gets one by its row."""
        missing = np.isnan(x)
        token, u = self._parted(np.where(missing, 0.0, x))
        last = token == len(self._low)
        held = np.minimum(token, len(self._low) - 1)
        low, wide, atom = self._low[held], self._wide[held], self._atoms[held]
        values = rounded(low + u * wide, self.step)
        if self.step:  # a bin's ends lie half a step beside its points
            ends = rounded(low + self.step / 2, self.step), rounded(low + wide - self.step / 2, self.step)
            values = np.clip(values, *ends)
        values = np.where(atom, low, values)
        place = np.where(u > 0, u, evenly(len(x), self.name, first))
        beyond = rounded(self._quantile(np.interp(place, self._filled, self._ends)), self.step)
        return np.where(missing, np.nan, np.where(last, beyond, values))

    def log_slope(self, x: np.ndarray) -> np.ndarray:
        missing = np.isnan(x)
        token, u = self._parted(np.where(missing, 0.0, x))
        last = token == len(self._low)
        held = np.minimum(token, len(self._low) - 1)
        atom = self._atoms[held]
        width = np.where(atom, self.step or 1.0, self._wide[held])
        share = np.interp(np.clip(u, FINEST, 1 - FINEST), self._filled, self._ends)
        away = (self._quantile(share) - self._middle) / self._scale
        outside = -np.log(math.pi * self._scale * self._outside) - np.log1p(away**2)
        return np.where(missing, 0.0, np.where(last, outside, -np.log(width)))

    def _parted(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        token = np.clip(np.floor(x), 0, len(self._low)).astype(np.int64)
        return token, np.clip(x - token, 0.0, 1.0)

    def _share(self, values: np.ndarray) -> np.ndarray:
        """The share of the Cauchy distribution below values."""
        return np.asarray(0.5 + np.arctan((values - self._middle) / self._scale) / math.pi)

    def _quantile(self, share: np.ndarray) -> np.ndarray:
        return np.asarray(self._middle + self._scale * np.tan(math.pi * (share - 0.5)))

    def intervals(self, restriction: Restriction) -> Intervals:
        values = [self._asked(text) for text in restriction.values]
        if restriction.operator in ("=", "in"):
            return [self._at(value) for value in values]
        if restriction.operator in ("!=", "not in"):
            return _complement(sorted(self._at(value) for value in values), self.tokens)
        return self._half(restriction.operator, values[0])

    def _asked(self, text: str) -> float:
        value = read_word(text, self.form)
        if value is None:
            raise UsageError(f"column {self.name!r} is {self.kind}: {text.strip()!r} cannot be compared with it")
        return value / self.unit

    def _at(self, value: float) -> tuple[float, float]:
        """All of an atom; of a bin the cell of the grid, or without one the least interval about the value."""
        x = float(self.placed(np.array([value]))[0])
        token = math.floor(x)
        if token < len(self._low) and self._atoms[token]:
            return float(token), token + 1.0
        if self.step:
            low, high = (self._edge(value + side * self.step / 2, token) for side in (-1, 1))
            return low, high
        return x, after(x)

    def _edge(self, value: float, token: int) -> float:
        """Where a value lies in a token, or the end of the token on its side of it."""
        if token == len(self._low):
            return token + float(np.interp(self._share(np.array(value)), self._ends, self._filled))
        return token + min(1.0, max(0.0, (value - self.low[token]) / float(self._wide[token])))

    def _half(self, operator: str, value: float) -> Intervals:
        """All that lies on one side of a value, in rising order of tokens."""
        above = operator in (">", ">=")
        edge = value
        if self.step:  # the half step between what satisfies it and what does not
            steps = value / self.step
            steps = math.floor(steps + 1e-9) + 0.5 if operator in (">", "<=") else math.ceil(steps - 1e-9) - 0.5
            edge = steps * self.step
        own = float(
            self.placed(np.array([value]))[0]
        )  # as single precision has it, so that the value itself is on its side
        held, own = math.floor(own), after(own) if operator in (">", "<=") else own
        found: Intervals = []
        for token in range(len(self._low) + 1):
            if token < len(self._low) and self._atoms[token]:
                place = self.low[token]
                inside = {">": place > value, ">=": place >= value, "<": place < value, "<=": place <= value}[operator]
                ends = (float(token), token + 1.0) if inside else (0.0, 0.0)
            else:
                exact = not self.step and token == held
                middle = own if exact else self._edge(edge, token)
                ends = (middle, token + 1.0) if above else (float(token), middle)
            if ends[0] < ends[1]:
                found.append(ends)
        return _merged(found)


def _merged(found: Intervals) -> Intervals:
    """Neighbouring intervals as one."""
    joined: Intervals = []
    for low, high in found:
        if joined and joined[-1][1] == low:
            joined[-1] = (joined[-1][0], high)
        else:
            joined.append((low, high))
    return joined


def _complement(found: Intervals, tokens: int) -> Intervals:
    """What is left of [0, tokens) without disjoint sorted intervals."""
    ends = [0.0, *(end for pair in found for end in pair), float(tokens)]
    return [(low, high) for low, high in zip(ends[::2], ends[1::2], strict=True) if low < high]


def resolution(seconds: np.ndarray) -> float:
    """The coarsest of hour, minute, second, … of which all times are multiples; 0 where there is none."""
    for step in RESOLUTIONS:
        if (np.abs(seconds / step - np.rint(seconds / step)) <= 1e-3).all():
            return step
    return 0.0


def _inflated(values: list[float], tally: Tally) -> str:
    """Which values stand out, and how often they occur, in words; of dates only that some do."""
    if tally.form != "number":
        return f"{len(values)} of them stand out"
    counts = dict(zip(tally.values.tolist(), tally.counts.tolist(), strict=True))
    told = [f"{value:.6g} in {counts[value] / tally.kept:.0%} of the rows" for value in values[:3]]
    return f"inflated at {', '.join(told)}" + (f" and {len(values) - 3} more" if len(values) > 3 else "")
