"""MIG, the gap in mutual information, and its robust variants."""

from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from lambent.errors import UsageError
from lambent.metrics.disentangle.factors import Factors, Numbers, checked, gap
from lambent.metrics.disentangle.information import BINS, entropies


def mig(information: Numbers, entropy: Numbers) -> Numbers:
    """(I(z_(1); v_k) − I(z_(2); v_k)) / H(v_k) of the two units that say most of factor k, [K]; MIG is the mean.

    information: [units, K] in nats; entropy: [K]. Of `by_neighbours` it is our MIG, of `by_bins` with 20 bins of posterior means
    that of disentanglement_lib. Chen et al., Isolating Sources of Disentanglement in VAEs, 2018, who average over q(z|x).
    """
    return np.asarray(gap(information) / entropy)


def mig_sup(information: Numbers, entropy: Numbers, kept: Numbers | None = None) -> Numbers:
    """The gap of each unit between the two factors it says most of, as shares of their entropies, [units]; the mean is MIG-sup.

    It falls where one unit holds several factors, which MIG does not see. kept: [units], whether a unit counts; those that do not
    are NaN. Of a single factor it is not defined. Li, Murkute, Gyawali & Wang, Progressive Learning and Disentanglement of
    Hierarchical Representations, ICLR 2020.
    """
    if information.shape[1] < 2:
        raise UsageError("MIG-sup is the gap between two factors, and there is one: give another factor")
    gaps = gap((information / entropy).T)
    return gaps if kept is None else np.where(kept, gaps, np.nan)


class Binned(NamedTuple):
    """RMIG and JEMMIG, each [K]: from q(z|x), of which the share in each bin counts."""

    rmig: Numbers
    jemmig: Numbers


def robust(codes: Numbers, factors: Factors, scales: Numbers | None = None, bins: int = BINS) -> Binned:
    """RMIG and JEMMIG of Gaussian posteriors N(codes, scales²), each [rows, units]; without scales, of the codes as they are.

    RMIG: the gap of I(z_j; v_k), divided by H(v_k), where z_j is a draw of the aggregate posterior in bins of equal width, and a
    row lies in each by the exact probability of its q(z|x): noise of the code lowers it, where MIG of means sees none.
    JEMMIG: 1 − (H(z_(1), v_k) − I(z_(1); v_k) + I(z_(2); v_k)) / (H(v_k) + log bins): falls too where z_(1) says more than v_k.
    Do & Tran, Theory and Evaluation Metrics for Learning Disentangled Representations, ICLR 2020; JEMMIG to the unit interval as
    Carbonneau et al., Measuring Disentanglement: A Review of Metrics, 2022. disentanglement_lib has neither.
    """
    codes = checked(codes, factors)
    most = entropies(factors)
    units, count = codes.shape[1], factors.classes.shape[1]
    information, joint = np.zeros((units, count)), np.zeros((units, count))
    for j in range(units):
        shares = _shares(codes[:, j], None if scales is None else np.asarray(scales, np.float64)[:, j], bins)
        for k in range(count):
            table = np.zeros((factors.classes[:, k].max() + 1, bins))
            np.add.at(table, factors.classes[:, k], shares / len(codes))
            joint[j, k] = _entropy(table)
            information[j, k] = max(most[k] + _entropy(table.sum(0)) - joint[j, k], 0.0)
    gaps = gap(information)
    best = joint[information.argmax(0), np.arange(count)]
    return Binned(np.asarray(gaps / most), np.asarray(1 - (best - gaps) / (most + np.log(bins))))


def _shares(code: Numbers, scale: Numbers | None, bins: int) -> Numbers:
    """[rows, bins]: how much of each row's q(z|x) lies in each bin; the outermost take the tails."""
    low, high = float(code.min()), float(code.max())
    if not high > low:
        return np.eye(bins)[np.zeros(len(code), int)]
    edges = np.linspace(low, high, bins + 1)[1:-1]
    if scale is None:
        return np.eye(bins)[np.searchsorted(edges, code, side="right")]
    below = norm.cdf((edges - code[:, None]) / np.maximum(scale, np.finfo(float).tiny)[:, None])
    return np.diff(np.pad(below, ((0, 0), (1, 1)), constant_values=((0, 0), (0, 1))), axis=1)


def _entropy(table: Numbers) -> float:
    filled = table[table > 0]
    return float(-(filled * np.log(filled)).sum())
