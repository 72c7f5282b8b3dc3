"""What every judgement of synthetic rows is printed beside: a model that knows no dependence, and one that only copies."""

import numpy as np

from lambent.metrics.tables.coded import Rows


def independent(real: Rows, rows: int, random: np.random.Generator) -> Rows:
    """Each column drawn from its own values by itself: every marginal is right, and nothing else."""
    return np.stack([real[random.integers(0, len(real), rows), j] for j in range(real.shape[1])], 1)


def bootstrap(real: Rows, rows: int, random: np.random.Generator) -> Rows:
    """Rows drawn with replacement: as faithful as can be, and every one a copy."""
    return real[random.integers(0, len(real), rows)]
