"""Codes z on a grid: the posteriors they are popped from and the priors they are pushed under."""

import numpy as np
from torch.distributions import Distribution

from lambent.codec.exact.dyadic import FRACTION
from lambent.codec.leaves.dyadics import dyadic, within
from lambent.codec.leaves.families import INVERSE, NORMAL, inverse
from lambent.codec.leaves.located import POINT, Located
from lambent.codec.stack import Numbers, Stack
from lambent.codec.symbols import Uniform, Variables
from lambent.distributions import DiagonalNormal, StandardNormal, vector
from lambent.errors import UsageError

STEP = 8  # bits of a code: z = k 2^-8
EDGE = 1 << 14  # −2^14 ≤ k < 2^14, so z lies in −64 … 64
REACH = 6  # deviations within which every code has a symbol of its own; a thousand-millionth lies beyond


class Codes(Variables):
    """N(μ, σ²) over codes k = 2^8 z, −2^14 ≤ k < 2^14.

    location: μ, log_scale: log σ, both in 2^-12, [codes]. window: only codes within 6 deviations of μ can be, so that none far
    off is drawn; for posteriors. Without, all can, as a prior has to code them: beyond 6 deviations there is one symbol for
    the side, as likely as that tail, then where there. A quantum for each of 2^15 codes would cost 0.003 bits,
    of a unit that tells nothing too.
    """

    def __init__(self, location: Numbers, log_scale: Numbers, window: bool) -> None:
        self.count, self.window = len(location), window
        centre = within(location << (POINT + STEP - FRACTION), -EDGE << POINT, EDGE << POINT)
        precision = inverse(log_scale, 2.0**-STEP)
        reach = (REACH << INVERSE) // precision + 1
        middle = np.minimum(centre >> POINT, EDGE - 1)
        low, high = np.maximum(middle - reach, -EDGE), np.minimum(middle + 1 + reach, EDGE - 1)
        self.near = Located(NORMAL, centre, precision, low, high)

    def push(self, stack: Stack, values: Numbers) -> None:
        near = within(values, self.near.low, self.near.high)
        if not self.window:
            where, beyond = self._beyond(near)
            beyond.push(stack, values[where])
        self.near.push(stack, near)

    def pop(self, stack: Stack) -> Numbers:
        values = self.near.pop(stack)
        if not self.window:
            where, beyond = self._beyond(values)
            values[where] = beyond.pop(stack)
        return values

    def _beyond(self, near: Numbers) -> tuple[Numbers, Uniform]:
        """Which values are at an end of what has symbols, and the codes that this stands for."""
        low, high = self.near.low, self.near.high
        where = np.flatnonzero((near == low) | (near == high))
        end = near[where]
        left = end == low[where]
        return where, Uniform(np.where(left, -EDGE, end), np.where(left, end, EDGE - 1))


def coder(d: Distribution, *, window: bool) -> Variables:
    """The codes of a diagonal normal with dyadic parameters, rows after rows, [rows · units].

    window: true of a posterior, whose draws are to be near its middle; false of a prior, which has to code whatever was drawn.
    Raises `UsageError` for any other distribution.
    """
    d = vector(d)
    if isinstance(d, StandardNormal):
        nought = np.zeros(d.event_shape.numel(), np.int64)
        return Codes(nought, nought, window)
    if not isinstance(d, DiagonalNormal):
        raise UsageError(
            f"codes of a {type(d).__name__} cannot be coded: use a Diagonal or a Constant posterior, whose codes can"
        )
    return Codes(dyadic(d.location).reshape(-1), dyadic(d.log_scale.expand_as(d.location)).reshape(-1), window)
