"""Ways to group codes: Gaussian mixtures, k-means, along the manifold; the number by a criterion where none is given."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lambent.errors import DataError, UsageError
from lambent.tasks.map.layouts import laid

LOOKED_AT = 10_000  # rows that the number of groups is found by
TIRED = 3  # numbers in a row that bring nothing better: the search ends
FULL = 64  # units up to which a Gaussian may have a full covariance
STARTS = 3
LAYOUTS, IN_A_PLANE = 4, 30  # layouts that groups are looked for in, and starts in each: few groups cost little there
Codes = NDArray[np.float64]


@dataclass(frozen=True)
class Groups:
    """of: the group of each row, [rows]; centres [groups, units]; probabilities [rows, groups] or None.

    tried: the criterion by number of groups, the lower the better; empty where the number was given. how: the way, in words.
    """

    of: NDArray[np.int64]
    centres: Codes
    how: str
    probabilities: Codes | None = None
    tried: dict[int, float] = field(default_factory=dict)


def mixture(codes: Codes, count: int | None, most: int, seed: int) -> Groups:
    """Gaussian mixtures by expectation-maximization, diagonal or with full covariances, whichever has the lower BIC.

    BIC = −2 log L + (numbers that are learned) · log rows. Schwarz, Estimating the Dimension of a Model, 1978. The largest group
    comes first.
    """
    shapes = ["diag", "full"] if codes.shape[1] <= FULL else ["diag"]
    some = _some(codes, seed)

    @cache
    def judged(number: int) -> tuple[float, str]:
        return min((float(_gaussians(some, number, shape, 1, seed).bic(some)), shape) for shape in shapes)

    number, tried = _searched(lambda number: judged(number)[0], count, most, len(some))
    shape = judged(number)[1]
    found = _gaussians(codes, number, shape, STARTS, seed)
    order = np.argsort(-found.weights_, kind="stable")
    chances = found.predict_proba(codes)[:, order]
    words = {"diag": "diagonal", "full": "full"}[shape]
    return Groups(chances.argmax(1), found.means_[order], f"a mixture of Gaussians, {words}", chances, tried)


def _gaussians(rows: Codes, number: int, shape: str, starts: int, seed: int) -> Any:
    """The likeliest of mixtures from so many starts."""
    from sklearn.mixture import GaussianMixture

    floor = max(1e-6 * float(rows.var(0).mean()), 1e-12)
    found = GaussianMixture(number, covariance_type=shape, n_init=starts, random_state=seed % 2**32, reg_covar=floor)
    return _calmly(lambda: found.fit(rows))


def means(codes: Codes, count: int | None, most: int, seed: int) -> Groups:
    """k-means, the best of several starts; the number of groups by the BIC of round Gaussians of one common variance.

    Lloyd, Least Squares Quantization in PCM, 1982; Pelleg & Moore, X-means, 2000. The largest group comes first.
    """
    some = _some(codes, seed)

    def fitted(rows: Codes, number: int) -> Any:
        from sklearn.cluster import KMeans

        return _calmly(lambda: KMeans(number, n_init=STARTS, random_state=seed % 2**32).fit(rows))

    def criterion(number: int) -> float:
        found = fitted(some, number)
        return round_bic(found.labels_, float(found.inertia_), some.shape[1])

    number, tried = _searched(criterion, count, most, len(some))
    found = fitted(codes, number)
    of, order = _largest_first(found.labels_, number)
    return Groups(of, found.cluster_centers_[order], "k-means", None, tried)


def manifold(codes: Codes, count: int | None, most: int, seed: int) -> Groups:
    """A mixture of Gaussians of the places where UMAP lays codes, which hold together rows that chains of neighbours connect.

    A group may have any shape among the codes. A layout is found by 20,000 rows, and the rest laid into it; of four, the one is
    taken in which groups stand out most: whose mixture is the likeliest beside a single Gaussian. McConville et al., N2D: (Not
    Too) Deep Clustering via Clustering the Local Manifold of an Autoencoded Embedding, 2021. Centres are the means of
    the codes of each group. Their number has to be given: a layout has no density that a criterion could judge.
    Errors: `MachineError` where umap-learn is not installed, `UsageError` for fewer than four rows, or without a number.
    """
    if count is None:
        raise UsageError(
            "clusters by manifold need their number, for a layout's density says nothing of it: give it (clusters, --clusters), "
            "or take mixture or kmeans, which look for it"
        )
    _refuse_impossible(count, len(codes))
    numbers = torch.from_numpy(codes).float()
    layouts = [laid(numbers, LAYOUTS * seed + k) for k in range(LAYOUTS)]
    number = min(count, len(layouts[0].points))
    mixtures = [_gaussians(one.points, number, "full", IN_A_PLANE, seed) for one in layouts]
    stand = [_standing_out(found, one.points) for found, one in zip(mixtures, layouts, strict=True)]
    best = int(np.argmax(stand))
    chances = mixtures[best].predict_proba(layouts[best].whole(numbers))
    of, order = _largest_first(chances.argmax(1), number)
    sums = np.zeros((number, codes.shape[1]))
    np.add.at(sums, of, codes)
    own = sums / np.maximum(np.bincount(of, minlength=number), 1)[:, None]
    how = f"a mixture of Gaussians of places laid by UMAP, the one of {LAYOUTS} layouts whose groups stand out most"
    return Groups(of, own, how, chances[:, order])


def _largest_first(of: NDArray[Any], number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Groups of rows under new numbers, and of each new number the old."""
    order = np.argsort(-np.bincount(of, minlength=number), kind="stable")
    place = np.empty(number, np.int64)
    place[order] = np.arange(number)
    return place[of], order


