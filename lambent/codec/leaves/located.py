"""Distributions with a location and a scale, or mixtures of such, cut into the steps of a grid."""

from functools import cached_property

import numpy as np

from lambent.codec.leaves.dyadics import within
from lambent.codec.leaves.families import FINE, INVERSE, Family, Rough, cumulative
from lambent.codec.stack import PRECISION, WHOLE, Numbers
from lambent.codec.symbols import Guessed, Where

POINT = 13  # bits of a location, in steps: middles between two are exact
FARTHEST = 1 << 15  # steps from the range beyond which a location makes no difference; products stay below 2^62
PLACE = 16  # bits of a place within a cell of a table
FAR = POINT + INVERSE - FINE.bit_length() + 1 - PLACE  # bits of a standardized number beyond those
SHARE = 20  # bits of the weight of a component
NEWTON = 5  # steps to the quantile of a mixture: one value in 500 is still missed


class Located(Guessed):
    """P(v) = Σ_c w_c [F((v + ½ − μ_c)/s_c) − F((v − ½ − μ_c)/s_c)] for whole v from low to high, open at both ends.

    location: μ in 2^-13 of a step; inverse: 1/s in 2^-27 per step; weights: w in 2^-20, that add to 1; all
    [components, variables], or, of one component, the first two [variables] and no weights. low, high: of each variable, or of
    all; at most 2^16 values. Each value has one quantum beside its share of the others.
    """

    def __init__(
        self,
        family: Family,
        location: Numbers,
        inverse: Numbers,
        low: Numbers | int,
        high: Numbers | int,
        weights: Numbers | None = None,
    ) -> None:
        self.family, self.weights = family, weights
        self.count = location.shape[-1]
        self.low, self.high = _each(low, self.count), _each(high, self.count)
        self.sizes = None if isinstance(low, int) and isinstance(high, int) else self.high - self.low + 1
        self.room = WHOLE  # quanta beside the one of every value, before those are taken off
        if isinstance(low, int) and isinstance(high, int):
            self.room -= high - low + 1
        components = len(location) if location.ndim > 1 else 1
        near = within(location, (self.low - FARTHEST) << POINT, (self.high + FARTHEST) << POINT)
        self.location, self.inverse = near.reshape(components, -1), inverse.reshape(components, -1)
        self.slope = self.inverse << POINT
        edge = self.location + (1 << (POINT - 1))
        self.shift = edge * self.inverse - (family.reach << (POINT + INVERSE))

    def below(self, values: Numbers, where: Where) -> Numbers:
        quanta = self._quanta(values * self.slope[:, where] - self.shift[:, where], where)
        above = values - self.low[where]
        quanta += above
        quanta[above <= 0] = 0
        quanta[values > self.high[where]] = WHOLE
        return quanta

    def bounds(self, values: Numbers, where: Where) -> tuple[Numbers, Numbers]:
        start, end = self._open(values, where)
        above = values - self.low[where]
        start += above
        end += above
        end += 1
        end[values == self.high[where]] = WHOLE
        return start, end

    def masses(self, values: Numbers) -> Numbers:
        """2^20 w_c P_c(v), about, [components, variables], at least 1."""
        alone = [
            Located(self.family, m, i, self.low, self.high) for m, i in zip(self.location, self.inverse, strict=True)
        ]
        every = slice(0, self.count)
        parts = [end - start for start, end in (each._open(values, every) for each in alone)]
        assert self.weights is not None
        return np.asarray(np.maximum(np.stack(parts) * self.weights, 1))

    def _open(self, values: Numbers, where: Where) -> tuple[Numbers, Numbers]:
        """What lies below values and the next of them, without the one quantum of each; the ends are open."""
        slope = self.slope[:, where]
        place = np.empty((2, *slope.shape), np.int64)
        np.multiply(values, slope, out=place[0])
        place[0] -= self.shift[:, where]
        np.add(place[0], slope, out=place[1])
        start, end = self._quanta(place, where)
        start[values == self.low[where]] = 0
        end[values == self.high[where]] = self.room
        return start, end

    def _quanta(self, place: Numbers, where: Where) -> Numbers:
        """Σ w F in quanta, `room` of them, [..., variables], of standardized numbers [..., components, variables]; overwrites."""
        starts, widths = cumulative(self.family, self.room)
        place >>= FAR
        np.maximum(place, 0, out=place)
        np.minimum(place, (len(starts) << PLACE) - 1, out=place)
        cell = place >> PLACE
        place &= (1 << PLACE) - 1
        place *= widths.take(cell)
        place >>= PLACE
        place += starts.take(cell)
        if self.weights is None:
            quanta: Numbers = place[..., 0, :]
        else:
            place *= self.weights[:, where]
            quanta = np.add.reduce(place, -2)
            quanta >>= SHARE
        if self.sizes is not None:
            quanta *= WHOLE - self.sizes[where]
            quanta >>= PRECISION
        return quanta

    # ---- guesses -------------------------------------------------------------------------------------------------

    @cached_property
    def _rough(self) -> Rough:
        """Locations and scales in steps, 1 / scale, and weights, each [components, variables]."""
        scale = (1 << INVERSE) / self.inverse
        weights = np.ones_like(scale) if self.weights is None else self.weights / (1 << SHARE)
        return np.stack((self.location / (1 << POINT), scale, 1 / scale, weights)).astype(np.float32)

    def guess(self, slots: Numbers, where: slice) -> Numbers:
        rough, low = self._rough[:, :, where], self.low[where]
        value: Rough = np.minimum(np.maximum(rough[0, 0], low), self.high[where])
        if self.weights is None:
            value = self._quantile(slots - (value - low), rough)[0][0]  # so many quanta are of the values below alone
        each, share = self._quantile(slots - (value - low), rough)
        value = each[0] if self.weights is None else self._between(each, share, rough)
        return np.asarray(np.rint(value).astype(np.int64))

    def _quantile(self, quanta: Rough, rough: Rough) -> tuple[Rough, Rough]:
        """Those of the components, [components, variables], and the share that so many quanta are."""
        share = (quanta * (1 / self.room)).astype(np.float32)
        share = np.minimum(np.maximum(share, 1e-7), 1 - 1e-7)
        return self.family.quantile(share) * rough[1] + rough[0], share

    def _between(self, each: Rough, share: Rough, rough: Rough) -> Rough:
        """The quantile of a mixture, between those of its components: by Newton's steps in log odds, or halving."""
        middle, _, inverse, weights = rough
        low, high = each.min(0), each.max(0)
        value: Rough = (weights * each).sum(0)
        dense, target = weights * inverse, np.log(share / (1 - share))
        for _ in range(NEWTON):
            cumulated, density = self.family.rise((value - middle) * inverse)
            below = np.minimum(np.maximum(np.add.reduce(weights * cumulated), 1e-7), 1 - 1e-7)
            rest = 1 - below
            off = np.log(below / rest) - target
            right = off < 0
            low, high = np.where(right, value, low), np.where(right, high, value)
            value = value - off * (below * rest) / (np.add.reduce(dense * density) + 1e-12)
            value = np.where((value >= low) & (value <= high), value, 0.5 * (low + high))
        return value


def _each(value: Numbers | int, count: int) -> Numbers:
    return np.broadcast_to(np.asarray(value, np.int64), (count,))
