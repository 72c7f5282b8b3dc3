"""Boxes: codes that are uniform over a box of side 1, as rounding to whole numbers blurs them, and priors seen through one."""

from abc import abstractmethod

import torch
from torch import Size, Tensor
from torch.nn import functional

from lambent.distributions.explicit import Axes, Explicit, FromNoise, centre
from lambent.distributions.shaped import Shaped, ShapedNoise, shaped
from lambent.distributions.vectors import DiagonalNormal, StandardNormal

# Log deviations of a normal seen through a box: one of e^−2.25 = 0.105 has all but 2·10⁻⁶ in its cell, and a narrower one would
# only make the steps of training wilder. Numbers that a codec holds exactly.
BOX_SCALES = (-2.25, 7.0)


class UnitBox(FromNoise):
    """Uniform over the box [μ − ½, μ + ½]; `location` is [*batch, size]. Its density is 1 within: log q = 0.

    around: what rounding leaves as it is, [*batch, size]: the centre is around + ⌊μ − around + ½⌋, the code that a coder keeps.
    """

    def __init__(self, location: Tensor, around: Tensor | None = None) -> None:
        super().__init__(location.shape[:-1], location.shape[-1:])
        self.location = location
        self.around = around

    @property
    def mean(self) -> Tensor:
        return self.location

    @property
    def variance(self) -> Tensor:
        return torch.full_like(self.location, 1 / 12)

    @property
    def whole(self) -> Tensor:
        """The whole numbers that the centre lies beyond `around`, [*batch, size]."""
        offset = self.location if self.around is None else self.location - self.around
        return torch.floor(offset + 0.5)

    @property
    def centre(self) -> Tensor:
        return self.whole if self.around is None else self.around + self.whole

    def _like(self) -> Tensor:
        return self.location

    def from_noise(self, noise: Tensor) -> Tensor:
        drawn: Tensor = self.location + (torch.special.ndtr(noise) - 0.5)
        return drawn

    def log_prob(self, value: Tensor) -> Tensor:
        """0 within the box, its edge as wide as the rounding of μ ± ½; −∞ outside."""
        apart = (value - self.location).detach().abs()
        edge = 0.5 + 4 * torch.finfo(apart.dtype).eps * (1 + self.location.detach().abs())
        return torch.where((apart <= edge).all(-1), 0.0, -torch.inf).to(value.dtype)

    def entropy(self) -> Tensor:
        return self.location.new_zeros(self.batch_shape)


class Massed(Explicit):
    """A distribution over vectors whose units are independent, and whose mass on intervals is known."""

    has_rsample = True

    @abstractmethod
    def log_mass(self, value: Tensor) -> Tensor:
        """log P(v − ½ < u ≤ v + ½) of each unit, [..., size]."""


class LogisticMixture(Massed):
    """Σ_k w_k Logistic(μ_k, s_k) of each unit by itself; `logits`, `location` and `log_scale` are [K, size]."""

    def __init__(self, logits: Tensor, location: Tensor, log_scale: Tensor) -> None:
        super().__init__(Size(), location.shape[1:])
        self.log_weights = functional.log_softmax(logits, 0)
        self.location = location
        self.log_scale = log_scale

    @property
    def mean(self) -> Tensor:
        return (self.log_weights.exp() * self.location).sum(0)

    @property
    def variance(self) -> Tensor:
        each = (2 * self.log_scale).exp() * torch.pi**2 / 3 + self.location.square()
        return (self.log_weights.exp() * each).sum(0) - self.mean.square()

    def log_prob(self, value: Tensor) -> Tensor:
        standardized = (value.unsqueeze(-2) - self.location) * (-self.log_scale).exp()
        each = functional.logsigmoid(standardized) + functional.logsigmoid(-standardized) - self.log_scale
        return torch.logsumexp(self.log_weights + each, -2).sum(-1)

    def log_mass(self, value: Tensor) -> Tensor:
        width = (-self.log_scale).exp()
        middle = (value.unsqueeze(-2) - self.location) * width
        # σ(a) − σ(b) = σ(a) σ(−b) (1 − e^{b−a}): no difference of nearly equal numbers
        each = functional.logsigmoid(middle + width / 2) + functional.logsigmoid(width / 2 - middle)
        return torch.logsumexp(self.log_weights + each + torch.log(-torch.expm1(-width)), -2)

    def rsample(
        self, sample_shape: Axes = Size(), generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        like, shape = self.location, (*sample_shape, *self.event_shape)
        weights = self.log_weights.exp().detach().T.expand(*shape, -1).reshape(-1, len(self.location))
        chosen = torch.multinomial(weights, 1, generator=generator).reshape(1, *shape)
        location, log_scale = (
            each.reshape(len(each), *[1] * len(sample_shape), -1).expand(-1, *shape).gather(0, chosen)[0]
            for each in (self.location, self.log_scale)
        )
        tiny = torch.finfo(like.dtype).eps
        uniform = torch.rand(shape, generator=generator, device=like.device, dtype=like.dtype).clamp(tiny, 1 - tiny)
        return location + log_scale.exp() * torch.logit(uniform) * temperature


class Boxed(Explicit):
    """p̃(z) = P(z − ½ < u ≤ z + ½), u ~ p: the density of u + U(−½, ½), at whole steps the probability of their cell.

    base: a normal with independent units, or `Massed`. Ballé et al., 2018.
    """

    has_rsample = True

    def __init__(self, base: Massed | DiagonalNormal | StandardNormal) -> None:
        super().__init__(base.batch_shape, base.event_shape)
        self.base = base

    @property
    def mean(self) -> Tensor:
        return self.base.mean

    @property
    def centre(self) -> Tensor:
        return centre(self.base)

    @property
    def variance(self) -> Tensor:
        return self.base.variance + 1 / 12

    def log_mass(self, value: Tensor) -> Tensor:
        """The log-probability of each unit's cell, [..., size]."""
        if isinstance(self.base, Massed):
            return self.base.log_mass(value)
        if isinstance(self.base, StandardNormal):
            return normal_log_mass(value, torch.ones_like(value))
        return normal_log_mass(value - self.base.location, (-self.base.log_scale).exp())

    def log_prob(self, value: Tensor) -> Tensor:
        return self.log_mass(value).sum(-1)

    def rsample(
        self, sample_shape: Axes = Size(), generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        drawn = self.base.rsample(sample_shape, generator, temperature)
        uniform = torch.rand(drawn.shape, generator=generator, device=drawn.device, dtype=drawn.dtype)
        return drawn + temperature * (uniform - 0.5)


def boxed(p: Explicit) -> Explicit:
    """p seen through a box, in p's own shape."""
    if isinstance(p, (Shaped, ShapedNoise)):
        return shaped(boxed(p.base), tuple(p.event_shape))
    assert isinstance(p, (Massed, DiagonalNormal, StandardNormal))
    return Boxed(p)


def normal_log_mass(distance: Tensor, precision: Tensor) -> Tensor:
    """log [Φ((d + ½)/σ) − Φ((d − ½)/σ)], 1/σ the `precision`: on the lower side, where logarithms of Φ keep all their digits."""
    away = distance.abs()
    upper = torch.special.log_ndtr((0.5 - away) * precision)
    lower = torch.special.log_ndtr((-0.5 - away) * precision)
    mass: Tensor = upper + torch.log(-torch.expm1(lower - upper))
    return mass
