"""Predictions of an estimator, where its model can make any."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.data.kinds.columns.levels import Levels
from lambent.data.kinds.table import Table
from lambent.errors import UsageError
from lambent.fitted import Fitted
from lambent.tasks.predict import NumberPrediction, Prediction, predict


def predicts(estimator: Any) -> bool:
    """Whether the model can be asked for a column given others, or for a condition; else `AttributeError` says what it lacks."""
    fitted = estimator._held()
    if fitted.conditions or (isinstance(fitted.modality, Table) and fitted.model.gaps):
        return True
    raise AttributeError(
        "this model predicts nothing: it is conditioned on nothing, and was trained on rows without gaps. Train it on a table "
        'with gaps, VAE(modality=Table(missing="yes")), and it predicts any column from any others'
    )


def tells_levels(estimator: Any) -> bool:
    """Whether there is a target of levels, too; else `AttributeError`."""
    predicts(estimator)
    fitted = estimator._held()
    if fitted.conditions or _columns(fitted, levels=True):
        return True
    raise AttributeError("this model knows numbers alone, which have no levels whose probability could be told")


def asked(estimator: Any, X: Any, target: str | None, levels: bool = False) -> Prediction | NumberPrediction:
    """The target of rows, given the rest; without a name the only condition, else the last column (that has levels)."""
    fitted = estimator._held()
    if target is None:
        names = fitted.conditions.names or _columns(fitted, levels)[-1:]
        if len(names) != 1:
            raise UsageError("predict what? Name a column or a condition: predict(X, target=…)")
        target = names[0]
    return predict(fitted, X, target)


def _columns(fitted: Fitted, levels: bool) -> list[str]:
    table = fitted.modality
    if not isinstance(table, Table):
        return []
    return [one.name for one in table.columns if one.width and (isinstance(one, Levels) or not levels)]


def values_of(found: Prediction | NumberPrediction) -> NDArray[Any]:
    """The likeliest level of each row, or the mean of a number."""
    if isinstance(found, NumberPrediction):
        return found.mean
    levels = found.levels if found.values is None else found.values
    every = np.asarray(levels, dtype=object if any(isinstance(one, str) for one in levels) else None)
    return np.asarray(every[found.log_posterior.argmax(1).numpy()])
