"""Fidelity: how like the columns of two tables are, one by one and in pairs, as sdmetrics defines it."""

import numpy as np
from numpy.typing import NDArray

from lambent.metrics.tables.coded import Rows

BINS = 10
DENSE = 2**20  # cells of a contingency table up to which it is counted in full
STEPS = 16  # quantiles of a number, and levels of a category, whose information on others is taken
DIGITS = 14  # decimals up to which sdmetrics tells numbers apart


def shape(real: Rows, other: Rows, categories: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[D]: 1 − the Kolmogorov-Smirnov distance of numbers, 1 − the total variation of categories, of what is not missing.

    1: the same distribution, 0: nothing in common; NaN where either table has no value. The "Shape" of sdmetrics is the mean.
    """
    return np.array([_alike(real[:, j], other[:, j], bool(categories[j])) for j in range(real.shape[1])])


def _alike(real: NDArray[np.float64], other: NDArray[np.float64], category: bool) -> float:
    a, b = (np.round(values[~np.isnan(values)], DIGITS) for values in (real, other))
    if not len(a) or not len(b):
        return np.nan
    if category:
        levels = int(max(a.max(), b.max())) + 1
        shares = [np.bincount(values.astype(int), minlength=levels) / len(values) for values in (a, b)]
        return 1 - 0.5 * float(np.abs(shares[0] - shares[1]).sum())
    every = np.sort(np.concatenate((a, b)))
    below = [np.searchsorted(np.sort(values), every, "right") / len(values) for values in (a, b)]
    return 1 - float(np.abs(below[0] - below[1]).max())


def trend(real: Rows, other: Rows, categories: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[D, D]: how alike each pair of columns hangs together, from 0 to 1; NaN on the diagonal and of constant numbers.

    Two numbers: 1 − |r − r'| / 2 of Pearson's correlations, over rows where both are there. Two categories: 1 − the total
    variation of their joint shares, gaps as a level of their own. One of each: the same with the number cut into ten bins of
    equal width, each table over its own range, as sdmetrics does it. The "Trend" of sdmetrics is the mean over the pairs.
    """
    width = real.shape[1]
    binned = [
        [_level(rows[:, j]) if categories[j] else _bin(rows[:, j]) for j in range(width)] for rows in (real, other)
    ]
    found = np.full((width, width), np.nan)
    for i in range(width):
        for j in range(i):
            if categories[i] or categories[j]:
                value = _joint(*((codes[i], codes[j]) for codes in binned))
            else:
                value = 1 - abs(correlation(real[:, i], real[:, j]) - correlation(other[:, i], other[:, j])) / 2
            found[i, j] = found[j, i] = value
    return found


def mean_of_pairs(pairs: NDArray[np.float64]) -> float:
    """The mean over the pairs that have a number; NaN where none has."""
    there = pairs[np.tril_indices(len(pairs), -1)]
    there = there[~np.isnan(there)]
    return float(there.mean()) if len(there) else np.nan


def correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Pearson's, over rows where both are there; NaN where either is constant."""
    there = ~(np.isnan(a) | np.isnan(b))
    a, b = a[there], b[there]
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return np.nan
    a, b = a - a.mean(), b - b.mean()
    return float(np.clip((a @ b) / np.sqrt((a @ a) * (b @ b)), -1, 1))


def _level(codes: NDArray[np.float64]) -> NDArray[np.int64]:
    """Levels from 1, with 0 for what is missing."""
    return np.where(np.isnan(codes), -1, codes).astype(np.int64) + 1


def _bin(values: NDArray[np.float64]) -> NDArray[np.int64]:
    there = values[~np.isnan(values)]
    if not len(there):
        return np.zeros(len(values), np.int64)
    return np.digitize(values, np.histogram_bin_edges(there, BINS)).astype(np.int64)


def _joint(*pairs: tuple[NDArray[np.int64], NDArray[np.int64]]) -> float:
    """1 − the total variation between the joint shares of two pairs of codes."""
    wide = 1 + max(int(second.max()) for _, second in pairs)
    cells = [first * wide + second for first, second in pairs]
    most = 1 + max(int(cell.max()) for cell in cells)
    if most > DENSE:
        known, codes = np.unique(np.concatenate(cells), return_inverse=True)
        most, cells = len(known), np.split(codes, [len(cells[0])])
    shares = [np.bincount(cell, minlength=most) / len(cell) for cell in cells]
    return 1 - 0.5 * float(np.abs(shares[0] - shares[1]).sum())


def association(rows: Rows, categories: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[D, D]: √(1 − exp(−2 I)) of every pair of columns, of any kinds, from 0 (independent) to 1; 1 on the diagonal.

    I: their mutual information in nats, numbers cut at up to 15 quantiles, spikes there by themselves, and categories to
    their most frequent levels, gaps a level of their own; less its bias (K − 1)(K' − 1) / 2N. Linfoot, An informational measure
    of correlation, 1957.
    """
    codes = [_short(rows[:, j], bool(categories[j])) for j in range(rows.shape[1])]
    found = np.eye(len(codes))
    for i in range(len(codes)):
        for j in range(i):
            found[i, j] = found[j, i] = np.sqrt(-np.expm1(-2 * _information(codes[i], codes[j])))
    return found


def _short(values: NDArray[np.float64], category: bool) -> NDArray[np.int64]:
    if category:
        return np.minimum(_level(values), STEPS)
    there = values[~np.isnan(values)]
    if not len(there):
        return np.zeros(len(values), np.int64)
    edges = np.unique(np.quantile(there, np.linspace(0, 1, STEPS + 1)[1:-1]))
    # A value that is an edge is a spike: it is told from both sides.
    return np.where(
        np.isnan(values), 0, 1 + np.searchsorted(edges, values, "left") + np.searchsorted(edges, values, "right")
    )


def _information(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """Mutual information in nats, less its bias, at least 0."""
    wide = int(b.max()) + 1
    joint = np.bincount(a * wide + b, minlength=(int(a.max()) + 1) * wide).reshape(-1, wide) / len(a)
    first, second = joint.sum(1), joint.sum(0)
    there = joint > 0
    told = float((joint[there] * np.log(joint[there] / np.outer(first, second)[there])).sum())
    bias = (np.count_nonzero(first) - 1) * (np.count_nonzero(second) - 1) / (2 * len(a))
    return max(0.0, told - bias)
