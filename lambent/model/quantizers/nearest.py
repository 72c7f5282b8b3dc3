"""Vector quantization: the nearest of learned vectors."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from lambent.distributions import QuantizedMap
from lambent.distributions.products import exact_products
from lambent.model.quantizers.base import Quantizer
from lambent.part import Shape, option

DEAD = 0.1  # of an even share of the vectors: an entry that got less for a while is revived


class Nearest(Quantizer):
    """The nearest of `entries` learned vectors: z = e_k, k = argmin_j ‖h − e_j‖².

    An entry is the exponential average of the vectors that it was nearest to, and an entry that gets less than a tenth of its
    even share becomes a vector of the batch, drawn by the training's generator; so all begin as vectors of the first batch.
    Training pays `commitment` · ‖h − e_k‖² nats at every place.
    van den Oord et al., Neural Discrete Representation Learning, 2017.
    """

    papers = ("oord2017neural", "razavi2019generating", "bengio2013estimating")

    entries: int = option("entries of the codebook", default=512, minimum=2, maximum=2**20)
    size: int = option("numbers that an entry holds", default=16, minimum=1, maximum=65536)
    decay: float = option("of the exponential averages, a step", default=0.99, minimum=0, below=1)
    commitment: float = option(
        "nats for a distance of 1 between a vector and its entry, squared", default=0.25, minimum=0
    )

    def setup(self, features: Shape) -> None:
        self.head = nn.Conv2d(features[0], self.size, 1)
        self.register_buffer("codebook", torch.randn(self.entries, self.size))
        # Averages over steps, in even shares: how many vectors each entry got, and their sum.
        self.register_buffer("share", torch.zeros(self.entries))
        self.register_buffer("total", torch.zeros(self.entries, self.size))

    def forward(self, features: Tensor) -> QuantizedMap:
        vectors = self.head(features)
        numbers = self.number(vectors.detach())
        return QuantizedMap(vectors, self.entry(numbers), numbers)

    @property
    def count(self) -> int:
        return self.entries

    @property
    def units(self) -> int:
        return self.size

    def number(self, z: Tensor) -> Tensor:
        with exact_products():  # what is left of a difference
            nearness = functional.linear(z.movedim(-3, -1), self.codebook, -0.5 * self.codebook.square().sum(-1))
        return nearness.argmax(-1)

    def entry(self, numbers: Tensor) -> Tensor:
        return functional.embedding(numbers, self.codebook).movedim(-1, -3)

    def cost(self, q: QuantizedMap) -> Tensor | None:
        if not self.commitment:
            return None
        return self.commitment * (q.vectors - q.entries).square().sum((-3, -2, -1))

    @torch.no_grad()
    def follow(self, q: QuantizedMap, taken: Tensor, generator: torch.Generator) -> None:
        vectors, numbers = q.vectors.movedim(-3, -1).flatten(0, -2), q.numbers.flatten()
        even = len(vectors) / self.entries
        share = torch.zeros_like(self.share).index_add_(0, numbers, vectors.new_ones(len(vectors))) / even
        total = torch.zeros_like(self.total).index_add_(0, numbers, vectors) / even
        share, total = (torch.lerp(new, old, self.decay) for new, old in ((share, self.share), (total, self.total)))
        dead = share < DEAD
        picked = torch.randperm(len(vectors), generator=generator, device=vectors.device)
        revived = vectors[picked.repeat(-(-self.entries // len(vectors)))[: self.entries]]
        share = torch.where(dead, 1.0, share)
        total = torch.where(dead.unsqueeze(-1), revived, total)
        for kept, new in ((self.share, share), (self.total, total), (self.codebook, total / share.unsqueeze(-1))):
            kept.copy_(torch.where(taken, new, kept))
