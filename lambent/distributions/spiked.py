"""Values of their own beside a continuous rest."""

import torch
from torch import Size, Tensor
from torch.distributions import Distribution
from torch.nn import functional

from lambent.distributions.explicit import Axes, Explicit, sample


class Spiked(Explicit):
    """One of S values with a probability each, else a draw of the density `rest`; elementwise.

    logits: [S + 1, *batch], of the spikes and, at the end, of the rest. spikes: [S], the values. At a spike
    log_prob is the log of a probability, elsewhere of π_rest · p_rest(x): a density in the measure that has mass one at each
    spike beside the length of intervals.
    """

    has_rsample = False

    def __init__(self, logits: Tensor, spikes: Tensor, rest: Distribution) -> None:
        super().__init__(torch.broadcast_shapes(logits.shape[1:], rest.batch_shape), Size())
        self.log_weights = functional.log_softmax(logits, 0)
        self.spikes = spikes
        self.rest = rest

    def log_prob(self, value: Tensor) -> Tensor:
        # Values are stored in float32, and may be asked about in float64.
        stored = value.float()
        found = self.log_weights[-1] + self.rest.log_prob(value)
        for spike, log_weight in zip(self.spikes.float(), self.log_weights, strict=False):
            found = torch.where(stored == spike, log_weight, found)
        return found

    def _sum(self, powers: Tensor) -> Tensor:
        """Σ_s π_s a_s, of one number a for each spike."""
        return (self.log_weights[:-1].exp() * powers.reshape(-1, *[1] * (self.log_weights.dim() - 1))).sum(0)

    @property
    def mean(self) -> Tensor:
        mean: Tensor = self.log_weights[-1].exp() * self.rest.mean + self._sum(self.spikes)
        return mean

    @property
    def variance(self) -> Tensor:
        second = self.log_weights[-1].exp() * (self.rest.variance + self.rest.mean.square())
        whole: Tensor = second + self._sum(self.spikes.square()) - self.mean.square()
        return whole

    def rsample(
        self, sample_shape: Axes = Size(), generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        drawn = sample(self.rest, tuple(sample_shape), generator)
        uniform = torch.rand(drawn.shape, generator=generator, device=drawn.device, dtype=drawn.dtype)
        below = torch.zeros_like(drawn)
        for weight, spike in zip(self.log_weights.exp(), self.spikes, strict=False):
            chosen = (uniform >= below) & (uniform < below + weight)
            drawn = torch.where(chosen, spike.to(drawn.dtype), drawn)
            below = below + weight
        return drawn
