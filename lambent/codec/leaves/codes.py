"""Codes z on a grid: the posteriors they are popped from and the priors they are pushed under."""

import numpy as np
from torch.distributions import Distribution

from lambent.codec.exact.dyadic import FRACTION
from lambent.codec.leaves.dyadics import dyadic, within
from lambent.codec.leaves.located import INVERSE, NORMAL, POINT, Located, inverse
from lambent.codec.stack import Numbers
from lambent.codec.symbols import Symbols
from lambent.distributions import DiagonalNormal, StandardNormal, vector
from lambent.errors import UsageError

STEP = 8  # bits of a code: z = k 2^-8
EDGE = 1 << 14  # −2^14 ≤ k < 2^14, so z lies in −64 … 64
DEVIATIONS = 8  # that a window reaches on either side


class Codes(Located):
    """N(μ, σ²) over codes k = 2^8 z, −2^14 ≤ k < 2^14.

    location: μ, log_scale: log σ, both in 2^-12, [codes]. window: only k within 8 deviations of μ can be, so that none far off is
    drawn; for posteriors. Without, all can, as a prior must code them.
    """

    def __init__(self, location: Numbers, log_scale: Numbers, window: bool) -> None:
        centre = within(location << (POINT + STEP - FRACTION), -EDGE << POINT, EDGE << POINT)
        precision = inverse(log_scale, 2.0**-STEP)
        low: Numbers | int = -EDGE
        high: Numbers | int = EDGE - 1
        if window:
            reach = (DEVIATIONS << INVERSE) // precision + 1
            middle = np.minimum(centre >> POINT, EDGE - 1)
            low, high = np.maximum(middle - reach, -EDGE), np.minimum(middle + 1 + reach, EDGE - 1)
        super().__init__(NORMAL, centre, precision, low, high)


def coder(d: Distribution, *, window: bool) -> Symbols:
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
