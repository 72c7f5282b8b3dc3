"""Flat: one vector z."""

from torch import Tensor

from lambent.model.latents.base import Encoder, Features, Variational
from lambent.model.posteriors import Diagonal, Posterior
from lambent.model.priors import Prior, Standard
from lambent.model.trace import Draw, Node
from lambent.part import Shape, elements, option


class Flat(Variational):
    """One vector z."""

    no_paper = "one vector, as in the first VAE"

    single = True
    many = True

    size: int = option("number of units", default=16, minimum=1, maximum=65536)
    prior: Prior = option("p(z)", factory=Standard)
    posterior: Posterior = option("q(z|x)", factory=Diagonal)

    def setup(self, features: Shape | list[Shape] | None, examples: Tensor, context: int = 0) -> Shape:
        self.equip(self.prior, examples, context)
        if features is not None:
            assert isinstance(features, tuple)
            self.axes = len(features)
            self.posterior.setup((elements(features),), (self.size,))
        return (self.size,)

    def forward(
        self, features: Features | None, draw: Draw, n: int, encoder: Encoder, context: Tensor | None = None
    ) -> tuple[Tensor, list[Node]]:
        p = self.top(lambda x: self.posterior(self._vectors(encoder(x))), context)
        if features is None:
            node = Node(p, None, (1, n))
        else:
            q = self.posterior(self._vectors(features))
            node = Node(p, q, (n, q.batch_shape[-1]))
        node.z = draw(node, 0)
        return node.z.flatten(0, 1), [node]

    def _vectors(self, features: Features) -> Tensor:
        """Features as one vector a row, [rows, units], or [samples, rows, units] where they differ by sample."""
        assert isinstance(features, Tensor)
        return features.flatten(-self.axes)

    def start(self, weight: Tensor, location: Tensor, scale: Tensor) -> bool:
        return self.posterior.start(weight, location, scale)

    @property
    def shapes_of_levels(self) -> tuple[Shape, ...]:
        return ((self.size,),)


def flattened(features: Features) -> Tensor:
    """Features as one vector a row."""
    assert isinstance(features, Tensor)
    return features.flatten(1)
