"""Distributions over maps whose every place holds an entry of a codebook, and over the numbers of such entries."""

import math
from collections.abc import Callable

import torch
from torch import Size, Tensor
from torch.distributions import Distribution

from lambent.distributions.explicit import Axes, Explicit, centre, sample
from lambent.part import Shape


class QuantizedMap(Explicit):
    """All probability at one map of entries: log q = 0 there, as a probability, and −∞ elsewhere.

    vectors [*batch, size, height, width] are what the encoder gave, `entries`, of the same shape, what they were rounded to, and
    `numbers` [*batch, height, width] which entries these are. A draw is the entries; its gradient passes straight through to
    the vectors. Bengio et al., Estimating or Propagating Gradients Through Stochastic Neurons, 2013.
    """

    has_rsample = True

    def __init__(self, vectors: Tensor, entries: Tensor, numbers: Tensor) -> None:
        super().__init__(numbers.shape[:-2], vectors.shape[-3:])
        self.vectors = vectors
        self.entries = entries
        self.numbers = numbers

    @property
    def mean(self) -> Tensor:
        return self.entries

    @property
    def variance(self) -> Tensor:
        return torch.zeros_like(self.entries)

    def rsample(
        self, sample_shape: Axes = Size(), generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        # The vectors less themselves are nought exactly, so that the draw is an entry to the last bit.
        straight = self.entries + (self.vectors - self.vectors.detach())
        return straight.expand(*sample_shape, *straight.shape)

    def log_prob(self, value: Tensor) -> Tensor:
        same = (value == self.entries).flatten(-3).all(-1)
        return torch.where(same, self.entries.new_zeros(()), self.entries.new_full((), -math.inf))

    def entropy(self) -> Tensor:
        return self.entries.new_zeros(self.batch_shape)


class EntryMaps(Explicit):
    """A distribution `over` numbers [height, width] as one over maps of entries [size, height, width].

    number: maps of vectors to the numbers of the nearest entries; entry: numbers to maps of entries.
    """

    def __init__(
        self, over: Distribution, size: int, number: Callable[[Tensor], Tensor], entry: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__(over.batch_shape, Size((size, *over.event_shape)))
        self.over = over
        self.number = number
        self.entry = entry

    @property
    def centre(self) -> Tensor:
        return self.entry(centre(self.over))

    def rsample(
        self, sample_shape: Axes = Size(), generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        return self.entry(sample(self.over, tuple(sample_shape), generator, temperature))

    def log_prob(self, value: Tensor) -> Tensor:
        """log p of the nearest entries, [*batch]."""
        return self.log_prob_of(self.number(value))

    def log_prob_of(self, numbers: Tensor) -> Tensor:
        """log p of numbers of entries [..., height, width]."""
        log_prob: Tensor = self.over.log_prob(numbers)
        return log_prob

    def entropy(self) -> Tensor:
        entropy: Tensor = self.over.entropy()
        return entropy


class UniformNumbers(Explicit):
    """Every number below `entries` is equally likely at every place of `shape`."""

    def __init__(self, entries: int, shape: Shape, like: Tensor) -> None:
        super().__init__(Size(), Size(shape))
        self.entries = entries
        self.like = like

    @property
    def centre(self) -> Tensor:
        """The number in the middle; any other is as likely."""
        return torch.full(self.event_shape, self.entries // 2, device=self.like.device)

    def rsample(
        self, sample_shape: Axes = Size(), generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        shape = (*sample_shape, *self.event_shape)
        return torch.randint(self.entries, shape, generator=generator, device=self.like.device)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.like.new_full(value.shape[:-2], -self._nats)

    def entropy(self) -> Tensor:
        return self.like.new_full((), self._nats)

    @property
    def _nats(self) -> float:
        return self.event_shape.numel() * math.log(self.entries)
