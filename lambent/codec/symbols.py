"""Symbols: independent variables over whole numbers, each an exact share of 2^24 quanta for every value."""

from abc import ABC, abstractmethod

import numpy as np

from lambent.codec.stack import WHOLE, Numbers, Stack

Where = slice | Numbers  # which of the variables
PIECE = 1 << 13  # variables at a time: what is made on the way stays in the processor's cache


class Symbols(ABC):
    """`count` independent variables over whole numbers. All arithmetic is of whole numbers, the same on every machine.

    Every value that can occur has a frequency of at least 1 and less than 2^24; those of a variable add to 2^24.
    """

    count: int

    @abstractmethod
    def intervals(self, values: Numbers) -> tuple[Numbers, Numbers]:
        """(start, frequency) of a value of each variable, [count]."""

    @abstractmethod
    def find(self, slots: Numbers, where: slice) -> tuple[Numbers, Numbers, Numbers]:
        """(values, start, frequency): of the variables `where`, the values whose intervals hold these slots, 0 ≤ slot < 2^24."""

    def push(self, stack: Stack, values: Numbers) -> None:
        """Values of all variables, [count], onto the stack."""
        stack.push(*self.intervals(values))

    def pop(self, stack: Stack) -> Numbers:
        """The inverse of `push`, [count]; from any other stack: a draw."""
        return stack.pop(self.find, self.count)


class Cumulative(Symbols):
    """Variables by their cumulative frequencies: `below(v)` quanta lie below the value v, for low ≤ v ≤ high + 1.

    low, high: the least and the greatest value of each variable, [count]. below(low) = 0, below(high + 1) = 2^24, and it rises by
    at least 1 from each value to the next. `find` halves the range until one value is left.
    """

    low: Numbers
    high: Numbers

    @abstractmethod
    def below(self, values: Numbers, where: slice) -> Numbers:
        """Quanta below these values of the variables `where`."""

    def intervals(self, values: Numbers) -> tuple[Numbers, Numbers]:
        every = slice(0, self.count)
        start = self.below(values, every)
        return start, self.below(values + 1, every) - start

    def find(self, slots: Numbers, where: slice) -> tuple[Numbers, Numbers, Numbers]:
        low, high = self.low[where], self.high[where] + 1  # below(low) ≤ slot < below(high)
        for _ in range(int((high - low).max(initial=1) - 1).bit_length()):
            middle = (low + high) >> 1
            right = self.below(middle, where) <= slots
            low, high = np.where(right, middle, low), np.where(right, high, middle)
        start = self.below(low, where)
        return low, start, self.below(low + 1, where) - start


class Guessed(Symbols):
    """The same with the values of any of the variables, and a guess from which `find` needs no further to go than it is wrong."""

    low: Numbers
    high: Numbers

    @abstractmethod
    def below(self, values: Numbers, where: Where) -> Numbers:
        """Quanta below these values of the variables `where`, as of `Cumulative`; a new array."""

    @abstractmethod
    def guess(self, slots: Numbers, where: Where) -> Numbers:
        """About the values that hold these slots. Nothing depends on it but time: it may differ from machine to machine."""

    def intervals(self, values: Numbers) -> tuple[Numbers, Numbers]:
        start, frequency = np.empty(self.count, np.int64), np.empty(self.count, np.int64)
        for first in range(0, self.count, PIECE):
            where = slice(first, first + PIECE)
            start[where] = self.below(values[where], where)
            np.subtract(self.below(values[where] + 1, where), start[where], out=frequency[where])
        return start, frequency

    def find(self, slots: Numbers, where: slice) -> tuple[Numbers, Numbers, Numbers]:
        values = self.guess(slots, where)
        np.maximum(values, self.low[where], out=values)
        np.minimum(values, self.high[where], out=values)
        start, end = self.below(values, where), self.below(values + 1, where)
        wrong = np.flatnonzero((slots < start) | (slots >= end))
        if len(wrong):
            values[wrong], start[wrong], end[wrong] = self._sought(slots[wrong], values[wrong], wrong + where.start)
        return values, start, end - start

    def _sought(self, slots: Numbers, values: Numbers, where: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """By steps away from the guess, each twice as long, then by halving the last."""
        low, high = self.low[where], self.high[where] + 1
        right = self.below(values, where) <= slots  # the value sought lies at the guess or to its right
        low, high = np.where(right, values, low), np.where(right, high, values)
        step = 1
        while (high - low).max() > 1:
            middle = np.where(right, low + step, high - step)
            middle = np.where((low < middle) & (middle < high), middle, (low + high) >> 1)
            holds = self.below(middle, where) <= slots
            low, high = np.where(holds, middle, low), np.where(holds, high, middle)
            step *= 2
        start = self.below(low, where)
        return low, start, self.below(low + 1, where)


class Uniform(Cumulative):
    """Whole numbers from low to high, all about as likely; low, high: [count], at most 2^24 values."""

    def __init__(self, low: Numbers, high: Numbers) -> None:
        self.low, self.high, self.count = low, high, len(low)
        self.sizes = high - low + 1

    def below(self, values: Numbers, where: slice) -> Numbers:
        return np.asarray((values - self.low[where]) * WHOLE // self.sizes[where])
