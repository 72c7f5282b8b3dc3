"""Nearest training neighbours, and whether drawn features lean to them: what tells a memory from a model."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from lambent.errors import UsageError
from lambent.metrics.samples.kernel import Estimate

ROUNDS = 30  # of expectation-maximization
FLOOR = 1e-3  # of the mean squared distance of (a thousand) training rows to their nearest other: no centre is narrower
SWEEP = 1000  # rows at a time
DRAWS = 20  # of as many training rows as there are unseen ones

Numbers = NDArray[np.float64]


class Near(NamedTuple):
    """Of every row the place of its nearest row of another set, and the distance."""

    place: NDArray[np.int64]
    distance: Numbers


def nearest(rows: Numbers, others: Numbers) -> Near:
    """The nearest of `others` [m, d] to each of `rows` [n, d], by Euclidean distance."""
    found: list[NDArray[np.int64]] = []
    apart: list[Numbers] = []
    for start in range(0, len(rows), SWEEP):
        far = cdist(rows[start : start + SWEEP], others)
        found.append(far.argmin(1))
        apart.append(far.min(1))
    return Near(np.concatenate(found), np.concatenate(apart))


def nearer_training(drawn: Numbers, training: Numbers, unseen: Numbers, generator: np.random.Generator) -> Estimate:
    """The share of drawn rows that are nearer to a training row than to an unseen one, of as many of either: ½ by chance.

    Where there are more training rows, several random draws of as many are averaged; a tie counts half.
    error: ½ √(1/n + 1/m), with n drawn rows and m the effective number of unseen ones that are nearest to any, (Σ c)² / Σ c² of
    how often each is: rows far from all others have one and the same nearest, and say no more than it does.
    """
    fewer = min(len(training), len(unseen))
    place, other = nearest(drawn, unseen[generator.permutation(len(unseen))[:fewer]])
    often = np.bincount(place).astype(np.float64)
    shares = []
    for _ in range(DRAWS if len(training) > fewer else 1):
        own = nearest(drawn, training[generator.permutation(len(training))[:fewer]]).distance
        shares.append(((own < other) + 0.5 * (own == other)).mean())
    share = float(np.mean(shares))
    return Estimate(share, float(np.sqrt(0.25 * (1 / len(drawn) + (often**2).sum() / often.sum() ** 2))))


def likelihood_gap(drawn: Numbers, training: Numbers, unseen: Numbers) -> Estimate:
    """How much likelier drawn features make the training rows than unseen ones, in nats per feature: 0 of what knows neither.

    A mixture of Gaussians, one around each drawn row y_j with a variance of its own, log p(x) = log mean_j N(x; y_j, σ_j² I),
    the σ_j fitted to the training rows by expectation-maximization; the gap is (E_train log p − E_unseen log p) / d. Around
    copies of training rows σ_j shrinks (not below a floor), and unseen rows get unlikely. Jiralerspong et al., Feature
    Likelihood Divergence, 2023. error: of a difference of two means. drawn [n, d], training [m, d], unseen [k, d].
    """
    sides = [np.asarray(side, np.float64) for side in (drawn, training, unseen)]
    if min(map(len, sides)) < 2:
        raise UsageError("a likelihood gap needs at least two rows each of drawn, training and unseen ones")
    centres, real, other = sides
    wide = centres.shape[1]
    apart = cdist(real, centres, "sqeuclidean")
    few = real[:SWEEP]
    own = cdist(few, few, "sqeuclidean")
    np.fill_diagonal(own, np.inf)
    floor = max(FLOOR * float(own.min(1).mean()) / wide, 1e-12)
    variance = np.full(len(centres), max(float(apart.min(1).mean()) / wide, floor))
    for _ in range(ROUNDS):
        share = _weights(apart, variance, wide)
        total = share.sum(0)
        # A centre that no row is near to keeps its width.
        wanted = (share * apart).sum(0) / (wide * np.maximum(total, 1e-12))
        variance = np.where(total > 1e-8, np.maximum(wanted, floor), variance)
    trained = _log_mean(apart, variance, wide) / wide
    held = _log_mean(cdist(other, centres, "sqeuclidean"), variance, wide) / wide
    error = np.sqrt(trained.var(ddof=1) / len(trained) + held.var(ddof=1) / len(held))
    return Estimate(float(trained.mean() - held.mean()), float(error))


def _log_terms(apart: Numbers, variance: Numbers, wide: int) -> Numbers:
    return np.asarray(-0.5 * (apart / variance + wide * np.log(2 * np.pi * variance)))


def _weights(apart: Numbers, variance: Numbers, wide: int) -> Numbers:
    terms = _log_terms(apart, variance, wide)
    terms -= terms.max(1, keepdims=True)
    np.exp(terms, out=terms)
    return np.asarray(terms / terms.sum(1, keepdims=True))


def _log_mean(apart: Numbers, variance: Numbers, wide: int) -> Numbers:
    terms = _log_terms(apart, variance, wide)
    top = terms.max(1)
    return np.asarray(top + np.log(np.exp(terms - top[:, None]).mean(1)))
