"""Distributions over unit vectors: densities with respect to the area of the sphere."""

import math
from functools import cached_property

import torch
from torch import Size, Tensor

from lambent.distributions.explicit import FromNoise

LEAST = 1e-300  # of a probability whose logarithm is taken
STEPS = 8  # of Newton's method, which has settled after five of them


def log_area(size: int) -> float:
    """log of 2 π^(d/2) / Γ(d/2), the area of the unit sphere in d dimensions: of one dimension two points."""
    return math.log(2) + 0.5 * size * math.log(math.pi) - math.lgamma(0.5 * size)


class UniformSphere(FromNoise):
    """The uniform distribution over unit vectors of `size`. Its mean, the origin, is no unit vector."""

    def __init__(self, size: int, like: Tensor) -> None:
        super().__init__(Size(), Size((size,)))
        self.like = like

    def _like(self) -> Tensor:
        return self.like

    def from_noise(self, noise: Tensor) -> Tensor:
        """ε / |ε|: noise of any size gives a unit vector, and none the origin."""
        return torch.nn.functional.normalize(noise, dim=-1)

    def log_prob(self, value: Tensor) -> Tensor:
        return torch.full(value.shape[:-1], -log_area(value.shape[-1]), dtype=value.dtype, device=value.device)

    def entropy(self) -> Tensor:
        return torch.full((), log_area(self.event_shape[0]), dtype=self.like.dtype, device=self.like.device)

    @property
    def mean(self) -> Tensor:
        return self.like.new_zeros(self.event_shape)

    @property
    def variance(self) -> Tensor:
        return self.like.new_full(self.event_shape, 1 / self.event_shape[0])


class PowerSpherical(FromNoise):
    """p(z) ∝ (1 + μᵀz)^κ over unit vectors; `location` μ [*batch, size] of length 1, `log_concentration` log κ [*batch].

    With α = (d − 1)/2 + κ and β = (d − 1)/2: t = μᵀz is 2 B − 1 of B ~ Beta(α, β), and the rest of z points evenly about μ.
    De Cao & Aziz, The Power Spherical Distribution, 2020.
    """

    def __init__(self, location: Tensor, log_concentration: Tensor) -> None:
        super().__init__(location.shape[:-1], location.shape[-1:])
        self.location = location
        self.log_concentration = log_concentration

    def _like(self) -> Tensor:
        return self.location

    @property
    def beta(self) -> float:
        return 0.5 * (self.event_shape[0] - 1)

    @cached_property
    def concentration(self) -> Tensor:
        """κ, in float64: what follows is left of differences of large numbers."""
        return self.log_concentration.double().exp()

    @property
    def log_normalizer(self) -> Tensor:
        """log ∫ (1 + μᵀz)^κ dz = (α + β) log 2 + β log π + log Γ(α) − log Γ(α + β), in float64."""
        alpha = self.beta + self.concentration
        gammas = torch.lgamma(alpha) - torch.lgamma(alpha + self.beta)
        return (alpha + self.beta) * math.log(2) + self.beta * math.log(math.pi) + gammas

    def log_prob(self, value: Tensor) -> Tensor:
        # 1 + μᵀz = 2 − |z − μ|²/2 of unit vectors, which keeps its digits where z is near μ.
        apart = (value - self.location).square().sum(-1)
        log_half = torch.log1p(-0.25 * apart.clamp_max(4 * (1 - torch.finfo(apart.dtype).eps)))
        log_most = (self.concentration * math.log(2) - self.log_normalizer).to(value.dtype)
        return self.log_concentration.exp() * log_half + log_most

    def from_noise(self, noise: Tensor) -> Tensor:
        """The inverse stereographic projection of ε₂…ε_d / √(2 G), G ~ Gamma(α) from ε₁, turned to μ by a reflection.

        Half the sum of the squares of ε₂…ε_d is Gamma(β), and G / (G + it) the Beta(α, β) that t is made of.
        """
        gamma = _gamma_quantile(self.beta + self.concentration, noise[..., 0].double())
        rest = noise[..., 1:].double()
        half = 0.5 * rest.square().sum(-1)
        ahead = ((gamma - half) / (gamma + half)).unsqueeze(-1)
        beside = ((2 * gamma).sqrt() / (gamma + half)).unsqueeze(-1) * rest
        return self._turned(torch.cat((ahead, beside), -1).to(noise.dtype))

    def _turned(self, pole: Tensor) -> Tensor:
        """Unit vectors about the first axis, turned about μ: reflected where e₁ − μ is the mirror's normal."""
        first = torch.zeros_like(self.location)
        first[..., 0] = 1.0
        normal = torch.nn.functional.normalize(first - self.location, dim=-1)
        return pole - 2 * normal * (normal * pole).sum(-1, keepdim=True)

    def entropy(self) -> Tensor:
        alpha = self.beta + self.concentration
        mean_log = math.log(2) + torch.digamma(alpha) - torch.digamma(alpha + self.beta)
        return (self.log_normalizer - self.concentration * mean_log).to(self.location.dtype)

    @property
    def centre(self) -> Tensor:
        """μ, the mode: the mean lies within the sphere."""
        return self.location

    @property
    def cosine(self) -> Tensor:
        """E[μᵀz] = κ / (d − 1 + κ), [*batch]."""
        return self.concentration / (self.concentration + 2 * self.beta)

    @property
    def mean(self) -> Tensor:
        return self.cosine.to(self.location.dtype).unsqueeze(-1) * self.location

    @property
    def spreads(self) -> tuple[Tensor, Tensor]:
        """The variance of z along μ, and in each direction across it, [*batch]."""
        alpha = self.beta + self.concentration
        whole = alpha + self.beta
        along = 4 * alpha * self.beta / (whole.square() * (whole + 1))
        across = (1 - along - self.cosine.square()) / (2 * self.beta)
        return along, across

    @property
    def variance(self) -> Tensor:
        along, across = (spread.to(self.location.dtype).unsqueeze(-1) for spread in self.spreads)
        return across + (along - across) * self.location.square()

    def detached(self) -> "PowerSpherical":
        return PowerSpherical(self.location.detach(), self.log_concentration.detach())


