"""Pixels under mixtures of logistics cut into grey levels."""

from functools import lru_cache

import numpy as np
from torch import Tensor

from lambent.codec.exact import elementary
from lambent.codec.exact.dyadic import FRACTION, whole
from lambent.codec.leaves.dyadics import nearest, within
from lambent.codec.leaves.emissions import Emission, emission
from lambent.codec.leaves.families import LOGISTIC, inverse
from lambent.codec.leaves.finite import normalized, shares
from lambent.codec.leaves.located import SHARE, Located
from lambent.codec.stack import Numbers
from lambent.codec.symbols import Symbols
from lambent.model.likelihoods import DiscretizedLogistics

BENT = 9  # a coupling beyond it is ±1 to 2^-12


class Pixels(Emission):
    """Rows under `DiscretizedLogistics`, [channels, height, width], channel after channel.

    The component of a pixel is the same in all its channels, so those before tell which it may be: w_c ∝ w_c P_c(x_before).
    raw: [rows, components · numbers, height, width], multiples of 2^-12.
    """

    def __init__(self, likelihood: DiscretizedLogistics, raw: Tensor) -> None:
        self.rows, self.event, self.stages = len(raw), likelihood.event, likelihood.event[0]
        self.white = likelihood.levels - 1
        count, width, channels = likelihood.components, likelihood.raw_channels, likelihood.event[0]
        by_number = whole(raw).reshape(self.rows, count, width, -1).transpose(2, 1, 0, 3).reshape(width, count, -1)
        self.logits = by_number[0] if count > 1 else None
        location, log_scale, coupling = np.split(by_number[1 if count > 1 else 0 :], (channels, 2 * channels))
        self.location = (location + (1 << FRACTION)) * self.white  # in 2^-13 of a level, for −1 … 1 is the range
        least = int(nearest(-7.0 - elementary.log(self.white / 255)))  # as the likelihood limits it
        self.inverse = inverse(within(log_scale - (2 << FRACTION), least, 3 << FRACTION), 2 / self.white)
        self.coupling = np.take(_bent(), within(coupling, -BENT << FRACTION, BENT << FRACTION) + (BENT << FRACTION))

    def symbols(self, stage: int, before: list[Numbers], last: Symbols | None) -> Symbols:
        location, weights = self.location[stage], None
        if len(self.coupling):
            for coupling, x in zip(self.coupling[stage * (stage - 1) // 2 :], before, strict=False):
                location = location + coupling * (2 * x - self.white)
        if self.logits is not None:
            weights = _updated(last, before[-1]) if isinstance(last, Located) else shares(self.logits)
        return Located(LOGISTIC, location, self.inverse[stage], 0, self.white, weights)

    def parted(self, x: Numbers) -> list[Numbers]:
        return list(x.reshape(self.rows, self.stages, -1).transpose(1, 0, 2).reshape(self.stages, -1))

    def joined(self, parts: list[Numbers]) -> Numbers:
        planes = np.stack(parts).reshape(self.stages, self.rows, -1)
        return np.asarray(planes.transpose(1, 0, 2).reshape(self.rows, *self.event))


@emission.register
def _(likelihood: DiscretizedLogistics, raw: Tensor) -> Emission:
    return Pixels(likelihood, raw)


def _updated(mixed: Located, x: Numbers) -> Numbers:
    """Weights of the components given a value of each variable, [components, variables] in 2^-20."""
    masses = mixed.masses(x)
    greatest = masses.max(0).view(np.uint64)
    return normalized(((masses << (SHARE - 2)).view(np.uint64) // greatest).view(np.int64))


@lru_cache(1)
def _bent() -> Numbers:
    places = np.arange(-BENT << FRACTION, (BENT << FRACTION) + 1) / (1 << FRACTION)
    return nearest(elementary.tanh(places))
