"""Scores read off the bound on log p(x): evidence, reconstruction, and the ratio to independent columns."""

from typing import Self

import torch
from torch import Tensor

from lambent.fitted import Fitted, Rows
from lambent.metrics.bound import SAMPLES, bounds
from lambent.model.bounded import want_bound
from lambent.part import option
from lambent.tasks.detection.scores.base import Score, want_columns
from lambent.tasks.detection.scores.marginals import independent, learned
from lambent.tasks.score import scored

INSTEAD = "use the Reconstruction score"


class Evidence(Score):
    """−log p(x) as the K-sample bound has it, in nats and the data's own units. Burda et al., 2016."""

    papers = ("burda2016importance",)

    samples: int = option("K of the bound", default=SAMPLES, minimum=1, maximum=100_000)

    def forward(self, fitted: Fitted, rows: Rows) -> Tensor:
        return -scored(fitted, rows, self.samples).bound

    def refuse(self, fitted: Fitted) -> None:
        want_bound(fitted.model, "evidence means nothing", INSTEAD)


class Reconstruction(Score):
    """−E_q[log p(x | z)], the reconstruction probability, in nats and the data's own units. An and Cho, 2015."""

    papers = ("an2015variational",)

    samples: int = option("codes of each row that are averaged", default=SAMPLES, minimum=1, maximum=100_000)

    def forward(self, fitted: Fitted, rows: Rows) -> Tensor:
        return -scored(fitted, rows, self.samples).log_px


class Ratio(Score):
    """log p₀(x) − log p(x) in nats, p₀ a model of independent columns: what is odd about how a row's columns go together.

    p₀ holds of each number a density of normal kernels at quantiles of the training rows, of each level its frequency. log p is
    the K-sample bound. Of rows that are odd in single columns alone both have little, and the ratio says nothing: for what is
    simple, or far out in one column, is no reason to be told. Ren et al., 2019.
    """

    papers = ("ren2019likelihood",)

    samples: int = option("K of the bound", default=SAMPLES, minimum=1, maximum=100_000)

    def learn(self, fitted: Fitted, rows: Rows) -> Self:
        self.kept = learned(fitted, rows.x)
        return self

    @torch.no_grad()
    def forward(self, fitted: Fitted, rows: Rows) -> Tensor:
        columns = independent(fitted, rows.x, self.known("knots"), self.known("widths"), self.known("frequencies"))
        return columns - bounds(fitted.model, rows.x, self.samples, 0, rows.context).bound

    def refuse(self, fitted: Fitted) -> None:
        want_bound(fitted.model, "a likelihood ratio means nothing", INSTEAD)
        want_columns(fitted, "Ratio")
