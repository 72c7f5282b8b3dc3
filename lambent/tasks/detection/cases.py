"""Cases: a few rows of which it is known whether they are odd, the threshold that they choose, and what it is worth."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.data.condition import is_missing
from lambent.errors import DataError
from lambent.seeds import stream

Array = NDArray[Any]
FOLDS = 5
NORMAL = {
    "normal",
    "inlier",
    "ok",
    "good",
    "benign",
    "no",
    "false",
    "negative",
    "regular",
    "usual",
    "typical",
    "n",
    "f",
}
ODD = {
    "anomaly", "anomalous", "abnormal", "outlier", "attack", "fraud", "odd", "bad", "yes", "true", "positive", "defect",
    "faulty", "malignant", "intrusion", "y", "t",
}  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """threshold: best by F1; precision, recall, f1: (value, standard error) cross-validated; auroc, average_precision: (…).

    normal, odd: known cases of each; folds: parts of the cross-validation.
    """

    threshold: float
    precision: tuple[float, float]
    recall: tuple[float, float]
    f1: tuple[float, float]
    auroc: tuple[float, float]
    average_precision: tuple[float, float]
    normal: int
    odd: int
    folds: int

    def facts(self) -> dict[str, Any]:
        """Plain JSON: each number with its standard error."""
        names = ("precision", "recall", "f1", "auroc", "average_precision")
        numbers = {name: dict(zip(("value", "error"), getattr(self, name), strict=True)) for name in names}
        return {**numbers, "normal": self.normal, "odd": self.odd, "folds": self.folds}


def known_cases(values: Any) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(odd [rows], known [rows]) of a column of labels; a row without a value is not known.

    Truth values, 0 and 1 (1: odd), 1 and −1 as scikit-learn has it (−1: odd), or words: where one of them says normal, all
    others are kinds of anomalies.

    Errors: `DataError` for values of which it cannot be told which are odd.
    """
    values = np.asarray(values, dtype=object).reshape(-1)
    known = np.array([not is_missing(value) and str(value).strip() != "" for value in values], bool)
    words = np.array([_word(value) if there else "" for value, there in zip(values, known, strict=True)], dtype=object)
    levels = set(words[known])
    odd: set[str]
    if levels <= {"0", "1"}:
        odd = {"1"}
    elif levels <= {"-1", "1"}:
        odd = {"-1"}
    elif any(level.strip(".") in NORMAL for level in levels):
        odd = {level for level in levels if level.strip(".") not in NORMAL}
    elif levels <= ODD:
        odd = levels
    else:
        some = ", ".join(sorted(levels)[:6])
        raise DataError(
            f"which of the labels ({some}) are odd? Labels are 0 and 1 (odd), true and false, yes and no, or words of which "
            "one is normal, such as normal and attack; rows that are not known stay empty"
        )
    return np.array([word in odd for word in words], bool) & known, known


def judged_by_cases(scores: Array, odd: Array, seed: int = 0) -> Judged:
    """The threshold with the largest F1 = 2 P R / (P + R), and precision, recall and F1 of thresholds chosen without the case.

    Cross-validated, stratified: a case is judged by the threshold that the other parts choose. Their errors: by bootstrap.
    Errors: `DataError` with fewer than two cases of either kind.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    counts = int((~odd).sum()), int(odd.sum())
    if min(counts) < 2:
        raise DataError(
            f"of known cases there are {counts[0]} normal and {counts[1]} odd ones; two of each kind are the least that can "
            "choose a threshold and be judged by it"
        )
    random = np.random.default_rng(stream(seed, "known cases"))
    folds = min(FOLDS, *counts)
    part = np.empty(len(odd), np.int64)
    for side in (odd, ~odd):
        part[side] = random.permutation(np.arange(side.sum()) % folds)
    flagged = np.zeros(len(odd), bool)
    for each in range(folds):
        flagged[part == each] = scores[part == each] > best_threshold(scores[part != each], odd[part != each])
    numbers: dict[str, Callable[[Array, Array, Array], float]] = {
        "precision": lambda s, y, f: _ratio((f & y).sum(), f.sum()),
        "recall": lambda s, y, f: _ratio((f & y).sum(), y.sum()),
        "f1": lambda s, y, f: _ratio(2 * (f & y).sum(), f.sum() + y.sum()),
        "auroc": lambda s, y, f: float(roc_auc_score(y, s)),
        "average_precision": lambda s, y, f: float(average_precision_score(y, s)),
    }
    found = {name: _bootstrapped(number, (scores, odd, flagged), random) for name, number in numbers.items()}
    return Judged(best_threshold(scores, odd), **found, normal=counts[0], odd=counts[1], folds=folds)


def best_threshold(scores: Array, odd: Array) -> float:
    """Midway between the two scores between which F1 is largest; of several, the one that flags fewest."""
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(odd[order])
    flagged = np.arange(1, len(scores) + 1)
    f1 = 2 * hits / (flagged + odd.sum())
    f1[:-1][ranked[:-1] == ranked[1:]] = -1  # equal scores fall on one side
    last = int(np.argmax(f1))
    if last + 1 == len(ranked):
        return float(np.nextafter(ranked[-1], -np.inf))
    middle = (ranked[last] + ranked[last + 1]) / 2
    return float(middle if middle < ranked[last] else ranked[last + 1])


def _bootstrapped(
    number: Callable[[Array, Array, Array], float], cases: tuple[Array, Array, Array], random: np.random.Generator
) -> tuple[float, float]:
    """A number of the cases, and its standard error over resampled cases of each kind."""
    odd = cases[1]
    sides = [np.flatnonzero(odd), np.flatnonzero(~odd)]
    draws = []
    for _ in range(200):
        index = np.concatenate([random.choice(side, len(side)) for side in sides])
        draws.append(number(*(each[index] for each in cases)))
    return number(*cases), float(np.nanstd(draws, ddof=1)) if np.isfinite(draws).any() else float("nan")


def _ratio(part: Any, whole: Any) -> float:
    return float(part / whole) if whole else float("nan")


def _word(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return str(int(value))
    if isinstance(value, (int, float, np.number)):
        return f"{value:g}"
    return str(value).strip().lower().removesuffix(".0")