def _standing_out(found: Any, points: Codes) -> float:
    """log likelihood a row beside that of one Gaussian of all, up to a constant: the same at any scale of the plane."""
    return float(found.score(points)) + 0.5 * float(np.linalg.slogdet(np.cov(points.T))[1])


WAYS: dict[str, Callable[[Codes, int | None, int, int], Groups]] = {
    "mixture": mixture,
    "kmeans": means,
    "manifold": manifold,
}


def round_bic(groups: NDArray[Any], squares: float, units: int) -> float:
    """BIC of rows in hard groups, each a round Gaussian about its mean, all of one variance; squares: Σ ‖z − μ‖²."""
    sizes = np.bincount(groups)
    sizes = sizes[sizes > 0]
    rows, count = int(sizes.sum()), len(sizes)
    variance = max(squares / (units * max(1, rows - count)), np.finfo(float).tiny)
    fit = float((sizes * np.log(sizes / rows)).sum()) - 0.5 * rows * units * np.log(2 * np.pi * variance)
    fit -= squares / (2 * variance)
    learned = (count - 1) + count * units + 1
    return float(-2 * fit + learned * np.log(rows))


def _searched(
    criterion: Callable[[int], float], count: int | None, most: int, rows: int
) -> tuple[int, dict[int, float]]:
    """The number of groups, and the criterion of all that were tried."""
    _refuse_impossible(count, rows)
    if count is not None:
        return count, {}
    found: dict[int, float] = {}
    for number in range(1, min(most, rows // 2) + 1):
        found[number] = criterion(number)
        best = min(found, key=lambda one: found[one])
        if number - best >= TIRED:
            break
    return best, found


def _refuse_impossible(count: int | None, rows: int) -> None:
    if rows < 2:
        raise DataError("codes are grouped from two rows on, and there is one")
    if count is not None and not 1 <= count <= rows:
        raise UsageError(f"{rows:,} rows lie in 1 to {rows:,} clusters, not {count:,}")


def _some(codes: Codes, seed: int) -> Codes:
    if len(codes) <= LOOKED_AT:
        return codes
    return codes[np.sort(np.random.default_rng(seed).permutation(len(codes))[:LOOKED_AT])]


def _calmly(make: Callable[[], Any]) -> Any:
    """What it returns, without a warning of what has not settled to the last digit."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return make()


def ways(own: bool) -> Sequence[str]:
    """The names of ways, the prior's own first where there is one."""
    return [*(["prior"] if own else []), *WAYS]
