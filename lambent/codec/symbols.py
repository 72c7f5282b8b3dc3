"""Symbols: independent variables over whole numbers, each an exact share of 2^24 quanta for every value."""

from abc import ABC, abstractmethod

import numpy as np

from lambent.codec.stack import WHOLE, Numbers, Stack


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


class Uniform(Cumulative):
    """Whole numbers from low to high, all about as likely; low, high: [count], at most 2^24 values."""

    def __init__(self, low: Numbers, high: Numbers) -> None:
        self.low, self.high, self.count = low, high, len(low)
        self.sizes = high - low + 1

    def below(self, values: Numbers, where: slice) -> Numbers:
        return np.asarray((values - self.low[where]) * WHOLE // self.sizes[where])
