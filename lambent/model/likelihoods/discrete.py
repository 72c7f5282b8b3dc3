"""Likelihoods of a few values: binary data and tokens."""

import torch
from torch import Tensor
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Distribution
from torch.nn import functional

from lambent.distributions import Binary, constructed
from lambent.model.likelihoods.base import Likelihood
from lambent.part import Shape, option


class Bernoulli(Likelihood):
    """Binary data: λ(z)ˣ (1−λ(z))¹⁻ˣ. Grey images are not binary: binarize them, or choose another likelihood."""

    no_paper = "a textbook distribution"

    discrete = True
    unit_bytes = False
    domain = "zeros and ones"
    elementwise = True

    def setup(self, event: Shape) -> Shape:
        self.event = event
        return event

    def forward(self, raw: Tensor, context: Tensor | None = None) -> Distribution:
        if self.gaps:
            return self.over(constructed(TorchBernoulli, logits=raw))
        return Binary(raw, len(self.event))

    def embed(self, x: Tensor) -> Tensor:
        return torch.rsub(x, -1, alpha=-2)  # 2x − 1 in one pass

    def start(self, observed: Tensor) -> Tensor:
        """The logit of each element's mean; of a pixel that is hardly ever set it lies thousands of Adam's steps from nought."""
        there = ~torch.isnan(observed)
        return torch.logit((observed.nansum(0) + 0.5) / (there.sum(0) + 1))

    def admit(self, x: Tensor) -> None:
        if not bool(((x == 0) | (x == 1)).all()):
            self.refuse(
                x,
                "DiscretizedLogistics for 8-bit images, ContinuousBernoulli for numbers in [0, 1], "
                "or binarize the images (--data.binarize dynamic)",
            )


class Categorical(Likelihood):
    """Tokens: one of `levels` values at every position, π(z) from a softmax."""

    no_paper = "a textbook distribution"

    discrete = True
    unit_bytes = False
    planar = False
    domain = "whole numbers from 0 to levels − 1"
    elementwise = True

    levels: int = option("how many values a position can take", default=2, minimum=2, maximum=2**24)

    def setup(self, event: Shape) -> Shape:
        self.event = event
        return (*event, self.levels)

    def forward(self, raw: Tensor, context: Tensor | None = None) -> Distribution:
        return self.over(constructed(TorchCategorical, logits=raw))

    def observe(self, x: Tensor) -> Tensor:
        return x if self.gaps and x.dtype.is_floating_point else x.long()

    def embed(self, x: Tensor) -> Tensor:
        return functional.one_hot(x.long(), self.levels).float()

    def embedded_from(self, marks: Tensor) -> Tensor:
        return marks.unsqueeze(-1)

    def admit(self, x: Tensor) -> None:
        whole = not x.dtype.is_floating_point or bool((x == x.round()).all())
        if not whole or int(x.min()) < 0 or int(x.max()) >= self.levels:
            self.refuse(x, f"more levels than {self.levels}, or the Gaussian likelihood if these are measurements")
