"""Columns of a file beside those of a model: raw cells ↔ tokens, with what says which cell of a token it is.

The last token of a column, which no level or value has, stands for any cell that is written in an unusual way or is none of those
that the model knows: its text is kept.
"""

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from lambent.codec.stack import Numbers, Stack
from lambent.codec.tables import spelling
from lambent.codec.tables.counted import Counted, pop_places, push_places
from lambent.codec.tables.spelling import LARGEST, Value
from lambent.codec.tables.text import bare
from lambent.data.kinds.columns.base import Column
from lambent.data.kinds.columns.cells import as_word, read_word
from lambent.data.kinds.columns.levels import Level, Levels
from lambent.data.kinds.columns.ranked import DAY, Ranked
from lambent.errors import ArtifactError, UsageError

MOST_EXPONENT = 40  # powers of ten to either side, by which the decimals of numbers are told apart
_POWERS = [Fraction(10) ** exponent for exponent in range(-MOST_EXPONENT, MOST_EXPONENT)]


@dataclass
class Read:
    """The cells of a column: tokens [rows], −1 where missing; what tells cells of one token apart; texts that are kept."""

    tokens: Numbers
    within: Any
    kept: list[str] = field(default_factory=list)


class Cells(ABC):
    """One column of a file, that a model knows as a column of its own: text ↔ tokens, exactly.

    tokens: how many the model's column has. blank: what stands for a missing cell; None where the model knows of none.
    """

    tokens: int
    blank: str | None

    @abstractmethod
    def read(self, cells: Sequence[str]) -> Read:
        """The column's cells as tokens."""

    @abstractmethod
    def push(self, stack: Stack, read: Read) -> None:
        """What tells cells of one token apart, onto the stack."""

    @abstractmethod
    def pop(self, stack: Stack, tokens: Numbers, kept: Iterator[str]) -> list[str]:
        """The inverse: the cells of these tokens; `kept`: the texts of those that were kept."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What of the file must be known to write its cells, plain JSON."""


class Names(Cells):
    """A column of levels. words: the cell of each level, the rare ones last."""

    def __init__(self, column: Levels, blank: str | None, changed: dict[int, str]) -> None:
        self.tokens, self.blank, self.changed = column.tokens, blank, changed
        every = [*column.levels, *column.rare]
        self.words = [changed.get(place, _usual(level, column)) for place, level in enumerate(every)]
        self.rare = len(column.rare)

    @classmethod
    def learned(cls, column: Levels, cells: Counter[str], gappy: bool) -> "Names":
        """How a file writes the levels."""
        place = {level: number for number, level in enumerate([*column.levels, *column.rare])}
        words: dict[int, str] = {}
        for cell, _ in cells.most_common():
            level = _level(bare(cell), column)
            if level in place:
                words.setdefault(place[level], cell)
        blank = next((cell for cell, _ in cells.most_common() if not bare(cell).strip()), "") if gappy else None
        usual = cls(column, blank, {}).words
        return cls(column, blank, {place: word for place, word in words.items() if word != usual[place]})

    def read(self, cells: Sequence[str]) -> Read:
        place = {word: number for number, word in reversed(list(enumerate(self.words)))}
        last = len(self.words)
        codes = np.array([place.get(cell, last) for cell in cells], np.int64)
        gaps = np.zeros(len(codes), bool)
        if self.blank is not None:
            gaps = np.array([cell == self.blank for cell in cells], bool) & (codes == last)
        kept = [cells[row] for row in np.flatnonzero((codes == last) & ~gaps).tolist()]
        tokens = np.where(gaps, -1, np.minimum(codes, self.tokens - 1))
        return Read(tokens, (codes - (self.tokens - 1))[tokens == self.tokens - 1], kept)

    def push(self, stack: Stack, read: Read) -> None:
        push_places(stack, read.within, np.full(len(read.within), self.rare + 1, np.int64))

    def pop(self, stack: Stack, tokens: Numbers, kept: Iterator[str]) -> list[str]:
        codes = tokens.copy()
        other = tokens == self.tokens - 1
        codes[other] += pop_places(stack, np.full(int(other.sum()), self.rare + 1, np.int64))
        words = [*self.words, None, self.blank or ""]  # −1, missing, is the last
        return [next(kept) if word is None else word for word in (words[code] for code in codes)]

    def state(self) -> dict[str, Any]:
        return {"words": {str(place): word for place, word in self.changed.items()}}


