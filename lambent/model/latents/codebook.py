"""Codebook: a map whose every place holds one of a codebook's entries."""

import torch
from torch import Tensor

from lambent.distributions import EntryMaps, QuantizedMap
from lambent.errors import UsageError
from lambent.model.latents.base import Encoder, Features, Latent
from lambent.model.priors import Prior, Uniform
from lambent.model.quantizers import CodeUsage, Finite, Quantizer
from lambent.model.trace import Draw, Node
from lambent.part import Shape, option


class Codebook(Latent):
    """z is a map [units, height, width] that holds an entry of a codebook at every place: a code of whole numbers.

    q(z|x) gives one such map the probability 1, so that KL = −log p(z), and log p(x|z) + log p(z) is a bound on log p(x) as any
    other. The decoder's gradient passes straight through the rounding to the encoder; the KL teaches the prior alone.
    van den Oord et al., Neural Discrete Representation Learning, 2017.
    """

    papers = ("oord2017neural",)
    takes = "maps"
    discrete = True
    inferring = ("quantizer",)

    quantizer: Quantizer = option("how vectors become entries", factory=Finite)
    prior: Prior = option("p(z), over the numbers of the entries", factory=Uniform)
    factor: int = option(
        "how many times smaller than the image the map is: 2, 4, 8, … as the network has them; 0 for its smallest map",
        default=0,
        minimum=0,
        maximum=65536,
    )

    def setup(self, features: Shape | list[Shape] | None, examples: Tensor, context: int = 0) -> Shape:
        assert isinstance(features, list)
        self.place = self._place(features, tuple(examples.shape[-2:]))
        shape = features[self.place]
        self.quantizer.setup(shape)
        self.shape: Shape = (self.quantizer.units, *shape[1:])
        self.equip(self.prior, examples, context)
        self.register_buffer("tally", torch.zeros(self.quantizer.count, dtype=torch.int64))  # uses in this epoch
        return self.shape

    def _place(self, features: list[Shape], image: tuple[int, ...]) -> int:
        """Which of the maps is `factor` times smaller than the image."""
        if not self.factor:
            return len(features) - 1
        wanted = tuple(-(-side // self.factor) for side in image)
        for place, shape in enumerate(features):
            if shape[1:] == wanted:
                return place
        sizes = ", ".join(f"{height} × {width}" for _, height, width in features)
        raise UsageError(
            f"Codebook.factor is {self.factor}, which asks for a map of {' × '.join(map(str, wanted))}, and the network gives "
            f"{sizes}: give another factor, or 0 for the smallest"
        )

    def equip(self, prior: Prior, examples: Tensor, context: int = 0) -> None:
        prior.setup((self.quantizer.count, *self.shape[1:]), examples, context)

    def forward(
        self, features: Features | None, draw: Draw, n: int, encoder: Encoder, context: Tensor | None = None
    ) -> tuple[Tensor, list[Node]]:
        p = EntryMaps(self.prior(_no_mixture, context), self.shape[0], self.quantizer.number, self.quantizer.entry)
        if features is None:
            node = Node(p, None, (1, n))
            node.z = self.quantizer.nearest(draw(node, 0))
        else:
            assert isinstance(features, list)
            q = self.quantizer(features[self.place])
            node = Node(p, q, (n, len(q.numbers)))
            node.z = draw(node, 0)
            cost = self.quantizer.cost(q)
            node.cost = None if cost is None else cost.expand(node.shape)
        return node.z.flatten(0, 1), [node]

    def follow(self, nodes: list[Node], taken: Tensor, generator: torch.Generator) -> None:
        q = nodes[0].q
        assert isinstance(q, QuantizedMap)
        if not q.vectors.requires_grad:  # the encoder stands still, and what its vectors mean with it
            return
        numbers = q.numbers.flatten()
        self.tally.index_add_(0, numbers, taken.to(torch.int64).expand(len(numbers)))
        self.quantizer.follow(q, taken, generator)

    def told(self) -> dict[str, float | None]:
        usage = CodeUsage.of(self.tally)
        self.tally.zero_()
        return {"perplexity": usage.perplexity, "usage": usage.share}

    @property
    def shapes_of_levels(self) -> tuple[Shape, ...]:
        return (self.shape,)

    @property
    def by_row(self) -> bool:
        return False  # it follows the vectors of whole batches

    @property
    def density(self) -> bool:
        return True

    @property
    def separable(self) -> bool:
        return False

    @property
    def factorized(self) -> bool:
        return False

    @property
    def learned(self) -> bool:
        return bool(self.prior.learned)

    @property
    def reparameterized(self) -> bool:
        return bool(self.prior.reparameterized)

    @property
    def inference(self) -> str:
        return type(self.quantizer).__name__

    @property
    def origin(self) -> str:
        return type(self.prior).__name__


def _no_mixture(rows: Tensor) -> QuantizedMap:
    raise AssertionError("no prior over entries is a mixture of posteriors")
