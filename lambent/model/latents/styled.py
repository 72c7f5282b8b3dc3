"""Styled: a style that groups of rows share, above the content of each row by itself."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lambent.distributions import DiagonalNormal, vector
from lambent.model.joining import joined, joined_shape
from lambent.model.latents.base import Encoder, Features, Latent
from lambent.model.latents.flat import Flat
from lambent.model.posteriors import Diagonal
from lambent.model.priors import Prior, Standard
from lambent.model.trace import Draw, Node, Sharing
from lambent.part import Part, Shape, elements, option

DECAY = 0.99  # of the moments of styles, a step
LEAST = 1e-4  # variance of a style given its context, and the share of the moments' trace that keeps them invertible


class Styled(Latent):
    """A style s that the rows of a group share, and the content c of each row: p(s) Π_i p(c_i) p(x_i | s, c_i).

    q(s | group) ∝ Π_i q(s | x_i), Gaussians whose precisions add; a row of a group of g pays 1/g of KL(q(s | group) ‖ N(0, I)).
    The context tells which rows are of one style, and no network reads it: while training, those of one context in a batch are
    parted at random into groups of at most `group`; elsewhere, and without a context, each row is its own group, so that a
    style can be taken from pictures that were never labelled. q(s | x) reads means and deviations of the encoder's maps over
    their places; the decoder reads the style beside the content. Once trained, the prior of rows with a context is the
    Gaussian that fits the styles seen with it, their mean linear in the context.
    Bouchacourt, Tomioka & Nowozin, Multi-Level Variational Autoencoder, 2018.
    """

    papers = ("bouchacourt2018multilevel",)
    grouped = True
    inferring = ("head", "content_inference")

    content: Latent = option("the codes of each row by itself: Flat, Ladder or Grid", factory=Flat)
    style: int = option("units of the style", default=16, minimum=1, maximum=65536)
    group: int = option("the most rows of a batch that share one style", default=8, minimum=1, maximum=65536)

    def __post_init__(self) -> None:
        super().__post_init__()
        vars(self)["takes"] = self.content.takes

    def setup(self, features: Shape | list[Shape] | None, examples: Tensor, context: int = 0) -> Shape:
        assert features is not None
        hidden = self.content.setup(features, examples, 0)
        self.head = Diagonal()
        self.head.setup((sum(map(_summarized, features if isinstance(features, list) else [features])),), (self.style,))
        self.spread = Standard()
        self.spread.setup((self.style,), examples)
        # Moments of contexts and styles, by which a context lets expect a style.
        self.register_buffer("contexts", torch.zeros(context, context))
        self.register_buffer("crossed", torch.zeros(context, self.style))
        self.register_buffer("squares", torch.zeros(self.style))
        self.register_buffer("counted", torch.zeros(()))
        return joined_shape(hidden, self.style)

    def forward(
        self, features: Features | None, draw: Draw, n: int, encoder: Encoder, context: Tensor | None = None
    ) -> tuple[Tensor, list[Node]]:
        p = self._prior(context)
        if features is None:
            node = Node(p, None, (1, n))
        else:
            q = self.head(summary(features))
            node = Node(p, q, (n, q.batch_shape[-1]))
        node.z = draw(node, 0)
        if self.training and node.q is not None and context is not None and self.group > 1:
            node = self._shared(node, context, draw)
        hidden, nodes = self.content(features, lambda below, level: draw(below, level + 1), n, encoder, None)
        return joined(hidden, node.z.flatten(0, 1)), [node, *nodes]

    def _shared(self, node: Node, context: Tensor, draw: Draw) -> Node:
        """The style with the rows of each context parted into groups: one posterior and one draw for each."""
        assert node.q is not None
        own = vector(node.q)
        assert isinstance(own, DiagonalNormal)
        together = parted(context, self.group, node.generator)
        pooled = Node(node.p, pooled_normal(own, together), node.shape)
        pooled.generator = node.generator
        first = together.to(torch.uint8).argmax(1)
        pooled.z = draw(pooled, 0).index_select(1, first)
        pooled.sharing = Sharing(1 / together.sum(1), context, own)
        return pooled

    # ---- what a context lets expect --------------------------------------------------------------------------------

    def follow(self, nodes: list[Node], taken: Tensor, generator: torch.Generator) -> None:
        self.content.follow(nodes[1:], taken, generator)
        if nodes[0].sharing is None:
            return
        with torch.no_grad():
            _, context, own = nodes[0].sharing
            n = len(context)
            new = (
                context.T @ context / n,
                context.T @ own.mean / n,
                (own.mean.square() + own.variance).mean(0),
                self.counted.new_ones(()),
            )
            for kept, value in zip((self.contexts, self.crossed, self.squares, self.counted), new, strict=True):
                kept.copy_(torch.where(taken, torch.lerp(value.to(kept.dtype), kept, DECAY), kept))

    def expected_style(self, context: Tensor) -> Tensor:
        """The style that each context lets expect, [rows, style]: the mean of those seen with it, linear in numbers of it."""
        found: Tensor = context.to(self.crossed.dtype) @ self._slopes()
        return found

    def _slopes(self) -> Tensor:
        """By which a context becomes a style, [context, style]: least squares over what was seen."""
        moments = self.contexts.double()
        least = 1e-6 * moments.diagonal().mean().clamp_min(1e-12)
        ridge = torch.eye(len(moments), dtype=torch.float64, device=moments.device) * least
        slopes: Tensor = torch.linalg.solve(moments + ridge, self.crossed.double()).to(self.crossed.dtype)
        return slopes

    def _prior(self, context: Tensor | None) -> Distribution:
        """N(0, I) while training and without a context; else what was seen with it."""
        if self.training or context is None or not bool(self.counted):
            standard: Distribution = self.spread(_no_mixture, None)
            return standard
        slopes = self._slopes()
        explained = (slopes * self.crossed).sum(0)
        variance = ((self.squares - explained) / self.counted).clamp_min(LEAST)
        location = context.to(slopes.dtype) @ slopes
        return DiagonalNormal(location, (0.5 * variance.log()).expand_as(location))

    # ---- what others may ask ---------------------------------------------------------------------------------------

    def equip(self, prior: Prior, examples: Tensor, context: int = 0) -> None:
        raise AssertionError("the prior of a style is made of those seen")

    @property
    def content_inference(self) -> nn.ModuleList:
        """The modules of the content that q(c|x) alone goes through."""
        return nn.ModuleList(getattr(self.content, name) for name in self.content.inferring)

    @property
    def shapes_of_levels(self) -> tuple[Shape, ...]:
        return ((self.style,), *self.content.shapes_of_levels)

    @property
    def by_row(self) -> bool:
        return False  # rows of a batch share their style

    @property
    def density(self) -> bool:
        return self.content.density

    @property
    def separable(self) -> bool:
        return self.content.separable

    @property
    def factorized(self) -> bool:
        return self.content.factorized

    @property
    def learned(self) -> bool:
        return self.content.learned

    @property
    def reparameterized(self) -> bool:
        return self.content.reparameterized

    @property
    def inference(self) -> str:
        return self.content.inference

    @property
    def origin(self) -> str:
        return self.content.origin

    @property
    def encodes(self) -> bool:
        return self.content.encodes

    @property
    def support(self) -> str:
        return self.content.support

    def refusal(self, whole: Part) -> str | None:
        name = type(self.content).__name__
        if self.content.grouped or self.content.discrete:
            return f"Styled joins a style of numbers to a content of numbers, and {name} is no such: use Flat, Ladder or Grid"
        if not self.encodes:
            given = self.inference
            return f"Styled takes the style from rows, and the {given} posterior, as a Gan has it, reads none: use Diagonal"
        if reason := self.content.refusal(whole):
            return f"of the content of Styled: {reason}"
        return super().refusal(whole)


def summary(features: Features) -> Tensor:
    """What features say of a whole picture, [rows, numbers]: vectors as they are; of maps the mean and deviation over places."""
    if isinstance(features, list):
        return torch.cat([summary(each) for each in features], 1)
    if features.dim() < 3:
        return features
    places = features.flatten(2)
    centred = places - places.mean(-1, keepdim=True)
    deviation = (centred.square().mean(-1) + LEAST).sqrt()
    return torch.cat((places.mean(-1), deviation), 1)


def _summarized(shape: Shape) -> int:
    return elements(shape) if len(shape) < 2 else 2 * shape[0]


def parted(context: Tensor, most: int, generator: torch.Generator | None = None) -> Tensor:
    """Which rows are of one group, [rows, rows]: rows of one context in their order, in parts of a size drawn from 1 to `most`.

    context: [rows, width]. The size is drawn for each context; what its rows leave over is a smaller group.
    """
    alike = (context.unsqueeze(1) == context).all(-1)
    place = alike.tril(-1).sum(1)  # among the rows of its context
    sizes = torch.randint(1, most + 1, (len(context),), generator=generator, device=context.device)
    number = place // sizes[alike.to(torch.uint8).argmax(1)]
    return alike & (number.unsqueeze(1) == number)


def pooled_normal(each: DiagonalNormal, together: Tensor) -> DiagonalNormal:
    """∝ Π_i N(μ_i, σ_i²) over the rows of each row's group: precisions add, and weigh the means. together: [rows, rows]."""
    weights = (-2 * each.log_scale).exp()
    members = together.to(weights.dtype)
    precision = members @ weights
    return DiagonalNormal(members @ (weights * each.location) / precision, -0.5 * precision.log())


def _no_mixture(rows: Tensor) -> DiagonalNormal:
    raise AssertionError("the prior of a style is no mixture of posteriors")
