"""Raw: rows as they were found, before any modality has seen them."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np


@dataclass
class Raw:
    """Rows as they were found, with what lay beside them.

    rows: a path (folder of images, CSV, Parquet), an array [rows, …] or a data frame.
    labels: one per row; factors: [rows, K] ground-truth classes of known generative factors.
    facts: plain JSON that ends up in `Encoded.source`: name, path, split, licence.
    """

    rows: Any
    labels: np.ndarray | None = None
    label_names: list[str] | None = None
    factors: np.ndarray | None = None
    factor_names: list[str] | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def array(self) -> np.ndarray:
        """The rows as the array that they are."""
        assert isinstance(self.rows, np.ndarray)
        return self.rows

    def take(self, index: np.ndarray, **facts: Any) -> "Raw":
        """The rows at `index` with what lies beside them; `rows` must be opened: no path. `facts` are added."""
        labels = None if self.labels is None else self.labels[index]
        factors = None if self.factors is None else self.factors[index]
        return replace(self, rows=self.rows[index], labels=labels, factors=factors, facts=self.facts | facts)
