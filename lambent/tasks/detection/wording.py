"""Cells and expectations in words: in the data's own units, with no more digits than say something."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lambent.data.condition import level_of
from lambent.data.kinds.columns.base import Column
from lambent.data.kinds.columns.levels import Levels
from lambent.data.kinds.columns.numeric import Numeric
from lambent.data.kinds.columns.ranked import Ranked
from lambent.data.kinds.columns.warped import Warped
from lambent.data.readers.framing import plain
from lambent.tasks.estimates import Estimate, LevelEstimate, as_typed

LONGEST = 40  # letters of a cell
DIGITS = 4  # of a number whose decimals are not known
MOST_DECIMALS = 12
SURE = 0.9  # probability up to which levels are listed
MOST_LEVELS = 3
LOW, HIGH = 0.05, 0.95


@dataclass(frozen=True)
class Expected:
    """What was expected of a cell, in words: the ends of an interval, both of it, or some levels; text: all of it."""

    text: str
    ends: tuple[str, str] | None = None
    levels: tuple[str, ...] = ()

    def holds(self, found: str) -> bool:
        """Whether a cell in words lies within what was expected in words."""
        own = _key(found)
        if self.ends is not None:
            low, high = (_key(end) for end in self.ends)
            return bool(low <= own <= high)
        return own in [_key(level) for level in self.levels]


def _key(text: str) -> Any:
    """What words are compared by: numbers and durations by their size, dates by their letters."""
    try:
        return float(text.removesuffix(" s").replace(",", ""))
    except ValueError:
        return text


def cell(column: Column, x: float) -> str:
    """An encoded value as the data have it: "1,809.68", "ftp_data", "2021-03-04"."""
    if isinstance(column, Levels):
        return _level(column, x)
    value = plain(column.decode(np.array([[x]]))).tolist()[0]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return number(float(value), _decimals(column))
    return _time(column, np.array([value])) if isinstance(column, (Ranked, Warped)) else str(value)[:LONGEST]


def joint(column: Column) -> str:
    """What stands between a column's name and its cell."""
    return " = " if isinstance(column, Levels) else " "


def expectations(column: Column, estimate: Estimate) -> list[Expected]:
    """What was expected in each row: "2 to 95", "http (93 %) or smtp"."""
    if isinstance(estimate, LevelEstimate):
        names = [_short(level_of(name)) for name in estimate.names]
        if not isinstance(column, Levels):
            names = [number(float(name), None) for name in estimate.names]
        return [_likeliest(names, chances) for chances in estimate.probabilities]
    low, high = (estimate.quantile(share) for share in (LOW, HIGH))
    if isinstance(column, (Ranked, Warped)) and column.form in ("datetime", "duration"):
        ends = [[_time(column, one) for one in as_typed(column, each).values[:, None]] for each in (low, high)]
        return [_between(*pair) for pair in zip(*ends, strict=True)]
    if isinstance(column, (Ranked, Warped)):
        low, high = (as_typed(column, each).values.astype(np.float64) for each in (low, high))
    if isinstance(column, Numeric) and column.least is not None:  # no payment below nought is expected
        low, high = (np.clip(each, column.least, column.most) for each in (low, high))
    most = _decimals(column)
    return [_interval(float(a), float(b), most) for a, b in zip(low, high, strict=True)]


def number(value: float, decimals: int | None, digits: int = DIGITS) -> str:
    """A number with so many decimals; where these are not known, with so many significant digits."""
    if not math.isfinite(value):
        return str(value)
    if decimals is None:
        size = math.floor(math.log10(abs(value))) if value else 0
        decimals = min(MOST_DECIMALS, max(0, digits - 1 - size))
    text = f"{value:,.{decimals}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def _interval(low: float, high: float, most: int | None) -> Expected:
    """Ends to two digits of what lies between them, and to no more decimals than the column has."""
    apart = high - low
    decimals = max(0, 1 - math.floor(math.log10(apart))) if apart > 0 else None
    if decimals is None and most is None:
        return _between(number(low, None), number(high, None))
    known = [each for each in (decimals, most) if each is not None]
    return _between(*(number(end, min([*known, MOST_DECIMALS])) for end in (low, high)))


def _between(low: str, high: str) -> Expected:
    return Expected(low if low == high else f"{low} to {high}", (low, high))


def _likeliest(names: Sequence[str], chances: np.ndarray) -> Expected:
    """The likeliest level with its probability, and after it others until little is left."""
    order = np.argsort(-chances, kind="stable")[:MOST_LEVELS]
    sums = np.cumsum(chances[order])
    count = int((sums < SURE).sum()) + 1
    kept = [names[place] for place in order[:count].tolist()]
    first = f"{kept[0]} ({percent(chances[order[0]])})"
    text = first if len(kept) == 1 else f"{', '.join([first, *kept[1:-1]])} or {kept[-1]}"
    return Expected(text, levels=tuple(kept))


def percent(share: float) -> str:
    """A probability, never all: "93 %", "over 99 %"."""
    return "over 99 %" if share > 0.995 else f"{share:.0%}".replace("%", " %")


def presence(missing: float) -> Expected:
    """Whether a cell was expected to be missing, by the probability that it is."""
    if missing >= 0.5:
        return Expected(f"missing ({percent(missing)})", levels=("is missing",))
    return Expected(f"there ({percent(1 - missing)})", levels=("is there",))


def _level(column: Levels, x: float) -> str:
    inner = x - len(column.levels)
    if inner == 0 and not (column.whole and column.rare):
        return "a level not met in training"
    if inner >= 0 and not inner:
        return "a rare level, or one not met in training"
    value = plain(column.decode(np.array([[x]]))).tolist()[0]
    return _short(level_of(bool(value) if column.form == "boolean" else value))


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _decimals(column: Column) -> int | None:
    """How many decimals its values have, where that is known."""
    if isinstance(column, Numeric):
        return column.decimals
    step = column.step if isinstance(column, (Ranked, Warped)) else 0.0
    return max(0, round(-math.log10(step))) if step > 0 else None


def _time(column: Ranked | Warped, value: np.ndarray) -> str:
    """A date without its hours where the column has none; a duration in seconds."""
    if column.form == "duration":
        return f"{number(float(value.astype('m8[us]')[0].astype(np.int64)) / 1e6, None)} s"
    moment = value.astype("M8[us]")[0]
    if column.unit > 1:
        return str(moment.astype("M8[D]"))
    return str(moment.astype("M8[s]")).replace("T", " ")
