"""What torch.distributions lacks: explicit generators, and densities that let the reparameterization go.

Latent distributions here are over vectors (one event dimension). Their draws come from standard-normal noise through
`from_noise`, so one set of noise vectors can serve every row.
"""

import math
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import ClassVar, Self

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints
from torch.nn import functional

Axes = Size | list[int] | tuple[int, ...]
LOG_2PI = math.log(2 * math.pi)
SCALE_RANGE = (-9.0, 7.0)  # log standard deviations outside it are limited: beyond lie infinities, not models


@contextmanager
def seeded(generator: torch.Generator | None, device: torch.device | None = None) -> Iterator[None]:
    """Run torch's global-generator samplers from `generator`, and leave the global generator as it was."""
    if generator is None:
        yield
        return
    seed = int(torch.randint(0, 2**62, (), generator=generator, device=generator.device))
    cuda = [d for d in (device, generator.device) if d is not None and d.type == "cuda"][:1]
    with torch.random.fork_rng(devices=cuda):
        # Not torch.manual_seed, which would also seed the devices that are not put back.
        torch.default_generator.manual_seed(seed)
        for each in cuda:
            with torch.cuda.device(each):
                torch.cuda.manual_seed(seed)
        yield


def sample(
    d: Distribution, shape: tuple[int, ...] = (), generator: torch.Generator | None = None, temperature: float = 1.0
) -> Tensor:
    """A draw of `d`, reparameterized where it can be, [*shape, *batch, *event]; all randomness from `generator`."""
    if isinstance(d, Explicit):
        return d.rsample(torch.Size(shape), generator, temperature)
    device = next((v.device for v in vars(d).values() if isinstance(v, Tensor)), None)
    with seeded(generator, device):
        return d.rsample(torch.Size(shape)) if d.has_rsample else d.sample(torch.Size(shape))


class Explicit(Distribution):
    """A distribution that takes its generator, and a temperature, as arguments."""

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(self, batch_shape: Size, event_shape: Size) -> None:
        super().__init__(batch_shape, event_shape, validate_args=False)

    @abstractmethod
    def rsample(
        self, sample_shape: Axes = Size(), generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor: ...

    def sample(
        self, sample_shape: Axes = Size(), generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        with torch.no_grad():
            return self.rsample(sample_shape, generator, temperature)


class FromNoise(Explicit):
    """A distribution over vectors whose draws are a function of standard-normal noise of the same size."""

    has_rsample = True
    remembers: ClassVar[bool] = False  # the density of its last draw, of that very tensor, costs nothing more

    @abstractmethod
    def from_noise(self, noise: Tensor) -> Tensor:
        """z(ε), [..., size]; differentiable in the parameters."""

    @abstractmethod
    def _like(self) -> Tensor:
        """Any tensor of the right dtype and device."""

    def noise(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        like = self._like()
        return torch.randn(shape, generator=generator, device=like.device, dtype=like.dtype)

    def rsample(
        self, sample_shape: Axes = Size(), generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        noise = self.noise((*sample_shape, *self.batch_shape, *self.event_shape), generator)
        return self.from_noise(noise if temperature == 1.0 else noise * temperature)

    def log_prob_each(self, value: Tensor) -> Tensor:
        """The log density of values [..., size] under each of C components, [..., C]; the batch shape ends in C."""
        return self.log_prob(value.unsqueeze(-2))

    def from_noise_of(self, chosen: Tensor, noise: Tensor) -> Tensor:
        """z(ε) of one of C components for each noise [..., size]; `chosen` [...] says which. The batch shape ends in C."""
        every = self.from_noise(noise.unsqueeze(-2).expand(*chosen.shape, self.batch_shape[-1], *self.event_shape))
        return every.gather(-2, chosen[..., None, None].expand(*chosen.shape, 1, *self.event_shape)).squeeze(-2)

    def detached(self) -> "Self | None":
        """The same density with its parameters held constant, or None where they cannot be separated."""
        return None


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
        return self.location + (self.factor @ noise.unsqueeze(-1)).squeeze(-1)

    def from_noise_of(self, chosen: Tensor, noise: Tensor) -> Tensor:
        """With the chosen factors alone: [..., size, size] is made, not that for every component."""
        if self.factor.dim() > 3:
            return super().from_noise_of(chosen, noise)
        return FullNormal(self.location[chosen], self.factor[chosen]).from_noise(noise)

    def log_prob(self, value: Tensor) -> Tensor:
        difference = (value - self.location).unsqueeze(-1)
        factor = self.factor.expand(*difference.shape[:-2], *self.factor.shape[-2:])
        standardized = torch.linalg.solve_triangular(factor, difference, upper=False)
        squares: Tensor = standardized.square().sum((-2, -1))
        return -0.5 * (squares + value.shape[-1] * LOG_2PI) - self.log_determinant

    def log_prob_each(self, value: Tensor) -> Tensor:
        """|L⁻¹z − L⁻¹μ|² with each factor inverted once, not solved anew for every value."""
        if self.factor.dim() > 3:
            return super().log_prob_each(value)
        identity = torch.eye(value.shape[-1], dtype=value.dtype, device=value.device)
        inverse = torch.linalg.solve_triangular(self.factor, identity.expand_as(self.factor), upper=False)
        centre = (inverse @ self.location.unsqueeze(-1)).squeeze(-1)
        standardized = functional.linear(value, inverse.flatten(0, -2), -centre.flatten())
        squares: Tensor = standardized.unflatten(-1, centre.shape).square().sum(-1)
        return -0.5 * (squares + value.shape[-1] * LOG_2PI) - self.log_determinant

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
