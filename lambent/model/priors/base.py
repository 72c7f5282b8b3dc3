"""Prior: where codes come from before any data is seen; and the standard normal."""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.distributions import Distribution

from lambent.distributions import StandardNormal, UniformSphere, shaped
from lambent.part import Part, Shape, elements

Encode = Callable[[Tensor], Distribution]
HELD = 8  # float32 numbers for each component of a mixture: a few arrays in float64


class Prior(Part):
    """p(z), or p(z | c) under a context."""

    discrete: ClassVar[bool] = False  # over entries of a codebook, by number: see `setup` and `forward`
    learned: ClassVar[bool] = True
    conditioned: ClassVar[bool] = True  # it serves a model with a context
    # Where its codes lie: in all of space, or on the unit sphere; None where the posterior's do.
    support: ClassVar[Literal["space", "sphere"] | None] = "space"
    massed: ClassVar[bool] = False  # its units are independent, and their mass on an interval is known
    reparameterized: ClassVar[bool] = True  # False: a draw carries no gradient of some of its weights

    @abstractmethod
    def setup(self, shape: Shape, examples: Tensor, context: int = 0) -> None:
        """Make the weights for codes of `shape`; `examples` [n, *event] are rows as the encoder sees them.

        context: the width of the vectors that condition it, 0 for none. Of a discrete prior `shape` is (entries, height, width).
        """

    @abstractmethod
    def forward(self, posterior: Encode, context: Tensor | None = None) -> Distribution:
        """The distribution itself, of batch shape (), or [rows] where it depends on the context [rows, width].

        Only Vamp looks at `posterior`, which maps rows to q(z|x). Of a discrete prior it is over whole numbers [height, width].
        """

    def begin(self, codes: Tensor, seed: int = 0) -> None:
        """Start from codes [n, *shape] of a model that is trained already, where that is better than from nought."""

    @property
    def affordable(self) -> tuple[int, int] | None:
        """Rows, and samples of each, that an evaluation takes unless told, where one density costs many looks at a network; None:
        as many as usual.
        """
        return None

    @property
    def held(self) -> int:
        """Numbers kept for each code while its density is computed; who computes many densities counts with them."""
        return 0


class Standard(Prior):
    """N(0, I): nothing to learn. Kingma & Welling, Auto-Encoding Variational Bayes, 2014."""

    no_paper = "the standard normal of the first VAE"

    learned = False
    massed = True
    many = True

    def setup(self, shape: Shape, examples: Tensor, context: int = 0) -> None:
        self.size = elements(shape)
        self.shape = shape
        self.register_buffer("anchor", torch.zeros(0), persistent=False)  # knows the device and the dtype

    def forward(self, posterior: Encode, context: Tensor | None = None) -> Distribution:
        return shaped(StandardNormal(self.size, self.anchor), self.shape)


class Sphere(Prior):
    """Uniform over unit vectors: nothing to learn. Davidson et al., Hyperspherical Variational Auto-Encoders, 2018."""

    papers = ("davidson2018hyperspherical",)

    learned = False
    support = "sphere"
    many = True

    def setup(self, shape: Shape, examples: Tensor, context: int = 0) -> None:
        self.size = elements(shape)
        self.shape = shape
        self.register_buffer("anchor", torch.zeros(0), persistent=False)  # knows the device and the dtype

    def forward(self, posterior: Encode, context: Tensor | None = None) -> Distribution:
        return shaped(UniformSphere(self.size, self.anchor), self.shape)
