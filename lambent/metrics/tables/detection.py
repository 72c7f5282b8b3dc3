"""Detection and use: classifiers that tell two tables apart, and what is learned from one of them is worth on a third."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lambent.metrics.tables.coded import Rows

FOLDS = 3
MOST_LEVELS = 255  # of a category that boosted trees of scikit-learn take
MOST_CLASSES = 20  # different whole numbers of a target up to which they are classes
SHUFFLED = 2000  # rows on which a column's part in the detection is measured


@dataclass(frozen=True)
class Detection:
    """How well two tables are told apart. auc: 0.5 not at all, 1 always. drops: what the AUC loses without each column, [D]."""

    auc: float
    error: float
    drops: NDArray[np.float64]

    @property
    def c2st(self) -> float:
        """2 − 2 max(½, AUC): 1 cannot be told apart, 0 always."""
        return 2 - 2 * max(0.5, self.auc)


def told_apart(real: Rows, other: Rows, categories: NDArray[np.bool_], seed: int = 0) -> Detection:
    """Boosted trees, on two thirds of both tables, tell the last third apart; the mean over the three.

    error: the standard error of the AUC (Hanley and McNeil, 1982). drops: over the first third, the columns shuffled one by one.
    """
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    x = np.concatenate((real, other))
    y = np.repeat([0, 1], [len(real), len(other)])
    parts = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(x, y)
    found, drops = [], np.zeros(x.shape[1])
    for number, (learned, judged) in enumerate(parts):
        model = boosted(categories, True, seed).fit(_taken(x[learned], categories), y[learned])
        held = _taken(x[judged], categories)
        found.append(float(roc_auc_score(y[judged], model.predict_proba(held)[:, 1])))
        if number == 0:
            few = np.random.default_rng(seed).permutation(len(held))[:SHUFFLED]
            drops = _drops(model, held[few], y[judged][few], seed)
    auc = float(np.mean(found))
    return Detection(auc, error_of_area(auc, len(real), len(other)), drops)


def _drops(model: object, x: Rows, y: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(seed)

    def auc(rows: Rows) -> float:
        return float(roc_auc_score(y, model.predict_proba(rows)[:, 1]))  # type: ignore[attr-defined]

    whole, lost = auc(x), np.zeros(x.shape[1])
    for j in range(x.shape[1]):
        shuffled = x.copy()
        shuffled[:, j] = random.permutation(shuffled[:, j])
        lost[j] = whole - auc(shuffled)
    return lost


def error_of_area(auc: float, positive: int, negative: int) -> float:
    """The standard error of an area under the ROC, by so many rows of each side. Hanley & McNeil, 1982."""
    first, second = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (negative - 1) * (first - auc**2) + (positive - 1) * (second - auc**2)
    return float(np.sqrt(max(0.0, spread) / (positive * negative)))


def are_classes(values: NDArray[np.float64], category: bool) -> bool:
    """Whether a target is of classes: a category, or at most 20 different whole numbers."""
    there = values[~np.isnan(values)]
    return category or (len(np.unique(there)) <= MOST_CLASSES and bool((there == np.rint(there)).all()))


def predicted(learned: Rows, judged: Rows, target: int, categories: NDArray[np.bool_], seed: int = 0) -> float:
    """How well boosted trees that learn the target from one table tell it in another.

    Of classes the AUROC (of several, the mean over each against the rest), of numbers R² = 1 − Σ(y − ŷ)² / Σ(y − ȳ)². Rows
    without the target are left out. NaN where the rows to learn from, or to judge on, hold a single class.
    """
    from sklearn.metrics import r2_score

    both = [rows[~np.isnan(rows[:, target])] for rows in (learned, judged)]
    classes = are_classes(np.concatenate([rows[:, target] for rows in both]), bool(categories[target]))
    rest = np.delete(categories, target)
    (x, y), (held, truth) = ((_taken(np.delete(rows, target, 1), rest), rows[:, target]) for rows in both)
    if not len(y) or not len(truth) or (classes and min(len(np.unique(y)), len(np.unique(truth))) < 2):
        return np.nan
    model = boosted(rest, classes, seed).fit(x, y)
    if not classes:
        return float(r2_score(truth, model.predict(held)))
    return _auroc(truth, model.classes_, model.predict_proba(held))


def _auroc(truth: NDArray[np.float64], classes: NDArray[np.float64], chances: NDArray[np.float64]) -> float:
    """Mean over the classes that are there; one that was never learned is told by nothing, and counts as ½."""
    from sklearn.metrics import roc_auc_score

    column = {float(level): chances[:, place] for place, level in enumerate(classes)}
    there = np.unique(truth)
    if len(there) == 2:
        there = there[1:]
    none = np.zeros(len(truth))
    return float(np.mean([roc_auc_score(truth == level, column.get(float(level), none)) for level in there]))


def boosted(categories: NDArray[np.bool_], classes: bool, seed: int):  # type: ignore[no-untyped-def]
    """Gradient-boosted trees that take categories and gaps as they are."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    return kind(categorical_features=categories, early_stopping=False, random_state=seed)


def _taken(rows: Rows, categories: NDArray[np.bool_]) -> Rows:
    """Rows as the trees take them: the levels that are rarest share the last number."""
    capped: Rows = np.where(categories & ~np.isnan(rows), np.minimum(rows, MOST_LEVELS - 1), rows)
    return capped
