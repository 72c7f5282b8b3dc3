"""Posteriors q(z | x): the probabilistic half of the encoder, from features to a distribution over codes."""

from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lambent.distributions import SCALE_RANGE, Delta, DiagonalNormal, FullNormal
from lambent.distributions.flows import FlowNormal, coupling_flow, straighten
from lambent.part import Part, option


class Posterior(Part):
    """q(z | x) given the encoder's features [..., width]."""

    density: ClassVar[bool] = True  # False: no log q(z|x), so no bound on the evidence
    separable: ClassVar[bool] = True  # log q can be taken with its parameters held constant

    @abstractmethod
    def setup(self, width: int, size: int) -> None:
        """Make the weights, from `width` features to codes of `size`."""

    @abstractmethod
    def forward(self, features: Tensor) -> Distribution:
        """q(z | x), batch shape [...]."""


class Diagonal(Posterior):
    """N(μ(x), diag σ²(x)). Kingma & Welling, Auto-Encoding Variational Bayes, 2014."""

    papers = ("kingma2014auto", "rezende2014stochastic")

    def setup(self, width: int, size: int) -> None:
        self.head = _small(nn.Linear(width, 2 * size))

    def forward(self, features: Tensor) -> Distribution:
        location, log_scale = self.head(features).chunk(2, -1)
        return DiagonalNormal(location, log_scale.clamp(*SCALE_RANGE))


class Full(Posterior):
    """N(μ(x), L(x) L(x)ᵀ): units may be correlated given x. Kingma & Welling, An Introduction to VAEs, 2019, §2.5.1."""

    papers = ("kingma2014auto", "rezende2014stochastic", "kingma2019introduction")

    def setup(self, width: int, size: int) -> None:
        self.size = size
        self.head = _small(nn.Linear(width, 2 * size + size * (size - 1) // 2))
        row, column = torch.tril_indices(size, size, -1)
        self.register_buffer("below", row * size + column, persistent=False)

    def forward(self, features: Tensor) -> Distribution:
        location, log_scale, below = self.head(features).split([self.size, self.size, len(self.below)], -1)
        flat = location.new_zeros(*location.shape[:-1], self.size**2).index_copy(-1, self.below, below)
        factor = flat.unflatten(-1, (self.size, self.size)) + torch.diag_embed(log_scale.clamp(*SCALE_RANGE).exp())
        return FullNormal(location, factor)


class Flow(Posterior):
    """N(μ(x), diag σ²(x)) bent by coupling layers that see the features.

    Kingma et al., Improving Variational Inference with Inverse Autoregressive Flow, 2016.
    """

    papers = (
        "kingma2014auto",
        "rezende2014stochastic",
        "rezende2015variational",
        "kingma2016improved",
        "rozet2022zuko",
    )

    separable = False

    transforms: int = option("number of coupling layers", default=2, minimum=1, maximum=1000)
    width: int = option("hidden width of each coupling network", default=64, minimum=1, maximum=65536)
    coupling: Literal["affine", "spline"] = option(
        "map of each unit: RealNVP's affine, or rational-quadratic",
        default="affine",
        papers={"affine": "dinh2017density", "spline": "durkan2019neural"},
    )

    def setup(self, width: int, size: int) -> None:
        self.head = _small(nn.Linear(width, 2 * size))
        self.narrow = nn.Linear(width, self.width)
        self.bend = coupling_flow(self.coupling, size, self.width, self.transforms, self.width)
        straighten(self.bend)  # training starts from Diagonal

    def forward(self, features: Tensor) -> Distribution:
        location, log_scale = self.head(features).chunk(2, -1)
        straight = DiagonalNormal(location, log_scale.clamp(*SCALE_RANGE))
        return FlowNormal(straight, self.bend(self.narrow(features)).transform)


class Point(Posterior):
    """All mass at μ(x): the encoder of a plain autoencoder. No density, so no bound; a prior is fitted afterwards."""

    papers = ("hinton2006reducing",)

    density = False
    separable = False

    def setup(self, width: int, size: int) -> None:
        self.head = _small(nn.Linear(width, size))

    def forward(self, features: Tensor) -> Distribution:
        return Delta(self.head(features))


def _small(head: nn.Linear) -> nn.Linear:
    """Start near the prior, so that the first steps are spent on the decoder and not on a huge KL."""
    with torch.no_grad():
        head.weight.mul_(0.5)
        head.bias.zero_()
    return head
