"""Likelihoods with a density: real numbers, and numbers in [0, 1]."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal
from torch.distributions import Laplace as TorchLaplace
from torch.distributions import StudentT as TorchStudentT
from torch.nn import functional

from lambent.distributions import UnitInterval, constructed
from lambent.model.likelihoods.base import Likelihood, event_of
from lambent.model.likelihoods.scales import Scaled, ScaleRule
from lambent.part import Shape, option

SCALE_MEANING = "standard deviation: fixed, one learned for all, one learned for each element, or predicted"


class Gaussian(Likelihood):
    """N(x; μ(z), σ²), with its constant. `scale="one"` is the calibrated σ-VAE of Rybkin et al., 2021."""

    no_paper = "a textbook distribution; its learned scale has one"
    elementwise = True

    scale: ScaleRule = option(SCALE_MEANING, default="one", papers={"one": "rybkin2021simple"})
    value: float = option("the scale, if fixed; where it starts, if learned", default=1.0, minimum=1e-12, maximum=1e12)
    floor: float = option(
        "the least scale; keeps constant columns from infinite density", default=0.001, minimum=1e-12, maximum=1e12
    )

    def setup(self, event: Shape) -> Shape:
        self.event = event
        self.width = Scaled(self, self.scale, event, self.value)
        return event_of(event, self.width.channels)

    def forward(self, raw: Tensor, context: Tensor | None = None) -> Distribution:
        location, scale = self.width.floored(raw, self.floor)
        return self.over(constructed(Normal, location, scale))

    def calibrated(self, px: Distribution, x: Tensor) -> Distribution | None:
        """One shared scale: N(μ, floor² + σ*²), σ*² the mean squared error of the batch, the maximum of the likelihood.

        The learned scale follows a running average of σ*. A scale for each element, or a predicted one, is calibrated by
        learning already; a fixed one is not to be touched (None).
        """
        if self.scale == "fixed":
            return None
        if self.scale != "one":
            return px
        assert isinstance(px, Independent)
        location = px.base_dist.mean
        error = self._mean_square(x - location)
        self.best = 0.5 * error.detach().clamp_min((self.floor / math.e) ** 2).log()
        return self.over(constructed(Normal, location, (error + self.floor**2).sqrt()))

    def _mean_square(self, difference: Tensor) -> Tensor:
        """Over what is not missing."""
        if not self.gaps:
            return difference.square().mean()
        missing = torch.isnan(difference)
        return difference.masked_fill(missing, 0.0).square().sum() / (~missing).sum().clamp_min(1)

    @torch.no_grad()
    def follow(self, taken: Tensor) -> None:
        if self.scale == "one":
            own = self.width.log_scale
            own.lerp_(torch.where(taken, self.best, own), 0.05)


class StudentT(Likelihood):
    """Student's t with location μ(z): a Gaussian with heavy tails, for data with outliers.

    Takahashi et al., Student-t VAE, 2018.
    """

    papers = ("takahashi2018student",)
    elementwise = True

    scale: ScaleRule = option(SCALE_MEANING, default="each")
    value: float = option("the scale, if fixed; where it starts, if learned", default=1.0, minimum=1e-12, maximum=1e12)
    floor: float = option("the least scale", default=0.001, minimum=1e-12, maximum=1e12)

    def setup(self, event: Shape) -> Shape:
        self.event = event
        self.width = Scaled(self, self.scale, event, self.value)
        self.log_degrees = torch.nn.Parameter(torch.full(event, 1.0))
        return event_of(event, self.width.channels)

    def forward(self, raw: Tensor, context: Tensor | None = None) -> Distribution:
        location, scale = self.width.floored(raw, self.floor)
        degrees = 2 + functional.softplus(self.log_degrees)  # above 2, so that a variance exists
        return self.over(constructed(TorchStudentT, degrees, location, scale))


class Laplace(Likelihood):
    """Laplace with location μ(z): absolute instead of squared error."""

    no_paper = "a textbook distribution"
    elementwise = True

    scale: ScaleRule = option(SCALE_MEANING.replace("standard deviation", "scale b"), default="one")
    value: float = option("the scale, if fixed; where it starts, if learned", default=1.0, minimum=1e-12, maximum=1e12)
    floor: float = option("the least scale", default=0.001, minimum=1e-12, maximum=1e12)

    def setup(self, event: Shape) -> Shape:
        self.event = event
        self.width = Scaled(self, self.scale, event, self.value)
        return event_of(event, self.width.channels)

    def forward(self, raw: Tensor, context: Tensor | None = None) -> Distribution:
        location, scale = self.width.floored(raw, self.floor)
        return self.over(constructed(TorchLaplace, location, scale))


class ContinuousBernoulli(Likelihood):
    """C(λ) λˣ (1−λ)¹⁻ˣ on [0, 1], normalized. Loaiza-Ganem & Cunningham, The continuous Bernoulli, 2019."""

    papers = ("loaizaganem2019continuous",)

    domain = "numbers in [0, 1]"
    elementwise = True

    def setup(self, event: Shape) -> Shape:
        self.event = event
        return event

    def forward(self, raw: Tensor, context: Tensor | None = None) -> Distribution:
        return self.over(UnitInterval(raw))

    def embed(self, x: Tensor) -> Tensor:
        return 2 * x - 1

    def admit(self, x: Tensor) -> None:
        top = self.white if self.reads_levels(x) else 1
        if float(x.min()) < 0 or float(x.max()) > top:
            self.refuse(x, "the Gaussian likelihood, or bring the data to [0, 1]")
