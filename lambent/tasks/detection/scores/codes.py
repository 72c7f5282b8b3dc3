"""Scores read off a row's code: its distance from where codes lie, and how densely they lie around it."""

import math
from typing import Literal, Self

import torch
from torch import Tensor

from lambent.fitted import Fitted, Rows
from lambent.metrics.bound import bounds, filled, steadily
from lambent.part import option
from lambent.tasks.detection.scores.base import Score, want_density
from lambent.tasks.detection.scores.members import codes
from lambent.tasks.detection.scores.nearest import sampled_places

CHUNK = 512
CLOSEST = 1e-6  # deviations, between codes: as near as single precision tells apart


class LatentDistance(Score):
    """How far a row's code lies from the others.

    From the prior: KL(q(z|x) ‖ p(z)), in nats. From the codes of the training rows: ½ (μ − m)ᵀ S⁻¹ (μ − m), μ the centre of
    q(z|x), m and S mean and covariance of those; up to a constant −log of a Gaussian there. Of an ensemble the mean over its
    members. Lee et al., 2018.
    """

    papers = ("lee2018simple",)

    origin: Literal["prior", "codes"] = option(
        "what the distance is from: the prior, or the codes of training", default="codes"
    )

    def learn(self, fitted: Fitted, rows: Rows) -> Self:
        if self.origin == "codes":
            z = codes(fitted, rows)
            centre = z.mean(1)
            off = z - centre[:, None]
            covariance = off.mT @ off / max(1, z.shape[1] - 1)
            # A unit that is nought in every row has no deviation to be measured by.
            ridge = 1e-6 * covariance.diagonal(dim1=-2, dim2=-1).mean(-1).clamp_min(1e-12)
            covariance = covariance + ridge[:, None, None] * torch.eye(z.shape[2], dtype=z.dtype)
            # W with WᵀW = S⁻¹: what whitens a code.
            whitening = torch.linalg.solve_triangular(
                torch.linalg.cholesky(covariance),
                torch.eye(z.shape[2], dtype=z.dtype).expand_as(covariance),
                upper=False,
            )
            self.kept = {"centre": centre, "whitening": whitening}
        return self

    def forward(self, fitted: Fitted, rows: Rows) -> Tensor:
        if self.origin == "prior":
            return bounds(fitted.model, rows.x, 1, 0, rows.context).kl
        own, centre, whitening = codes(fitted, rows), self.known("centre"), self.known("whitening")
        found = torch.empty(len(rows), dtype=torch.float64)
        with steadily():
            for start in range(0, len(rows), CHUNK):
                whole = [filled(z, start, CHUNK) - m for z, m in zip(own, centre, strict=True)]
                squares = [(off @ w.T).square().sum(1) for off, w in zip(whole, whitening, strict=True)]
                real = min(CHUNK, len(rows) - start)
                found[start : start + real] = 0.5 * torch.stack(squares).mean(0)[:real]
        return found

    def refuse(self, fitted: Fitted) -> None:
        if self.origin == "prior":
            want_density(fitted, "a distance from the prior")


class Density(Score):
    """−log of the density of codes around a row's own, by the distance r to the k-th nearest code of a training row, in nats.

    log n + log V_d + d log r − log k, for n codes of d units, V_d the volume of the ball of radius 1. Of an ensemble the mean
    over its members. Loftsgaarden and Quesenberry, 1965.
    """

    papers = ("loftsgaarden1965nonparametric",)

    neighbour: int = option("k: the distance is to the k-th nearest code", default=5, minimum=1, maximum=1000)
    most: int = option("codes that are kept, at most", default=4096, minimum=2, maximum=100_000)

    def learn(self, fitted: Fitted, rows: Rows) -> Self:
        kept = rows.at(sampled_places(rows.x, self.most))
        self.kept = {"codes": codes(fitted, kept).float(), "rows": torch.tensor(len(kept))}
        return self

    @torch.no_grad()
    def forward(self, fitted: Fitted, rows: Rows) -> Tensor:
        kept, own = self.known("codes"), codes(fitted, rows).float()
        count, units = kept.shape[1], kept.shape[2]
        volume = 0.5 * units * math.log(math.pi) - math.lgamma(0.5 * units + 1)
        found = torch.empty(len(kept), len(rows), dtype=torch.float64)
        with steadily():
            for member in range(len(kept)):
                for start in range(0, len(rows), CHUNK):
                    part = filled(own[member], start, CHUNK)
                    real = min(CHUNK, len(rows) - start)
                    found[member, start : start + real] = self._radius(part, kept[member])[:real]
        log_radius = found.clamp_min(CLOSEST).log()
        return (math.log(count) + volume + units * log_radius - math.log(min(self.neighbour, count))).mean(0)

    def _radius(self, part: Tensor, kept: Tensor) -> Tensor:
        """The distance to the k-th nearest, [rows], float64; a code that equals the row's own is left out once."""
        apart = torch.cdist(part, kept, compute_mode="donot_use_mm_for_euclid_dist")
        near = apart.topk(min(self.neighbour + 1, len(kept)), 1, largest=False).values.double()
        own = (near[:, 0] == 0).long()
        wanted = (own + self.neighbour - 1).clamp_max(near.shape[1] - 1)
        return near.gather(1, wanted[:, None])[:, 0]
