"""Variables with a few values, each with a share of its own."""

from functools import lru_cache

import numpy as np

from lambent.codec.exact import elementary
from lambent.codec.exact.dyadic import FRACTION
from lambent.codec.leaves.dyadics import within
from lambent.codec.leaves.located import SHARE
from lambent.codec.stack import WHOLE, Numbers
from lambent.codec.symbols import PIECE, Cumulative, Symbols
from lambent.errors import UsageError

WEIGHT = 22  # bits of the weight of the likeliest value
SMALLEST = 16  # nats below the likeliest where a weight is nought
MOST = 1 << 16  # values: their weights times 2^24 stay below 2^62
CERTAIN = 17  # a logit from which one of two values has all quanta but one


class Finite(Cumulative):
    """P(v) for v = 0 … values − 1; starts: quanta below each and below all, [variables, values + 1], rising from 0 to 2^24."""

    def __init__(self, starts: Numbers) -> None:
        self.count, size = len(starts), starts.shape[1]
        self.starts = starts.reshape(-1)
        self.rows = np.arange(self.count) * size
        self.low, self.high = np.zeros(self.count, np.int64), np.full(self.count, size - 2)

    def below(self, values: Numbers, where: slice) -> Numbers:
        return np.asarray(np.take(self.starts, self.rows[where] + values))


class Two(Symbols):
    """0 with `zeros` of 2^24 quanta, 0 < zeros < 2^24, else 1."""

    def __init__(self, zeros: Numbers) -> None:
        self.zeros, self.count = zeros, len(zeros)

    def intervals(self, values: Numbers) -> tuple[Numbers, Numbers]:
        return values * self.zeros, np.where(values > 0, WHOLE - self.zeros, self.zeros)

    def find(self, slots: Numbers, where: slice) -> tuple[Numbers, Numbers, Numbers]:
        zeros = self.zeros[where]
        ones = slots >= zeros
        return ones.astype(np.int64), ones * zeros, np.where(ones, WHOLE - zeros, zeros)


def two(logits: Numbers) -> Two:
    """P(1) = σ(l), from logits in 2^-12, [variables]."""
    return Two(within(np.take(_sigmoids(WHOLE), _place(-logits)), 1, WHOLE - 1))


def ordered(edges: Numbers) -> Finite:
    """P(v ≤ k) = σ(e_k), from rising edges in 2^-12, [variables, values − 1]."""
    count, size = edges.shape[0], edges.shape[1] + 1
    starts = np.zeros((count, size + 1), np.int64)
    starts[:, 1:-1] = np.take(_sigmoids(WHOLE - size), _place(edges))
    starts[:, -1] = WHOLE - size
    return Finite(starts + np.arange(size + 1))


def finite(logits: Numbers) -> Finite:
    """P(v) = softmax(l)_v, from logits in 2^-12, [variables, values]: each has one quantum beside its share of the others."""
    count, size = logits.shape
    if size > MOST:
        raise UsageError(f"a variable with {size} values cannot be coded: {MOST} are allowed")
    starts = np.zeros((count, size + 1), np.uint64)
    rows = max(1, PIECE // size)
    for first in range(0, count, rows):
        here = starts[first : first + rows]
        np.cumsum(weights(logits[first : first + rows], 1), 1, out=here[:, 1:], dtype=np.uint64)
        total = here[:, -1:].copy()
        here *= np.uint64(WHOLE - size)
        here //= total
        here += np.arange(size + 1, dtype=np.uint64)
    return Finite(starts.view(np.int64))


def shares(logits: Numbers) -> Numbers:
    """softmax(l) in 2^-20, from logits in 2^-12, both [values, variables]; those of a variable add to 2^20."""
    return normalized(weights(logits, 0))


def normalized(weights: Numbers) -> Numbers:
    """Weights [values, variables], each at most 2^22 and not all nought, as whole shares of 2^20 that add to it."""
    whole = np.zeros(weights.shape[1], np.int64)
    for each in weights:
        whole += each
    before, below = np.zeros_like(whole), np.zeros_like(whole)
    for each in weights:
        below += each
        upto = ((below << SHARE).view(np.uint64) // whole.view(np.uint64)).view(np.int64)
        each[...] = upto - before
        before = upto
    return weights


def weights(logits: Numbers, axis: int) -> Numbers:
    """e^(l − the greatest l) in 2^-22, from logits in 2^-12, over an axis."""
    table = _exponentials()
    short = logits.max(axis, keepdims=True) - logits
    return np.asarray(table.take(np.minimum(short, len(table) - 1, out=short)))


@lru_cache(1)
def _exponentials() -> Numbers:
    places = np.arange(SMALLEST << FRACTION) / (1 << FRACTION)
    return np.floor(elementary.exp(-places) * (1 << WEIGHT) + 0.5).astype(np.int64)


@lru_cache(16)
def _sigmoids(whole: int) -> Numbers:
    """σ(l) in `whole` quanta of all logits up to ±CERTAIN, in steps of 2^-12."""
    places = np.arange(-CERTAIN << FRACTION, (CERTAIN << FRACTION) + 1) / (1 << FRACTION)
    return np.floor(elementary.sigmoid(places) * whole + 0.5).astype(np.int64)


def _place(logits: Numbers) -> Numbers:
    return within(logits, -CERTAIN << FRACTION, CERTAIN << FRACTION) + (CERTAIN << FRACTION)
