"""Style: how far pictures in another style are from their true partners, whether content stayed, and which style they have."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.errors import UsageError
from lambent.metrics.samples.kernel import Estimate
from lambent.metrics.samples.neighbours import nearest

Numbers = NDArray[np.float64]

LEAST = 20  # partners that content is learned from
RIDGE = 1e-3  # of the mean variance within partners, below which none counts
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
    return Estimate.of(np.sqrt(((a - b) ** 2).mean(1)))


def _in_shares(rows: NDArray[Any]) -> Numbers:
    return rows.reshape(len(rows), -1).astype(np.float64) / (255 if rows.dtype == np.uint8 else 1)


def retrieved(features: Numbers, partners: Numbers) -> Estimate:
    """The share of rows [n, d] whose nearest of all partners [n, d] is their own, with its standard error; 1/n by chance."""
    if features.shape != partners.shape:
        raise UsageError(
            f"each row has one partner, and these are {list(features.shape)} and {list(partners.shape)} features"
        )
    return Estimate.of(nearest(features, partners).place == np.arange(len(features)))


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
