"""Distributions that take their generator as an argument, and how any distribution is drawn from.

Latent distributions here are over vectors (one event dimension). Their draws come from standard-normal noise through
`from_noise`, so noise may come from elsewhere, such as from what a row holds.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Self

import torch
from torch import Size, Tensor
from torch.distributions import Categorical, Distribution, Independent, constraints

from lambent.errors import UsageError
from lambent.part import Shape
from lambent.seeds import seeded

Axes = Size | list[int] | tuple[int, ...]


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

    @property
    def centre(self) -> Tensor:
        """The value in its middle, [*batch, *event]: the mean, unless a distribution says otherwise."""
        return self.mean

    def conditional(self, unit: int, before: Tensor) -> Distribution:
        """p(z_unit | z_<unit), of one number: batch shape [...] from the units before it, [..., unit]. A coder goes by these.

        Raises `UsageError` where a unit has no distribution of its own given those before it.
        """
        raise UsageError(
            f"{type(self).__name__} gives no distribution of one unit at a time: use a Standard, Mixture or Vamp prior"
        )

    def loss(self, value: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """What is least in the mean over values where this is their distribution, [...]; −log p, unless another costs less."""
        return -self.log_prob(value)

    def upper(self, value: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """−log p(value) in nats, [...], or, where that takes long, an unbiased estimate of a bound above it, to train by."""
        return -self.log_prob(value)

    @abstractmethod
    def rsample(
        self, sample_shape: Axes = Size(), generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor: ...

    def sample(
        self, sample_shape: Axes = Size(), generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        with torch.no_grad():
            return self.rsample(sample_shape, generator, temperature)


def centre(d: Distribution) -> Tensor:
    """The value in the middle of d, [*batch, *event]: its mean, or its mode where a mean means nothing (names, tokens)."""
    if isinstance(d, Explicit):
        return d.centre
    base = d.base_dist if isinstance(d, Independent) else d
    return d.mode if isinstance(base, Categorical) else d.mean


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

    @property
    def dtype(self) -> torch.dtype:
        """Of its draws."""
        return self._like().dtype

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

    def leading(self, units: int) -> "FromNoise":
        """The marginal distribution of the first `units` units."""
        raise UsageError(f"{type(self).__name__} gives no marginal distribution of its first units")

    def detached(self) -> "Self | None":
        """The same density with its parameters held constant, or None where they cannot be separated."""
        return None


def independent(d: Distribution, event: Shape) -> Distribution:
    """Every element of the event on its own; log-probabilities sum over it."""
    return Independent(d, len(event), validate_args=False)


def constructed(cls: Callable[..., Distribution], *args: Any, **kwargs: Any) -> Distribution:
    """One of torch's distributions without its argument checks, which cost a synchronization each."""
    return cls(*args, **kwargs, validate_args=False)
