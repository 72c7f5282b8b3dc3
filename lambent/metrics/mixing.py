"""Mixing: whether the batches of an experiment lie among each other in a code, kind by kind. Plain functions."""

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.distance import cdist

from lambent.errors import UsageError

Numbers = NDArray[np.float64]

PIECE = 1 << 22  # distances that are held at a time
TIES = 1e-5  # how near the perplexity of a neighbourhood is brought to what was asked for, in nats
HALVINGS = 60
LEAST_NEIGHBOURS = 3
FEWEST_RUNS = 10  # cells of a label below which it says nothing of mixing


class Rejection(NamedTuple):
    """kBET: the share of neighbourhoods whose batches are not those of all cells at α, and what chance alone would reject."""

    rejected: float
    expected: float

    @property
    def accepted(self) -> float:
        """1 − rejected: 1 − α where batches are mixed, 0 where they lie apart."""
        return 1 - self.rejected


def bras(codes: Numbers, labels: Any, batches: Any, metric: Literal["cosine", "euclidean"] = "cosine") -> float:
    """Batch removal adapted silhouette: 1 where the batches of each kind of cell lie alike, 0 where they lie apart.

    s_i = (b_i − a_i) / max(a_i, b_i), a_i the mean distance to the other cells of the same label and batch, b_i that to the cells
    of the same label in all other batches (the nearest batch alone would hide one that lies apart); the mean over labels of the
    mean of 1 − |s_i|. Cells alone in their label and batch have s = 0. codes: [cells, units]; labels, batches: [cells].
    Rautenstrauch and Ohler, Shortcomings of silhouette in single-cell integration benchmarking, 2025.
    Raises `UsageError` where no label was seen in two batches.
    """
    codes, labels, batches = _checked(codes, batches, labels)
    found = []
    for label in np.unique(labels):
        own, of = codes[labels == label], batches[labels == label]
        if len(np.unique(of)) > 1:
            found.append(float((1 - np.abs(_silhouettes(own, of, metric))).mean()))
    if not found:
        raise UsageError(
            "no label was seen in two batches, so that none could be mixed: give labels that batches share"
        )
    return float(np.mean(found))


def _silhouettes(codes: Numbers, batches: NDArray[np.int64], metric: str) -> Numbers:
    """s of each cell between its own batch and all others, [cells]."""
    own_batch = batches[:, None] == np.unique(batches)
    found = np.zeros(len(codes))
    for rows in _pieces(len(codes)):
        distances = cdist(codes[rows], codes, metric)
        sums, counts = distances @ own_batch, own_batch.sum(0)
        mine = own_batch[rows]
        within, others = (sums * mine).sum(1), (sums * ~mine).sum(1)
        many = (counts * mine).sum(1)
        a, b = within / np.maximum(many - 1, 1), others / (len(codes) - many)
        found[rows] = np.where(many > 1, (b - a) / np.maximum(np.maximum(a, b), 1e-300), 0.0)
    return found


def ilisi(codes: Numbers, batches: Any, perplexity: float = 30.0) -> float:
    """Integration LISI: how many batches the neighbourhood of a cell holds in effect, from 1 to their number; the median.

    1 / Σ_b p_b², p_b the share of batch b among the 3 · perplexity nearest other cells under Gaussian weights of that perplexity.
    Korsunsky et al., Fast, sensitive and accurate integration of single-cell data with Harmony, 2019.
    """
    return float(np.median(lisi(codes, batches, perplexity)))


def lisi(codes: Numbers, groups: Any, perplexity: float = 30.0) -> Numbers:
    """The same of every cell, [cells], for any groups."""
    codes, groups = np.asarray(codes, np.float64), _numbered(groups)
    _require(codes, groups)
    if not perplexity >= 1:
        raise UsageError(f"perplexity is a number of neighbours, at least 1, not {perplexity}")
    count = int(min(len(codes) - 1, max(LEAST_NEIGHBOURS, round(3 * perplexity))))
    perplexity = min(perplexity, count / 3)
    places, distances = _neighbours(codes, count)
    weights = _of_perplexity(distances, max(perplexity, 1.0))
    member = groups[places][..., None] == np.arange(groups.max() + 1)
    shares = (weights[..., None] * member).sum(1)
    return np.asarray(1 / (shares**2).sum(1))


