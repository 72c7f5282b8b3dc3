"""Gaussians over codes, and a point: densities that let the reparameterization go."""

import math
from functools import cached_property

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, Normal
from torch.nn import functional

from lambent.distributions.explicit import FromNoise, constructed
from lambent.distributions.products import exact_products

LOG_2PI = math.log(2 * math.pi)


class StandardNormal(FromNoise):
    """N(0, I) over vectors of `size`."""

    def __init__(self, size: int, like: Tensor) -> None:
        super().__init__(Size(), Size((size,)))
        self.like = like

    def _like(self) -> Tensor:
        return self.like

    def from_noise(self, noise: Tensor) -> Tensor:
        return noise

    def log_prob(self, value: Tensor) -> Tensor:
        return -0.5 * (value.square().sum(-1) + value.shape[-1] * LOG_2PI)

    def conditional(self, unit: int, before: Tensor) -> Distribution:
        return constructed(Normal, *(torch.full(before.shape[:-1], v).to(self.like) for v in (0.0, 1.0)))

    def leading(self, units: int) -> "StandardNormal":
        return StandardNormal(units, self.like)

    def entropy(self) -> Tensor:
        return torch.full((), 0.5 * self.event_shape[0] * (1 + LOG_2PI), dtype=self.like.dtype, device=self.like.device)

    @property
    def mean(self) -> Tensor:
        return self.like.new_zeros(self.event_shape)

    @property
    def variance(self) -> Tensor:
        return self.like.new_ones(self.event_shape)


class DiagonalNormal(FromNoise):
    """N(μ, diag σ²); `location` and `log_scale` are [*batch, size]."""

    def __init__(self, location: Tensor, log_scale: Tensor) -> None:
        super().__init__(location.shape[:-1], location.shape[-1:])
        self.location = location
        self.log_scale = log_scale

    @cached_property
    def scale(self) -> Tensor:
        return self.log_scale.exp()

    @property
    def mean(self) -> Tensor:
        return self.location

    @property
    def variance(self) -> Tensor:
        return self.scale.square()

    def _like(self) -> Tensor:
        return self.location

    def from_noise(self, noise: Tensor) -> Tensor:
        return torch.addcmul(self.location, self.scale, noise)

    def log_prob(self, value: Tensor) -> Tensor:
        standardized = (value - self.location) * (-self.log_scale).exp()
        return -(0.5 * standardized.square() + self.log_scale).sum(-1) - 0.5 * value.shape[-1] * LOG_2PI

    def log_prob_each(self, value: Tensor) -> Tensor:
        """Σ (z−μ)²/σ² multiplied out into matrix products, so that nothing of values × components × size is made.

        The products cancel: hence float64, which costs less than the difference does in float32.
        """
        if value.device.type == "mps":  # has no float64
            return super().log_prob_each(value)
        wide, location, log_scale = value.double(), self.location.double(), self.log_scale.double()
        precision = (-2 * log_scale).exp()
        weighted = location * precision
        squares = _product(wide.square(), precision) - 2 * _product(wide, weighted) + (weighted * location).sum(-1)
        found = -0.5 * (squares + value.shape[-1] * LOG_2PI) - log_scale.sum(-1)
        return found.to(value.dtype)

    def conditional(self, unit: int, before: Tensor) -> Distribution:
        shape = torch.broadcast_shapes(before.shape[:-1], self.batch_shape)
        return constructed(Normal, self.location[..., unit].expand(shape), self.scale[..., unit].expand(shape))

    def leading(self, units: int) -> "DiagonalNormal":
        return DiagonalNormal(self.location[..., :units], self.log_scale[..., :units])

    def entropy(self) -> Tensor:
        return self.log_scale.sum(-1) + 0.5 * self.event_shape[0] * (1 + LOG_2PI)

    def detached(self) -> "DiagonalNormal":
        return DiagonalNormal(self.location.detach(), self.log_scale.detach())


def _product(values: Tensor, components: Tensor) -> Tensor:
    """Σ_i v_i c_i for every pair: [..., size] and [C, size] (or [*batch, C, size]) to [..., C]."""
    return (components @ values.unsqueeze(-1)).squeeze(-1) if components.dim() > 2 else values @ components.mT


