"""Likelihood of whole numbers that are no counts: of both signs, or far from nought."""

import torch
from torch import Tensor
from torch.distributions import Distribution

from lambent.distributions import Rounded
from lambent.model.likelihoods.base import Likelihood, event_of
from lambent.model.likelihoods.scales import Scaled, ScaleRule
from lambent.part import Shape, option

OFF = 0.05  # steps that a value may lie off the grid: float32 keeps a million of them apart so far


class RoundedLogistic(Likelihood):
    """P(x) = F(x + h/2) − F(x − h/2) on the grid 0, ±h, ±2h, …, F the logistic about μ(z): exact probabilities of whole numbers.

    h, `step`, is 1 for whole numbers as they are, and one over the deviation for those brought to unit scale. Salimans et al.,
    PixelCNN++, 2017.
    """

    papers = ("salimans2017pixelcnn",)

    discrete = True
    unit_bytes = False
    domain = "multiples of its step"
    elementwise = True

    step: float = option("h, what lies between two neighbours", default=1.0, minimum=1e-9, maximum=1e9)
    scale: ScaleRule = option(
        "the logistic's s: fixed, one learned for all, for each element, or predicted", default="each"
    )
    value: float = option("the scale, if fixed; where it starts, if learned", default=1.0, minimum=1e-12, maximum=1e12)

    def setup(self, event: Shape) -> Shape:
        self.event = event
        self.width = Scaled(self, self.scale, event, self.value)
        return event_of(event, self.width.channels)

    def forward(self, raw: Tensor, context: Tensor | None = None) -> Distribution:
        location, scale = self.width.floored(raw, self.step / 20)
        return self.over(Rounded(location, scale, self.step))

    def start(self, observed: Tensor) -> Tensor:
        """The mean and the deviation of each element."""
        there = ~torch.isnan(observed)
        count = there.sum(0).clamp_min(1)
        mean = observed.nansum(0) / count
        deviation = ((observed - mean).square().nansum(0) / count).sqrt().clamp_min(self.step / 4)
        return self.width.start_around(mean, deviation * (3**0.5 / torch.pi))

    def admit(self, x: Tensor) -> None:
        steps = x / self.step
        if bool(((steps - steps.round()).abs() > OFF).any()):
            self.refuse(x, "the Gaussian or StudentT likelihood for measurements, or another step")
