"""What readers of codes share: rows to learn from with rows held out, and codes of one scale."""

import numpy as np
from numpy.typing import NDArray

from lambent.metrics.disentangle.factors import Numbers


def thirds(rows: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of two thirds of the rows, to learn from, and of the rest, by the seed."""
    order = np.random.default_rng(seed).permutation(rows)
    cut = rows * 2 // 3
    return order[:cut], order[cut:]


def standardized(codes: Numbers) -> Numbers:
    """Each unit with mean 0 and deviation 1; one that stands still is all noughts."""
    spread = codes.std(0)
    return np.asarray((codes - codes.mean(0)) / np.where(spread > 0, spread, 1.0))
