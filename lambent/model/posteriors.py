"""Posteriors q(z | x): the probabilistic half of the encoder, from features to a distribution over codes."""

import math
from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional

from lambent.distributions import (
    SCALE_RANGE,
    Delta,
    DiagonalNormal,
    FullNormal,
    PowerSpherical,
    UnitBox,
    limited,
    shaped,
)
from lambent.distributions.flows import FlowNormal, coupling_flow, straighten
from lambent.errors import UsageError
from lambent.part import Part, Shape, elements, option

WITHOUT_ENCODER = (
    "this model has no encoder (its posterior is Absent, as a Gan trains it), and what was asked for needs the codes of rows: "
    "`lambent invert` finds codes by optimization, interpolate and traverse take --codes prior, evaluate --generated N, and "
    "the VaeGan objective trains an encoder beside the rival"
)
WIDE = 4.0  # deviation that the places of boxes begin with, of features of about unit scale: less would drown in their width
CONCENTRATIONS = (-7.0, 9.0)  # log κ/d outside it is limited: from hardly a direction to hardly a spread


class Posterior(Part):
    """q(z | x, c) given the encoder's features [..., *shape], to which a context is joined already."""

    encodes: ClassVar[bool] = True  # False: there is no q(z|x) at all, and the model has no encoder
    density: ClassVar[bool] = True  # False: no log q(z|x), so no bound on the evidence
    separable: ClassVar[bool] = True  # log q can be taken with its parameters held constant
    factorized: ClassVar[bool] = False  # q is a product over units
    support: ClassVar[Literal["space", "sphere"] | None] = (
        "space"  # where its codes lie: in all of space, on the unit sphere, or, None, wherever the prior's do
    )
    boxed: ClassVar[bool] = False  # z is uniform over a box of side 1, at every level, and p is seen through such a box
    maps: ClassVar[bool] = False  # takes features that are maps, and gives codes that are

    @abstractmethod
    def setup(self, features: Shape, shape: Shape) -> None:
        """Make the weights, from features of a shape to codes of a shape; either both are vectors or, with `maps`, both maps."""

    @abstractmethod
    def forward(self, features: Tensor) -> Distribution:
        """q(z | x), batch shape [...]."""

    def start(self, weight: Tensor, location: Tensor, scale: Tensor) -> bool:
        """Begin with N(weight f + location, scale²) in the first units, f the first of the features; whether it can.

        weight: [units, features]; location, scale: [units].
        """
        return False


class Diagonal(Posterior):
    """N(μ(x), diag σ²(x)). Kingma & Welling, Auto-Encoding Variational Bayes, 2014."""

    papers = ("kingma2014auto", "rezende2014stochastic")

    factorized = True
    maps = True
    many = True

    def setup(self, features: Shape, shape: Shape) -> None:
        self.shape = shape
        self.head = _small(_head(features, shape, 2))

    def forward(self, features: Tensor) -> Distribution:
        location, log_scale = (_as_vectors(half, self.shape) for half in self.head(features).chunk(2, -len(self.shape)))
        return shaped(DiagonalNormal(location, limited(log_scale, *SCALE_RANGE)), self.shape)

    @torch.no_grad()
    def start(self, weight: Tensor, location: Tensor, scale: Tensor) -> bool:
        units, seen = weight.shape
        assert self.head.bias is not None
        for first, rows, bias in ((0, weight, location), (self.shape[0], torch.zeros_like(weight), scale.log())):
            self.head.weight[first : first + units] = 0.0
            self.head.weight[first : first + units, :seen] = rows
            self.head.bias[first : first + units] = bias
        return True


