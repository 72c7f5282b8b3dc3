"""Tally: how often each value of a column occurs, taken in a piece at a time, in bounded memory."""

import re

import numpy as np

from lambent.data.kinds.columns.cells import IN_WORDS, Cells, Form, cells, read_word
from lambent.data.readers.frames import Columns
from lambent.data.readers.series import beyond
from lambent.data.readers.typed import Declared
from lambent.errors import DataError

SEED = 0x7A11
COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+")
LOOKED_AT = 200  # words that say whether most are numbers
MOST_LETTERS = 2**25  # of all different words of a column together, while it is learned in pieces


class Tally:
    """How often each value occurs: exactly, or beyond `most` different ones of a random sample of the rows.

    Every row of the sample was kept with the same probability `rate`, a power of one half; the ends and the number of
    gaps are exact. values: sorted float64, or of text the `words` that they stand for; counts: of each, in the sample.
    """

    def __init__(self, name: str, most: int | None = None) -> None:
        self.name, self.most = name, most
        self.form: Form | None = None
        self.rows = self.gaps = 0
        self.rate = 1.0
        self.least, self.greatest = np.inf, -np.inf
        self.values, self.words, self.counts = np.empty(0), list[str](), np.empty(0, np.int64)
        self.single = False
        self.declared = Declared("Unknown")
        self.odd: str | None = None  # where the first word is that is no number, and what, if most of those before are
        self.long: str | None = None  # where the first integer is that no float holds
        self._random = np.random.Generator(np.random.PCG64(SEED))

    @property
    def present(self) -> int:
        """How many cells hold a value."""
        return self.rows - self.gaps

    @property
    def different(self) -> int:
        """How many different values the sample holds."""
        return len(self.counts)

    @property
    def kept(self) -> int:
        """How many cells the sample holds."""
        return int(self.counts.sum())

    def add(self, table: Columns) -> None:
        """Take in the next rows; `DataError` names a cell that has no place in any column, or is of another kind."""
        found = cells(table, self.name)
        missing = found.missing
        gaps = int(missing.sum())
        if not self.rows or self.declared.type == "Unknown":
            self.declared = table.declared(self.name)
        before = self.present
        self.rows, self.gaps = self.rows + len(found), self.gaps + gaps
        if gaps == len(found):
            return
        self._settle_form(found, table, int(missing.argmin()), before)
        self.single = self.single or found.single
        if found.form == "text":
            self._add_words(found)
            self.long = self.long or _long(table, self.name, found)
            self.odd = self.odd or (None if self.long else _odd(table, self.name, found))
        else:
            self._add_values(found.values[~missing] if gaps else found.values)

    def _settle_form(self, found: Cells, table: Columns, row: int, before: int) -> None:
        if self.form == "boolean" and found.form == "number":  # booleans with gaps come as 0, 1 and NaN
            self.form = "number"
        elif self.form == "number" and found.form == "boolean":
            return
        elif self.form is not None and self.form != found.form:
            raise DataError(
                f"{table.cell(self.name, row)}: {IN_WORDS[found.form]}, after {before:,} cells of "
                f"{IN_WORDS[self.form]}; save the column as one type, or leave it out"
            )
        else:
            self.form = found.form

    def _add_values(self, values: np.ndarray) -> None:
        self.least = min(self.least, float(values.min()))
        self.greatest = max(self.greatest, float(values.max()))
        if self.rate < 1:
            values = values[self._random.random(len(values)) < self.rate]
        new, counts = np.unique(values, return_counts=True)
        if self.different:
            new, place = np.unique(np.concatenate([self.values, new]), return_inverse=True)
            counts = np.bincount(place, np.concatenate([self.counts, counts])).astype(np.int64)
        self.values, self.counts = new, counts
        while self.most is not None and self.different > self.most:
            self.values, self.counts = self._halved(self.values)

    def _add_words(self, found: Cells) -> None:
        counts = np.bincount(found.values[found.values >= 0], minlength=len(found.words))
        new, counts = self._thinned(np.array([*found.words, None], object)[:-1], counts)
        held = dict(zip(self.words, self.counts.tolist(), strict=True))
        for word, count in zip(new.tolist(), counts.tolist(), strict=True):
            held[word] = held.get(word, 0) + count
        self.words = sorted(held)
        self.counts = np.array([held[word] for word in self.words], np.int64)
        while self.most is not None and (
            self.different > self.most or (sum(map(len, self.words)) > MOST_LETTERS and self.different > 1)
        ):
            kept, self.counts = self._halved(np.array([*self.words, None], object)[:-1])
            self.words = kept.tolist()

    def _thinned(self, values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """New values with the cells of them that the sample takes."""
        if self.rate == 1:
            return values, counts
        counts = self._random.binomial(counts, self.rate)
        return values[counts > 0], counts[counts > 0]

    def _halved(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.rate /= 2
        counts = self._random.binomial(self.counts, 0.5)
        return values[counts > 0], counts[counts > 0]

    def read_as(self, form: Form, values: np.ndarray) -> None:
        """Take the words for the numbers `values` that they stand for."""
        order = np.unique(values, return_inverse=True)
        self.values, self.counts = order[0], np.bincount(order[1], self.counts).astype(np.int64)
        self.least, self.greatest, self.words, self.form = float(values.min()), float(values.max()), [], form


def _odd(table: Columns, name: str, found: Cells) -> str | None:
    """The first cell of text that is no number, in words, where at least half of the different ones are numbers, or would be
    with points for commas."""
    sample = found.words[:: max(1, len(found.words) // LOOKED_AT)]
    if 2 * sum(COMMA.fullmatch(word.strip()) is not None for word in sample) >= len(sample):
        row = int(np.flatnonzero(found.values >= 0)[0])
        shown = found.words[found.values[row]]
        return f"{table.cell(name, row)}: {shown!r} is no number (with a decimal comma? say --data.decimal ,)"
    if 2 * sum(read_word(word, "number") is not None for word in sample) < len(sample):
        return None
    others = [place for place, word in enumerate(found.words) if read_word(word, "number") is None]
    if not others:
        return None
    row = int(np.flatnonzero(np.isin(found.values, others))[0])
    return f"{table.cell(name, row)}: {found.words[found.values[row]][:40]!r} is no number"


def _long(table: Columns, name: str, found: Cells) -> str | None:
    """The first cell, in words, that is an integer beyond 2^53, where most of the different words are numbers."""
    long = [place for place, larger in enumerate(beyond(np.array([*found.words, None], object)[:-1])) if larger]
    sample = found.words[:: max(1, len(found.words) // LOOKED_AT)]
    if not long or 2 * sum(word.strip().lstrip("+-")[:1].isdecimal() for word in sample) < len(sample):
        return None
    return f"{table.cell(name, int(np.flatnonzero(np.isin(found.values, long))[0]))}: is an integer beyond 2^53"
