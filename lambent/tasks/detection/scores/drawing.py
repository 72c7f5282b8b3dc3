"""Drawing: how poorly a model draws a picture's outlines, and how far those of the nearest training picture are."""

from typing import Self

import torch
from torch import Tensor

from lambent.errors import UsageError
from lambent.fitted import Fitted, Rows
from lambent.metrics.bound import filled, steadily
from lambent.model import LatentModel
from lambent.model.noise import are_among, row_keys
from lambent.model.trace import mean
from lambent.part import option
from lambent.progress import counting
from lambent.tasks.detection.scores.base import SMALLEST, Score
from lambent.tasks.detection.scores.coordinates import slog
from lambent.tasks.detection.scores.edges import Outlines
from lambent.tasks.detection.scores.members import by_chunks, described
from lambent.tasks.detection.scores.nearest import sampled_places
from lambent.tasks.detection.scores.usual import unusual, usual

CHUNK = 256  # pictures that are compared at once
SPARE = 4  # candidates beyond those needed, for what rounding confuses
KEPT = 6000


class Drawing(Score):
    """Σ w · slog(how unusual a reading of a picture is among the training pictures), slog(u) = sign(u) log(1 + |u|).

    The readings: how far the picture's outlines lie from those of the nearest training picture (w = 1) and from those of its own
    reconstruction by the model (w = `drawing`), as distances of histograms of oriented gradients (see `Outlines`), which hang
    neither on brightness nor on contrast; and −log p(x | μ(x)) + KL (w = `levels`), which does. A picture is not normal for being
    simple: one without outlines is as far from those that have some as any can be. Each as u = (reading − median) /
    (interquartile range / 1.349) over the training pictures; of an ensemble slog(u) is averaged over members.

    Training pictures may be odd themselves, and alike: they are compared with those that the model draws best, all but a share
    `trim`, by the distance to the `neighbour`-th nearest.
    """

    papers = ("dalal2005histograms",)

    drawing: float = option(
        "weight of how poorly the model draws a picture's outlines", default=0.5, minimum=0, maximum=100
    )
    levels: float = option(
        "weight of what a picture's levels tell beside its outlines", default=0.25, minimum=0, maximum=100
    )
    cells: int = option(
        "cells along the shorter side in which outlines are told apart", default=9, minimum=2, maximum=64
    )
    trim: float = option(
        "share of the kept pictures, the worst drawn, that training pictures are not compared with",
        default=0.3,
        minimum=0,
        below=1,
    )
    neighbour: int = option(
        "training pictures are read by the distance to the k-th nearest", default=5, minimum=1, maximum=100
    )
    most: int = option("training pictures that are kept, at most", default=KEPT, minimum=2, maximum=100_000)

    def learn(self, fitted: Fitted, rows: Rows) -> Self:
        rows = rows.at(sampled_places(rows.x, self.most))
        self.kept = {"white": rows.x.float().max().clamp_min(1e-6), "keys": row_keys(rows.x.float(), 0)}
        drawn = self._drawn(fitted, rows)
        self.kept["outlines"] = self._outlines(fitted, rows.x)
        self.kept |= usual("drawn", drawn) | usual("told", described(fitted, rows))
        self.kept |= usual("distance", self._distance(fitted, rows, 1))
        worst = unusual(self.kept, "drawn", drawn).mean(0)
        best = max(2, round((1 - self.trim) * len(rows)))
        self.kept["typical"] = worst.sort(stable=True).indices[:best].sort().values
        near = self._distance(fitted, rows.at(self.kept["typical"]), self.neighbour, self.kept["typical"])
        self.kept |= usual("typical_distance", near)
        return self

    def forward(self, fitted: Fitted, rows: Rows) -> Tensor:
        self.known("outlines")
        return self._read(fitted, rows) + slog(unusual(self.kept, "distance", self._distance(fitted, rows, 1)))

    def seen(self, fitted: Fitted, rows: Rows) -> Tensor:
        near = self._distance(fitted, rows, self.neighbour, self.known("typical"))
        return self._read(fitted, rows) + slog(unusual(self.kept, "typical_distance", near))

    def refuse(self, fitted: Fitted) -> None:
        shape = fitted.model.event_shape
        if len(shape) != 3 or min(shape[1:]) < SMALLEST:
            raise UsageError(
                f"the Drawing score compares pictures, and these rows have shape {list(shape)}: use Evidence"
            )

    def _read(self, fitted: Fitted, rows: Rows) -> Tensor:
        """What the model makes of pictures."""
        drawn = unusual(self.kept, "drawn", self._drawn(fitted, rows))
        told = unusual(self.kept, "told", described(fitted, rows))
        return (self.drawing * slog(drawn) + self.levels * slog(told)).mean(0)

    def _drawn(self, fitted: Fitted, rows: Rows) -> Tensor:
        """The distance between the outlines of pictures and of their reconstructions, [members, rows], float64."""
        outlines, white = Outlines(fitted.model.event_shape, self.cells).to(fitted.model.device), self.kept["white"]
        of_bytes = not rows.x.dtype.is_floating_point

        def read(model: LatentModel, x: Tensor, context: Tensor | None) -> Tensor:
            trace = model.trace(x, 1, mean, context)
            shown = model.likelihood.stored(model.likelihood.shown(trace.px), of_bytes)
            own = outlines(x.float() / white.to(x.device))
            return torch.stack([(outlines(one / white.to(x.device)) - own).norm(dim=1) for one in shown]).double()

        return by_chunks(fitted, rows, read)

    @torch.no_grad()
    def _outlines(self, fitted: Fitted, x: Tensor) -> Tensor:
        outlines = Outlines(fitted.model.event_shape, self.cells)
        with steadily():
            parts = [
                outlines(filled(x, start, CHUNK).float() / self.kept["white"]) for start in range(0, len(x), CHUNK)
            ]
        return torch.cat(parts)[: len(x)]

    @torch.no_grad()
    def _distance(self, fitted: Fitted, rows: Rows, neighbour: int, among: Tensor | None = None) -> Tensor:
        """The distance of each picture's outlines to those of the k-th nearest kept, float64; one that equals it is left out.

        In blocks of one shape; candidates are found by a product of matrices, and their distances then taken in float64.
        """
        kept, known = self.kept["outlines"], self.kept["keys"]
        kept, known = (kept, known) if among is None else (kept[among], known[among])
        known, squares = known.sort().values, kept.square().sum(1)
        found = torch.empty(len(rows), dtype=torch.float64)
        count = min(neighbour + 1 + SPARE, len(kept))
        with counting("comparing", len(rows)) as add:
            for start in range(0, len(rows), CHUNK):
                part = filled(rows.x, start, CHUNK)
                own = self._outlines(fitted, part)
                with steadily():
                    places = (squares - 2 * own @ kept.T).topk(count, 1, largest=False).indices
                near = (own[:, None].double() - kept[places].double()).square().sum(2).sort(1).values
                same = are_among(row_keys(part.float(), 0), known).long()
                wanted = (same + neighbour - 1).clamp_max(count - 1)
                real = min(CHUNK, len(rows) - start)
                found[start : start + real] = near.gather(1, wanted[:, None])[:real, 0]
                add(real)
        return found.sqrt()
