"""Walks from one picture to another, looked at in features: how straight they are, and how even their steps."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lambent.errors import UsageError
from lambent.metrics.samples.kernel import Estimate


class Walks(NamedTuple):
    """Two numbers, each with its standard error over the walks."""

    straightness: Estimate
    largest_step: Estimate


def walks(features: NDArray[np.float64]) -> Walks:
    """How smooth walks are, features [walks, points, d].

    straightness: ‖f_T − f_0‖ / Σ_t ‖f_{t+1} − f_t‖, at most 1, which a straight line reaches; a walk past other things, or
    through noise, is longer. largest_step: max_t ‖f_{t+1} − f_t‖ over their mean, at least 1, which even steps have; where a
    picture jumps into another it is T. Walks that do not move are left out. After the path length of Karras et al., A
    Style-Based Generator Architecture for Generative Adversarial Networks, 2019.
    Errors: `UsageError` for fewer than three points.
    """
    if features.ndim != 3 or features.shape[1] < 3:
        raise UsageError(f"walks are features [walks, points, d] of three points or more, not {list(features.shape)}")
    steps = np.linalg.norm(np.diff(features, axis=1), axis=2)
    length = steps.sum(1)
    moving = length > 0
    if not moving.any():
        return Walks(Estimate(float("nan"), float("nan")), Estimate(float("nan"), float("nan")))
    apart = np.linalg.norm(features[:, -1] - features[:, 0], axis=1)
    return Walks(
        Estimate.of(apart[moving] / length[moving]), Estimate.of(steps[moving].max(1) * steps.shape[1] / length[moving])
    )
