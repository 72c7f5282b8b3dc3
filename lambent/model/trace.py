"""Draws of codes, and Node and Trace, the record of one top-down pass: it trains, samples, scores and edits."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from lambent.distributions import Explicit, FromNoise, QuantizedMap, centre, sample
from lambent.distributions.divergences import are_diagonal, closed_kl, joint_kl, unit_kl
from lambent.errors import UsageError
from lambent.model.noise import RowNoise

PAIRED = 1 << 24  # numbers of codes beside posteriors that are looked at together: 64 MB in float32


class Sharing(NamedTuple):
    """Groups of rows that share one code: share, [rows], is 1 / the size of a row's group.

    context: [rows, width], by which they were grouped. own: q of each row by itself, before the group's rows were pooled.
    """

    share: Tensor
    context: Tensor
    own: Distribution


class Node:
    """One latent vector on the way down: its prior p, its posterior q (None when generating), and z once drawn.

    shape: the leading axes (samples, rows) that z has, whatever broadcasting p and q do; z is [samples, rows, *event].
    cost: what training pays for this node beside its KL, [samples, rows], such as a codebook's commitment; None for nothing.
    generator: what z was drawn from q by, as in training; a prior whose density takes long then bounds it by a random draw.
    sharing: which rows share this vector, where several do; each then pays its share of the KL. None for one of each row.
    """

    __slots__ = ("cost", "generator", "p", "q", "shape", "sharing", "z")

    def __init__(self, p: Distribution, q: Distribution | None, shape: tuple[int, int]) -> None:
        self.p = p
        self.q = q
        self.shape = shape
        self.cost: Tensor | None = None
        self.generator: torch.Generator | None = None
        self.sharing: Sharing | None = None
        self.z: Tensor

    @property
    def kl(self) -> Tensor:
        """KL(q ‖ p) in nats, broadcastable to [samples, rows]: closed form where known, else log q(z) − log p(z), or a bound."""
        assert self.q is not None
        known = closed_kl(self.q, self.p)
        if known is not None:
            return known if self.sharing is None else known * self.sharing.share
        if self.generator is not None and isinstance(self.p, Explicit):
            return self.p.upper(self.z, self.generator) + self.q.log_prob(self.z)
        return -self.log_ratio

    @property
    def plain(self) -> bool:
        """Whether q and p are diagonal Gaussians, and every row has its own."""
        return self.q is not None and self.sharing is None and are_diagonal(self.q, self.p)

    @property
    def unit_kl(self) -> Tensor | None:
        """KL of each unit, [..., size], where both densities factorize."""
        assert self.q is not None
        found = unit_kl(self.q, self.p)
        return found if found is None or self.sharing is None else found * self.sharing.share.unsqueeze(-1)

    @property
    def log_ratio(self) -> Tensor:
        """log p(z) − log q(z | x) at the drawn z, [samples, rows]."""
        assert self.q is not None
        found = self.p.log_prob(self.z) - self.q.log_prob(self.z)
        return found if self.sharing is None else found * self.sharing.share


class Trace:
    """What one pass leaves behind: the data as observed, p(x|z), the nodes. All terms in nats, [samples, rows]."""

    __slots__ = ("nodes", "px", "samples", "x")

    def __init__(self, x: Tensor, px: Distribution, nodes: list[Node], samples: int) -> None:
        self.x = x
        self.px = px
        self.nodes = nodes
        self.samples = samples

    @property
    def log_px(self) -> Tensor:
        """log p(x | z)."""
        return self.px.log_prob(self.x)

    @property
    def kl(self) -> Tensor:
        """KL(q ‖ p), summed over levels, broadcastable to [samples, rows]."""
        pairs = [(node.q, node.p) for node in self.nodes if node.plain and node.q is not None]
        if len(pairs) < 2:
            return _total([node.kl for node in self.nodes])
        return _total([*(node.kl for node in self.nodes if not node.plain), joint_kl(pairs)])

    @property
    def log_ratio(self) -> Tensor:
        """log p(z) − log q(z|x) at the drawn z, summed over levels."""
        return _total([node.log_ratio for node in self.nodes])

    @property
    def cost(self) -> Tensor | None:
        """What training pays beside the KL, summed over levels, [samples, rows]; None for nothing."""
        costs = [node.cost for node in self.nodes if node.cost is not None]
        return _total(costs) if costs else None

    @property
    def log_weight(self) -> Tensor:
        """log p(x|z) + log p(z) − log q(z|x): its mean bounds log p(x), its log-mean-exp over samples more tightly."""
        return self.log_px + self.log_ratio

    @property
    def z(self) -> Tensor:
        """All levels side by side, [samples, rows, units]; maps as vectors."""
        if len(self.nodes) == 1:
            return self.nodes[0].z.flatten(2)
        return torch.cat([node.z.flatten(2) for node in self.nodes], -1)


def _total(terms: list[Tensor]) -> Tensor:
    return sum(terms[1:], start=terms[0])


def beside(z: Tensor) -> Tensor:
    """One code of each row, [members, rows, *event], those of all members side by side: [rows, members · units, …]."""
    return z[0] if len(z) == 1 else z.transpose(0, 1).flatten(1, 2)


def information(node: Node) -> Tensor:
    """log q(z|x) − log q(z) of the first sample of each row, [rows], q(z) the mean of the posteriors of these rows.

    Its mean estimates I(x; z) in nats, of n rows at most log n. Hoffman & Johnson, ELBO surgery, 2016.
    """
    assert node.q is not None
    z = node.z[0]
    own = node.q.log_prob(node.z)[0]
    at_once = max(1, min(100, PAIRED // z.numel()))  # codes, each beside the posteriors of all rows
    joint = torch.cat([torch.logsumexp(node.q.log_prob(piece.unsqueeze(1)), -1) for piece in z.split(at_once)])
    return own - joint + math.log(len(z))


Draw = Callable[[Node, int], Tensor]


def _missing(node: Node, d: Distribution) -> tuple[int, ...]:
    """The leading axes that a draw of `d` must add to reach the node's shape."""
    return node.shape[: len(node.shape) - len(d.batch_shape)]


