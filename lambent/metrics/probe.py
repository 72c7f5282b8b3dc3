"""Probe: what features, such as codes, say of labels to a plain reader."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.errors import UsageError
from lambent.metrics.samples.kernel import Estimate

Numbers = NDArray[np.floating[Any]]

LEAST = 20  # rows that a probe learns from
ROUNDS = 1000  # of its optimizer


class Probe:
    """A classifier of features, to tell what these say of labels: linear (a logistic regression), or with a hidden layer.

    features [n, d], labels [n]; each feature is brought to mean 0 and deviation 1. hidden: units of the layer, 0 for none.
    few: whether it may learn from a handful of rows; features are then taken as they are, for these tell nothing of deviations.
    Alain & Bengio, Understanding intermediate layers using linear classifier probes, 2016.
    Errors: `UsageError` for fewer than 20 rows (unless few), labels that are all alike, or features of another width.
    """

    def __init__(
        self, features: Numbers, labels: NDArray[Any], hidden: int = 0, seed: int = 0, few: bool = False
    ) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
        from sklearn.neural_network import MLPClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        least = 2 if few else LEAST
        if len(features) < least or len(np.unique(labels)) < 2:
            raise UsageError(
                f"a probe learns from {least} rows at least, of two labels or more; these are {len(features)} rows of "
                f"{len(np.unique(labels))}"
            )
        # Held-out rows stop it, so that it does not learn these rows by heart.
        how = {"early_stopping": True, "n_iter_no_change": 30, "learning_rate_init": 5e-3, "max_iter": ROUNDS}
        layered = MLPClassifier((hidden,), random_state=seed % 2**32, **how)
        classifier = layered if hidden else LogisticRegression(max_iter=ROUNDS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # it may end before it has settled to the last digit
            scaler = StandardScaler(with_mean=not few, with_std=not few)
            self.pipeline = make_pipeline(scaler, classifier).fit(features, labels)

    def told(self, features: Numbers) -> NDArray[Any]:
        """The likeliest label of each row, [n]."""
        width = self.pipeline.n_features_in_
        if features.ndim != 2 or features.shape[1] != width:
            raise UsageError(f"this probe reads features [n, {width}], not {list(features.shape)}")
        return np.asarray(self.pipeline.predict(features))

    def share(self, features: Numbers, labels: NDArray[Any]) -> Estimate:
        """The share of rows that it tells right, with its standard error."""
        return Estimate.of(self.told(features) == labels)

    def right(self, features: Numbers, labels: NDArray[Any]) -> Estimate:
        """The same as the mean over labels, so that ½ of two is chance, however often each occurs."""
        hit = self.told(features) == labels
        shares = [Estimate.of(hit[labels == label]) for label in np.unique(labels)]
        error = np.sqrt(sum(share.error**2 for share in shares)) / len(shares)
        return Estimate(float(np.mean([share.value for share in shares])), float(error))