class Constant(Posterior):
    """N(μ(x), s² I), one s for all rows and units: what a code tells lies in its place alone.

    Made for a prior that is learned with it (Diffusion, Flow): s then sets no more than the unit in which codes are measured. A
    unit that tells nothing costs nothing under a prior of the same width, as at the start with s = 1.
    Ghosh et al., From Variational to Deterministic Autoencoders, 2020.
    """

    papers = ("kingma2014auto", "ghosh2020variational")

    factorized = True
    maps = True
    many = True

    scale: float = option("s, the standard deviation of every unit", default=1.0, minimum=1e-4, maximum=1e4)
    learned: bool = option("whether s is learned from there on", default=False)

    def setup(self, features: Shape, shape: Shape) -> None:
        self.shape = shape
        self.head = _small(_head(features, shape, 1))
        start = torch.tensor(math.log(self.scale))
        if self.learned:
            self.log_scale = nn.Parameter(start)
        else:
            self.register_buffer("log_scale", start)

    def forward(self, features: Tensor) -> Distribution:
        location = _as_vectors(self.head(features), self.shape)
        return shaped(DiagonalNormal(location, self.log_scale.expand_as(location)), self.shape)


class Uniform(Posterior):
    """U[μ(x) − ½, μ(x) + ½] of every unit: the noise that stands for rounding to whole numbers, as a code is kept in a file.

    log q = 0, and p̃(z) = P(z − ½ < u ≤ z + ½) under the prior: the KL is −log p̃(z), at whole numbers the nats that z takes in a
    file. The centre of q is μ rounded, in whole steps from the centre of p at levels below the top, which have such boxes, too.
    A Gaussian likelihood of fixed scale σ makes the ELBO rate + distortion / 2σ². Ballé et al., Variational Image Compression
    with a Scale Hyperprior, 2018; Minnen et al., Joint Autoregressive and Hierarchical Priors, 2018.
    """

    papers = ("balle2018variational", "minnen2018joint")

    separable = False
    factorized = True
    maps = True
    many = True
    boxed = True

    def setup(self, features: Shape, shape: Shape) -> None:
        self.shape = shape
        self.head = _head(features, shape, 1)
        nn.init.normal_(self.head.weight, std=WIDE / math.sqrt(self.head.weight[0].numel()))

    def forward(self, features: Tensor) -> Distribution:
        return shaped(UnitBox(_as_vectors(self.head(features), self.shape)), self.shape)

    def refusal(self, whole: Part) -> str | None:
        latent = getattr(whole, "latent", None)
        content = getattr(latent, "content", None)  # of Styled, whose own prior is that of the style
        prior = getattr(latent if content is None or content.posterior is not self else content, "prior", None)
        if prior is not None and not prior.massed:
            return (
                f"a Uniform posterior takes the mass of each unit's cell, and a {type(prior).__name__} prior gives none: "
                "use the Factorized or Standard prior"
            )
        return None