def kbet(
    codes: Numbers, batches: Any, neighbours: int | None = None, alpha: float = 0.05, tested: int = 1000
) -> Rejection:
    """k-nearest-neighbour batch effect test: in how many neighbourhoods the batches are not in the proportions of all cells.

    Pearson's χ² of the batches of the k nearest cells (the cell's own among them) beside those expected, at level α, over
    `tested` cells at even steps. neighbours: k; by default a quarter of the mean size of a batch. A share near α is what chance
    rejects where batches are mixed; 1 where they lie apart. Büttner et al., A test metric for assessing single-cell RNA-seq batch
    correction, 2019.
    """
    codes, groups = np.asarray(codes, np.float64), _numbered(batches)
    _require(codes, groups)
    shares = np.bincount(groups) / len(groups)
    if neighbours is None:
        neighbours = max(10, round(len(groups) / len(shares) / 4))
    if not 1 < neighbours <= len(groups):
        raise UsageError(f"neighbours must be from 2 to the number of cells, {len(groups)}, not {neighbours}")
    rows = np.unique(np.linspace(0, len(codes) - 1, min(tested, len(codes))).round().astype(int))
    places, _ = _neighbours(codes, neighbours - 1, rows)
    near = np.concatenate((rows[:, None], places), 1)
    counts = (groups[near][..., None] == np.arange(len(shares))).sum(1)
    expected = neighbours * shares
    statistic = ((counts - expected) ** 2 / expected).sum(1)
    p_values = stats.chi2(len(shares) - 1).sf(statistic)
    return Rejection(float((p_values < alpha).mean()), alpha)


def kbet_by_label(codes: Numbers, labels: Any, batches: Any, alpha: float = 0.05) -> Rejection:
    """kBET within each label, so that batches of other proportions of kinds are not blamed for them; the mean over labels.

    Labels of one batch, or of fewer than ten cells, say nothing and are left out.
    """
    codes, labels, batches = _checked(codes, batches, labels)
    found = []
    for label in np.unique(labels):
        chosen = labels == label
        if chosen.sum() >= FEWEST_RUNS and len(np.unique(batches[chosen])) > 1:
            found.append(kbet(codes[chosen], batches[chosen], alpha=alpha).rejected)
    if not found:
        raise UsageError(
            "no label was seen in two batches, so that none could be mixed: give labels that batches share"
        )
    return Rejection(float(np.mean(found)), alpha)


def _neighbours(codes: Numbers, count: int, rows: NDArray[np.int64] | None = None) -> tuple[NDArray[np.int64], Numbers]:
    """Places of the nearest other cells and their distances, [rows, count], the nearest first."""
    rows = np.arange(len(codes)) if rows is None else rows
    places, distances = np.empty((len(rows), count), np.int64), np.empty((len(rows), count))
    for part in _pieces(len(rows), len(codes)):
        far = cdist(codes[rows[part]], codes)
        far[np.arange(len(far)), rows[part]] = np.inf
        near = np.argpartition(far, count - 1, 1)[:, :count] if count < far.shape[1] else np.argsort(far, 1)
        order = np.take_along_axis(near, np.argsort(np.take_along_axis(far, near, 1), 1, kind="stable"), 1)
        places[part], distances[part] = order, np.take_along_axis(far, order, 1)
    return places, distances


def _of_perplexity(distances: Numbers, perplexity: float) -> Numbers:
    """Gaussian weights of neighbours, [cells, count], each row of one sum and of this perplexity, by halving intervals."""
    squares = (distances - distances[:, :1]) ** 2 + 2 * distances[:, :1] * (distances - distances[:, :1])
    low, high = np.full(len(squares), -50.0), np.full(len(squares), 50.0)  # log precision, in units of the mean square
    scale = np.maximum(squares.mean(1), 1e-300)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        weights = np.exp(-np.exp(middle)[:, None] * squares / scale[:, None])
        weights /= weights.sum(1, keepdims=True)
        entropy = -(weights * np.log(np.maximum(weights, 1e-300))).sum(1)
        wide = entropy > np.log(perplexity)
        low, high = np.where(wide, middle, low), np.where(wide, high, middle)
        if np.abs(entropy - np.log(perplexity)).max() < TIES:
            break
    return np.asarray(weights)


def _pieces(rows: int, columns: int | None = None) -> list[slice]:
    step = max(1, PIECE // max(1, columns or rows))
    return [slice(start, start + step) for start in range(0, rows, step)]


def _numbered(groups: Any) -> NDArray[np.int64]:
    return np.asarray(np.unique(np.asarray(groups), return_inverse=True)[1], np.int64).reshape(-1)


def _require(codes: Numbers, groups: NDArray[np.int64]) -> None:
    if codes.ndim != 2 or len(codes) != len(groups):
        raise UsageError(f"each cell has a code and a batch, and these are {list(codes.shape)} and {len(groups)}")
    if len(np.unique(groups)) < 2:
        raise UsageError("mixing is asked of two batches at least, and these cells are all of one")
    if len(codes) <= LEAST_NEIGHBOURS:
        raise UsageError(
            f"{len(codes)} cells have too few neighbours to be mixed among: {LEAST_NEIGHBOURS + 1} at least"
        )


def _checked(codes: Any, batches: Any, labels: Any) -> tuple[Numbers, NDArray[np.int64], NDArray[np.int64]]:
    codes, batches, labels = np.asarray(codes, np.float64), _numbered(batches), _numbered(labels)
    _require(codes, batches)
    if len(labels) != len(codes):
        raise UsageError(f"each cell has a label, and these are {len(codes)} cells and {len(labels)} labels")
    return codes, labels, batches
