"""Codes z on a grid: the posteriors they are popped from and the priors they are pushed under."""

import numpy as np
from torch.distributions import Distribution

from lambent.codec.exact.dyadic import FRACTION
from lambent.codec.leaves.dyadics import dyadic, within
from lambent.codec.leaves.families import INVERSE, NORMAL, STEEPEST, inverse
from lambent.codec.leaves.located import POINT, Located
from lambent.codec.stack import Numbers
from lambent.codec.symbols import Symbols
from lambent.distributions import DiagonalNormal, StandardNormal, vector
from lambent.errors import UsageError

STEP = 8  # bits of a code, at most: z = k 2^-8
RANGE = 64  # −64 ≤ z < 64
DEVIATIONS = 8  # that a window reaches on either side


class Codes(Located):
    """N(μ, σ²) over codes k = 2^step z, −64 ≤ z < 64.

    location: μ, log_scale: log σ, both in 2^-12, [codes]. window: only k within 8 deviations of μ can be, so that none far off is
    drawn; for posteriors. Without, all can, as a prior must code them. step: 0 … 8, of each code, or of all.
    """

    def __init__(self, location: Numbers, log_scale: Numbers, window: bool, step: Numbers | int = STEP) -> None:
        edge = RANGE << np.asarray(step, np.int64)
        centre = within(location << (POINT + step - FRACTION), -edge << POINT, edge << POINT)
        precision = within(inverse(log_scale, 2.0**-STEP) << (STEP - step), 1, STEEPEST)
        low, high = -edge, edge - 1
        if window:
            reach = (DEVIATIONS << INVERSE) // precision + 1
            middle = np.minimum(centre >> POINT, edge - 1)
            low, high = np.maximum(middle - reach, -edge), np.minimum(middle + 1 + reach, edge - 1)
        super().__init__(NORMAL, centre, precision, low, high)


def coder(d: Distribution, *, window: bool, steps: Numbers | int = STEP) -> Symbols:
    """The codes of a diagonal normal with dyadic parameters, rows after rows, [rows · units].

    window: true of a posterior, whose draws are to be near its middle; false of a prior, which has to code whatever was drawn.
    steps: bits of the codes of each unit, [units], or of all: z = k 2^-steps.
    Raises `UsageError` for any other distribution.
    """
    d = vector(d)
    if isinstance(d, StandardNormal):
        nought = np.zeros(d.event_shape.numel(), np.int64)
        return Codes(nought, nought, window, steps)
    if not isinstance(d, DiagonalNormal):
        raise UsageError(
            f"codes of a {type(d).__name__} cannot be coded: use a Diagonal or a Constant posterior, whose codes can"
        )
    location, log_scale = dyadic(d.location), dyadic(d.log_scale.expand_as(d.location))
    each = np.broadcast_to(np.asarray(steps, np.int64), location.shape)
    return Codes(location.reshape(-1), log_scale.reshape(-1), window, each.reshape(-1))
