"""Likelihoods of a few values: binary data, tokens, and levels in an order."""

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Distribution
from torch.nn import functional

from lambent.distributions import Binary, constructed
from lambent.model.likelihoods.base import Likelihood
from lambent.part import Shape, option

WIDE = 256  # levels beyond which the encoder reads an embedding
EMBEDDED = 16  # its width


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


class Levels(Likelihood):
    """What likelihoods of levels 0 … levels − 1 share."""

    discrete = True
    unit_bytes = False
    domain = "whole numbers from 0 to levels − 1"
    elementwise = True

    levels: int = option("how many values a position can take", default=2, minimum=2, maximum=2**24)

    def observe(self, x: Tensor) -> Tensor:
        return x if self.gaps and x.dtype.is_floating_point else x.long()

    def shares(self, observed: Tensor) -> Tensor:
        """How often each element has each level, [*event, levels]: half a time more than it was seen, so that none is never."""
        missing = torch.isnan(observed)
        places = torch.where(missing, 0, observed.nan_to_num()).long().movedim(0, -1)
        counts = torch.full((*self.event, self.levels), 0.5, device=observed.device)
        counts.scatter_add_(-1, places, (~missing).movedim(0, -1).to(counts.dtype))
        return counts / counts.sum(-1, keepdim=True)

    def admit(self, x: Tensor) -> None:
        whole = not x.dtype.is_floating_point or bool((x == x.round()).all())
        if not whole or int(x.min()) < 0 or int(x.max()) >= self.levels:
            self.refuse(x, f"more levels than {self.levels}, or the Gaussian likelihood if these are measurements")


class Categorical(Levels):
    """Tokens: one of `levels` values at every position, π(z) from a softmax.

    The encoder sees a token of few levels as that many noughts with a one; of more than 256 as a learned embedding.
    """

    no_paper = "a textbook distribution"

    planar = False

    def setup(self, event: Shape) -> Shape:
        self.event = event
        if self.levels > WIDE:
            # Of length 1 as a one among noughts is, so that a network hears it no louder than other columns.
            self.embedding = nn.Embedding(self.levels, EMBEDDED)
            nn.init.normal_(self.embedding.weight, std=EMBEDDED**-0.5)
        return (*event, self.levels)

    def forward(self, raw: Tensor, context: Tensor | None = None) -> Distribution:
        return self.over(constructed(TorchCategorical, logits=raw))

    def embed(self, x: Tensor) -> Tensor:
        if self.levels > WIDE:
            embedded: Tensor = self.embedding(x.long())
            return embedded
        return functional.one_hot(x.long(), self.levels).float()

    def embedded_from(self, marks: Tensor) -> Tensor:
        return marks.unsqueeze(-1)

    def reading(self) -> list[nn.Module]:
        return [self.embedding] if self.levels > WIDE else []

    def start(self, observed: Tensor) -> Tensor:
        """The logits of each level's share."""
        return self.shares(observed).log()


class Ordinal(Levels):
    """Levels in an order, by cumulative logits: P(x ≤ k | z) = σ(θ_k − μ(z)), the thresholds θ rising and learned.

    One number of the decoder for each element, whatever the number of levels. McCullagh, Regression Models for Ordinal Data,
    1980.
    """

    papers = ("mccullagh1980regression",)

    pace = 10.0  # thresholds have several units to go, Adam's steps are small

    def setup(self, event: Shape) -> Shape:
        self.event = event
        even = torch.logit(torch.arange(1, self.levels) / self.levels)
        self.edges = nn.Parameter(_unfolded(even).expand(*event, -1).clone())
        return event

    @property
    def thresholds(self) -> Tensor:
        """θ_k, [*event, levels − 1], each above the one before."""
        first, steps = self.edges[..., :1], self.edges[..., 1:]
        return torch.cat((first, first + functional.softplus(steps).cumsum(-1)), -1)

    def forward(self, raw: Tensor, context: Tensor | None = None) -> Distribution:
        return self.over(constructed(TorchCategorical, logits=between(self.thresholds - raw.unsqueeze(-1))))

    def embed(self, x: Tensor) -> Tensor:
        return 2 * x.to(self.edges.dtype) / (self.levels - 1) - 1

    @torch.no_grad()
    def start(self, observed: Tensor) -> Tensor:
        """Nought, once the thresholds are those of the levels' shares."""
        self.edges.copy_(_unfolded(torch.logit(self.shares(observed).cumsum(-1)[..., :-1])))
        return torch.zeros_like(self.edges[..., 0])


def between(edges: Tensor) -> Tensor:
    """log [σ(e_k) − σ(e_k−1)] of rising edges [..., K − 1], the first interval open below, the last above: [..., K].

    σ(a) − σ(b) = σ(a) σ(−b) (1 − e^{b−a}): no difference of nearly equal numbers.
    """
    upper = functional.pad(functional.logsigmoid(edges), (0, 1))
    lower = functional.pad(functional.logsigmoid(-edges), (1, 0))
    step = torch.log(-torch.expm1(edges[..., :-1] - edges[..., 1:]))
    return upper + lower + functional.pad(step, (1, 1))


def _unfolded(thresholds: Tensor) -> Tensor:
    """The first threshold, and what softplus makes the steps to the others of."""
    steps = thresholds.diff(dim=-1).clamp_min(1e-4)
    return torch.cat((thresholds[..., :1], steps + torch.log(-torch.expm1(-steps))), -1)
