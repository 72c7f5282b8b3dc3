"""What an estimator of rows takes note of when it is fitted: the names of its columns, and which rows it holds out by itself."""

from typing import Any

import numpy as np

from lambent.data.kinds.modality import Modality
from lambent.data.kinds.table import Table
from lambent.training.settings import FEW

SPARING = 50  # rows from which some are held out by themselves


def held_out_of(rows: Any, validation: Any) -> Any:
    """What to validate on: as asked for; under "auto" a tenth of rows that are few, but not too few to spare any."""
    if not (isinstance(validation, str) and validation == "auto"):
        return validation
    countable = hasattr(rows, "__len__") and not isinstance(rows, str) and not hasattr(rows, "nnz")
    return 0.1 if countable and SPARING <= len(rows) <= FEW else 0.0


def known_by_name(estimator: Any, modality: Modality) -> None:
    """Give an estimator of tables the number of its columns and, as scikit-learn does where all are text, their names."""
    if hasattr(estimator, "feature_names_in_"):
        del estimator.feature_names_in_
    if not isinstance(modality, Table):
        return
    names = [column.name for column in modality.columns]
    estimator.n_features_in_ = len(names)
    if modality.named and names != [str(place) for place in range(len(names))]:
        estimator.feature_names_in_ = np.asarray(names, dtype=object)
