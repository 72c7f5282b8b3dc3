"""Distributions of counts."""

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints
from torch.distributions import NegativeBinomial as TorchNegativeBinomial
from torch.nn import functional

from lambent.distributions.explicit import Axes, Explicit, sample


def rising(r: Tensor, value: Tensor) -> Tensor:
    """log Γ(r + v) − log Γ(r) − v log r, elementwise; nought at v = 0. From r = 16 on by Stirling's series."""
    few, many = r.clamp_max(16.0), r.clamp_min(16.0)
    exact = torch.lgamma(few + value) - torch.lgamma(few) - value * few.log()
    series = (many + value - 0.5) * torch.log1p(value / many) - value - value / (12 * many * (many + value))
    return torch.where(r < 16, exact, series)


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
        spread = (r + value) * functional.softplus(self.log_mean - self.log_dispersion)
        return rising(r, value) - torch.lgamma(value + 1) + value * self.log_mean - spread


class ZeroInflated(Explicit):
    """Nought with probability σ(gate), else a draw of `counting`; elementwise."""

    has_rsample = False
    support = constraints.nonnegative_integer

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
