"""Quantizer: from maps of features to maps whose every place holds an entry of a codebook."""

from abc import abstractmethod

import torch
from torch import Tensor

from lambent.distributions import QuantizedMap
from lambent.part import Part, Shape


class Quantizer(Part):
    """How the vector at every place of a map becomes one of a codebook's entries, which are numbered from 0."""

    @abstractmethod
    def setup(self, features: Shape) -> None:
        """Make the weights, for features of shape [channels, height, width]."""

    @abstractmethod
    def forward(self, features: Tensor) -> QuantizedMap:
        """q(z | x): the map of entries [rows, units, height, width] for features [rows, channels, height, width]."""

    @property
    @abstractmethod
    def count(self) -> int:
        """How many entries there are."""

    @property
    @abstractmethod
    def units(self) -> int:
        """Numbers that an entry holds."""

    @abstractmethod
    def number(self, z: Tensor) -> Tensor:
        """The numbers [..., height, width] of the entries nearest to the vectors [..., units, height, width]."""

    @abstractmethod
    def entry(self, numbers: Tensor) -> Tensor:
        """The entries [..., units, height, width] of those numbers [..., height, width]."""

    def nearest(self, z: Tensor) -> Tensor:
        """The entries nearest to the vectors [..., units, height, width]: codes from outside may lie between entries."""
        return self.entry(self.number(z))

    def cost(self, q: QuantizedMap) -> Tensor | None:
        """What training pays for vectors away from their entries, in nats [rows]; None for nothing."""
        return None

    def follow(self, q: QuantizedMap, taken: Tensor, generator: torch.Generator) -> None:
        """Learn what is not learned by gradients from the vectors of a training step, unless it was skipped (not `taken`)."""
