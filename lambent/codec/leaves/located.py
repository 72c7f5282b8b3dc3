"""Distributions with a location and a scale, cut into the steps of a grid, and mixtures of them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit, ndtri

from lambent.codec.exact import elementary
from lambent.codec.exact.dyadic import FRACTION
from lambent.codec.exact.elementary import Reals
from lambent.codec.leaves.dyadics import within
from lambent.codec.stack import WHOLE, Numbers
from lambent.codec.symbols import Guessed, Where

POINT = 13  # bits of a location, in steps: middles between two are exact
INVERSE = 27  # bits of an inverse scale, per step
STEEPEST = 1 << 33  # inverse scales are at most so much: 64 per step
FARTHEST = 1 << 17  # steps from the range beyond which a location makes no difference
FINE = 64  # cells of a table in a unit of its scale
PLACE = 16  # bits of a place within a cell
FAR = POINT + INVERSE - 6 - PLACE  # bits of a standardized number beyond those
SCALES = 128  # log scales are told apart so finely: a wrong one costs 7e-6 bits at most
SHARE = 20  # bits of the weight of a component


@dataclass(frozen=True)
class Family:
    """A distribution of location 0 and scale 1: `cdf` exact; `quantile` about; `reach`: no quantum lies further out."""

    cdf: Callable[[ArrayLike], Reals]
    quantile: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    reach: int


LOGISTIC = Family(elementary.sigmoid, logit, 20)
NORMAL = Family(elementary.normal_cdf, ndtri, 8)


@lru_cache(64)
def cumulative(family: Family, whole: int) -> tuple[Numbers, Numbers]:
    """Of each cell of the cumulative distribution, of `whole` quanta: what lies below it, and its own."""
    edges = np.arange(-family.reach * FINE, family.reach * FINE + 1) / FINE
    quanta = np.floor(family.cdf(edges) * whole).astype(np.int64)
    quanta[0], quanta[-1] = 0, whole
    quanta = np.maximum.accumulate(quanta)
    return quanta[:-1].copy(), np.diff(quanta)


@lru_cache(64)
def _inverses(step: float, least: int, most: int) -> Numbers:
    scales = np.arange(least, most + 1) / SCALES
    return np.asarray(np.floor(elementary.exp(-scales) * (step * (1 << INVERSE)) + 0.5).astype(np.int64))


def inverse(log_scale: Numbers, step: float) -> Numbers:
    """Inverse scales per step, in 2^-27, from log scales in 2^-12; a step is so much of their unit."""
    bits = FRACTION - SCALES.bit_length() + 1
    places = (log_scale + (1 << (bits - 1))) >> bits
    least, most = -16 * SCALES, 16 * SCALES
    table = _inverses(step, least, most)
    return within(table[within(places, least, most) - least], 1, STEEPEST)


class Located(Guessed):
    """P(v) = F((v + ½ − μ)/s) − F((v − ½ − μ)/s) for whole v from low to high, open at both ends.

    location: μ in 2^-13 of a step; inverse: 1/s in 2^-27 per step; low, high: of each variable, or of all: at most 2^16 values.
    Every value has one quantum beside its share of the others.
    """

    def __init__(
        self, family: Family, location: Numbers, inverse: Numbers, low: Numbers | int, high: Numbers | int
    ) -> None:
        self.family = family
        self.count = len(location)
        self.low, self.high = _each(low, self.count), _each(high, self.count)
        near = within(location, (self.low - FARTHEST) << POINT, (self.high + FARTHEST) << POINT)
        self.location, self.inverse = near, inverse
        self.slope = inverse << POINT
        self.shift = (near + (1 << (POINT - 1))) * inverse - (family.reach << (POINT + INVERSE))
        sizes = self.high - self.low + 1
        alike = self.count == 0 or bool((sizes == sizes[0]).all())
        self.room = WHOLE - int(sizes[:1].sum()) if alike else WHOLE
        self.rest = None if alike else WHOLE - sizes
        self.table = cumulative(family, self.room)

    def below(self, values: Numbers, where: Where) -> Numbers:
        low = self.low[where]
        quanta = self.quanta(values, where)
        if self.rest is not None:
            quanta *= self.rest[where]
            quanta >>= WHOLE.bit_length() - 1
        quanta += values
        quanta -= low
        return _closed(quanta, values, low, self.high[where])

    def quanta(self, values: Numbers, where: Where) -> Numbers:
        """F((v − ½ − μ)/s) in quanta, `room` of them."""
        place = values * self.slope[where]
        place -= self.shift[where]
        place >>= FAR
        np.maximum(place, 0, out=place)
        np.minimum(place, (2 * self.family.reach * FINE << PLACE) - 1, out=place)
        cell = place >> PLACE
        place &= (1 << PLACE) - 1
        place *= np.take(self.table[1], cell)
        place >>= PLACE
        place += np.take(self.table[0], cell)
        return place

    def guess(self, slots: Numbers, where: Where) -> Numbers:
        standard = self.family.quantile((slots + 0.5) / WHOLE)
        middle = self.location[where] / (1 << POINT)
        return np.asarray(np.rint(middle + standard * ((1 << INVERSE) / self.inverse[where])).astype(np.int64))


class Mixed(Guessed):
    """Σ_c w_c P_c(v) of located components over the same range; weights: [components, variables] in 2^-20, that add to 1."""

    def __init__(self, components: list[Located], weights: Numbers) -> None:
        self.components, self.weights = components, weights
        self.low, self.high, self.count = components[0].low, components[0].high, components[0].count

    def below(self, values: Numbers, where: Where) -> Numbers:
        low = self.low[where]
        total = np.zeros(len(values), np.int64)
        for component, weight in zip(self.components, self.weights, strict=True):
            total += component.quanta(values, where) * weight[where]
        total >>= SHARE
        total += values
        total -= low
        return _closed(total, values, low, self.high[where])

    def guess(self, slots: Numbers, where: Where) -> Numbers:
        return np.asarray((self.low[where] + self.high[where]) >> 1)

    def masses(self, values: Numbers) -> Numbers:
        """2^20 w_c P_c(v), [components, variables], at least 1."""
        every = slice(0, self.count)
        below = [_closed_quanta(c, values, every) for c in self.components]
        above = [_closed_quanta(c, values + 1, every) for c in self.components]
        return np.asarray(np.maximum((np.stack(above) - np.stack(below)) * self.weights, 1))


def _closed_quanta(located: Located, values: Numbers, where: Where) -> Numbers:
    quanta = located.quanta(values, where)
    return _closed(quanta, values, located.low[where], located.high[where], located.room)


def _closed(quanta: Numbers, values: Numbers, low: Numbers, high: Numbers, whole: int = WHOLE) -> Numbers:
    """The same, with nought below the least value, and all below what follows the greatest."""
    np.copyto(quanta, 0, where=values <= low)
    np.copyto(quanta, whole, where=values > high)
    return quanta


def _each(value: Numbers | int, count: int) -> Numbers:
    return np.broadcast_to(np.asarray(value, np.int64), (count,))
