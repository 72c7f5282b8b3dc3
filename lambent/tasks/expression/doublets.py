"""doublets: how much a cell looks like two that were measured as one."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from lambent.errors import UsageError
from lambent.fitted import Fitted, Rows
from lambent.seeds import stream
from lambent.tasks.explore import encode

RATIO = 2.0  # doublets that are made for each cell
FEWEST = 20


def doublet_scores(
    fitted: Any, rows: Rows, ratio: float = RATIO, expected: float = 0.06, seed: int = 0
) -> NDArray[np.float64]:
    """How probable each cell is two, [cells], from 0 to 1: by the made doublets among its neighbours in the code.

    A doublet is made by adding the counts of two cells of one batch, `ratio` for each cell, and encoded. Of the k nearest of a
    cell, k = ½ √cells · (1 + ratio), a share q is made; then with a share ρ = `expected` of doublets among all cells its odds are
    (q ρ / ratio) / ((1 − q)(1 − ρ)). Doublets of two cells of one kind look as such a cell does, and are not found. Wolock,
    Lopez and Klein, Scrublet: computational identification of cell doublets in single-cell transcriptomic data, 2019.
    Errors: `UsageError` for fewer than 20 cells, a ratio not above 0, a rate outside (0, 1).
    """
    if len(rows) < FEWEST or not ratio > 0 or not 0 < expected < 1:
        raise UsageError(
            f"doublets are made of {FEWEST} cells at least, at a ratio above 0, with an expected rate between 0 and 1; not of "
            f"{len(rows)}, {ratio:g} and {expected:g}"
        )
    fitted = Fitted.of(fitted)
    generator = torch.Generator().manual_seed(stream(seed, "doublets"))
    count = max(1, round(ratio * len(rows)))
    first, second = _pairs(rows.context, len(rows), count, generator)
    own = _codes(fitted, rows)
    made = np.concatenate(
        [
            _codes(fitted, Rows(_added(rows.x, a, b), None if rows.context is None else rows.context[a]))
            for a, b in zip(first.split(1024), second.split(1024), strict=True)
        ]
    )
    scale = np.maximum(own.std(0), 1e-6)
    every = np.concatenate((own, made)) / scale
    near = min(len(every) - 1, max(10, round(0.5 * len(rows) ** 0.5 * (1 + ratio))))
    places = cKDTree(every).query(own / scale, near + 1)[1][:, 1:]
    share = ((places >= len(own)).sum(1) + 1) / (near + 2)
    odds = expected * share * len(rows) / count / ((1 - expected) * (1 - share))
    return np.asarray(odds / (1 + odds))


def _pairs(context: Tensor | None, rows: int, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Cells to be added up, two of one context each."""
    first = torch.randint(rows, (count,), generator=generator)
    if context is None:
        return first, torch.randint(rows, (count,), generator=generator)
    groups = torch.unique(context, dim=0, return_inverse=True)[1]
    order = groups.argsort(stable=True)
    sizes = groups.bincount()
    starts = sizes.cumsum(0) - sizes
    place = (torch.rand(count, generator=generator) * sizes[groups[first]]).long()
    return first, order[starts[groups[first]] + place]


def _added(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
    return x[first] + x[second]


def _codes(fitted: Fitted, rows: Rows) -> NDArray[np.float64]:
    return torch.cat([level.flatten(1) for level in encode(fitted, rows.x, rows.context)], 1).double().numpy()
