"""Windows of a series and the rows under them: which rows it is that make windows odd."""

import numpy as np
from numpy.typing import NDArray

from lambent.errors import UsageError


def located(scores: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
    """Scores of rows from those of the windows over them, [windows] → [windows + steps − 1]: the least of all that cover a row.

    A row is odd so far as every window over it is: an odd row makes T windows odd, and each of its neighbours is in one that is
    not. Of a stretch of odd rows all are found; at the ends, which few windows cover, neighbours may be taken for odd, too.
    """
    if steps < 1:
        raise UsageError(f"a window has at least one step, not {steps}")
    padded = np.concatenate([np.full(steps - 1, np.inf), scores, np.full(steps - 1, np.inf)])
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, steps).min(1))
