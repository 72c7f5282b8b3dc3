"""Stack: asymmetric numeral systems over many lanes at once; what was pushed last is popped first."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lambent.errors import ArtifactError

Numbers = NDArray[np.int64]
Words = NDArray[np.uint32]

PRECISION = 24  # bits: a symbol's frequency is so many quanta of 2^24
WHOLE = 1 << PRECISION
LEAST = np.uint64(1 << 32)  # of a lane's head, which stays in [2^32, 2^64)
WORD = np.uint64(32)
LOW = np.uint64(0xFFFFFFFF)
BITS = np.uint64(PRECISION)
SLOT = np.uint64(WHOLE - 1)
FULL = np.uint64(64 - PRECISION)  # a head whose upper 24 bits reach a frequency has no room for it

# find(slots, where): the symbols whose intervals hold these slots, with the start and frequency of each; `where` says which of
# the variables they are of.
Find = Callable[[Numbers, slice], tuple[Numbers, Numbers, Numbers]]


class Stack:
    """A stack of symbols in `lanes` heads of 64 bits and one sequence of 32-bit words.

    A symbol with frequency f of 2^24 adds log2(2^24 / f) bits when pushed and takes as many away when popped; to pop a symbol of
    some distribution is to draw from it. push and pop are inverse to each other to the bit, in either order. A vector of symbols
    goes to the lanes in turn. Below the bottom lie words that the seed makes, the same on every machine: bits-back coding pops
    before anything was pushed. Duda, Asymmetric numeral systems, 2013; Giesen, Interleaved entropy coders, 2014.
    """

    def __init__(self, lanes: int, seed: int = 0) -> None:
        self.lanes = lanes
        self.seed = seed
        made = _scattered(np.arange(lanes, dtype=np.uint64), seed, 1)
        self.heads = (made >> np.uint64(1)) | (LEAST << np.uint64(30))  # below 2^63, from 2^62 on
        self._words = np.empty(1024, np.uint32)
        self._count = 0
        self.borrowed = 0  # words taken from below the bottom

    # ---- symbols -------------------------------------------------------------------------------------------------

    def push(self, start: Numbers, frequency: Numbers) -> None:
        """Symbols [n] whose intervals begin at `start` and have this frequency, of 2^24; the first is popped first.

        Raises `ArtifactError` for a symbol of no frequency, which only bytes can ask for that were coded by something else.
        """
        if (frequency <= 0).any():
            raise ArtifactError(
                "a symbol comes out that cannot be: these bytes were coded by another model, or are damaged"
            )
        starts, frequencies = start.view(np.uint64), frequency.view(np.uint64)
        for first in range((len(starts) - 1) // self.lanes * self.lanes, -1, -self.lanes):
            f = frequencies[first : first + self.lanes]
            heads = self.heads[: len(f)]
            full = heads >> FULL >= f
            if full.any():
                self._append((heads[full] & LOW).astype(np.uint32))
                heads = np.where(full, heads >> WORD, heads)
            whole = heads // f
            self.heads[: len(f)] = (whole << BITS) + (heads - whole * f) + starts[first : first + self.lanes]

    def pop(self, find: Find, count: int) -> Numbers:
        """`count` symbols, [count], of variables whose intervals `find` knows."""
        symbols = np.empty(count, np.int64)
        for first in range(0, count, self.lanes):
            where = slice(first, min(first + self.lanes, count))
            heads = self.heads[: where.stop - first]
            slots = heads & SLOT
            symbols[where], start, frequency = find(slots.view(np.int64), where)
            heads = frequency.view(np.uint64) * (heads >> BITS) + slots - start.view(np.uint64)
            low = heads < LEAST
            if low.any():
                heads[low] = (heads[low] << WORD) | self._taken(int(low.sum())).astype(np.uint64)
            self.heads[: len(heads)] = heads
        return symbols

    # ---- lanes ---------------------------------------------------------------------------------------------------

    def widen(self, lanes: int) -> None:
        """Twice as many lanes until there are `lanes`, the new heads made of what the stack holds: nothing is added to it.

        A head h is a word and h >> 32, of 1 to 32 bits: their number, then all but the highest, which is 1.
        """
        while self.lanes < lanes:
            size = self.pop(_of_bits(np.full(self.lanes, 5)), self.lanes)
            low = np.minimum(size, 16)
            high = self.pop(_of_bits(size - low), self.lanes)
            high = (1 << size) + (high << low) + self.pop(_of_bits(low), self.lanes)
            words = self._taken(self.lanes).astype(np.uint64)
            self.heads = np.concatenate([self.heads, (high.astype(np.uint64) << WORD) | words])
            self.lanes *= 2

    def narrow(self, lanes: int) -> None:
        """The inverse of `widen`: half as many lanes until there are `lanes`, the others' heads pushed."""
        while self.lanes > lanes:
            self.lanes //= 2
            self.heads, gone = self.heads[: self.lanes].copy(), self.heads[self.lanes :]
            self._append((gone & LOW).astype(np.uint32))
            high = (gone >> WORD).astype(np.int64)
            size = np.frexp(high.astype(np.float64))[1].astype(np.int64) - 1  # exact: below 2^53
            low: Numbers = np.minimum(size, 16)
            rest = high - (1 << size)
            self._push_bits(rest & ((1 << low) - 1), low)
            self._push_bits(rest >> low, size - low)
            self._push_bits(size, np.full(self.lanes, 5))

    def _push_bits(self, values: Numbers, bits: Numbers) -> None:
        """Whole numbers below 2^bits, all as likely."""
        self.push(values << (PRECISION - bits), 1 << (PRECISION - bits))

    # ---- words ---------------------------------------------------------------------------------------------------

    def _append(self, words: Words) -> None:
        count = self._count + len(words)
        if count > len(self._words):
            self._words = np.concatenate([self._words, np.empty(max(count, len(self._words)), np.uint32)])
        self._words[self._count : count] = words
        self._count = count

    def _taken(self, count: int) -> Words:
        """The last words, those from below the bottom first where there are not enough."""
        lacking = count - self._count
        if lacking > 0:
            below = np.arange(self.borrowed + lacking, self.borrowed, -1, dtype=np.uint64)
            held = self._words[: self._count].copy()
            self._count = 0
            self.borrowed += lacking
            return np.concatenate([(_scattered(below, self.seed, 2) & LOW).astype(np.uint32), held])
        self._count -= count
        return self._words[self._count : self._count + count].copy()

    # ---- bytes ---------------------------------------------------------------------------------------------------

    @property
    def bits(self) -> float:
        """Bits of information held, beyond what it began with: what was pushed less what was popped, about."""
        grown = float(np.log2(self.heads.astype(np.float64)).sum()) - 62.5 * self.lanes
        return 32.0 * (self._count - self.borrowed) + grown

    def to_bytes(self) -> bytes:
        """The heads, then the words, little-endian; beside it, `lanes`, `seed` and `borrowed` make the stack again."""
        words = self._words[: self._count]
        return self.heads.astype("<u8").tobytes() + words.astype("<u4").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes, lanes: int, seed: int, borrowed: int) -> "Stack":
        """The inverse of `to_bytes`; `ArtifactError` for bytes that are no stack of so many lanes."""
        if lanes < 1 or len(data) < 8 * lanes or (len(data) - 8 * lanes) % 4:
            raise ArtifactError(f"{len(data)} bytes are no stack of {lanes} lanes")
        stack = cls(1, seed)
        stack.lanes, stack.borrowed = lanes, borrowed
        stack.heads = np.frombuffer(data, "<u8", lanes).astype(np.uint64)
        if (stack.heads < LEAST).any():
            raise ArtifactError("the head of a lane is out of range")
        stack._words = np.frombuffer(data, "<u4", offset=8 * lanes).astype(np.uint32)
        stack._count = len(stack._words)
        return stack

    @property
    def is_empty(self) -> bool:
        """Whether it stands as it began: all that was pushed is popped, and what was borrowed is back."""
        begun = Stack(self.lanes, self.seed)
        below = np.arange(self._count, 0, -1, dtype=np.uint64)
        same = self._count == self.borrowed and bool((self.heads == begun.heads).all())
        return same and bool((self._words[: self._count] == (_scattered(below, self.seed, 2) & LOW)).all())


def _of_bits(bits: Numbers) -> Find:
    """The inverse of `_push_bits`."""

    def find(slots: Numbers, where: slice) -> tuple[Numbers, Numbers, Numbers]:
        unit = PRECISION - bits[where]
        values = slots >> unit
        return values, values << unit, 1 << unit

    return find


def _scattered(numbers: NDArray[np.uint64], seed: int, stream: int) -> NDArray[np.uint64]:
    """A hash of each number, the same on every machine. Steele, Lea & Flood, Fast Splittable Generators, 2014."""
    with np.errstate(over="ignore"):
        mixed = numbers * np.uint64(0x9E3779B97F4A7C15) + np.uint64((seed * 0x632BE59BD9B4E019 + stream) % 2**64)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        return np.asarray(mixed ^ (mixed >> np.uint64(31)))
