"""Missingness: p(m | x), which values of a row are missing, where that depends on the values themselves."""

from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution
from torch.nn import functional

from lambent.distributions import constructed, independent
from lambent.part import Part, Shape, elements, option

PAPER = "ipsen2021not"  # in papers.bib


class Missingness(Part):
    """p(m | x) over the mask of one row, m_j = 1 where a value is missing, given the whole row, in the likelihood's units.

    Ipsen, Mattei & Frellsen, not-MIWAE: Deep Generative Modelling with Missing not at Random Data, 2021.
    """

    papers = (PAPER,)
    pace: ClassVar[float | dict[str, float]] = 10.0  # a slope has several units to go, Adam's steps are small

    @abstractmethod
    def setup(self, event: Shape) -> None:
        """Make the weights, for rows of shape `event`."""

    @abstractmethod
    def logits(self, x: Tensor) -> Tensor:
        """log P(m_j = 1 | x) − log P(m_j = 0 | x) of rows [*batch, *event], in the same shape."""

    def forward(self, x: Tensor) -> Distribution:
        """p(m | x) of whole rows [*batch, *event]; batch shape [*batch], event shape as set up."""
        return independent(constructed(Bernoulli, logits=self.logits(x)), self.event)


class SelfMasking(Missingness):
    """P(m_j = 1 | x) = σ(w_j x_j + b_j): whether a value is missing depends on that value alone.

    sign: what is known of the w_j. From gaps alone it cannot be told whether high or low values are missing where the model
    of x can take either form: say it if you know. Ipsen, Mattei & Frellsen, 2021.
    """

    sign: Literal["either", "rising", "falling"] = option(
        "which values are missing more often, if that is known: high ones (rising) or low ones (falling)",
        default="either",
    )

    def setup(self, event: Shape) -> None:
        self.event = event
        self.slope = nn.Parameter(
            torch.zeros(event) if self.sign == "either" else torch.full(event, 0.5413)
        )  # σ₊(.54) = 1
        self.offset = nn.Parameter(torch.zeros(event))

    def logits(self, x: Tensor) -> Tensor:
        return self.slopes * x + self.offset

    @property
    def slopes(self) -> Tensor:
        """w_j, [*event], of the sign that is known."""
        slope: Tensor = self.slope
        if self.sign == "either":
            return slope
        return functional.softplus(slope) * (1.0 if self.sign == "rising" else -1.0)


class LinearMasking(Missingness):
    """P(m_j = 1 | x) = σ(w_jᵀ x + b_j): whether a value is missing depends on all values of the row.

    Ipsen, Mattei & Frellsen, 2021.
    """

    def setup(self, event: Shape) -> None:
        self.event = event
        self.map = nn.Linear(elements(event), elements(event))
        nn.init.zeros_(self.map.weight)
        nn.init.zeros_(self.map.bias)

    def logits(self, x: Tensor) -> Tensor:
        made: Tensor = self.map(x.flatten(-len(self.event)))
        return made.reshape(x.shape)


class MlpMasking(Missingness):
    """P(m_j = 1 | x) = σ(f_j(x)) with a network f of one hidden layer: nothing is assumed of how values go missing.

    Ipsen, Mattei & Frellsen, 2021.
    """

    pace = 1.0

    width: int = option("units in the hidden layer", default=64, minimum=1, maximum=65536)

    def setup(self, event: Shape) -> None:
        self.event = event
        size = elements(event)
        self.network = nn.Sequential(nn.Linear(size, self.width), nn.Tanh(), nn.Linear(self.width, size))

    def logits(self, x: Tensor) -> Tensor:
        made: Tensor = self.network(x.flatten(-len(self.event)))
        return made.reshape(x.shape)