class Full(Posterior):
    """N(μ(x), L(x) L(x)ᵀ): units may be correlated given x. Kingma & Welling, An Introduction to VAEs, 2019, §2.5.1."""

    papers = ("kingma2014auto", "rezende2014stochastic", "kingma2019introduction")

    def setup(self, features: Shape, shape: Shape) -> None:
        size = self.size = _only_vectors(self, features, shape)
        self.head = _small(nn.Linear(elements(features), 2 * size + size * (size - 1) // 2))
        row, column = torch.tril_indices(size, size, -1)
        self.register_buffer("below", row * size + column, persistent=False)

    def forward(self, features: Tensor) -> Distribution:
        location, log_scale, below = self.head(features).split([self.size, self.size, len(self.below)], -1)
        flat = location.new_zeros(*location.shape[:-1], self.size**2).index_copy(-1, self.below, below)
        factor = flat.unflatten(-1, (self.size, self.size)) + torch.diag_embed(limited(log_scale, *SCALE_RANGE).exp())
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

    def setup(self, features: Shape, shape: Shape) -> None:
        size, width = _only_vectors(self, features, shape), elements(features)
        self.head = _small(nn.Linear(width, 2 * size))
        self.narrow = nn.Linear(width, self.width)
        self.bend = coupling_flow(self.coupling, size, self.width, self.transforms, self.width)
        straighten(self.bend)  # training starts from Diagonal

    def forward(self, features: Tensor) -> Distribution:
        location, log_scale = self.head(features).chunk(2, -1)
        straight = DiagonalNormal(location, limited(log_scale, *SCALE_RANGE))
        return FlowNormal(straight, self.bend(self.narrow(features)).transform)


class MisesFisher(Posterior):
    """A bump about a direction, over unit vectors: p(z) ∝ (1 + μ(x)ᵀz)^κ(x), the power spherical distribution.

    It stands in for von Mises and Fisher's exp(κ μᵀz), which has to be drawn by rejection. De Cao & Aziz, The Power Spherical
    Distribution, 2020; Davidson et al., Hyperspherical Variational Auto-Encoders, 2018.
    """

    papers = ("decao2020power", "davidson2018hyperspherical")

    support = "sphere"
    many = True

    def setup(self, features: Shape, shape: Shape) -> None:
        self.size = _only_vectors(self, features, shape)
        if self.size < 2:
            raise UsageError(
                "a MisesFisher posterior is over directions, of which one unit has two: use at least 2 units"
            )
        self.head = _small(nn.Linear(elements(features), self.size + 1))
        assert self.head.bias is not None
        with torch.no_grad():  # rows without features have a direction, too
            nn.init.normal_(self.head.bias[: self.size], std=0.1)

    def forward(self, features: Tensor) -> Distribution:
        direction, log_ratio = self.head(features).split([self.size, 1], -1)
        log_concentration = limited(log_ratio.squeeze(-1), *CONCENTRATIONS) + math.log(self.size)
        return PowerSpherical(functional.normalize(direction, dim=-1), log_concentration)


class Point(Posterior):
    """All mass at μ(x): the encoder of a plain autoencoder. No density, so no bound; a prior is fitted afterwards."""

    papers = ("hinton2006reducing",)

    density = False
    separable = False
    many = True

    maps = True

    def setup(self, features: Shape, shape: Shape) -> None:
        self.shape = shape
        self.head = _small(_head(features, shape, 1))

    def forward(self, features: Tensor) -> Distribution:
        return shaped(Delta(_as_vectors(self.head(features), self.shape)), self.shape)


class Absent(Posterior):
    """No q(z|x): the model of a generator alone, z from the prior and x from the decoder. It has no encoder.

    Codes of rows are found by optimization (`lambent.invert`), or there are none.
    """

    no_paper = "there is nothing in it: what the encoder of a generative adversarial network is"

    encodes = False
    density = False
    separable = False
    factorized = True
    maps = True
    many = True
    support = None

    def setup(self, features: Shape, shape: Shape) -> None:
        """Nothing is made."""

    def forward(self, features: Tensor) -> Distribution:
        raise UsageError(WITHOUT_ENCODER)


def _head(features: Shape, shape: Shape, times: int) -> nn.Linear | nn.Conv2d:
    """From features to `times` the numbers of a code: a linear map, of maps the same at every place."""
    if len(shape) == 1:
        return nn.Linear(elements(features), times * shape[0])
    if len(features) != 3 or features[1:] != shape[1:]:
        raise UsageError(
            f"codes of shape {list(shape)} need feature maps of their height and width, not {list(features)}"
        )
    return nn.Conv2d(features[0], times * shape[0], 1)


def _as_vectors(values: Tensor, shape: Shape) -> Tensor:
    return values if len(shape) == 1 else values.flatten(-len(shape))


def _only_vectors(posterior: Posterior, features: Shape, shape: Shape) -> int:
    """The size of a code that is a vector, or a refusal."""
    if len(shape) != 1:
        raise UsageError(
            f"a {type(posterior).__name__} posterior is over vectors, not over codes of shape {list(shape)}: use Diagonal"
        )
    return shape[0]


def _small(head: nn.Linear | nn.Conv2d) -> nn.Linear | nn.Conv2d:
    """Start near the prior, so that the first steps are spent on the decoder and not on a huge KL."""
    with torch.no_grad():
        head.weight.mul_(0.5)
        if head.bias is not None:
            head.bias.zero_()
    return head
