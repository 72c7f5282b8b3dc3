"""DCI: disentanglement, completeness and informativeness, by a regressor that is named."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from lambent.errors import UsageError, nearest
from lambent.metrics.disentangle.factors import Factors, Numbers, checked
from lambent.metrics.disentangle.readers import standardized, thirds


class Dci(NamedTuple):
    """disentanglement, completeness: from 0 to 1. informativeness: 1 right, 0 as chance. importance: [units, K]."""

    disentanglement: float
    completeness: float
    informativeness: float
    importance: Numbers
    of_factors: Numbers  # completeness of each factor, [K]


def _forest(seed: int) -> Any:
    # All units are looked at in every split: of a few drawn ones the second best would be praised for want of the best.
    return RandomForestClassifier(50, max_features=None, min_samples_leaf=3, random_state=seed)


def _boosting(seed: int) -> Any:
    return GradientBoostingClassifier(random_state=seed)


def _lasso(seed: int) -> Any:
    return LogisticRegression(l1_ratio=1.0, solver="saga", C=1.0, max_iter=300, tol=1e-3, random_state=seed)


REGRESSORS: dict[str, Callable[[int], Any]] = {"forest": _forest, "boosting": _boosting, "lasso": _lasso}


def dci(codes: Numbers, factors: Factors, regressor: str = "forest", seed: int = 0) -> Dci:
    """What a classifier of each factor looks at: does a unit serve one factor, is a factor served by one unit, is it known.

    With R [units, K] the importance of unit j to factor k: D = Σ_j ρ_j (1 − H_K(R_j·)), C = Σ_k ω_k (1 − H_units(R_·k)), where ρ
    and ω are shares of Σ R and entropies have the base K, or units. I is the balanced accuracy on a third of the rows that was
    not learned from, with chance at 0. regressor: "forest", 50 trees by impurity; "boosting", 100 rounds of gradient boosting
    as in disentanglement_lib, slow with many classes; "lasso", |coefficients| of an L1-penalized logistic regression of codes of
    variance 1. disentanglement_lib reports the plain accuracy for I, and has no chance in it.
    Eastwood & Williams, A Framework for the Quantitative Evaluation of Disentangled Representations, ICLR 2018.
    Errors: `UsageError` for a regressor that is none of these.
    """
    if regressor not in REGRESSORS:
        raise UsageError(f"no regressor is called {regressor!r}; {nearest(regressor, REGRESSORS)}")
    codes = standardized(checked(codes, factors))
    learned, held = thirds(len(codes), seed)
    importance, right = [], []
    for classes in factors.classes.T:
        if len(np.unique(classes[learned])) < 2:  # its other values are so rare that none was drawn
            importance.append(np.zeros(codes.shape[1]))
            right.append(0.0)
            continue
        model = REGRESSORS[regressor](seed % 2**32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(codes[learned], classes[learned])
        told = model.predict(codes[held])
        importance.append(_importance(model))
        right.append(above_chance(classes[held], told))
    weights = np.stack(importance, axis=1)
    of_units, of_factors = _purity(weights), _purity(weights.T)
    whole = weights.sum() or 1.0
    return Dci(
        float(of_units @ weights.sum(1) / whole),
        float(of_factors @ weights.sum(0) / whole),
        float(np.mean(right)),
        weights,
        of_factors,
    )


def above_chance(classes: Any, told: Any) -> float:
    """(mean recall − 1/C) / (1 − 1/C), C the classes that occur; not below 0."""
    count = len(np.unique(classes))
    if count < 2:
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class that is told, and does not occur
        mean = float(balanced_accuracy_score(classes, told))
    return max((mean - 1 / count) / (1 - 1 / count), 0.0)


def _importance(model: Any) -> Numbers:
    """[units], summing to 1 where there is any, so that every factor weighs alike."""
    found = np.abs(model.coef_).mean(0) if hasattr(model, "coef_") else np.abs(np.asarray(model.feature_importances_))
    return np.asarray(found / (found.sum() or 1.0), np.float64)


def _purity(weights: Numbers) -> Numbers:
    """1 − H of each row's shares, to the base of its length: 1 for a single one, 0 for all alike or none."""
    if weights.shape[1] < 2:
        return np.asarray(weights.sum(1) > 0, np.float64)
    shares = weights / np.maximum(weights.sum(1, keepdims=True), np.finfo(float).tiny)
    logs = np.log(np.where(shares > 0, shares, 1.0))
    pure = 1 + (shares * logs).sum(1) / np.log(weights.shape[1])
    return np.asarray(np.where(weights.sum(1) > 0, pure, 0.0))
