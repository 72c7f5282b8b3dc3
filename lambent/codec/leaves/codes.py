"""Codes z on a grid: the posteriors they are popped from and the priors they are pushed under."""

import numpy as np
from torch.distributions import Distribution

from lambent.codec.exact.dyadic import FRACTION
from lambent.codec.leaves.dyadics import dyadic, within
from lambent.codec.leaves.families import INVERSE, NORMAL, STEEPEST, inverse
from lambent.codec.leaves.located import POINT, Located
from lambent.codec.stack import Numbers, Stack
from lambent.codec.symbols import Uniform, Variables
from lambent.distributions import DiagonalNormal, QuantizedMap, vector
from lambent.errors import UsageError

STEP = 8  # bits of a code, at most: z = k 2^-8
RANGE = 64  # −64 ≤ z < 64
REACH = 6  # deviations within which every code has a symbol of its own; a thousand-millionth lies beyond


class Codes(Variables):
    """N(μ, σ²) over codes k = 2^step z, −64 ≤ z < 64.

    location: μ, log_scale: log σ, both in 2^-12, [codes]. window: only codes within 6 deviations of μ can be, so that none far
    off is drawn; for posteriors. Without, all can, as a prior has to code them: beyond 6 deviations there is one symbol for the
    side, as likely as that tail, then where there. A quantum for each of 2^15 codes would cost 0.003 bits, of a unit that tells
    nothing too. step: 0 … 8, of each code, or of all.
    """

    def __init__(self, location: Numbers, log_scale: Numbers, window: bool, step: Numbers | int = STEP) -> None:
        self.count, self.window = len(location), window
        self.edge = np.broadcast_to(RANGE << np.asarray(step, np.int64), location.shape)
        centre = within(location << (POINT + step - FRACTION), -self.edge << POINT, self.edge << POINT)
        precision = within(inverse(log_scale, 2.0**-STEP) << (STEP - step), 1, STEEPEST)
        reach = (REACH << INVERSE) // precision + 1
        middle = np.minimum(centre >> POINT, self.edge - 1)
        low, high = np.maximum(middle - reach, -self.edge), np.minimum(middle + 1 + reach, self.edge - 1)
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
        end, edge = near[where], self.edge[where]
        left = end == low[where]
        return where, Uniform(np.where(left, -edge, end), np.where(left, end, edge - 1))


class Certain(Variables):
    """Numbers of which each can be but one value: they cost nothing, and to draw them takes nothing from the stack."""

    def __init__(self, values: Numbers) -> None:
        self.values, self.count = values, len(values)

    def push(self, stack: Stack, values: Numbers) -> None:
        pass

    def pop(self, stack: Stack) -> Numbers:
        return self.values


def coder(d: Distribution, *, window: bool, steps: Numbers | int = STEP) -> Variables:
    """The codes of a diagonal normal with dyadic parameters, rows after rows, [rows · units]; the numbers of a map of entries.

    window: true of a posterior, whose draws are to be near its middle; false of a prior, which has to code whatever was drawn.
    steps: bits of the codes of each unit, [units], or of all: z = k 2^-steps.
    Raises `UsageError` for any other distribution.
    """
    if isinstance(d, QuantizedMap):
        return Certain(d.numbers.reshape(-1).cpu().numpy())
    d = vector(d)
    if not isinstance(d, DiagonalNormal):
        raise UsageError(
            f"codes of a {type(d).__name__} cannot be coded: use a Diagonal or a Constant posterior, whose codes can"
        )
    location, log_scale = dyadic(d.location), dyadic(d.log_scale.expand_as(d.location))
    each = np.broadcast_to(np.asarray(steps, np.int64), location.shape)
    return Codes(location.reshape(-1), log_scale.reshape(-1), window, each.reshape(-1))
