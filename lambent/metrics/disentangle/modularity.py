"""Modularity, whether a unit serves one factor; explicitness, whether a line through the code tells a factor's classes."""

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from lambent.errors import UsageError
from lambent.metrics.disentangle.factors import Factors, Numbers, checked
from lambent.metrics.disentangle.readers import standardized, thirds


def modularity(information: Numbers, floor: float = 0.0) -> Numbers:
    """1 − Σ_{k ≠ best} I(z_j; v_k)² / ((K − 1) max_k I(z_j; v_k)²) of each unit, [units]; NaN for one that says nothing.

    information: [units, K] in nats. floor: what chance gives (`shuffled_floor`): as much counts as nothing. Without it the
    ratio of two numbers of noise would be a modularity. Modularity is the mean over units that say something, 0 where none
    does; disentanglement_lib takes bins, has no floor, and averages over all units.
    Ridgeway & Mozer, Learning Deep Disentangled Embeddings with the F-Statistic Loss, NeurIPS 2018.
    Errors: `UsageError` for a single factor, of which every unit would be modular.
    """
    if information.shape[1] < 2:
        raise UsageError("modularity is of two factors or more: of one every unit would be modular")
    squares = np.where(information > floor, information, 0.0) ** 2
    most = squares.max(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        others = (squares.sum(1) - most) / (most * (squares.shape[1] - 1))
    return np.asarray(np.where(most > 0, 1 - others, np.nan))


def explicitness(codes: Numbers, factors: Factors, seed: int = 0) -> Numbers:
    """2 AUC − 1 of each factor, [K]: AUC the mean over classes of the area under the ROC curve of a logistic regression.

    On rows that were held out, of all units together. As in Ridgeway & Mozer (2018) and disentanglement_lib but for the scale:
    there ½ is chance, here 0. One regression of all classes is fitted (softmax), as scikit-learn does.
    """
    codes = standardized(checked(codes, factors))
    learned, held = thirds(len(codes), seed)
    return np.array([_explicit(codes, classes, learned, held) for classes in factors.classes.T])


def _explicit(codes: Numbers, classes: NDArray[np.int64], learned: NDArray[np.int64], held: NDArray[np.int64]) -> float:
    if len(np.unique(classes[learned])) < 2:
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        reader = LogisticRegression(max_iter=300).fit(codes[learned], classes[learned])
    shares = reader.predict_proba(codes[held])
    areas = [
        roc_auc_score(classes[held] == level, shares[:, place])
        for place, level in enumerate(reader.classes_)
        if 0 < (classes[held] == level).sum() < len(held)
    ]
    return float(2 * np.mean(areas) - 1) if areas else 0.0