class FullNormal(FromNoise):
    """N(μ, L Lᵀ); `location` [*batch, size], `factor` the lower-triangular L [*batch, size, size]."""

    def __init__(self, location: Tensor, factor: Tensor) -> None:
        super().__init__(location.shape[:-1], location.shape[-1:])
        self.location = location
        self.factor = factor

    @property
    def mean(self) -> Tensor:
        return self.location

    @property
    def variance(self) -> Tensor:
        return self.factor.square().sum(-1)

    @property
    def log_determinant(self) -> Tensor:
        return self.factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def _like(self) -> Tensor:
        return self.location

    def from_noise(self, noise: Tensor) -> Tensor:
        with exact_products():
            return self.location + (self.factor @ noise.unsqueeze(-1)).squeeze(-1)

    def from_noise_of(self, chosen: Tensor, noise: Tensor) -> Tensor:
        """With the chosen factors alone: [..., size, size] is made, not that for every component."""
        if self.factor.dim() > 3:
            return super().from_noise_of(chosen, noise)
        return FullNormal(self.location[chosen], self.factor[chosen]).from_noise(noise)

    def log_prob(self, value: Tensor) -> Tensor:
        difference = (value - self.location).unsqueeze(-1)
        factor = self.factor.expand(*difference.shape[:-2], *self.factor.shape[-2:])
        with exact_products():
            standardized = torch.linalg.solve_triangular(factor, difference, upper=False)
        squares: Tensor = standardized.square().sum((-2, -1))
        return -0.5 * (squares + value.shape[-1] * LOG_2PI) - self.log_determinant

    def log_prob_each(self, value: Tensor) -> Tensor:
        """|L⁻¹z − L⁻¹μ|² with each factor inverted once, not solved anew for every value."""
        if self.factor.dim() > 3:
            return super().log_prob_each(value)
        identity = torch.eye(value.shape[-1], dtype=value.dtype, device=value.device)
        with exact_products():
            inverse = torch.linalg.solve_triangular(self.factor, identity.expand_as(self.factor), upper=False)
            centre = (inverse @ self.location.unsqueeze(-1)).squeeze(-1)
            standardized = functional.linear(value, inverse.flatten(0, -2), -centre.flatten())
        squares: Tensor = standardized.unflatten(-1, centre.shape).square().sum(-1)
        return -0.5 * (squares + value.shape[-1] * LOG_2PI) - self.log_determinant

    def conditional(self, unit: int, before: Tensor) -> Distribution:
        """N(μ_j + Σ_{i<j} L_ji ε_i, L_jj²), ε = L_<j⁻¹(z_<j − μ_<j) the noise that made the units before."""
        difference = (before - self.location[..., :unit]).unsqueeze(-1)
        factor = self.factor.expand(*difference.shape[:-2], *self.factor.shape[-2:])
        with exact_products():
            noise = torch.linalg.solve_triangular(factor[..., :unit, :unit], difference, upper=False).squeeze(-1)
        location = self.location[..., unit] + (factor[..., unit, :unit] * noise).sum(-1)
        return constructed(Normal, location, factor[..., unit, unit])

    def leading(self, units: int) -> "FullNormal":
        return FullNormal(self.location[..., :units], self.factor[..., :units, :units])

    def entropy(self) -> Tensor:
        return self.log_determinant + 0.5 * self.event_shape[0] * (1 + LOG_2PI)

    def detached(self) -> "FullNormal":
        return FullNormal(self.location.detach(), self.factor.detach())


class Delta(FromNoise):
    """All mass at one point, [*batch, size]: no density. Its KL to anything counts as zero (an autoencoder pays none)."""

    def __init__(self, point: Tensor) -> None:
        super().__init__(point.shape[:-1], point.shape[-1:])
        self.point = point

    @property
    def mean(self) -> Tensor:
        return self.point

    @property
    def variance(self) -> Tensor:
        return torch.zeros_like(self.point)

    def _like(self) -> Tensor:
        return self.point

    def from_noise(self, noise: Tensor) -> Tensor:
        return self.point.expand(noise.shape)
