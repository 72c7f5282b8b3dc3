"""Distributions over codes that are maps: a distribution over vectors, seen in another shape."""

import torch
from torch import Tensor
from torch.distributions import Distribution

from lambent.distributions.explicit import Axes, Explicit, FromNoise
from lambent.part import Shape


def shaped(d: Explicit, shape: Shape) -> Explicit:
    """The distribution `d` over vectors as one over `shape`; vectors stay as they are."""
    if len(shape) == 1:
        return d
    return ShapedNoise(d, shape) if isinstance(d, FromNoise) else Shaped(d, shape)


class Shaped(Explicit):
    """`base`, over vectors [elements], as a distribution over [*shape]."""

    def __init__(self, base: Explicit, shape: Shape) -> None:
        super().__init__(base.batch_shape, torch.Size(shape))
        self.base = base
        self.has_rsample = base.has_rsample

    def _unfolded(self, value: Tensor) -> Tensor:
        return _unfolded(value, self.event_shape)

    def _folded(self, value: Tensor) -> Tensor:
        return value.flatten(-len(self.event_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        density: Tensor = self.base.log_prob(self._folded(value))
        return density

    def loss(self, value: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self.base.loss(self._folded(value), generator)

    def upper(self, value: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self.base.upper(self._folded(value), generator)

    def conditional(self, unit: int, before: Tensor) -> Distribution:
        """As of the vector: units in the order of its elements, `before` [..., unit]."""
        given: Distribution = self.base.conditional(unit, before)
        return given

    def entropy(self) -> Tensor:
        entropy: Tensor = self.base.entropy()
        return entropy

    @property
    def centre(self) -> Tensor:
        return self._unfolded(self.base.centre)

    @property
    def mean(self) -> Tensor:
        return self._unfolded(self.base.mean)

    @property
    def variance(self) -> Tensor:
        return self._unfolded(self.base.variance)

    def rsample(
        self, sample_shape: Axes = (), generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        return self._unfolded(self.base.rsample(sample_shape, generator, temperature))


class ShapedNoise(FromNoise):
    """The same, for a base whose draws are a function of noise."""

    def __init__(self, base: FromNoise, shape: Shape) -> None:
        super().__init__(base.batch_shape, torch.Size(shape))
        self.base = base
        self._drawn: tuple[Tensor, Tensor] | None = None

    def _like(self) -> Tensor:
        return self.base._like()

    def from_noise(self, noise: Tensor) -> Tensor:
        flat = self.base.from_noise(noise.flatten(-len(self.event_shape)))
        drawn = _unfolded(flat, self.event_shape)
        self._drawn = (drawn, flat)  # so that a base that remembers its draw knows it again
        return drawn

    def log_prob(self, value: Tensor) -> Tensor:
        own = self._drawn is not None and self._drawn[0] is value
        flat = self._drawn[1] if own and self._drawn is not None else value.flatten(-len(self.event_shape))
        density: Tensor = self.base.log_prob(flat)
        return density

    def loss(self, value: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self.base.loss(value.flatten(-len(self.event_shape)), generator)

    def upper(self, value: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self.base.upper(value.flatten(-len(self.event_shape)), generator)

    def conditional(self, unit: int, before: Tensor) -> Distribution:
        """As of the vector: units in the order of its elements, `before` [..., unit]."""
        given: Distribution = self.base.conditional(unit, before)
        return given

    def entropy(self) -> Tensor:
        entropy: Tensor = self.base.entropy()
        return entropy

    @property
    def centre(self) -> Tensor:
        return _unfolded(self.base.centre, self.event_shape)

    @property
    def mean(self) -> Tensor:
        return _unfolded(self.base.mean, self.event_shape)

    @property
    def variance(self) -> Tensor:
        return _unfolded(self.base.variance, self.event_shape)

    def detached(self) -> "ShapedNoise | None":
        base = self.base.detached()
        return None if base is None else ShapedNoise(base, self.event_shape)


def _unfolded(value: Tensor, shape: Shape) -> Tensor:
    unfolded: Tensor = value.unflatten(-1, shape)
    return unfolded


def vector(d: Distribution) -> Distribution:
    """The distribution over vectors behind one that was given another shape."""
    return d.base if isinstance(d, (Shaped, ShapedNoise)) else d
