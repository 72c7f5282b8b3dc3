"""A feature space learned once from the data's training rows, to measure drawn pictures in."""

import numpy as np
import torch
from numpy.typing import NDArray

from lambent.errors import DataError
from lambent.metrics.samples.space import Bytes, Learned, planar
from lambent.model.feature_learning import LEAST, STEPS, feature_space
from lambent.seeds import stream


def learned(
    pictures: Bytes, labels: NDArray[np.int64] | None = None, seed: int = 0, steps: int | None = None
) -> Learned:
    """Train a small network on pictures [n, H, W(, 3)], uint8, and keep the space of its 64 features; see `feature_space`.

    labels: [n] classes, of which it becomes a classifier (−1: none); without them it learns to tell views of one picture from
    those of others. The same seed, rows and machine give the same weights, and with them the same name.
    Errors: `DataError` for fewer than 16 pictures.
    """
    x = planar(pictures)
    if len(x) < LEAST:
        raise DataError(f"{len(x)} pictures are too few to learn features of; {LEAST} at least")
    generator = torch.Generator().manual_seed(stream(seed, "feature space"))
    y = None if labels is None or not len(labels) else torch.from_numpy(np.asarray(labels, np.int64))
    space = feature_space(x, generator, y, STEPS if steps is None else steps)
    space.facts["seed"] = seed
    return Learned(space)
