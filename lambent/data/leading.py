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
        names = encoded.label_names
        known = (
            names is not None
            and len(encoded.labels) > 0
            and encoded.labels.min() >= 0
            and encoded.labels.max() < len(names)
        )
        lead["label"] = [names[i] for i in encoded.labels.tolist()] if known and names else encoded.labels
    return lead
