"""Numbers with the interval that they are known to, at 95 per cent."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lambent.errors import UsageError

LEVEL = 0.95
WIDE = 1.959963984540054  # standard deviations about the mean that hold so much of a normal distribution
RESAMPLES = 1000
Numbers = NDArray[np.float64]


class Interval(NamedTuple):
    """A number, and the ends of the interval that covers the true one in 95 of 100 cases."""

    value: float
    low: float
    high: float


def share(hits: NDArray[Any]) -> Interval:
    """The share of truths among [n], with Wilson's interval, which does not shrink to nothing where all are right.

    Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927. Errors: `UsageError` for no rows.
    """
    from scipy.stats import binomtest

    hits = np.asarray(hits, bool)
    if not len(hits):
        raise UsageError("a share is one of rows, and there are none")
    found = binomtest(int(hits.sum()), len(hits)).proportion_ci(LEVEL, "wilson")
    return Interval(float(hits.mean()), float(found.low), float(found.high))


def of_draws(values: NDArray[Any], rows: int) -> Interval:
    """The mean of shares [draws], one for each draw of what was learned from, all measured on the same `rows` rows.

    Its variance is that over draws, s² / draws, and that of the rows, p (1 − p) / rows. NaN as ends where there was one draw.
    """
    values = np.asarray(values, np.float64)
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(mean, math.nan, math.nan)
    spread = math.sqrt(values.var(ddof=1) / len(values) + max(mean * (1 - mean), 0.0) / rows)
    return Interval(mean, max(0.0, mean - WIDE * spread), min(1.0, mean + WIDE * spread))


def difference(first: NDArray[Any], second: NDArray[Any]) -> Interval:
    """The mean of first − second [n], two measurements of the same rows, by the standard error of their differences."""
    apart = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    error = WIDE * float(apart.std(ddof=1)) / math.sqrt(len(apart)) if len(apart) > 1 else math.nan
    return Interval(float(apart.mean()), float(apart.mean()) - error, float(apart.mean()) + error)


def explained(truth: Numbers, told: Numbers, seed: int = 0) -> Interval:
    """R² = 1 − Σ (y − ŷ)² / Σ (y − ȳ)² over rows [n], ends by resampling the rows a thousand times.

    1 for numbers told exactly, 0 for their mean, below 0 for worse than that. Efron, Bootstrap Methods, 1979.
    Errors: `UsageError` for numbers that are all alike.
    """
    truth, told = np.asarray(truth, np.float64), np.asarray(told, np.float64)
    if len(truth) < 2 or not truth.std():
        raise UsageError("R² compares errors with the spread of the numbers, and these are all alike")
    random = np.random.default_rng(seed)
    found = []
    for _ in range(RESAMPLES):
        rows = random.integers(0, len(truth), len(truth))
        found.append(_explained(truth[rows], told[rows]))
    low, high = np.nanquantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(_explained(truth, told), float(low), float(high))


def _explained(truth: Numbers, told: Numbers) -> float:
    spread = float(np.square(truth - truth.mean()).sum())
    return 1 - float(np.square(truth - told).sum()) / spread if spread else math.nan