def _gamma_quantile(shape: Tensor, normal: Tensor) -> Tensor:
    """G with P(α, G) = Φ(ε): Gamma(α) numbers as a function of normal ones, both float64; its gradient is for α.

    By implicit differentiation ∂G/∂α = −(∂P/∂α) / (∂P/∂G). Figurnov, Mohamed & Mnih, Implicit Reparameterization
    Gradients, 2018.
    """
    shape, normal = torch.broadcast_tensors(shape, normal)
    with torch.no_grad():
        found = _inverse(shape, normal)
    if not (torch.is_grad_enabled() and shape.requires_grad):
        return found
    slope = torch._standard_gamma_grad(shape.detach(), found)
    return found + slope * (shape - shape.detach())


def _inverse(shape: Tensor, normal: Tensor) -> Tensor:
    """By Newton's method for log G, of the logarithm of the smaller tail: from its start a concave function."""
    lower = normal < 0
    log_tail = torch.special.log_ndtr(-normal.abs())
    cube = 1 - 1 / (9 * shape) + normal / (3 * shape.sqrt())  # Wilson & Hilferty, 1931
    small = (log_tail + torch.lgamma(shape + 1)) / shape  # P(α, G) ≈ G^α / Γ(α + 1) of small G
    log_g = torch.where(cube > 0.1, shape.log() + 3 * cube.clamp_min(0.1).log(), small)
    for _ in range(STEPS):
        g = log_g.exp()
        tail = torch.where(lower, torch.special.gammainc(shape, g), torch.special.gammaincc(shape, g)).clamp_min(LEAST)
        slope = (shape * log_g - g - torch.lgamma(shape) - tail.log()).exp()
        step = (log_tail - tail.log()) / torch.where(lower, slope, -slope)
        log_g = log_g + step.clamp(-1.0, 1.0)
    return log_g.exp()
