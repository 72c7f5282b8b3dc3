"""What rows are known by: the columns that stand first beside whatever is found of them."""

from typing import Any

import numpy as np

from lambent.data.kinds.modality import Encoded


def lead_of(encoded: Encoded) -> dict[str, Any]:
    """The number of every row in its data, its file and its label where there are any: columns to stand first."""
    lead: dict[str, Any] = {"row": np.arange(len(encoded)) if encoded.numbers is None else encoded.numbers}
    if encoded.files is not None:
        lead["file"] = encoded.files
    if encoded.lines is not None:
        lead["line"] = encoded.lines
    if encoded.names is not None:
        lead["name"] = encoded.names
    lead |= encoded.modality.told(encoded)
    if encoded.labels is not None:
        lead["label"] = label_column(encoded)
    return lead


def label_column(encoded: Encoded) -> Any:
    """The name of each row's label, [rows]; the numbers where there are no names, or a row has a number that none belongs to."""
    labels, names = encoded.labels, encoded.label_names
    if labels is None or not names or not len(labels) or labels.min() < 0 or labels.max() >= len(names):
        return labels
    return [names[i] for i in labels.tolist()]


def factor_columns(encoded: Encoded) -> dict[str, Any]:
    """The known factors of rows by their names, each [rows]; without names by their places."""
    if encoded.factors is None:
        return {}
    names = encoded.factor_names or [f"factor {k}" for k in range(encoded.factors.shape[1])]
    return {name: encoded.factors[:, k] for k, name in enumerate(names)}
