"""UDR: whether several trainings found the same units. It needs no labels."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.linear_model import Lasso

from lambent.errors import UsageError, nearest
from lambent.metrics.disentangle.factors import FEWEST, Numbers
from lambent.metrics.disentangle.readers import standardized

PENALTY = 0.1
ERRORS = 4.0  # standard errors of a rank correlation of nothing, below which it counts as nothing


def udr(
    codes: Sequence[Numbers], kept: Sequence[NDArray[np.bool_]] | None = None, relation: str = "spearman"
) -> Numbers:
    """Of each run the median over the others of how far their units pair one to one, [runs], from 0 to 1.

    codes: of each run [rows, units] of the same rows. kept: of each run [units], whether a unit is active (disentanglement_lib:
    a KL above 0.01 nats); the others count for nothing. With R [a, b] how alike units a and b are,
    UDR = ½ (mean_b r_b² / Σ_a R_ab + mean_a r_a² / Σ_b R_ab), r the greatest of the column, or row. relation: "spearman", |ρ| of
    ranks, where less than 4 standard errors of chance is nothing; or "lasso", |coefficients| with penalty 0.1, by which even the
    same code twice scores 0.9, as in disentanglement_lib. Duan et al., Unsupervised Model Selection for Variational Disentangled
    Representation Learning, ICLR 2020.
    Errors: `UsageError` for fewer than two runs, or rows that are not the same.
    """
    if relation not in RELATIONS:
        raise UsageError(f"no relation is called {relation!r}; {nearest(relation, RELATIONS)}")
    every = [np.asarray(each, np.float64) for each in codes]
    if len(every) < 2:
        raise UsageError("UDR compares runs with one another: give two or more, of the same data with other seeds")
    if len({len(each) for each in every}) > 1 or len(every[0]) < FEWEST:
        raise UsageError(f"UDR is of the codes of the same rows, {FEWEST} or more; these are {[len(e) for e in every]}")
    usable = [each.std(0) > 0 for each in every]
    if kept is not None:
        usable = [mine & np.asarray(one) for mine, one in zip(usable, kept, strict=True)]
    active = [standardized(each[:, one]) for each, one in zip(every, usable, strict=True)]
    found = np.zeros((len(every), len(every)))
    for i, first in enumerate(active):
        for j, second in enumerate(active):
            if i != j and first.shape[1] and second.shape[1]:
                found[i, j] = _paired(RELATIONS[relation](first, second))
    return np.array([np.median(np.delete(row, i)) for i, row in enumerate(found)])


def _paired(likeness: Numbers) -> float:
    halves = []
    for axis in (0, 1):
        whole = likeness.sum(axis)
        halves.append(np.where(whole > 0, likeness.max(axis) ** 2 / np.where(whole > 0, whole, 1.0), 0.0).mean())
    return float(np.mean(halves))


def _spearman(first: Numbers, second: Numbers) -> Numbers:
    x, y = (standardized(rankdata(each, axis=0)) for each in (first, second))
    rho = np.abs(x.T @ y) / len(x)
    return np.asarray(np.where(rho > ERRORS / np.sqrt(len(x)), rho, 0.0))


def _lasso(first: Numbers, second: Numbers) -> Numbers:
    found = Lasso(alpha=PENALTY).fit(first, second)
    return np.asarray(np.abs(found.coef_).reshape(second.shape[1], first.shape[1]).T)


RELATIONS: dict[str, Callable[[Numbers, Numbers], Numbers]] = {"spearman": _spearman, "lasso": _lasso}
