"""What an estimator is given → encoded rows, to learn from, to validate on and to use."""

from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from lambent.data import encode_like, load, load_parted
from lambent.data.kinds.modality import Encoded, Modality
from lambent.data.kinds.table import Table
from lambent.data.loading import raw_rows
from lambent.data.notices import warned
from lambent.errors import DataError
from lambent.estimators.assembly import chosen_modality
from lambent.estimators.naming import held_out_of, known_by_name
from lambent.seeds import stream
from lambent.training.settings import Training


def encoded(estimator: Any, X: Any, y: Any = None, reset: bool = False) -> Encoded:
    """Raw data as tensors, by the modality; reset: by one that is fitted to them."""
    if not reset:
        check_is_fitted(estimator)
    X, modality = _checked(estimator, X, y, reset)
    if isinstance(X, Encoded):
        return X
    if reset:
        return _told(estimator, load(X, modality=modality))
    found = encode_like(estimator.modality_, X)
    warned(found.source)
    return found


def parted(estimator: Any, X: Any, y: Any, seed: int) -> tuple[Encoded, Any]:
    """Rows to train on, and those to validate on (or 0.0): a share is cut off before the modality is fitted."""
    validation = held_out_of(X, estimator.validation)
    if not isinstance(validation, Real):
        whole = encoded(estimator, X, y, reset=True)
        rows = validation
        if isinstance(rows, tuple) and "label" in whole.modality.condition:  # (X, y), as in `fit`
            rows = replace(raw_rows(rows[0]), labels=np.asarray(rows[1]))
        return whole, rows if isinstance(rows, (Encoded, tuple)) else encode_like(whole.modality, rows)
    if not validation or isinstance(X, Encoded):
        return encoded(estimator, X, y, reset=True), validation
    share = Training.of(validation=validation).validation
    X, modality = _checked(estimator, X, y, reset=True)
    kept, held_out = load_parted(X, share, stream(seed, "validation share"), modality=modality)
    return _told(estimator, kept), held_out


def _checked(estimator: Any, X: Any, y: Any, reset: bool) -> tuple[Any, Modality | None]:
    """Raw data, with labels that condition the model beside them, and the modality to be fitted to them."""
    if isinstance(X, Encoded):
        return X, None
    modality: Modality | None = estimator.modality_ if not reset else None
    if reset:
        modality = chosen_modality(estimator.modality, estimator.condition, X, estimator.likelihood, estimator.preset)
    asked = () if modality is None else modality.condition
    if y is not None and "label" in asked:
        X = replace(raw_rows(X), labels=np.asarray(y))
    return X, modality


def _told(estimator: Any, rows: Encoded) -> Encoded:
    """Rows to learn from, once what is noticed of them is told, and the names of their columns are kept."""
    warned(rows.source)
    known_by_name(estimator, rows.modality)
    if isinstance(rows.modality, Table) and len(rows) < 2:
        raise DataError("there is 1 row to learn from (n_samples = 1), and at least 2 are needed for a scale")
    return rows
