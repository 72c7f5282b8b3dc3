"""Ladder: several levels of codes, each conditioned on those above it."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lambent.distributions import BOX_SCALES, SCALE_RANGE, DiagonalNormal, boxed, limited
from lambent.model.latents.base import Encoder, Features, Variational
from lambent.model.latents.flat import flattened
from lambent.model.networks.base import initialized
from lambent.model.posteriors import Diagonal, Posterior
from lambent.model.priors import Prior, Standard
from lambent.model.trace import Draw, Node
from lambent.part import Part, Shape, elements, option


class Ladder(Variational):
    """Levels z₁ (top) … z_L, each conditioned on all above it, q and p sharing the way down.

    p(z) = p(z₁) Π p(z_l | z_<l), q(z|x) = Π q(z_l | x, z_<l). A deterministic pass up the levels meets the pass down.
    Sønderby et al., Ladder Variational Autoencoders, 2016; Kingma et al., 2016.
    """

    inferring = ("ups", "posterior", "posteriors")
    papers = ("sonderby2016ladder", "kingma2016improved")

    sizes: tuple[int, ...] = option("units at each level, the top first", default=(8, 16, 32), minimum=1, maximum=65536)
    width: int = option("units of the deterministic states between levels", default=256, minimum=1, maximum=65536)
    prior: Prior = option("p(z₁), of the top level", factory=Standard)
    posterior: Posterior = option("q at every level", factory=Diagonal)

    def setup(self, features: Shape | list[Shape] | None, examples: Tensor, context: int = 0) -> Shape:
        self.levels = len(self.sizes)
        below = range(1, self.levels)
        self.equip(self.prior, examples, context)
        if features is not None:
            assert isinstance(features, tuple)
            self._make_way_up(elements(features))
        heads = [nn.Linear(self.width, 2 * self.sizes[level]) for level in below]
        for head in heads:  # from the standard normal on, so that no level starts with a huge KL
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
        self.priors = nn.ModuleList(heads)
        self.first = _block(self.sizes[0] + context, self.width)
        self.downs = nn.ModuleList(_block(self.width + self.sizes[level], self.width) for level in below)
        return (self.width,)

    def _make_way_up(self, width: int) -> None:
        """What q reads features of that width through."""
        below = range(1, self.levels)
        # ups[l] carries the features of level l+1 up to level l
        self.ups = nn.ModuleList(
            _block(width if level == self.levels - 2 else self.width, self.width) for level in range(self.levels - 1)
        )
        self.posterior.setup((self.width if self.levels > 1 else width,), (self.sizes[0],))
        posteriors = [Posterior.from_spec(self.posterior.spec()) for _ in below]
        for level, posterior in zip(below, posteriors, strict=True):
            seen = (width if level == self.levels - 1 else self.width) + self.width
            posterior.setup((seen,), (self.sizes[level],))
        self.posteriors = nn.ModuleList(posteriors)

    def forward(
        self, features: Features | None, draw: Draw, n: int, encoder: Encoder, context: Tensor | None = None
    ) -> tuple[Tensor, list[Node]]:
        climbed = None if features is None else self._climb(flattened(features))
        shape = (1, n) if climbed is None else (n, climbed[0].shape[0])
        p = self.top(lambda x: self.posterior(self._climb(flattened(encoder(x)))[0]), context)
        nodes = [Node(p, None if climbed is None else self.posterior(climbed[0]), shape)]
        nodes[0].z = draw(nodes[0], 0)
        top = nodes[0].z
        if context is not None:  # so that every level below is drawn under it too
            top = torch.cat((top, context.expand(*shape, -1)), -1)
        state = self.first(top)
        for level in range(1, self.levels):
            location, log_scale = self.priors[level - 1](state).chunk(2, -1)
            q = None
            if climbed is not None:
                seen = climbed[level].expand(*shape, -1)
                q = self.posteriors[level - 1](torch.cat((seen, state), -1))
            node = Node(self._prior(location, log_scale), q, shape)
            node.z = draw(node, level)
            nodes.append(node)
            state = state + self.downs[level - 1](torch.cat((state, node.z), -1))
        return state.flatten(0, 1), nodes

    def _prior(self, location: Tensor, log_scale: Tensor) -> Distribution:
        """p of a level below the top."""
        if self.posterior.boxed:
            return boxed(DiagonalNormal(location, limited(log_scale, *BOX_SCALES)))
        return DiagonalNormal(location, limited(log_scale, *SCALE_RANGE))

    def refusal(self, whole: Part) -> str | None:
        if self.support != "space" and self.prior.support in (None, self.support):
            return (
                f"levels of a Ladder below the top are Gaussian, and codes of a {self.inference} posterior, as of a "
                f"{self.origin} prior, lie on the unit sphere: use Flat"
            )
        return super().refusal(whole)

    def _climb(self, features: Tensor) -> list[Tensor]:
        """The deterministic pass up: features for every level, the top first."""
        states = [features]
        for up in reversed(self.ups):
            states.append(up(states[-1]))
        return states[::-1]

    @property
    def shapes_of_levels(self) -> tuple[Shape, ...]:
        return tuple((size,) for size in self.sizes)


def _block(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(*initialized([nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()]))
