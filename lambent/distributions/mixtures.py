"""Mixtures of distributions over vectors."""

import torch
from torch import Size, Tensor
from torch.nn import functional

from lambent.distributions.explicit import Axes, Explicit, FromNoise
from lambent.part import elements


class NormalMixture(Explicit):
    """Σ_c w_c · component_c; `logits` [*batch, C], `components` any vector distribution of batch shape [C]."""

    has_rsample = True  # the chosen component's draw is reparameterized; the choice itself is not

    def __init__(self, logits: Tensor, components: FromNoise) -> None:
        batch = torch.broadcast_shapes(logits.shape[:-1], components.batch_shape[:-1])
        super().__init__(Size(batch), components.event_shape)
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
        weights = self.log_weights.exp().detach()
        if weights.dim() == 1:
            chosen = torch.multinomial(weights, elements(shape), replacement=True, generator=generator).reshape(shape)
        else:  # a choice for every row by weights of its own
            each = weights.expand(*self.batch_shape, -1).flatten(0, -2)
            count = elements(tuple(sample_shape))
            chosen = torch.multinomial(each, count, replacement=True, generator=generator).T.reshape(shape)
        noise = self.components.noise((*shape, *self.event_shape), generator) * temperature
        return self.components.from_noise_of(chosen, noise)
