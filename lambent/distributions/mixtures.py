"""Mixtures of distributions over vectors."""

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, Normal
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

    def log_responsibilities(self, value: Tensor) -> Tensor:
        """log p(c | z) of values [..., size], by Bayes' rule, [..., C]."""
        return functional.log_softmax(self.log_weights + self.components.log_prob_each(value), -1)

    def conditional(self, unit: int, before: Tensor) -> Distribution:
        """Σ_c r_c p_c(z_j | z_<j), the components weighed by how well they explain the units before: r_c ∝ w_c p_c(z_<j)."""
        given = self.components.conditional(unit, before.unsqueeze(-2))
        assert isinstance(given, Normal)
        log_weights = self.log_weights
        if unit:
            log_weights = log_weights + self.components.leading(unit).log_prob_each(before)
        return UnitMixture(log_weights, given.loc, given.scale)

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


class UnitMixture(Explicit):
    """Σ_c w_c N(μ_c, σ_c²) over one number; `logits`, `location` and `scale` are [*batch, C]."""

    has_rsample = False

    def __init__(self, logits: Tensor, location: Tensor, scale: Tensor) -> None:
        logits, location, scale = torch.broadcast_tensors(logits, location, scale)
        super().__init__(location.shape[:-1], Size())
        self.log_weights = functional.log_softmax(logits, -1)
        self.components = Normal(location, scale, validate_args=False)

    @property
    def mean(self) -> Tensor:
        middle: Tensor = (self.log_weights.exp() * self.components.mean).sum(-1)
        return middle

    @property
    def variance(self) -> Tensor:
        second = self.components.variance + self.components.mean.square()
        whole: Tensor = (self.log_weights.exp() * second).sum(-1) - self.mean.square()
        return whole

    def log_prob(self, value: Tensor) -> Tensor:
        return torch.logsumexp(self.log_weights + self.components.log_prob(value.unsqueeze(-1)), -1)

    def cdf(self, value: Tensor) -> Tensor:
        below: Tensor = (self.log_weights.exp() * self.components.cdf(value.unsqueeze(-1))).sum(-1)
        return below

    def icdf(self, value: Tensor) -> Tensor:
        """By bisection between the least and the greatest of the components' own quantiles, to the last bit or so."""
        each = self.components.icdf(value.unsqueeze(-1).expand(*value.shape, self.log_weights.shape[-1]))
        low: Tensor = each.amin(-1)
        high: Tensor = each.amax(-1)
        for _ in range(2 * torch.finfo(low.dtype).bits):
            middle = 0.5 * (low + high)
            below = self.cdf(middle) < value
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return 0.5 * (low + high)

    def rsample(
        self, sample_shape: Axes = Size(), generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        shape = (*sample_shape, *self.log_weights.shape)
        like = self.log_weights
        uniform = torch.rand(shape, generator=generator, device=like.device, dtype=like.dtype)
        gumbel = -torch.log(-torch.log(uniform.clamp(1e-12, 1 - 1e-7)))
        chosen = (like + gumbel).argmax(-1, keepdim=True)
        location, scale = (
            t.expand(shape).gather(-1, chosen).squeeze(-1) for t in (self.components.loc, self.components.scale)
        )
        noise = torch.randn(location.shape, generator=generator, device=like.device, dtype=like.dtype)
        return location + scale * noise * temperature
