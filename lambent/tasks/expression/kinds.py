"""kinds: which kind a cell is of, by cells whose kind is known and a code that was learned from all."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from lambent.errors import UsageError

STRENGTH = 1.0  # of the ridge, in units of one cell


class Kinds:
    """P(kind | code): a multinomial logistic regression on codes, z-scored, of the cells whose kind is known.

    What is semi-supervised about it is the code, which all cells taught. levels: the kinds, in order.
    """

    def __init__(self, codes: NDArray[np.float64], labels: Any) -> None:
        """codes: [cells, units]; labels: [cells], None or NaN or "" where a kind is not known."""
        labels = np.asarray(labels, dtype=object)
        known = np.array([is_known(label) for label in labels])
        names = sorted({str(label) for label in labels[known]})
        if len(names) < 2:
            raise UsageError(f"cells of two kinds at least must be known, and these know {len(names)}: give a column of labels")
        own = codes[known]
        self.centre, self.scale = own.mean(0), np.maximum(own.std(0), 1e-6)
        self.regression = LogisticRegression(C=STRENGTH, max_iter=2000)
        self.regression.fit(self._scaled(own), np.array([str(label) for label in labels[known]]))
        self.levels: list[str] = [str(level) for level in self.regression.classes_]

    def probabilities(self, codes: NDArray[np.float64]) -> NDArray[np.float64]:
        """[cells, kinds], in the order of `levels`."""
        return np.asarray(self.regression.predict_proba(self._scaled(codes)))

    def _scaled(self, codes: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((codes - self.centre) / self.scale)


def is_known(label: Any) -> bool:
    """Whether a label names a kind: not None, NaN, "" or Unknown."""
    return label is not None and label == label and str(label) not in ("", "nan", "Unknown", "<NA>")
