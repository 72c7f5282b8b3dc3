"""A feature space learned once from the data's training rows: a classifier where they have labels, else views told apart."""

import hashlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lambent.errors import DataError
from lambent.metrics.samples.space import FEATURES, Bytes, Describer, Learned, planar, scaled
from lambent.progress import counting
from lambent.seeds import seeded, stream

STEPS = 1000
BATCH = 64
RATE = 2e-3
HELD = 0.1  # of the rows, on which it is told how well the network does
MOST_HELD = 1000
LEAST = 16  # rows
TEMPERATURE = 0.2
SHIFT, ZOOM, LIGHT = 0.1, 0.15, 0.2  # how far views move, grow and change in contrast and brightness


def learned(
    pictures: Bytes, labels: NDArray[np.int64] | None = None, seed: int = 0, steps: int | None = None
) -> Learned:
    """Train a small network on pictures [n, H, W(, 3)], uint8, and keep the space of its 64 features.

    labels: [n] classes, of which it becomes a classifier (−1: none, left out); without them it learns to tell two views (moved,
    zoomed, brighter or darker) of one picture from views of others (SimCLR; Chen et al., 2020). No view is blurred or made
    noisy, so that the features see both. The same seed, rows and machine give the same weights, and with them the same name.
    Errors: `DataError` for fewer than 16 pictures.
    """
    x = planar(pictures)
    if len(x) < LEAST:
        raise DataError(f"{len(x)} pictures are too few to learn features of; {LEAST} at least")
    steps = STEPS if steps is None else steps
    digest = hashlib.sha256(x.numpy().tobytes()).hexdigest()
    facts: dict[str, Any] = {"event": list(x.shape[1:]), "rows": len(x), "sha256": digest}
    classes = 0 if labels is None else int(np.max(labels, initial=-1)) + 1
    generator = torch.Generator().manual_seed(stream(seed, "feature space"))
    order = torch.randperm(len(x), generator=generator)
    held = min(MOST_HELD, max(2, int(HELD * len(x))))
    kept, watched = order[held:], order[:held]
    with seeded(generator):
        network = Describer(*facts["event"])
        if classes > 1 and labels is not None:
            y = torch.from_numpy(np.asarray(labels, np.int64))
            kept = kept[y[kept] >= 0]
            facts |= {"task": "classes", "classes": classes, "seed": seed, "steps": steps}
            facts["accuracy"] = _classifier(network, x, y, classes, kept, watched[y[watched] >= 0], generator, steps)
        else:
            facts |= {"task": "views", "seed": seed, "steps": steps}
            facts["accuracy"] = _views(network, x, kept, watched, generator, steps)
    mean, scale = _standard(network, x)
    return Learned(network, mean, scale, facts)


@torch.no_grad()
def _standard(network: Describer, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each feature over the rows."""
    network.eval()
    features = torch.cat([network(scaled(part)) for part in x.split(256)])
    return features.mean(0), features.std(0).clamp_min(1e-6)


def _classifier(
    network: Describer, x: Tensor, y: Tensor, classes: int, kept: Tensor, held: Tensor, generator: torch.Generator, steps: int
) -> float:  # fmt: skip
    """Learn by cross-entropy; the share of held-out rows that it gets right."""
    head = nn.Linear(FEATURES, classes)

    def loss(rows: Tensor) -> Tensor:
        found: Tensor = functional.cross_entropy(head(functional.silu(network(_view(x[rows], generator)))), y[rows])
        return found

    _optimized([*network.parameters(), *head.parameters()], loss, kept, generator, steps)
    with torch.no_grad():
        parts = [head(functional.silu(network(scaled(x[part])))).argmax(1) == y[part] for part in held.split(256)]
    return float(torch.cat(parts).float().mean()) if parts else math.nan


def _views(network: Describer, x: Tensor, kept: Tensor, held: Tensor, generator: torch.Generator, steps: int) -> float:
    """Learn by −log of the share that the other view of one's own has; how often it is the nearest, of 64 held-out rows."""
    head = nn.Sequential(nn.SiLU(), nn.Linear(FEATURES, FEATURES), nn.SiLU(), nn.Linear(FEATURES, 32))

    def likeness(rows: Tensor) -> tuple[Tensor, Tensor]:
        both = torch.cat([_view(x[rows], generator), _view(x[rows], generator)])
        codes = functional.normalize(head(network(both)), dim=1)
        alike = codes @ codes.T / TEMPERATURE
        alike = alike.masked_fill(torch.eye(len(codes), dtype=torch.bool), -math.inf)
        return alike, torch.arange(len(codes)).roll(len(rows))

    def loss(rows: Tensor) -> Tensor:
        return functional.cross_entropy(*likeness(rows))

    _optimized([*network.parameters(), *head.parameters()], loss, kept, generator, steps)
    with torch.no_grad():
        alike, wanted = likeness(held[:BATCH])
    return float((alike.argmax(1) == wanted).float().mean())


def _optimized(
    weights: list[nn.Parameter], loss: Callable[[Tensor], Tensor], kept: Tensor, generator: torch.Generator, steps: int
) -> None:
    """AdamW with a cosine schedule on random batches."""
    optimizer = torch.optim.AdamW(weights, RATE, weight_decay=1e-2)
    with counting("learning the feature space", steps) as add:
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
            rows = kept[torch.randint(0, len(kept), (min(BATCH, len(kept)),), generator=generator)].unique()
            optimizer.zero_grad(set_to_none=True)
            loss(rows).backward()
            optimizer.step()
            add(1)


def _view(x: Tensor, generator: torch.Generator) -> Tensor:
    """Bytes [n, C, H, W] → a view of each in [0, 1]: moved, zoomed, brighter or darker, of more or less contrast."""
    n = len(x)

    def drawn(reach: float, *shape: int) -> Tensor:
        return (2 * torch.rand(n, *shape, generator=generator) - 1) * reach

    turn = torch.zeros(n, 2, 3)
    turn[:, 0, 0] = turn[:, 1, 1] = 1 + drawn(ZOOM)
    turn[:, :, 2] = drawn(2 * SHIFT, 2)
    pixels = scaled(x)
    grid = functional.affine_grid(turn, list(x.shape), align_corners=False)
    moved = functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    middle = moved.mean((1, 2, 3), keepdim=True)
    lit = middle + (moved - middle) * (1 + drawn(LIGHT, 1, 1, 1)) + drawn(LIGHT / 2, 1, 1, 1)
    return lit.clamp(0, 1)
