"""The Fréchet distance of two sets of features, with its standard error, and its limit for infinitely many of them."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lambent.errors import UsageError

RESAMPLES = 50
FEW = 10  # resamples of features wider than WIDE, whose matrices take long
WIDE = 256

Numbers = NDArray[np.float64]


class Frechet(NamedTuple):
    """The distance, its standard error, and what remains of it for infinitely many drawn rows, with its error."""

    value: float
    error: float
    limit: float
    limit_error: float


@dataclass(frozen=True)
class Moments:
    """Mean [d], covariance [d, d] (over n − 1) and its square root, of a set of features."""

    mean: Numbers
    covariance: Numbers
    root: Numbers

    @classmethod
    def of(cls, features: Numbers) -> "Moments":
        mean, covariance = _moments(_features(features))
        return cls(mean, covariance, _root(covariance))

    def distance(self, mean: Numbers, covariance: Numbers) -> float:
        """‖μ − m‖² + tr(Σ + C − 2 (Σ^½ C Σ^½)^½)."""
        inner = self.root @ covariance @ self.root
        cross = np.sqrt(np.linalg.eigvalsh((inner + inner.T) / 2).clip(0)).sum()
        apart = float(((self.mean - mean) ** 2).sum())
        return apart + float(np.trace(self.covariance) + np.trace(covariance) - 2 * cross)


def frechet(first: Numbers, second: Numbers) -> float:
    """‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½) of the Gaussians with the means and covariances of two sets [n, d], [m, d].

    The squared 2-Wasserstein distance of these Gaussians, in the square of the features' unit. Heusel et al., 2017.
    Errors: `UsageError` for fewer than two rows or for features of different widths.
    """
    real, other = Moments.of(first), _features(second)
    if other.shape[1] != len(real.mean):
        raise UsageError(f"features of {len(real.mean)} and {other.shape[1]} numbers have no distance")
    return max(0.0, real.distance(*_moments(other)))


def measured(real: Moments, drawn: Numbers, generator: np.random.Generator) -> Frechet:
    """The distance of drawn features [n, d] to real ones, and its limit for n → ∞.

    error: the deviation over bootstrap resamples of the drawn rows, too large where both sets have one distribution. Finite
    samples make the distance too large by about c/n, so that 2 F(n) − F(n/2), with the mean over random halves, is what is left
    for infinitely many. Chong & Forsyth, Effectively Unbiased FID and Inception Score, 2020.
    """
    drawn = _features(drawn)
    count = RESAMPLES if drawn.shape[1] <= WIDE else FEW
    n = len(drawn)
    whole = real.distance(*_moments(drawn))
    again = [real.distance(*_moments(drawn[generator.integers(0, n, n)])) for _ in range(count)]
    if n < 4:
        return Frechet(whole, float(np.std(again, ddof=1)), float("nan"), float("nan"))
    halves, apart = [], []
    for _ in range(max(2, count // 2)):
        order = generator.permutation(n)
        pair = [real.distance(*_moments(drawn[part])) for part in (order[: n // 2], order[n - n // 2 :])]
        halves += pair
        apart.append(pair[0] - pair[1])
    limit = 2 * whole - float(np.mean(halves))
    # Two halves are independent: their difference has twice the variance of one, which has twice that of the whole.
    error = float(np.std(again, ddof=1))
    return Frechet(max(0.0, whole), error, limit, max(error, float(np.sqrt(np.mean(np.square(apart)) / 4))))


def _features(rows: Numbers) -> Numbers:
    rows = np.asarray(rows, np.float64)
    if rows.ndim != 2 or len(rows) < 2:
        raise UsageError(f"features are rows [n, d] of at least two pictures, not of shape {list(rows.shape)}")
    return rows


def _moments(rows: Numbers) -> tuple[Numbers, Numbers]:
    mean = rows.mean(0)
    off = rows - mean
    return mean, off.T @ off / (len(rows) - 1)


def _root(covariance: Numbers) -> Numbers:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(values.clip(0))) @ vectors.T)
