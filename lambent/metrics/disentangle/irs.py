"""IRS, the interventional robustness score: how still a unit stands while all factors but its own change."""

from typing import NamedTuple

import numpy as np

from lambent.metrics.disentangle.factors import Factors, Numbers, checked

QUANTILE = 0.99


class Robustness(NamedTuple):
    """value: the mean over units, weighted by how far each moves. of_units: [units], NaN for those that stand still."""

    value: float
    of_units: Numbers
    parents: tuple[int, ...]  # of each unit the factor that it is robust about


def irs(codes: Numbers, factors: Factors, quantile: float = QUANTILE) -> Robustness:
    """1 − E_v[ max |z_j − E(z_j | v_k = v)| ] / max |z_j − E z_j| for the best factor k of each unit j.

    Both maxima are quantiles. disentanglement_lib divides the quantile of the one by the maximum of the other, so that noise
    scores well above 0 (a third, for Gaussian codes), averages over values evenly where this does as often as they occur, and
    takes the maximum over factors of noise as it is. Units count by how far they move.
    Suter, Miladinović, Schölkopf & Bauer, Robustly Disentangled Causal Mechanisms, ICML 2019.
    """
    codes = checked(codes, factors)
    reach = np.quantile(np.abs(codes - codes.mean(0)), quantile, axis=0)
    kept = reach > 0
    left = np.full((codes.shape[1], len(factors.names)), np.nan)
    for k, classes in enumerate(factors.classes.T):
        moved = np.zeros(codes.shape[1])
        for level in np.unique(classes):
            same = codes[classes == level]
            moved += np.quantile(np.abs(same - same.mean(0)), quantile, axis=0) * len(same) / len(codes)
        left[kept, k] = 1 - moved[kept] / reach[kept]
    if not kept.any():
        return Robustness(0.0, left[:, 0], (0,) * len(left))
    best = np.clip(np.max(left[kept], axis=1), 0.0, 1.0)
    of_units = np.full(codes.shape[1], np.nan)
    of_units[kept] = best
    parents = np.where(kept, np.argmax(np.nan_to_num(left, nan=-np.inf), axis=1), 0)
    return Robustness(float(best @ reach[kept] / reach[kept].sum()), of_units, tuple(parents.tolist()))
