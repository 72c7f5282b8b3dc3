"""Symbols: independent variables over whole numbers, each an exact share of 2^24 quanta for every value."""

from abc import ABC, abstractmethod

import numpy as np

from lambent.codec.stack import WHOLE, Numbers, Stack

Where = slice | Numbers  # which of the variables
NEAR = np.arange(-8, 9)  # values about a guess that are looked at when it is wrong
PIECE = 1 << 13  # variables at a time: what is made on the way stays in the processor's cache


class Variables(ABC):
    """`count` independent variables over whole numbers. All arithmetic is of whole numbers, the same on every machine."""

    count: int

    @abstractmethod
    def push(self, stack: Stack, values: Numbers) -> None:
        """Values of all variables, [count], onto the stack."""

    @abstractmethod
    def pop(self, stack: Stack) -> Numbers:
        """The inverse of `push`, [count]; from any other stack: a draw."""


class Symbols(Variables):
    """Variables each of whose values is one symbol.

    Every value that can occur has a frequency from 1 to 2^24; those of a variable add to 2^24.
    """

    @abstractmethod
    def intervals(self, values: Numbers) -> tuple[Numbers, Numbers]:
        """(start, frequency) of a value of each variable, [count]."""

    @abstractmethod
    def find(self, slots: Numbers, where: slice) -> tuple[Numbers, Numbers, Numbers]:
        """(values, start, frequency): of the variables `where`, the values whose intervals hold these slots, 0 ≤ slot < 2^24."""

    def push(self, stack: Stack, values: Numbers) -> None:
        stack.push(*self.intervals(values))

    def pop(self, stack: Stack) -> Numbers:
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
    """The same for many values: `find` begins at a guess, and needs no further to go than that is wrong.

    low, high, below: as of `Cumulative`.
    """

    low: Numbers
    high: Numbers

    @abstractmethod
    def below(self, values: Numbers, where: Where) -> Numbers:
        """Quanta below these values of the variables `where`."""

    @abstractmethod
    def bounds(self, values: Numbers, where: Where) -> tuple[Numbers, Numbers]:
        """Quanta below these values, and below those that follow them; low ≤ value ≤ high."""

    @abstractmethod
    def guess(self, slots: Numbers, where: slice) -> Numbers:
        """About the values that hold these slots. Nothing depends on it but time: it may differ from machine to machine."""

    def intervals(self, values: Numbers) -> tuple[Numbers, Numbers]:
        start, frequency = np.empty(self.count, np.int64), np.empty(self.count, np.int64)
        for first in range(0, self.count, PIECE):
            where = slice(first, first + PIECE)
            start[where], end = self.bounds(values[where], where)
            np.subtract(end, start[where], out=frequency[where])
        return start, frequency

    def find(self, slots: Numbers, where: slice) -> tuple[Numbers, Numbers, Numbers]:
        values = self.guess(slots, where)
        np.maximum(values, self.low[where], out=values)
        np.minimum(values, self.high[where], out=values)
        start, end = self.bounds(values, where)
        wrong = np.flatnonzero((slots < start) | (slots >= end))
        if len(wrong):
            values[wrong], start[wrong], end[wrong] = self._sought(slots[wrong], values[wrong], wrong + where.start)
        return values, start, end - start

    def _sought(self, slots: Numbers, guess: Numbers, where: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """The values, with what lies below them and the next: among those near a guess first, then by parts of what is left."""
        rows = np.arange(len(where))
        low, high = self.low[where], self.high[where] + 1
        start, end = np.zeros_like(low), np.full_like(low, WHOLE)
        points = np.minimum(np.maximum(guess[:, None] + NEAR, low[:, None]), high[:, None])
        while True:
            below = self.below(points.reshape(-1), np.repeat(where, len(NEAR))).reshape(points.shape)
            holding = (below <= slots[:, None]).sum(1)  # points at or before the value
            last, following = np.maximum(holding - 1, 0), np.minimum(holding, len(NEAR) - 1)
            some, more = holding > 0, holding < len(NEAR)
            low, start = np.where(some, points[rows, last], low), np.where(some, below[rows, last], start)
            high, end = np.where(more, points[rows, following], high), np.where(more, below[rows, following], end)
            if (high - low).max() <= 1:
                return low, start, end
            points = low[:, None] + (high - low)[:, None] * (NEAR - NEAR[0] + 1) // (len(NEAR) + 1)


class Uniform(Cumulative):
    """Whole numbers from low to high, all about as likely; low, high: [count], at most 2^24 values."""

    def __init__(self, low: Numbers, high: Numbers) -> None:
        self.low, self.high, self.count = low, high, len(low)
        self.sizes = high - low + 1

    def below(self, values: Numbers, where: slice) -> Numbers:
        return np.asarray((values - self.low[where]) * WHOLE // self.sizes[where])
