"""Learning a feature space from pictures: a classifier where they have labels, else views of one picture told from others'."""

import hashlib
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lambent.model.feature_space import FEATURES, Describer, FeatureSpace, scaled
from lambent.progress import counting
from lambent.seeds import seeded

STEPS = 1000
BATCH = 64
RATE = 2e-3
HELD = 0.1  # of the rows, on which it is told how well the network does
MOST_HELD = 1000
LEAST = 16  # rows
TEMPERATURE = 0.2
SHIFT, ZOOM, LIGHT = 0.1, 0.15, 0.2  # how far views move, grow and change in contrast and brightness


def feature_space(
    x: Tensor, generator: torch.Generator, labels: Tensor | None = None, steps: int = STEPS
) -> FeatureSpace:
    """Train a small network on pictures [n, C, H, W], bytes or numbers in [0, 1], and give the space of its 64 features.

    labels: [n] classes, of which it becomes a classifier (−1: none, left out); without them it learns to tell two views (moved,
    zoomed, brighter or darker) of one picture from views of others (SimCLR; Chen et al., 2020). No view is blurred or made
    noisy, so that the features see both. At least 16 pictures.
    """
    digest = hashlib.sha256(x.numpy().tobytes()).hexdigest()
    facts: dict[str, Any] = {"event": list(x.shape[1:]), "rows": len(x), "sha256": digest}
    classes = 0 if labels is None else int(labels.max()) + 1
    order = torch.randperm(len(x), generator=generator)
    held = min(MOST_HELD, max(2, int(HELD * len(x))))
    kept, watched = order[held:], order[:held]
    with torch.enable_grad(), seeded(generator):
        network = Describer(*facts["event"])
        if classes > 1 and labels is not None:
            y = labels
            kept = kept[y[kept] >= 0]
            facts |= {"task": "classes", "classes": classes, "steps": steps}
            facts["accuracy"] = _classifier(network, x, y, classes, kept, watched[y[watched] >= 0], generator, steps)
        else:
            facts |= {"task": "views", "steps": steps}
            facts["accuracy"] = _views(network, x, kept, watched, generator, steps)
    space = FeatureSpace(tuple(facts["event"]), network)
    space.standardize(x)
    space.facts = facts
    return space


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
    """Pictures [n, C, H, W] → a view of each in [0, 1]: moved, zoomed, brighter or darker, of more or less contrast."""
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
