"""Census: what is noticed of a column of numbers while it is learned, a piece at a time, in little memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lambent.data.kinds.moments import BLOCK, Quartiles

IQR_OF_GAUSSIAN = 1.3489795003921634  # so that the robust scale of Gaussian data is their standard deviation
FAR = 1e3  # robust scales from the median, beyond which a cell is told
FEW = 3  # cells of a column at one end; where more lie far out, the column is like that
LOW = 30.0  # the mean of a typical column, above which whole numbers are measurements as well
MANY_ZEROS = 0.3
NEAR = 4  # times as large as the least value the mean of counts is, or more
UNDER = 0.3  # share by which the variance of counts may lie below their mean, by chance or as they are rare
CEILING = 0.05  # of the cells that are not nought, at the greatest value: more, and it is the end of a scale


@dataclass(frozen=True)
class Far:
    """One cell far from all others of its column. row: its number in the source, from 0."""

    row: int
    value: float
    others: tuple[float, float]
    middle: tuple[float, float]

    def words(self, name: str) -> str:
        """Where the cell is, what it holds and what the others are."""
        (least, most), (low, high) = self.others, self.middle
        return (
            f"column {name!r}, row {self.row + 1}: is {self.value:g}, and the others lie between {least:g} and {most:g}, "
            f"half of them between {low:g} and {high:g}"
        )


class Census:
    """The ends of a column with their rows, its quartiles (of a sample), and whether it holds counts."""

    def __init__(self) -> None:
        self.rows = self.zeros = self.at_most = 0
        self.whole = True
        self.first = 0.0
        self._ends: list[tuple[float, int]] = []  # (value, row): the FEW + 1 least and greatest
        self._quartiles = Quartiles(BLOCK)

    def add(self, values: np.ndarray, place: Any) -> None:
        """Take in values, float64 [n]; place: the number of a row in the source, from its number here."""
        if not self.rows:
            self.first = float(values[0])
        kept = min(FEW + 1, len(values))
        order = np.argpartition(values, kept - 1)[:kept], np.argpartition(values, len(values) - kept)[-kept:]
        ends = {int(row) for part in order for row in part}
        most = self.most if self.rows else -np.inf
        found = [(float(values[row]), int(place(row))) for row in ends]
        self._ends = _outermost(sorted([*self._ends, *found]))
        self.at_most = (self.at_most if self.most == most else 0) + int((values == self.most).sum())
        self.whole = self.whole and bool((values >= 0).all()) and bool((values == np.rint(values)).all())
        self.zeros += int((values == 0).sum())
        self.rows += len(values)
        self._quartiles.add(values)

    @property
    def least(self) -> float:
        return self._ends[0][0]

    @property
    def most(self) -> float:
        return self._ends[-1][0]

    @property
    def capped(self) -> bool:
        """Whether the greatest value, of whole numbers from 0 on, is about as common as any: codes end so, counts do not."""
        return self.at_most > max(2.0, 0.5 * self.rows / (self.most + 1))

    def quartiles(self) -> tuple[float, float, float]:
        """Of a sample of the rows."""
        return self._quartiles.values()

    def far(self) -> list[Far]:
        """The few cells that lie a thousand robust scales from the median; none where more than a few do."""
        low, median, high = self.quartiles()
        spread = (high - low) / IQR_OF_GAUSSIAN
        if not spread > 0 or self.rows < 8:
            return []
        out = [(value, row) for value, row in self._ends if abs(value - median) > FAR * spread]
        rest = [value for value, _ in self._ends if abs(value - median) <= FAR * spread]
        below, above = sum(value < median for value, _ in out), sum(value > median for value, _ in out)
        if not rest or below > FEW or above > FEW:
            return []
        return [Far(row, value, (min(rest), max(rest)), (low, high)) for value, row in out]


def _outermost(ends: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """The FEW + 1 least and as many greatest of sorted ones."""
    kept = FEW + 1
    return ends if len(ends) <= 2 * kept else [*ends[:kept], *ends[-kept:]]


def are_counts(columns: Sequence[tuple[Census, float, float]]) -> bool:
    """Whether a table holds low counts, from what was seen of its columns with their means and variances.

    All numbers are whole and none is negative; a typical column has a mean of at most 30; at least three quarters of the
    columns that are not nought throughout begin near nought and vary about as much as their mean or more; and at least half have
    many zeros or a variance above their mean. Codes of categories, ages and marks of yes and no are none: they begin elsewhere,
    or vary less. Nor are scales of a few steps (a grade from 0 to 4, pixels), and codes with as many rows at each: these end
    where many rows are.
    """
    if not columns or not all(one.whole for one, _, _ in columns):
        return False
    held = [(one, mean, variance) for one, mean, variance in columns if one.most > 0]
    if not held or float(np.median([mean for _, mean, _ in held])) > LOW:
        return False
    alike = [
        NEAR * one.least <= mean and variance > (1 - UNDER) * mean and not one.capped for one, mean, variance in held
    ]
    top = max(one.most for one, _, _ in held)
    present = sum(one.rows - one.zeros for one, _, _ in held)
    at_top = sum(one.at_most for one, _, _ in held if one.most == top)
    spread = [one.zeros > MANY_ZEROS * one.rows or variance > mean for one, mean, variance in held]
    low = top >= 3 and at_top <= CEILING * present
    return low and 4 * sum(alike) >= 3 * len(alike) and 2 * sum(spread) >= len(spread)
