"""The prior under which all codes are equally likely."""

import torch
from torch import Tensor
from torch.distributions import Distribution

from lambent.distributions import UniformNumbers
from lambent.model.priors.base import Encode, Prior
from lambent.part import Shape


class Uniform(Prior):
    """Every entry of a codebook is equally likely at every place: log p(z) = −places · log entries. Nothing to learn.

    For while a codebook learns; another prior is fitted to its codes afterwards, or learns with it.
    """

    no_paper = "every code is equally likely"

    discrete = True
    learned = False
    reparameterized = False

    def setup(self, shape: Shape, examples: Tensor, context: int = 0) -> None:
        self.entries, self.shape = shape[0], shape[1:]
        self.register_buffer("anchor", torch.zeros(0), persistent=False)  # knows the device and the dtype

    def forward(self, posterior: Encode, context: Tensor | None = None) -> Distribution:
        return UniformNumbers(self.entries, self.shape, self.anchor)
