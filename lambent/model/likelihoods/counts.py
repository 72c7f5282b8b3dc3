"""Likelihoods of counts: 0, 1, 2, …"""

import torch
from torch import Size, Tensor, nn
from torch.distributions import Distribution
from torch.distributions import NegativeBinomial as TorchNegativeBinomial
from torch.distributions import Poisson as TorchPoisson
from torch.nn import functional

from lambent.distributions import Axes, Explicit, sample
from lambent.model.likelihoods.base import Likelihood, Scaled, constructed, event_of, independent
from lambent.model.likelihoods.continuous import ScaleRule
from lambent.part import Shape, option

LOG_RATE = (-16.0, 14.0)  # rates from 1e-7 to a million
LOG_DISPERSION = (-7.0, 12.0)


class Counts(Likelihood):
    """What all count likelihoods share."""

    discrete = True
    unit_bytes = False
    domain = "whole numbers from 0 up"

    def embed(self, x: Tensor) -> Tensor:
        return x.log1p()

    def check(self, x: Tensor) -> None:
        super().check(x)
        if float(x.min()) < 0 or (x.dtype.is_floating_point and not bool((x == x.round()).all())):
            self.refuse(x, "the Gaussian or StudentT likelihood for measurements")


class Poisson(Counts):
    """Poisson(rate(z)): the variance is the mean."""

    no_paper = "a textbook distribution"

    def setup(self, event: Shape) -> Shape:
        self.event = event
        return event

    def forward(self, raw: Tensor) -> Distribution:
        return independent(constructed(TorchPoisson, raw.clamp(*LOG_RATE).exp()), self.event)


class NegativeBinomial(Counts):
    """NB with mean m(z) and dispersion r: variance m + m²/r. Lopez et al., Deep generative modeling for single-cell
    transcriptomics, 2018."""

    papers = ("lopez2018deep",)

    dispersion: ScaleRule = option("r: fixed, one learned for all, one for each element, or predicted", default="each")
    value: float = option("r, if fixed; where it starts, if learned", default=1.0, minimum=1e-12, maximum=1e12)

    def setup(self, event: Shape) -> Shape:
        self.event = event
        self.spread = Scaled(self.dispersion, event, self.value)
        return event_of(event, self.spread.channels)

    def forward(self, raw: Tensor) -> Distribution:
        log_mean, log_dispersion = self.spread(raw, *LOG_DISPERSION)
        return independent(Dispersed(log_mean.clamp(*LOG_RATE), log_dispersion), self.event)


class ZeroInflatedNegativeBinomial(Counts):
    """π(z) at nought, else NB(m(z), r): more zeros than the NB expects. Lopez et al., 2018."""

    papers = ("lopez2018deep",)

    dispersion: ScaleRule = option("r: fixed, one learned for all, one for each element, or predicted", default="each")
    value: float = option("r, if fixed; where it starts, if learned", default=1.0, minimum=1e-12, maximum=1e12)

    def setup(self, event: Shape) -> Shape:
        self.event = event
        self.spread: nn.Module = Scaled(self.dispersion, event, self.value)
        return event_of(event, self.spread.channels + 1)

    def forward(self, raw: Tensor) -> Distribution:
        first = raw.shape[-len(self.event)] - self.event[0]
        counts, gate = raw.split([first, self.event[0]], -len(self.event))
        log_mean, log_dispersion = self.spread(counts, *LOG_DISPERSION)
        counting = Dispersed(log_mean.clamp(*LOG_RATE), log_dispersion)
        return independent(ZeroInflated(gate, counting), self.event)


class Dispersed(TorchNegativeBinomial):
    """torch's negative binomial by its log mean and log dispersion, with a log-probability that holds for large r.

    log P(v) = [log Γ(r+v) − log Γ(r) − v log r] − log v! + v log m − (r+v) log(1 + m/r). For r ≥ 16 the bracket comes from
    Stirling's series: as a difference of log Γ it would lose 0.2 nats at r = e¹² in float32.
    """

    def __init__(self, log_mean: Tensor, log_dispersion: Tensor) -> None:
        super().__init__(log_dispersion.exp(), logits=log_mean - log_dispersion, validate_args=False)
        self.log_mean = log_mean
        self.log_dispersion = log_dispersion

    def expand(self, batch_shape: Axes, _instance: object = None) -> "Dispersed":
        return Dispersed(self.log_mean.expand(batch_shape), self.log_dispersion.expand(batch_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        r = self.log_dispersion.exp()
        few, many = r.clamp_max(16.0), r.clamp_min(16.0)
        exact = torch.lgamma(few + value) - torch.lgamma(few) - value * few.log()
        series = (many + value - 0.5) * torch.log1p(value / many) - value - value / (12 * many * (many + value))
        spread = (r + value) * functional.softplus(self.log_mean - self.log_dispersion)
        return torch.where(r < 16, exact, series) - torch.lgamma(value + 1) + value * self.log_mean - spread


class ZeroInflated(Explicit):
    """Nought with probability σ(gate), else a draw of `counting`; elementwise."""

    has_rsample = False

    def __init__(self, gate: Tensor, counting: Distribution) -> None:
        super().__init__(torch.broadcast_shapes(gate.shape, counting.batch_shape), Size())
        self.gate = gate
        self.counting = counting

    def expand(self, batch_shape: Axes, _instance: object = None) -> "ZeroInflated":
        return ZeroInflated(self.gate.expand(batch_shape), self.counting.expand(batch_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        counted = functional.logsigmoid(-self.gate) + self.counting.log_prob(value)
        return torch.where(value == 0, torch.logaddexp(functional.logsigmoid(self.gate), counted), counted)

    @property
    def mean(self) -> Tensor:
        return torch.sigmoid(-self.gate) * self.counting.mean

    @property
    def variance(self) -> Tensor:
        kept = torch.sigmoid(-self.gate)
        return kept * (self.counting.variance + (1 - kept) * self.counting.mean.square())

    def rsample(
        self, sample_shape: Axes = Size(), generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        counts = sample(self.counting, tuple(sample_shape), generator)
        uniform = torch.rand(counts.shape, generator=generator, device=counts.device, dtype=counts.dtype)
        return torch.where(uniform < torch.sigmoid(self.gate), torch.zeros_like(counts), counts)