def _usual(level: Level, column: Levels) -> str:
    return level if isinstance(level, str) else as_word(level, column.form)


def _level(word: str, column: Levels) -> Level | None:
    """The level that a cell without its quotes names."""
    if column.form == "text":
        return word[1:] if word.startswith("'") and word not in column.levels and word[1:] in column.levels else word
    return read_word(word, column.form)


class Values(Cells):
    """A column of numbers or moments: the token, how many decimals, and which of the numbers of so many decimals in it."""

    def __init__(self, column: Ranked, how: spelling.Spelling, blank: str | None, counts: dict[int, list[int]]) -> None:
        self.tokens, self.blank, self.how, self.counts = column.tokens, blank, how, counts
        self._low, self._high = ([_exactly(end) for end in ends] for ends in (column.low, column.high))
        self.decimals = sorted({d for row in counts.values() for d in range(len(row)) if row[d]})
        self._bounds = {d: self._whole(d) for d in self.decimals}

    @cached_property
    def _exponents(self) -> list[int]:
        """Of the middle of each token; by these it is told how many decimals values have, where that is not the same of all."""
        if len(self.decimals) < 2:
            return [0] * len(self._low)
        return [_exponent((a + b) / 2) for a, b in zip(self._low, self._high, strict=True)]

    @classmethod
    def learned(cls, column: Ranked, cells: Counter[str], gappy: bool) -> "Values":
        """How a file writes the values."""
        moments = column.form == "datetime"
        how = spelling.spelled(cells, moments, column.unit == DAY)
        read = spelling.read_all(how, cells)
        most = max((d for _, d in read.values()), default=0)
        blank = next((cell for cell, _ in cells.most_common() if cell not in read), "") if gappy else None
        every = {d: [1 if d == place else 0 for place in range(most + 1)] for d in {d for _, d in read.values()}}
        plain = cls(column, how, blank, every)
        counts: dict[int, list[int]] = {}
        for cell, value in read.items():
            token = plain._token(value)
            if token < plain.tokens - 1:
                counts.setdefault(plain._exponents[token], [0] * (most + 1))[value[1]] += cells[cell]
        return cls(column, how, blank, counts)

    def read(self, cells: Sequence[str]) -> Read:
        last = self.tokens - 1
        known: dict[str, tuple[int, int, int]] = {}
        for cell in set(cells):
            value = self.how.read(cell)
            token = last if value is None else self._token(value)
            known[cell] = (token, 0, 0) if value is None or token == last else (token, *value)
        if self.blank is not None and known.get(self.blank, (0,))[0] == last:
            known[self.blank] = (-1, 0, 0)
        found = np.array([known[cell] for cell in cells], np.int64).reshape(-1, 3)
        kept = [cells[row] for row in np.flatnonzero(found[:, 0] == last).tolist()]
        inside = found[(found[:, 0] >= 0) & (found[:, 0] < last)]
        return Read(found[:, 0], inside, kept)

    def push(self, stack: Stack, read: Read) -> None:
        token, whole, decimals = read.within.T
        places = np.searchsorted(self.decimals, decimals)
        low, size = self._range(token, places)
        wide = size > 1
        push_places(stack, (whole - low)[wide], size[wide])
        if len(self.decimals) > 1:
            self._of_decimals(token).push(stack, places)

    def pop(self, stack: Stack, tokens: Numbers, kept: Iterator[str]) -> list[str]:
        inside = (tokens >= 0) & (tokens < self.tokens - 1)
        token = tokens[inside]
        if len(token) and not self.decimals:
            raise ArtifactError("the table holds values of a column of which it says that it has none")
        places = np.zeros(len(token), np.int64)
        if len(self.decimals) > 1:
            places = self._of_decimals(token).pop(stack)
        low, size = self._range(token, places)
        wide = size > 1
        whole = low.copy()
        whole[wide] += pop_places(stack, size[wide])
        values = zip(whole.tolist(), np.array(self.decimals, np.int64)[places].tolist(), strict=True)
        written: dict[Value, str] = {}
        words = iter([written.get(value) or written.setdefault(value, self.how.text(value)) for value in values])
        blank, last = self.blank or "", self.tokens - 1
        return [blank if one < 0 else next(kept) if one == last else next(words) for one in tokens.tolist()]

    def state(self) -> dict[str, Any]:
        return {"how": self.how.state(), "counts": {str(e): row for e, row in sorted(self.counts.items())}}

    def _token(self, value: Value) -> int:
        """The token that holds a value, the last where none does."""
        whole, decimals = value
        if decimals not in self._bounds:
            return self.tokens - 1
        low, high = self._bounds[decimals]
        token = bisect_right(low, whole) - 1
        return token if token >= 0 and whole <= high[token] else self.tokens - 1

    def _whole(self, decimals: int) -> tuple[list[int], list[int]]:
        """The least and the greatest m of each token, where values are m · 10^−d; where two meet, the point is of the upper."""
        scale = 10**decimals
        low = [-(-end.numerator * scale // end.denominator) for end in self._low]
        high = [end.numerator * scale // end.denominator for end in self._high]
        for token in range(len(low) - 1):
            if self._high[token] == self._low[token + 1] and self._high[token] > self._low[token]:
                high[token] = min(high[token], low[token + 1] - 1)
        return [_held(one) for one in low], [_held(one) for one in high]

    def _range(self, token: Numbers, places: Numbers) -> tuple[Numbers, Numbers]:
        """(the least m, how many there are) by token and number of decimals."""
        bounds = np.array([self._bounds[d] for d in self.decimals], np.int64).reshape(-1, 2, self.tokens - 1)
        low = bounds[places, 0, token]
        return low, np.maximum(1, bounds[places, 1, token] - low + 1)

    def _of_decimals(self, token: Numbers) -> Counted:
        contexts = sorted(self.counts)
        place = {exponent: number for number, exponent in enumerate(contexts)}
        of_token = np.array([place.get(exponent, 0) for exponent in self._exponents], np.int64)
        counts = [[_count(self.counts[exponent], d) for d in self.decimals] for exponent in contexts]
        return Counted(counts, of_token[token])


def _count(row: list[int], place: int) -> int:
    return row[place] if place < len(row) else 0


def _exactly(end: float) -> Fraction:
    """A number as the shortest decimal that means it, which is what its column was read from."""
    return Fraction(repr(float(end)))


def _exponent(middle: Fraction) -> int:
    """How many digits a number has before its point; less than one for noughts behind it."""
    size = abs(middle)
    return bisect_right(_POWERS, size) - MOST_EXPONENT


def _held(whole: int) -> int:
    return max(-LARGEST, min(LARGEST, whole))


def learned(column: Column, cells: Counter[str], gappy: bool) -> Cells:
    """How a file writes what a model's column knows; cells: how often each stands there."""
    if isinstance(column, Levels):
        return Names.learned(column, cells, gappy)
    if isinstance(column, Ranked):
        return Values.learned(column, cells, gappy)
    raise UsageError(
        f"column {column.name!r} is encoded as a number of a density, not by tokens, and cannot be coded: train the model with "
        "--data.scale ranks"
    )


def restored(column: Column, blank: str | None, state: dict[str, Any]) -> Cells:
    """What `state` describes; TypeError, KeyError or ValueError if it describes none."""
    if isinstance(column, Levels):
        return Names(column, blank, {int(place): str(word) for place, word in state["words"].items()})
    assert isinstance(column, Ranked)
    counts = {int(exponent): [int(n) for n in row] for exponent, row in state["counts"].items()}
    if any(len(row) > spelling.LONGEST or min(row, default=0) < 0 or sum(row) >= LARGEST for row in counts.values()):
        raise ValueError("a column counts decimals that no cell has")
    return Values(column, spelling.restored(state["how"], column.form == "datetime"), blank, counts)
