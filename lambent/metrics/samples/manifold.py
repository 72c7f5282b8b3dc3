"""Precision and recall, density and coverage: what the neighbourhoods of real and drawn features have in common."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from lambent.errors import UsageError
from lambent.metrics.samples.kernel import Estimate

NEIGHBOURS = 5

Numbers = NDArray[np.float64]


class Manifold(NamedTuple):
    """Four numbers, each with its standard error; all but the density lie in [0, 1]."""

    precision: Estimate
    recall: Estimate
    density: Estimate
    coverage: Estimate


def manifold(real: Numbers, drawn: Numbers, neighbours: int = NEIGHBOURS) -> Manifold:
    """What the k-neighbourhoods of real features [n, d] and drawn ones [m, d] have in common.

    With B(x) the ball around x that reaches to its k-th nearest neighbour of its own kind: precision is the share of drawn rows
    in a B(real), recall the share of real rows in a B(drawn) (Kynkäänniemi et al., 2019); density the mean over drawn rows of
    how many B(real) hold one, over k, which an outlier among the real rows cannot raise; coverage the share of B(real) that
    hold a drawn row (Naeem et al., 2020). Errors are those of means over the rows of which each is a share, the other
    side being as it is. Errors: `UsageError` for no more rows on a side than neighbours.
    """
    x, y = (np.asarray(side, np.float64) for side in (real, drawn))
    if min(len(x), len(y)) <= neighbours:
        raise UsageError(f"{min(len(x), len(y))} rows have no {neighbours} neighbours: take more, or fewer neighbours")
    across = cdist(x, y)
    own, other = _reach(x, neighbours), _reach(y, neighbours)
    inside = across <= own[:, None]  # [real, drawn]: whether a real row's ball holds a drawn row
    return Manifold(
        Estimate.of(inside.any(0)),
        Estimate.of((across <= other[None, :]).any(1)),
        Estimate.of(inside.sum(0) / neighbours),
        Estimate.of(inside.any(1)),
    )


def _reach(rows: Numbers, neighbours: int) -> Numbers:
    """The distance of each row to its k-th nearest other one."""
    apart = cdist(rows, rows)
    np.fill_diagonal(apart, np.inf)
    return np.partition(apart, neighbours - 1, axis=1)[:, neighbours - 1]
