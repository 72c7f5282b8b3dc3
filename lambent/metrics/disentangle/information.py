"""Mutual information of a unit and a factor, and of two units: by nearest neighbours, which is consistent, or by bins."""

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression
from sklearn.metrics import mutual_info_score

from lambent.metrics.disentangle.factors import Classes, Factors, Numbers, checked

NEIGHBOURS = 3
BINS = 20  # of disentanglement_lib


def mutual_information(x: Numbers, y: Numbers, neighbours: int = NEIGHBOURS, seed: int = 0) -> float:
    """I(x; y) of two continuous variables, each [rows], in nats, from distances to the nearest neighbours.

    Consistent, with a bias that vanishes where the two are independent; never below 0. seed: of the noise of 1e-10 that parts
    ties. Kraskov, Stögbauer & Grassberger, Estimating mutual information, 2004, by scikit-learn.
    """
    columns = np.asarray(x, np.float64).reshape(-1, 1)
    found = mutual_info_regression(
        columns, np.asarray(y, np.float64), discrete_features=False, n_neighbors=neighbours, random_state=seed % 2**32
    )
    return float(found[0])


def entropies(factors: Factors) -> Numbers:
    """H(v) of each factor in nats, [K], by the shares of its classes in these rows."""
    return np.array([_entropy(factors.classes[:, k]) for k in range(factors.classes.shape[1])])


def by_neighbours(codes: Numbers, factors: Factors, neighbours: int = NEIGHBOURS, seed: int = 0) -> Numbers:
    """I(z_j; v_k) in nats, [units, K], of continuous codes and factors of classes, by nearest neighbours.

    Consistent, where bins of a fixed number are not: what a unit says within a bin counts, and independent ones give about 0.
    It is held to 0 ≤ I ≤ H(v_k). Codes should be draws of q(z|x): a mean without noise tells every value of a finite grid apart
    from any direction, and a consistent estimator says so.
    Ross, Mutual Information between Discrete and Continuous Data Sets, 2014, by scikit-learn.
    """
    codes, most = checked(codes, factors), entropies(factors)
    found = np.stack(
        [
            mutual_info_classif(
                codes, factors.classes[:, k], discrete_features=False, n_neighbors=neighbours, random_state=seed % 2**32
            )
            for k in range(factors.classes.shape[1])
        ],
        axis=1,
    )
    found[codes.std(0) == 0] = 0.0
    return np.asarray(np.clip(found, 0.0, most))


def by_bins(codes: Numbers, factors: Factors, bins: int = BINS) -> Numbers:
    """I(z_j; v_k) in nats, [units, K], of codes cut into bins of equal width between their least and greatest.

    What disentanglement_lib takes, with 20 bins: independent ones give about (bins − 1)(classes − 1) / 2 rows, not 0, and what
    a unit says within a bin is lost.
    """
    codes = checked(codes, factors)
    cut = np.stack([binned(codes[:, j], bins) for j in range(codes.shape[1])], axis=1)
    pairs = [[mutual_info_score(v, b) for v in factors.classes.T] for b in cut.T]
    return np.array(pairs, np.float64)


def shuffled_floor(codes: Numbers, factors: Factors, seed: int = 0) -> float:
    """Twice the greatest I(z_j; v_k) in nats of codes whose rows are shuffled: no more than this may be chance."""
    order = np.random.default_rng(seed).permutation(len(codes))
    return 2 * float(by_neighbours(np.asarray(codes)[order], factors, seed=seed).max())


def binned(code: Numbers, bins: int) -> Classes:
    """The bin of each row, from 0, of bins of equal width between the least and the greatest."""
    edges = np.histogram_bin_edges(code, bins)
    return np.clip(np.searchsorted(edges, code, side="right") - 1, 0, bins - 1).astype(np.int64)


def _entropy(classes: NDArray[np.int64]) -> float:
    shares = np.bincount(classes) / len(classes)
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())
