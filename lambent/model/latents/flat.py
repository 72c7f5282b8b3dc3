"""Flat: one vector z."""

from torch import Tensor

from lambent.model.latents.base import Encoder, Latent
from lambent.model.posteriors import Diagonal, Posterior
from lambent.model.priors import Prior, Standard
from lambent.model.trace import Draw, Node
from lambent.part import Shape, option


class Flat(Latent):
    """One vector z."""

    no_paper = "one vector, as in the first VAE"

    single = True

    size: int = option("number of units", default=16, minimum=1, maximum=65536)
    prior: Prior = option("p(z)", factory=Standard)
    posterior: Posterior = option("q(z|x)", factory=Diagonal)

    def setup(self, width: int, examples: Tensor) -> Shape:
        self.prior.setup(self.size, examples)
        self.posterior.setup(width, self.size)
        return (self.size,)

    def forward(self, features: Tensor | None, draw: Draw, n: int, encoder: Encoder) -> tuple[Tensor, list[Node]]:
        p = self.prior(lambda x: self.posterior(encoder(x)))
        if features is None:
            node = Node(p, None, (1, n))
        else:
            node = Node(p, self.posterior(features), (n, features.shape[0]))
        node.z = draw(node, 0)
        return node.z.flatten(0, 1), [node]

    @property
    def sizes_of_levels(self) -> tuple[int, ...]:
        return (self.size,)
