"""Symbols of a table that no network is asked for: by how often each was met, and places that are all alike."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lambent.codec.stack import WHOLE, Numbers, Stack
from lambent.codec.symbols import Cumulative, Uniform

TOP = 20  # bits of a place that are one symbol; the error of 2^24 quanta for 2^20 values is a 16th at most
PIECE = 16  # bits of the others that are one symbol


class Counted(Cumulative):
    """Variables over 0 … K − 1 by how often each value was met in its context; what was not met has one quantum of 2^24.

    counts: [contexts, K]; context: of each variable, [count].
    """

    def __init__(self, counts: Sequence[Sequence[int]], context: Numbers) -> None:
        self.table = np.array([cumulative(row) for row in counts], np.int64)
        self.context, self.count = context, len(context)
        self.low = np.zeros(self.count, np.int64)
        self.high = np.full(self.count, self.table.shape[1] - 2, np.int64)

    def below(self, values: Numbers, where: slice) -> Numbers:
        return np.asarray(self.table[self.context[where], values])


def cumulative(counts: Sequence[int]) -> list[int]:
    """How many of 2^24 quanta lie below each value, and below all: shares of the counts, each at least 1."""
    total, room = max(1, sum(counts)), WHOLE - len(counts)
    shares = [1 + count * room // total for count in counts]
    shares[max(range(len(counts)), key=lambda place: counts[place])] += WHOLE - sum(shares)
    found = [0]
    for share in shares:
        found.append(found[-1] + share)
    return found


def push_places(stack: Stack, places: Numbers, sizes: Numbers) -> None:
    """Whole numbers 0 ≤ place < size, all alike; sizes below 2^62."""
    shift = _shifts(sizes)
    for done in _pieces(shift)[::-1]:
        bits = np.clip(shift - done, 0, PIECE)
        _alike((1 << bits) - 1).push(stack, (places >> done) & ((1 << bits) - 1))
    _alike((sizes - 1) >> shift).push(stack, places >> shift)


def pop_places(stack: Stack, sizes: Numbers) -> Numbers:
    """The inverse of `push_places`; of a stack that holds no such places they may lie beyond their sizes."""
    shift = _shifts(sizes)
    places = _alike((sizes - 1) >> shift).pop(stack) << shift
    for done in _pieces(shift):
        bits = np.clip(shift - done, 0, PIECE)
        places += _alike((1 << bits) - 1).pop(stack) << done
    return places


def _alike(most: Numbers) -> Uniform:
    return Uniform(np.zeros(len(most), np.int64), most)


def _shifts(sizes: Numbers) -> Numbers:
    """How many bits of a place are left to the pieces."""
    lengths = np.frexp((sizes - 1).astype(np.float64))[1].astype(np.int64)  # one more than they are, at most
    return np.maximum(0, lengths - TOP)


def _pieces(shift: NDArray[np.int64]) -> list[int]:
    return list(range(0, int(shift.max(initial=0)), PIECE))
