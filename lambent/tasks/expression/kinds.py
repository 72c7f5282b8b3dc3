"""kinds: which kind a cell is of, by cells whose kind is known and a code that was learned from all."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from lambent.errors import ArtifactError, UsageError

STRENGTH = 1.0  # of the ridge, in units of one cell
ARRAYS = ("centre", "scale", "weights", "offsets")


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
            raise UsageError(
                f"cells of two kinds at least must be known, and these know {len(names)}: give a column of labels"
            )
        own = codes[known]
        self.centre, self.scale = own.mean(0), np.maximum(own.std(0), 1e-6)
        regression = LogisticRegression(C=STRENGTH, max_iter=2000)
        regression.fit(self._scaled(own), np.array([str(label) for label in labels[known]]))
        self.levels: list[str] = [str(level) for level in regression.classes_]
        weights, offsets = regression.coef_, regression.intercept_
        # Of two kinds there is one row of weights, that of the second over the first.
        two = len(weights) == 1
        self.weights = np.concatenate((0 * weights, weights)) if two else weights
        self.offsets = np.concatenate((0 * offsets, offsets)) if two else offsets

    def state(self) -> dict[str, Any]:
        """Plain JSON; `restored` is the inverse."""
        return {"levels": self.levels, **{name: getattr(self, name).tolist() for name in ARRAYS}}

    @classmethod
    def restored(cls, state: Any) -> Self:
        """The kinds that `state` describes; `ArtifactError` if it describes none."""
        self = cls.__new__(cls)
        try:
            self.levels = [str(level) for level in state["levels"]]
            for name in ARRAYS:
                setattr(self, name, np.asarray(state[name], np.float64))
            fits = self.weights.shape == (len(self.levels), len(self.centre)) and self.offsets.shape == (
                len(self.levels),
            )
            fits = (
                fits
                and self.scale.shape == self.centre.shape
                and all(np.isfinite(getattr(self, n)).all() for n in ARRAYS)
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"the kinds of cells that are stored are damaged ({error!r})") from None
        if not fits:
            raise ArtifactError("the kinds of cells that are stored are damaged: their numbers do not fit together")
        return self

    def probabilities(self, codes: NDArray[np.float64]) -> NDArray[np.float64]:
        """[cells, kinds], in the order of `levels`."""
        return np.asarray(softmax(self._scaled(codes) @ self.weights.T + self.offsets, 1))

    def _scaled(self, codes: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((codes - self.centre) / self.scale)


def is_known(label: Any) -> bool:
    """Whether a label names a kind: not None, NaN, "" or Unknown."""
    return label is not None and label == label and str(label) not in ("", "nan", "Unknown", "<NA>")
