"""Triangular factors of covariances in whole numbers."""

import numpy as np

from lambent.codec.exact.elementary import Reals
from lambent.codec.stack import Numbers

FINEST = 16  # bits of an entry of an inverse, or of a regression, at most
BOUND = 52  # bits of sums in float64 that are exact in any order
APART = 20  # bits of z − μ: both within ±64, in 2^-12
STEEP = 2.0**14  # entries are limited to it


class Triangular:
    """Lower-triangular L_c: strictly below the diagonal `below` [components, units, units], on it `diagonal` [components, units].

    With M = L⁻¹ and D = diag L, D M (z − μ) = (I − B)(z − μ) is z_j − μ_j less what the units before tell of it. Forward
    substitution by operations of IEEE 754 on whole arrays, one after another: the same bits on every machine.
    """

    def __init__(self, below: Reals, diagonal: Reals) -> None:
        count, units = diagonal.shape
        inverse = np.zeros((count, units, units))
        inverse[:, range(units), range(units)] = 1.0
        with np.errstate(over="ignore", invalid="ignore"):
            for k in range(units):
                inverse[:, k] = inverse[:, k] / diagonal[:, k, None]
                inverse[:, k + 1 :] = inverse[:, k + 1 :] - below[:, k + 1 :, k, None] * inverse[:, k, None]
            regression = -inverse * diagonal[:, :, None]
        regression[:, range(units), range(units)] = 0.0
        self.inverse, self.inverse_bits = _whole(inverse)
        self.regression, self.regression_bits = _whole(regression)
        self.matrix = self.inverse.astype(np.float64)

    def standardized(self, apart: Numbers) -> Numbers:
        """L⁻¹ (z − μ), [rows, components, units], of `apart` z − μ, both in 2^-12."""
        columns = apart.astype(np.float64).transpose(1, 2, 0)  # [components, units, rows]
        products = (self.matrix @ columns).astype(np.int64)
        return np.asarray((products >> self.inverse_bits).transpose(2, 0, 1))

    def regressed(self, unit: int, apart: Numbers, chosen: Numbers) -> Numbers:
        """Σ_{k<j} B_jk (z_k − μ_k) of the chosen components, [rows] in 2^-12; apart: [rows, units], in 2^-12."""
        products = self.regression[chosen, unit, :unit] * apart[:, :unit]
        return np.asarray(products.sum(1) >> self.regression_bits)


def _whole(matrices: Reals) -> tuple[Numbers, int]:
    """Whole numbers in 2^-bits, with as many bits as leave every sum of a row's products with z − μ exact in float64."""
    limited = np.minimum(np.maximum(np.nan_to_num(matrices), -STEEP), STEEP)
    largest = int(np.floor(np.abs(limited)).astype(np.int64).sum(-1).max(initial=0)) + matrices.shape[-1]
    bits = min(FINEST, BOUND - APART - largest.bit_length())
    return np.floor(limited * 2.0**bits + 0.5).astype(np.int64), bits
