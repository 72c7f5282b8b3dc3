"""Dyadic numbers: multiples of a power of two, whose sums of products are exact in float64 whatever their order.

Activations are multiples of 2⁻¹², weights of 2⁻¹⁶, so products are multiples of 2⁻²⁸; as long as no partial sum reaches 2²⁵, all
of them are among the float64 numbers, and nothing is ever rounded but where it is meant to be.
"""

import numpy as np
import torch
from torch import Tensor

from lambent.codec.stack import Numbers
from lambent.errors import UsageError

NUMERICS = 1  # of the rules by which weights become exact networks and tables; another number for any other bit
FRACTION = 12  # bits of an activation behind the point
WEIGHT = 16  # bits of a weight behind the point
LIMIT = 2.0**10  # the size to which a layer cuts its input
MANTISSA = 53
UNIT = 2.0**FRACTION


def rounded(x: Tensor, bits: int = FRACTION) -> Tensor:
    """The nearest multiples of 2^-bits, in float64; half of one goes up."""
    return (x.double() * 2.0**bits + 0.5).floor() * 2.0**-bits


def whole(x: Tensor) -> Numbers:
    """Multiples of 2⁻¹² as whole numbers of that unit, an array of int64."""
    numbers = (x * UNIT).to(torch.int64).cpu().numpy()
    return np.asarray(numbers, np.int64)


def check_sums(name: str, weight: Tensor, bias: Tensor, bits: int) -> None:
    """Refuse weights [outputs, inputs] and biases [outputs] by which a sum could pass what float64 holds exactly.

    Σ |w| · LIMIT + |b| + a rounding must stay below 2^53 products' units, for every output.
    """
    largest = weight.abs().sum(1) * LIMIT + bias.abs() + 1
    room = 2.0 ** (MANTISSA - FRACTION - bits)
    if not bool((largest < room).all()):
        found = float(largest.max()) / LIMIT
        raise UsageError(
            f"{name} weighs one of its outputs by {found:g} in all, and sums are exact up to {room / LIMIT:g} with weights of "
            f"{bits} bits behind the point: train with a smaller learning rate or with weight decay"
        )
