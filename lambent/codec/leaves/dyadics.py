"""Numbers as the networks give them, in whole 2^-12."""

import numpy as np
from torch import Tensor

from lambent.codec.exact.dyadic import FRACTION
from lambent.codec.exact.elementary import Reals
from lambent.codec.stack import Numbers

FURTHEST = 2.0**18


def dyadic(x: Tensor) -> Numbers:
    """x in 2^-12, the nearest whole number; exact for multiples of it. What is beyond ±2^18 is brought there, NaN is nought."""
    return nearest(x.detach().double().cpu().numpy())


def nearest(x: Reals) -> Numbers:
    """The same of an array."""
    near = np.minimum(np.maximum(np.where(np.isnan(x), 0.0, x), -FURTHEST), FURTHEST)
    return np.asarray(np.floor(near * (1 << FRACTION) + 0.5).astype(np.int64))


def within(x: Numbers, low: Numbers | int, high: Numbers | int) -> Numbers:
    """x limited to low … high; faster than numpy's clip of small arrays."""
    return np.asarray(np.minimum(np.maximum(x, low), high))
