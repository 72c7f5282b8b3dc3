"""Clusters beside labels: how well the one partition of rows agrees with the other."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lambent.errors import UsageError

Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Agreement:
    """How well clusters agree with labels, each number 1 where they are the same partition.

    accuracy: the share of rows whose cluster stands for their label, where each label is given one cluster at most, and the
    clusters are given so that the share is largest (Hungarian method): max_π 1/n Σ_i [y_i = π(c_i)]. information: the normalized
    mutual information I(y; c) / ((H(y) + H(c)) / 2). rand: the adjusted Rand index, 0 on average for partitions by chance. rows:
    how many have a label. names: of each cluster, by its number, the number of its label; −1 for a cluster that stands for none.
    """

    accuracy: float
    information: float
    rand: float
    rows: int
    names: tuple[int, ...]


def agreement(labels: Whole, clusters: Whole) -> Agreement:
    """Labels [n] and clusters [n], both as whole numbers from 0.

    Xie, Girshick & Farhadi, Unsupervised Deep Embedding for Clustering Analysis, 2016; Hubert & Arabie, Comparing
    Partitions, 1985.
    Errors: `UsageError` for no rows, or labels and clusters of other numbers of rows.
    """
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    labels, clusters = np.asarray(labels, np.int64), np.asarray(clusters, np.int64)
    if labels.shape != clusters.shape or labels.ndim != 1 or not len(labels):
        raise UsageError(
            f"clusters are compared with labels row by row, and these are {list(clusters.shape)} and {list(labels.shape)}"
        )
    table = np.zeros((int(clusters.max()) + 1, int(labels.max()) + 1), np.int64)
    np.add.at(table, (clusters, labels), 1)
    chosen, stands = linear_sum_assignment(table, maximize=True)
    names = np.full(len(table), -1, np.int64)
    met = table[chosen, stands] > 0
    names[chosen[met]] = stands[met]
    return Agreement(
        float(table[chosen, stands].sum() / len(labels)),
        float(normalized_mutual_info_score(labels, clusters)),
        float(adjusted_rand_score(labels, clusters)),
        len(labels),
        tuple(names.tolist()),
    )
