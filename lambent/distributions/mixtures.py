"""Mixtures of distributions over vectors."""

import torch
from torch import Size, Tensor
from torch.nn import functional

from lambent.distributions.explicit import Axes, Explicit, FromNoise


class NormalMixture(Explicit):
    """Σ_c w_c · component_c; `logits` [C], `components` any vector distribution of batch shape [C]."""

    has_rsample = True  # the chosen component's draw is reparameterized; the choice itself is not

    def __init__(self, logits: Tensor, components: FromNoise) -> None:
        super().__init__(components.batch_shape[:-1], components.event_shape)
        self.log_weights = functional.log_softmax(logits, -1)
        self.components = components

    @property
    def mean(self) -> Tensor:
        return (self.log_weights.exp().unsqueeze(-1) * self.components.mean).sum(-2)

    @property
    def variance(self) -> Tensor:
        weights, means = self.log_weights.exp().unsqueeze(-1), self.components.mean
        second = (weights * (self.components.variance + means.square())).sum(-2)
        return second - self.mean.square()

    def log_prob(self, value: Tensor) -> Tensor:
        return torch.logsumexp(self.log_weights + self.components.log_prob_each(value), -1)

    def rsample(
        self, sample_shape: Axes = Size(), generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        shape = (*sample_shape, *self.batch_shape)
        count = int(torch.tensor(shape).prod()) if shape else 1
        weights = self.log_weights.exp().detach()
        chosen = torch.multinomial(weights, count, replacement=True, generator=generator).reshape(shape)
        noise = self.components.noise((*shape, *self.event_shape), generator) * temperature
        return self.components.from_noise_of(chosen, noise)
