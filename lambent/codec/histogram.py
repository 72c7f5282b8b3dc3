"""Histogram: whole numbers by how often each occurred, in bins whose width costs least to tell."""

from typing import Self

import numpy as np

from lambent.codec.stack import PRECISION, WHOLE, Numbers, Stack
from lambent.codec.symbols import Symbols
from lambent.errors import ArtifactError

MOST_BINS = 1 << 16
WIDEST = PRECISION - 1  # bits of a bin's width, at most


class Histogram(Symbols):
    """`count` variables with one distribution: bin b has 1 + counts[b]·(2^24 − bins) // Σ counts quanta, the fullest the rest."""

    def __init__(self, counts: Numbers, count: int) -> None:
        self.count = count
        self.frequencies = 1 + counts * (WHOLE - len(counts)) // max(1, int(counts.sum()))
        self.frequencies[int(counts.argmax())] += WHOLE - int(self.frequencies.sum())
        self.starts = np.cumsum(self.frequencies) - self.frequencies

    def intervals(self, values: Numbers) -> tuple[Numbers, Numbers]:
        return self.starts[values], self.frequencies[values]

    def find(self, slots: Numbers, where: slice) -> tuple[Numbers, Numbers, Numbers]:
        values = np.searchsorted(self.starts, slots, side="right") - 1
        return values, *self.intervals(values)


class Binned:
    """Whole numbers [n] between low and low + len(counts)·2^shift: the bin by its histogram, the place in it evenly.

    The shift is the one with which bins, places and counts together take the fewest bits, about. One bin costs nothing.
    """

    def __init__(self, low: int, shift: int, counts: Numbers) -> None:
        if not 1 <= len(counts) <= MOST_BINS or not 0 <= shift <= WIDEST or int(counts.sum()) >= 1 << 32:
            raise ArtifactError("a histogram has bins beyond its limits")
        self.low, self.shift, self.counts = low, shift, counts
        self.count = int(counts.sum())

    @classmethod
    def of(cls, values: Numbers) -> Self | None:
        """The one that suits these values; None where they lie too far apart for any."""
        low, best, least = int(values.min()), None, np.inf
        for shift in range(WIDEST + 1):
            bins = (int(values.max()) - low >> shift) + 1
            if bins > min(MOST_BINS, 1024 + len(values)):
                continue
            counts = np.bincount(values - low >> shift, minlength=bins).astype(np.int64)
            cost = _cost(counts, shift)
            if cost < least:
                best, least = cls(low, shift, counts), cost
            if bins == 1:
                break
        return best

    def push(self, stack: Stack, values: Numbers) -> None:
        """All values, [count], onto the stack."""
        above = values - self.low
        stack.push(*self._places(above & ((1 << self.shift) - 1)))
        if len(self.counts) > 1:
            Histogram(self.counts, self.count).push(stack, above >> self.shift)

    def pop(self, stack: Stack) -> Numbers:
        """The inverse of `push`, [count]."""
        bins = np.zeros(self.count, np.int64)
        if len(self.counts) > 1:
            bins = Histogram(self.counts, self.count).pop(stack)
        unit = PRECISION - self.shift

        def find(slots: Numbers, where: slice) -> tuple[Numbers, Numbers, Numbers]:
            return slots >> unit, *self._places(slots >> unit)

        return self.low + (bins << self.shift) + stack.pop(find, self.count)

    def _places(self, values: Numbers) -> tuple[Numbers, Numbers]:
        """Values below 2^shift, each as likely; with a shift of 0 they are all of the 2^24 quanta, and cost nothing."""
        unit = PRECISION - self.shift
        return values << unit, np.full(len(values), 1 << unit, np.int64)


def _cost(counts: Numbers, shift: int) -> float:
    """Bits of all values and of the counts."""
    total = counts.sum()
    full = counts[counts > 0]
    return float((full * (shift + np.log2(total / full))).sum() + (2 + np.log2(1 + counts)).sum())
