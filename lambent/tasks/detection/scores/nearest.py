"""Nearest: how far the nearest training rows are, in the columns themselves."""

from typing import Self

import torch
from torch import Tensor

from lambent.fitted import Fitted, Rows
from lambent.metrics.bound import filled, steadily
from lambent.model.noise import are_among, row_keys
from lambent.part import option
from lambent.progress import counting
from lambent.tasks.detection.scores.base import Score, want_columns
from lambent.tasks.detection.scores.coordinates import BLOCK, Against, Points, Units, points, squared

CHUNK = 1024  # rows that are made points at once
TILE = 128  # of these, that are compared at once: so few that their distances to all that are kept stay in the cache
KEPT = 4096
SPARE = 2  # candidates beyond those needed, for what rounding confuses


class Nearest(Score):
    """The distance to the k-th nearest training row: √ Σ over columns, numbers in deviations, levels 0 or 1, gaps left out.

    Of more training rows than `most` a sample is kept that their content alone decides. Ramaswamy et al., 2000.
    """

    papers = ("ramaswamy2000efficient", "gower1971general")

    neighbour: int = option("k: the distance is to the k-th nearest", default=1, minimum=1, maximum=100)
    squashed: bool = option(
        "count numbers u, in deviations, as sign(u) log(1 + |u|): less of what is far out", default=False
    )
    most: int = option("training rows that are kept, at most", default=KEPT, minimum=2, maximum=100_000)

    def learn(self, fitted: Fitted, rows: Rows) -> Self:
        self.kept = {"rows": sampled(rows.x, self.most)} | Units.learned(fitted, rows.x)._asdict()
        return self

    def forward(self, fitted: Fitted, rows: Rows) -> Tensor:
        return distances(fitted, rows.x, self.known("rows"), units_of(self), self.neighbour, self.squashed)

    def refuse(self, fitted: Fitted) -> None:
        want_columns(fitted, "Nearest")


def units_of(score: Score) -> Units:
    """What a score that was learned measures columns in."""
    return Units(*(score.known(name) for name in Units._fields))


def sampled_places(x: Tensor, most: int) -> Tensor:
    """Where at most so many of the rows are, in an order and a choice that only their content decides."""
    return row_keys(x, 0).sort(stable=True).indices[:most]


def sampled(x: Tensor, most: int) -> Tensor:
    """At most so many of the rows, in that order."""
    return x[sampled_places(x, most)].float().clone()


@torch.no_grad()
def distances(
    fitted: Fitted, x: Tensor, kept: Tensor, units: Units, neighbour: int = 1, squashed: bool = False
) -> Tensor:
    """The distance of each row to the k-th nearest of those kept, [rows], float64; one that equals it is left out.

    In blocks of one shape, so that a row's digits hang on no other; candidates are found by one product of matrices in float32,
    and their distances then taken in float64. Nought for rows of which nothing is observed beside what any that is kept has.
    """
    against = Against(points(fitted, kept, units, squashed))
    known = row_keys(kept, 0).sort().values
    found = torch.empty(len(x), dtype=torch.float64)
    with counting("comparing", len(x)) as add, steadily():
        for start in range(0, len(x), CHUNK):
            part = filled(x, start, CHUNK).float()
            own = are_among(row_keys(part, 0), known).long()
            own_points = points(fitted, part, units, squashed)
            tiles = [own_points.pick(slice(at, at + TILE)) for at in range(0, CHUNK, TILE)]
            near = torch.cat([_nearest(tile, against, neighbour + 1) for tile in tiles])
            wanted = (own + neighbour - 1).clamp_max(near.shape[1] - 1)
            real = min(CHUNK, len(x) - start)
            found[start : start + real] = near.gather(1, wanted[:, None])[:real, 0]
            add(real)
    return torch.where(found.isinf(), 0.0, found).sqrt()


def _nearest(rows: Points, against: Against, count: int) -> Tensor:
    """The squared distances to the nearest of those kept, ascending, [rows, count or as many as there are]."""
    blocks = against.roughly(rows).view(len(rows.at), -1, BLOCK)
    wanted = min(count + SPARE, against.count)
    # The nearest so many lie in the so many blocks whose own nearest are nearest.
    leading = blocks.amin(2).topk(min(wanted, blocks.shape[1]), 1, largest=False).indices
    inside = blocks.gather(1, leading[:, :, None].expand(-1, -1, BLOCK)).flatten(1)
    places = (leading[:, :, None] * BLOCK + torch.arange(BLOCK)).flatten(1)
    chosen = places.gather(1, inside.topk(wanted, 1, largest=False).indices)
    return squared(rows, against.kept.pick(chosen)).sort(1).values[:, :count]
