"""Latent: the codes of a model, from features down to what the decoder receives."""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

from torch import Tensor

from lambent.model.trace import Draw, Node
from lambent.part import Part, Shape

Encoder = Callable[[Tensor], Tensor]


class Latent(Part):
    """The codes of a model, from features down to what the decoder receives."""

    single: ClassVar[bool] = False  # True: one vector with one posterior, which some objectives need

    @abstractmethod
    def setup(self, width: int, examples: Tensor) -> Shape:
        """Make the weights for features of `width`; returns the shape of what the decoder receives."""

    @abstractmethod
    def forward(self, features: Tensor | None, draw: Draw, n: int, encoder: Encoder) -> tuple[Tensor, list[Node]]:
        """The top-down pass: [samples · rows, *hidden] and one node per level, the top first.

        features: [rows, width], with n samples of each; or None, to generate n rows. encoder: embedded rows → features,
        for priors that are made of posteriors.
        """

    @property
    @abstractmethod
    def sizes_of_levels(self) -> tuple[int, ...]:
        """Units at each level, the top first."""