def from_posterior(generator: torch.Generator | None = None) -> Draw:
    """z ~ q(z | x), independently for every sample and row."""

    def draw(node: Node, level: int) -> Tensor:
        assert node.q is not None
        node.generator = generator
        missing = _missing(node, node.q)
        if missing == (1,) and not getattr(node.q, "remembers", False):
            # The same numbers without an axis to broadcast over, whose gradient would be summed again.
            return sample(node.q, (), generator).unsqueeze(0)
        return sample(node.q, missing, generator)

    return draw


def from_keys(noise: RowNoise, keys: Tensor, first: int = 0, members: int = 1) -> Draw:
    """z = z(ε; x) with the noise of each row from its key [rows], for the samples from `first` on; the same for each member.

    A row's codes depend neither on the rows beside it nor on their order, and rows differ in their noise.
    """
    starts = {0: 0}  # of every level among the dimensions of the noise

    def draw(node: Node, level: int) -> Tensor:
        if isinstance(node.q, QuantizedMap):  # no noise: one code for each row
            return sample(node.q, _missing(node, node.q))
        assert isinstance(node.q, FromNoise)
        size = node.q.event_shape.numel()
        starts[level + 1] = starts[level] + size
        made = noise(keys, first, node.shape[0] // members, starts[level], size, node.q.dtype)
        made = made.repeat(members, 1, 1) if members > 1 else made
        return node.q.from_noise(made.reshape(*node.shape, *node.q.event_shape))

    return draw


def from_prior(generator: torch.Generator | None = None, temperature: float = 1.0) -> Draw:
    """z ~ p(z), its noise multiplied by `temperature`."""

    def draw(node: Node, level: int) -> Tensor:
        return sample(node.p, _missing(node, node.p), generator, temperature)

    return draw


def mean(node: Node, level: int) -> Tensor:
    """z = the centre of q(z | x), or of p(z) when generating: the mean where there is one."""
    d = node.p if node.q is None else node.q
    return centre(d).expand(*node.shape, *d.event_shape)


def expected(node: Node, level: int) -> Tensor:
    """z = the centre of p(z), whatever q says: what the levels above let expect."""
    return centre(node.p).expand(*node.shape, *node.p.event_shape)


def fixed(*codes: Tensor) -> Draw:
    """z as given, one tensor [rows, *event] or [samples, rows, *event] per level, the top first."""

    def draw(node: Node, level: int) -> Tensor:
        if level >= len(codes):
            raise UsageError(f"this model has more than {len(codes)} latent levels: give one tensor of codes for each")
        return codes[level].expand(*node.shape, *codes[level].shape[-len(node.p.event_shape) :])

    return draw


def first(count: int, draw: Draw, otherwise: Draw) -> Draw:
    """`draw` for the top `count` levels, `otherwise` for those below: what each level holds."""
    return lambda node, level: (draw if level < count else otherwise)(node, level)
