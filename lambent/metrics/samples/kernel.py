"""The kernel distance of two sets of features: an unbiased estimate of the squared maximum mean discrepancy."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lambent.errors import UsageError

Numbers = NDArray[np.float64]


class Estimate(NamedTuple):
    """A number with its standard error."""

    value: float
    error: float

    @classmethod
    def of(cls, values: NDArray[Any]) -> "Estimate":
        """The mean of numbers, or the share of truths, [n]; of a single one the error is not known (NaN)."""
        values = np.asarray(values, np.float64)
        error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
        return cls(float(values.mean()), error)


def kernel(first: Numbers, second: Numbers) -> Estimate:
    """MMD² = E k(x, x′) + E k(y, y′) − 2 E k(x, y), k(x, y) = (x·y / d + 1)³, over all pairs of different rows.

    first [n, d], second [m, d]. The mean of the estimate is MMD² whatever n and m, so that it may lie below 0. error: by the
    jackknife over the rows of both sides. Gretton et al., 2012; Bińkowski et al., Demystifying MMD GANs, 2018.
    Errors: `UsageError` for fewer than three rows on a side or for features of different widths.
    """
    x, y = (np.asarray(side, np.float64) for side in (first, second))
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 3:
        raise UsageError(f"a kernel distance is of rows [n, d], three on each side; these are {x.shape} and {y.shape}")
    n, m = len(x), len(y)
    within_x, within_y, across = _polynomial(x, x), _polynomial(y, y), _polynomial(x, y)
    np.fill_diagonal(within_x, 0.0)
    np.fill_diagonal(within_y, 0.0)
    sums = within_x.sum(1), within_y.sum(1), across.sum(1), across.sum(0)
    of_x, of_y, between = sums[0].sum() / (n * (n - 1)), sums[1].sum() / (m * (m - 1)), sums[2].sum() / (n * m)
    # Without one row: its pairs leave the sums.
    less_x = (sums[0].sum() - 2 * sums[0]) / ((n - 1) * (n - 2)) - 2 * (sums[2].sum() - sums[2]) / ((n - 1) * m)
    less_y = (sums[1].sum() - 2 * sums[1]) / ((m - 1) * (m - 2)) - 2 * (sums[3].sum() - sums[3]) / ((m - 1) * n)
    variance = (n - 1) * less_x.var() + (m - 1) * less_y.var()
    return Estimate(float(of_x + of_y - 2 * between), float(np.sqrt(variance)))


def _polynomial(x: Numbers, y: Numbers) -> Numbers:
    return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)
