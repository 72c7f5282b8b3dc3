"""Prior: where codes come from before any data is seen; and the standard normal."""

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution

from lambent.distributions import StandardNormal
from lambent.part import Part

Encode = Callable[[Tensor], Distribution]
HELD = 8  # float32 numbers for each component of a mixture: a few arrays in float64


class Prior(Part):
    """p(z) over vectors."""

    learned = True

    @abstractmethod
    def setup(self, size: int, examples: Tensor) -> None:
        """Make the weights for codes of `size`; `examples` [n, *event] are rows as the encoder sees them."""

    @abstractmethod
    def forward(self, posterior: Encode) -> Distribution:
        """The distribution itself, batch shape (); only Vamp looks at `posterior`, which maps rows to q(z|x)."""

    @property
    def held(self) -> int:
        """Numbers kept for each code while its density is computed; who computes many densities counts with them."""
        return 0


class Standard(Prior):
    """N(0, I): nothing to learn. Kingma & Welling, Auto-Encoding Variational Bayes, 2014."""

    no_paper = "the standard normal of the first VAE"

    learned = False

    def setup(self, size: int, examples: Tensor) -> None:
        self.size = size
        self.register_buffer("anchor", torch.zeros(0), persistent=False)  # knows the device and the dtype

    def forward(self, posterior: Encode) -> Distribution:
        return StandardNormal(self.size, self.anchor)
