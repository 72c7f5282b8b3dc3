"""Style: how far pictures in another style are from their true partners, whether content stayed, and which style they have."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.errors import UsageError
from lambent.metrics.samples.kernel import Estimate
from lambent.metrics.samples.neighbours import nearest

Numbers = NDArray[np.float64]

LEAST = 20  # rows that a probe learns from
RIDGE = 1e-3  # of the mean variance within partners, below which none counts
ROUNDS = 1000  # of a probe's optimizer
DARKEST = 1 / 255  # below which a logarithm of a colour is not taken

# From RGB to the responses of cones, and from their logarithms to light, yellow–blue and red–green.
CONES = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]])
OPPONENTS = np.diag([3**-0.5, 6**-0.5, 2**-0.5]) @ np.array([[1, 1, 1], [1, 1, -2], [1, -1, 0]])


def apart(rows: NDArray[Any], partners: NDArray[Any]) -> Estimate:
    """Mean over rows of √(mean (a − b)²), each row beside its partner, with its standard error.

    rows, partners: [n, …] of one shape, pictures as bytes (then in shares of white) or features.
    """
    if rows.shape != partners.shape or not len(rows):
        raise UsageError(
            f"each row is compared with its own partner, and these are {list(rows.shape)} and {list(partners.shape)}"
        )
    a, b = (_in_shares(side) for side in (rows, partners))
    return _mean(np.sqrt(((a - b) ** 2).mean(1)))


def _in_shares(rows: NDArray[Any]) -> Numbers:
    return rows.reshape(len(rows), -1).astype(np.float64) / (255 if rows.dtype == np.uint8 else 1)


def retrieved(features: Numbers, partners: Numbers) -> Estimate:
    """The share of rows [n, d] whose nearest of all partners [n, d] is their own, with its standard error; 1/n by chance."""
    if features.shape != partners.shape:
        raise UsageError(
            f"each row has one partner, and these are {list(features.shape)} and {list(partners.shape)} features"
        )
    return _mean((nearest(features, partners).place == np.arange(len(features))).astype(np.float64))


def _mean(values: Numbers) -> Estimate:
    return Estimate(float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else 0.0)


class Content:
    """Features in which partners of two styles lie near each other: x ↦ x L, L Lᵀ = (E (a − b)(a − b)ᵀ)⁻¹ over known partners.

    first, second: [n, d], row by row partners. What differs between the styles counts little then, what tells one content from
    another much. Bar-Hillel et al., Learning a Mahalanobis Metric from Equivalence Constraints, 2005.
    """

    def __init__(self, first: Numbers, second: Numbers) -> None:
        if first.shape != second.shape or len(first) < LEAST:
            raise UsageError(
                f"content is learned from {LEAST} partners at least, row by row, not from {list(first.shape)} and "
                f"{list(second.shape)} features"
            )
        off = first - second
        within = off.T @ off / len(off)
        floor = RIDGE * max(float(np.trace(within)) / len(within), 1e-12)
        self.root = np.linalg.cholesky(np.linalg.inv(within + floor * np.eye(len(within))))

    def __call__(self, features: Numbers) -> Numbers:
        """[n, d] → [n, d]."""
        return np.asarray(features @ self.root)


class Probe:
    """A classifier of features, to tell what these say of labels: linear (a logistic regression), or with a hidden layer.

    features [n, d], labels [n]; each feature is brought to mean 0 and deviation 1. hidden: units of the layer, 0 for none.
    Alain & Bengio, Understanding intermediate layers using linear classifier probes, 2016.
    Errors: `UsageError` for fewer than 20 rows, or labels that are all alike.
    """

    def __init__(self, features: Numbers, labels: NDArray[Any], hidden: int = 0, seed: int = 0) -> None:
        from sklearn.linear_model import LogisticRegression
        from sklearn.neural_network import MLPClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        if len(features) < LEAST or len(np.unique(labels)) < 2:
            raise UsageError(
                f"a probe learns from {LEAST} rows at least, of two labels or more; these are {len(features)} rows of "
                f"{len(np.unique(labels))}"
            )
        # Held-out rows stop it, so that it does not learn these rows by heart.
        how = {"early_stopping": True, "n_iter_no_change": 30, "learning_rate_init": 5e-3, "max_iter": ROUNDS}
        layered = MLPClassifier((hidden,), random_state=seed % 2**32, **how)
        classifier = layered if hidden else LogisticRegression(max_iter=ROUNDS)
        self.pipeline = make_pipeline(StandardScaler(), classifier).fit(features, labels)

    def told(self, features: Numbers) -> NDArray[Any]:
        """The likeliest label of each row, [n]."""
        return np.asarray(self.pipeline.predict(features))

    def right(self, features: Numbers, labels: NDArray[Any]) -> Estimate:
        """The share of rows that it tells right, the mean over labels, so that ½ of two is chance; with its standard error."""
        hit = (self.told(features) == labels).astype(np.float64)
        shares = [_mean(hit[labels == label]) for label in np.unique(labels)]
        error = np.sqrt(sum(share.error**2 for share in shares)) / len(shares)
        return Estimate(float(np.mean([share.value for share in shares])), float(error))


def colour_transfer(pictures: NDArray[np.uint8], own: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures [n, H, W, 3] with the colours of another style: x ↦ μ' + (x − μ) σ'/σ in each of light, yellow–blue, red–green.

    own, other: pictures [m, H, W, 3] of the style that they have and of the one that they get, over all of which means μ and
    deviations σ are taken; grey ones, [n, H, W], are of one channel. Reinhard et al., Color Transfer between Images, 2001.
    """
    if not pictures.shape[1:] or {a.ndim for a in (pictures, own, other)} not in ({3}, {4}):
        raise UsageError("colours are transferred between pictures that are all grey, or all in colour")
    x, before, after = (_opponent(each) for each in (pictures, own, other))
    means = [side.reshape(-1, side.shape[-1]).mean(0) for side in (before, after)]
    scales = [np.maximum(side.reshape(-1, side.shape[-1]).std(0), 1e-9) for side in (before, after)]
    return _coloured(means[1] + (x - means[0]) * (scales[1] / scales[0])).reshape(pictures.shape)


def _opponent(pictures: NDArray[np.uint8]) -> Numbers:
    shares = np.maximum(pictures.astype(np.float64) / 255, DARKEST)
    if pictures.ndim == 3:
        return np.log10(shares)[..., None]
    return np.asarray(np.log10(shares @ CONES.T) @ OPPONENTS.T)


def _coloured(x: Numbers) -> NDArray[np.uint8]:
    shares = 10**x if x.shape[-1] == 1 else 10 ** (x @ np.linalg.inv(OPPONENTS).T) @ np.linalg.inv(CONES).T
    return np.asarray(np.rint(255 * np.clip(shares, 0, 1)), np.uint8)
