"""linear_probe: what a code says of a label to the plainest reader there is."""

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lambent.errors import UsageError

STRENGTH = 1.0  # inverse weight of the squares of the coefficients, of standardized columns
ROUNDS = 500


class Probed(NamedTuple):
    """The share of rows whose label is read rightly, with its standard error."""

    value: float
    error: float


def linear_probe(codes: NDArray[Any], labels: NDArray[Any], held: NDArray[Any], truth: NDArray[Any]) -> Probed:
    """The accuracy on held-out rows of a logistic regression from codes [n, d] to labels [n].

    held [m, d], truth [m]: rows that it has not seen. Columns are standardized by the rows that it learns from. error: of a
    share of m rows. Alain & Bengio, Understanding Intermediate Layers Using Linear Classifier Probes, 2017.
    Errors: `UsageError` for fewer than two labels or codes of different widths.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if codes.ndim != 2 or held.ndim != 2 or codes.shape[1] != held.shape[1]:
        raise UsageError(f"a probe reads codes [n, d] of one width, not {list(codes.shape)} and {list(held.shape)}")
    if len(np.unique(labels)) < 2:
        raise UsageError("a probe tells labels apart, and these rows have one alone: give rows of two labels or more")
    reader = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=ROUNDS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it may end before it has settled to the last digit
        reader.fit(codes, labels)
    right = np.asarray(reader.predict(held) == truth, np.float64)
    share = float(right.mean())
    return Probed(share, float(np.sqrt(share * (1 - share) / len(right))))
