"""Two-sample tests: whether two sets of rows come from one distribution, each with how far they are apart. Plain functions."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.distance import cdist

from lambent.errors import UsageError

EXACT = (
    1000  # rows of the larger set up to which the distribution of Kolmogorov and Smirnov's distance is computed exactly
)
DRAWS = 9999  # tables of counts that a chi-squared test draws where its own distribution is not to be relied on
EXPECTED = 5.0  # the expected count from which it is
SWEEP = 500  # permutations, or drawn tables, at a time

Numbers = NDArray[np.float64]


class Tested(NamedTuple):
    """A test's statistic, from 0 (alike) to 1 (nothing in common), and its p-value under no difference."""

    distance: float
    p: float


def kolmogorov_smirnov(first: Numbers, second: Numbers) -> Tested:
    """max |F(t) − G(t)| of two sets of numbers, and its p-value; conservative where values are tied.

    Gaps (NaN) are left out; where a side has no number at all there is nothing to compare: distance NaN, p 1.
    """
    a, b = (np.asarray(side, np.float64)[~np.isnan(side)] for side in (first, second))
    if not len(a) or not len(b):
        return Tested(float("nan"), 1.0)
    found = stats.ks_2samp(a, b, method="exact" if max(len(a), len(b)) <= EXACT else "asymp")
    return Tested(float(found.statistic), float(min(1.0, found.pvalue)))


def chi_squared(first: NDArray[np.int64], second: NDArray[np.int64], generator: np.random.Generator) -> Tested:
    """Half of Σ |share of a level in the first − in the second|, and the p-value of Pearson's χ² of homogeneity.

    first, second: counts [levels]. Where expected counts fall below 5 the p-value is (1 + #{χ² of a drawn table ≥ its own}) /
    (draws + 1), tables being drawn under the same margins (multivariate hypergeometric); else it is the asymptotic one.
    """
    counts = np.stack([np.asarray(first), np.asarray(second)]).astype(np.int64)
    counts = counts[:, counts.sum(0) > 0]
    rows = counts.sum(1)
    if not rows.all():
        return Tested(float("nan"), 1.0)
    if counts.shape[1] < 2:
        return Tested(0.0, 1.0)
    distance = float(np.abs(counts[0] / rows[0] - counts[1] / rows[1]).sum() / 2)
    margins = counts.sum(0)
    own = float(_pearson(counts[:1], margins, rows)[0])
    if (margins * rows.min() / rows.sum()).min() >= EXPECTED:
        return Tested(distance, float(stats.chi2.sf(own, counts.shape[1] - 1)))
    beyond = 0
    for start in range(0, DRAWS, SWEEP):
        size = min(SWEEP, DRAWS - start)
        drawn = generator.multivariate_hypergeometric(margins, int(rows[0]), size=size, method="marginals")
        beyond += int((_pearson(drawn, margins, rows) >= own * (1 - 1e-12)).sum())
    return Tested(distance, (1 + beyond) / (DRAWS + 1))


def _pearson(of_first: NDArray[np.int64], margins: NDArray[np.int64], rows: NDArray[np.int64]) -> Numbers:
    """χ² of tables [tables, levels] of two rows, of which the first is given and the margins are fixed."""
    expected = margins * (rows[0] / rows.sum())
    # Both rows deviate alike, so that their terms add up to one with 1/e + 1/e'.
    weight = 1 / expected + 1 / (margins - expected)
    return np.asarray(((of_first - expected) ** 2 * weight).sum(1), np.float64)


def energy(first: Numbers, second: Numbers, permutations: int, generator: np.random.Generator) -> Tested:
    """The energy distance of two sets of vectors, as a share of what it could be, and its permutation p-value.

    With E = 2 E‖X − Y‖ − E‖X − X′‖ − E‖Y − Y′‖ the distance is E / (2 E‖X − Y‖), in [0, 1] and 0 only where both have one
    distribution. p = (1 + #{E after exchanging rows at random ≥ E}) / (permutations + 1). first [n, d], second [m, d].
    Székely and Rizzo, 2013.
    """
    n, m = len(first), len(second)
    if not n or not m:
        raise UsageError("a distance between two sets of rows needs rows in both")
    together = np.concatenate([first, second]).astype(np.float64)
    distances = cdist(together, together)
    signs = np.concatenate([np.full(n, 1 / n), np.full(m, -1 / m)])

    def between(side: Numbers) -> Numbers:
        return np.asarray(-(side * (distances @ side)).sum(0))

    own = float(between(signs[:, None])[0])
    beyond = 0
    for start in range(0, permutations, SWEEP):
        size = min(SWEEP, permutations - start)
        shuffled = generator.permuted(np.repeat(signs[:, None], size, 1), axis=0)
        # Sums in another order differ in their last digits.
        beyond += int((between(shuffled) >= own - 1e-12 * abs(own)).sum())
    reach = 2 * float(distances[:n, n:].mean())
    return Tested(max(0.0, own) / reach if reach > 0 else 0.0, (1 + beyond) / (permutations + 1))


def holm(p: Numbers) -> Numbers:
    """p-values adjusted for how many there are: max over those not larger of min(1, (k − rank + 1) p). Holm, 1979.

    Whatever hangs together, the chance that any true null hypothesis has an adjusted p ≤ α is at most α.
    """
    p = np.asarray(p, np.float64)
    order = np.argsort(p, kind="stable")
    scaled = np.minimum(1.0, p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(scaled) if len(p) else scaled
    return adjusted
