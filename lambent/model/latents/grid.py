"""Grid: a hierarchy of maps of codes, from coarse to fine."""

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lambent.distributions import BOX_SCALES, SCALE_RANGE, DiagonalNormal, UnitBox, boxed, limited, shaped
from lambent.model.joining import joined
from lambent.model.latents.base import Encoder, Features, Variational
from lambent.model.latents.layers import feature_maps, parsed, sizes
from lambent.model.latents.maps import Block, Larger, Residue, Size, Smaller, Unfolded, convolution
from lambent.model.lowering import lowered
from lambent.model.networks.base import ACTIVATIONS, Activation
from lambent.model.posteriors import Diagonal, Posterior
from lambent.model.priors import Prior, Standard
from lambent.model.recomputing import recomputed
from lambent.model.trace import Draw, Node
from lambent.part import Part, Shape, option, registered

FEW = 2  # up to so many places a side each has its own weights, and convolutions look at one place alone


class Grid(Variational):
    """Groups of maps z₁ (top) … z_L from coarse to fine, each conditioned on all above it; q a residual around p.

    p(z) = p(z₁) Π p(z_l | z_<l), p(z_l | z_<l) = N(μ, σ²) with μ, σ read from the state h; q(z_l | x, z_<l) = N(μ + Δμ, (σ Δσ)²)
    with Δμ, Δσ from h and the network's features of that size; then h ← B(h + W z_l), B residual blocks without normalization.
    The decoder reads the state behind the last group, a map [width, height, width]. Layers below the network's smallest map read
    averages of it. With factors alone in `layers`, no weight depends on the size of the image.
    Child, Very Deep VAEs, 2021; Vahdat & Kautz, NVAE, 2020; Sønderby et al., 2016.
    """

    inferring = ("ups", "crown", "readers", "posterior", "residues")
    papers = ("child2021very", "vahdat2020nvae", "sonderby2016ladder")
    takes = "maps"

    layers: str = option(
        "resolutions from the top down, each SIZExGROUPS, its map's height and how many groups of codes it has, or "
        "/FACTORxGROUPS, a map so many times smaller than the image",
        default="1x1 /8x2 /4x4 /2x3",
    )
    channels: tuple[int, ...] = option(
        "channels of z in each group, for each layer; the last serves those after it",
        default=(8,),
        minimum=1,
        maximum=65536,
    )
    width: tuple[int, ...] = option(
        "channels of the deterministic state, for each layer; the last serves those after it",
        default=(128, 128, 64, 32),
        minimum=1,
        maximum=65536,
    )
    blocks: int = option("residual blocks after each group", default=1, minimum=0, maximum=1000)
    squeeze: float = option(
        "channels inside a residual block, as a share of its width", default=0.5, above=0, maximum=8
    )
    activation: Activation = option("non-linearity", default="silu")
    prior: Prior = option("p(z₁), of the top group", factory=Standard)
    posterior: Posterior = option("q of the top group; below, q is a residual around p", factory=Diagonal)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.plan = parsed(self.layers)

    def setup(self, features: Shape | list[Shape] | None, examples: Tensor, context: int = 0) -> Shape:
        height, width = examples.shape[-2:]
        self.sizes = sizes(self.plan, height, width)
        self.layer_of = [layer for layer, planned in enumerate(self.plan) for _ in range(planned.groups)]
        self.depth = max(1, self.blocks * len(self.layer_of))
        self.act = ACTIVATIONS[self.activation]()
        self.equip(self.prior, examples, context)
        if features is not None:
            assert isinstance(features, list)
            self._make_way_up(features)
        self._make_way_down(context)
        return (self._width(-1), *self.sizes[-1])

    def forward(
        self, features: Features | None, draw: Draw, n: int, encoder: Encoder, context: Tensor | None = None
    ) -> tuple[Tensor, list[Node]]:
        read = None if features is None else self._read(features)
        shape = (1, n) if read is None else (n, read[0].shape[0])
        p = self.top(lambda x: self.posterior(self._crowned(self._climbed(encoder(x)))), context)
        nodes = [Node(p, None if read is None else self.posterior(read[0]), shape)]
        nodes[0].z = draw(nodes[0], 0)
        state = self._begun(nodes[0].z.flatten(0, 1), context)
        for group in range(1, len(self.layer_of)):
            state = self._entered(group, state, context)
            node = self._node(group, state, None if read is None else read[group], shape)
            node.z = draw(node, group)
            nodes.append(node)
            state = self._passed(group, state, node.z.flatten(0, 1))
        return state.to(self.dtype), nodes

    # ---- the way down: p, the state, and what its groups add to it -----------------------------------------------

    def _make_way_down(self, context: int) -> None:
        """Entries into each layer, priors, what z adds, and the blocks after each group."""
        below = range(1, len(self.layer_of))
        self.entries = nn.ModuleList(self._entry(layer, context) for layer in range(1, len(self.plan)))
        self.priors = nn.ModuleList(
            convolution(self._width(self.layer_of[g]), 2 * self._channels(self.layer_of[g]), 1, scale=0.0)
            for g in below
        )  # from the standard normal on, so that no group starts with a huge KL
        beside = [context, *[0] * len(below)]
        share = 1 / math.sqrt(len(self.layer_of))
        self.injections = nn.ModuleList(
            convolution(self._channels(layer) + more, self._width(layer), 1, scale=share if g else 1.0)
            for g, (layer, more) in enumerate(zip(self.layer_of, beside, strict=True))
        )
        self.afters = nn.ModuleList(
            nn.Sequential(*(self._block(layer) for _ in range(self.blocks))) for layer in self.layer_of
        )

    def _entry(self, layer: int, context: int) -> nn.Module:
        """From the state of the layer above, and the context, to that of this one."""
        inputs, outputs = self._width(layer - 1) + context, self._width(layer)
        before, after = self.sizes[layer - 1], self.sizes[layer]
        if self.plan[layer - 1].fixed and self.plan[layer].fixed and before[0] <= FEW:
            return Unfolded(inputs, before, outputs, after)
        if before == after and inputs == outputs:
            return nn.Identity()
        return nn.Sequential(convolution(inputs, outputs, 1), Larger(after))

    def _begun(self, z: Tensor, context: Tensor | None) -> Tensor:
        with lowered(self.low_precision, z):
            return recomputed(self.afters[0], self.injections[0](joined(z, context)))

    def _entered(self, group: int, state: Tensor, context: Tensor | None) -> Tensor:
        """The state at the group's own size."""
        layer = self.layer_of[group]
        if layer == self.layer_of[group - 1]:
            return state
        with lowered(self.low_precision, state):
            entered: Tensor = self.entries[layer - 1](joined(state, context))
        return entered

    def _passed(self, group: int, state: Tensor, z: Tensor) -> Tensor:
        with lowered(self.low_precision, state):
            return recomputed(self.afters[group], state + self.injections[group](z))

    def _node(self, group: int, state: Tensor, read: Tensor | None, shape: tuple[int, int]) -> Node:
        """p(z | the state), and q around it where features were read."""
        event = self.shapes_of_levels[group]
        with lowered(self.low_precision, state):
            activated = self.act(state)
            parameters = self.priors[group - 1](activated)
            if read is not None:
                read = read.repeat(shape[0], 1, 1, 1) if shape[0] > 1 else read
                said = read if self.posterior.boxed else recomputed(self.residues[group - 1], activated, read)
        own = self._vectors(parameters, shape)
        make = _boxes if self.posterior.boxed else _normals
        return Node(*make(own, None if read is None else self._vectors(said, shape), event), shape)

    def _vectors(self, parameters: Tensor, shape: tuple[int, int]) -> Tensor:
        """Maps [samples · rows, channels, …] as vectors [samples, rows, units]: places, then log scales where there are any."""
        vectors: Tensor = parameters.to(self.dtype).flatten(1).unflatten(0, shape)
        return vectors

    @torch.no_grad()
    def carry(self, gain: Tensor, back: float, log_scales: Tensor) -> None:
        """Begin with codes of the last group that are `gain` [units] times its first pairs of features, their prior so wide.

        Features j and units + j are the two halves of one number, max(x, 0) and max(−x, 0). The state begins with `back` times
        the codes in its first channels, and as what levels above make of it in the others. For a Uniform posterior.
        """
        reader, injection, prior, units = self.readers[-1], self.injections[-1], self.priors[-1], len(gain)
        assert isinstance(reader, nn.Linear)
        assert isinstance(injection, nn.Linear)
        assert isinstance(prior, nn.Linear)
        places = torch.arange(units)
        for layer in (reader, injection):
            layer.weight[:units] = 0
            layer.bias[:units] = 0
        reader.weight[places, places], reader.weight[places, units + places] = gain, -gain
        injection.weight[places, places] = back
        for entry in self.entries[-1].modules():
            if isinstance(entry, nn.Linear):
                entry.weight[:units], entry.bias[:units] = 0, 0
        for block in self.afters[-1].modules():
            if isinstance(block, Block):
                block.quieten()
        channels = self._channels(self.layer_of[-1])
        prior.bias[channels : channels + units] = log_scales

    # ---- the way up: what q reads of x ---------------------------------------------------------------------------

    def _make_way_up(self, features: list[Shape]) -> None:
        """Layers below the network's smallest map get features of their own; readers of all groups of a layer are one."""
        self.sources = feature_maps(self.sizes, features, self.plan)
        seen: list[int] = [0 if source is None else features[source][0] for source in self.sources]
        ups: list[nn.Module] = []
        inputs, before = features[-1][0], (features[-1][1], features[-1][2])
        for layer in range(len(self.plan) - 1, -1, -1):
            if self.sources[layer] is not None:
                ups.append(nn.Identity())
                continue
            ups.append(self._up(layer, inputs, before))
            inputs, before = self._width(layer), self.sizes[layer]
            seen[layer] = inputs
        self.ups = nn.ModuleList(ups[::-1])
        self.crown = nn.Sequential(convolution(seen[0], self._width(0), 1), self._block(0), self.act)
        self.posterior.setup((self._width(0), *self.sizes[0]), self.shapes_of_levels[0])
        counts = [planned.groups - (layer == 0) for layer, planned in enumerate(self.plan)]
        self.readers = nn.ModuleList(
            convolution(channels, count * self._said(layer), 1) if count else nn.Identity()
            for layer, (channels, count) in enumerate(zip(seen, counts, strict=True))
        )
        below = [] if self.posterior.boxed else self.layer_of[1:]
        self.residues = nn.ModuleList(self._residue(layer) for layer in below)

    def _up(self, layer: int, inputs: int, before: Size) -> nn.Module:
        """From the features of what lies below to those of a layer that the network has none for."""
        outputs, after = self._width(layer), self.sizes[layer]
        planned = self.plan[layer]
        pinned = any(each.fixed for each in self.plan[layer + 1 :])  # the image's size is settled by what lies below
        if planned.fixed and pinned and after[0] <= FEW:
            first: nn.Module = Unfolded(inputs, before, outputs, after)
        else:
            first = nn.Sequential(Smaller(after), convolution(inputs, outputs, 1))
        return nn.Sequential(first, self._block(layer), self.act)

    def _climbed(self, features: Features) -> list[Tensor]:
        """The features of every layer, the top first."""
        assert isinstance(features, list)
        climbed: list[Tensor] = []
        below = features[-1]
        with lowered(self.low_precision, below):
            for up, source in zip(reversed(self.ups), reversed(self.sources), strict=True):
                if source is None:
                    below = recomputed(up, below)
                climbed.append(below if source is None else features[source])
        return climbed[::-1]

    def _crowned(self, climbed: list[Tensor]) -> Tensor:
        with lowered(self.low_precision, climbed[0]):
            return recomputed(self.crown, climbed[0]).to(self.dtype)

    def _read(self, features: Features) -> list[Tensor]:
        """What q of each group reads, the top first; the readers of one layer are one convolution."""
        climbed = self._climbed(features)
        read = [self._crowned(climbed)]
        for layer, maps in enumerate(climbed):
            count = self.plan[layer].groups - (layer == 0)
            if count:
                with lowered(self.low_precision, maps):
                    read += self.readers[layer](maps).chunk(count, 1)
        return read

    # ---- sizes ---------------------------------------------------------------------------------------------------

    def _width(self, layer: int) -> int:
        return self.width[min(layer % len(self.plan), len(self.width) - 1)]

    def _channels(self, layer: int) -> int:
        return self.channels[min(layer, len(self.channels) - 1)]

    def _middle(self, layer: int) -> int:
        return max(1, round(self.squeeze * self._width(layer)))

    def _said(self, layer: int) -> int:
        """Channels of what q of a group reads of the features: of a Uniform posterior, the places of its boxes themselves."""
        return self._channels(layer) if self.posterior.boxed else self._middle(layer)

    def _kernel(self, layer: int) -> int:
        planned = self.plan[layer]
        return 1 if planned.size is not None and planned.size <= FEW else 3

    def _block(self, layer: int) -> Block:
        return Block(self._width(layer), self._middle(layer), self._kernel(layer), self.activation, self.depth)

    def _residue(self, layer: int) -> Residue:
        return Residue(
            self._width(layer),
            self._middle(layer),
            self._channels(layer),
            self._kernel(layer),
            self.activation,
        )

    @property
    def shapes_of_levels(self) -> tuple[Shape, ...]:
        return tuple((self._channels(layer), *self.sizes[layer]) for layer in self.layer_of)

    @property
    def dtype(self) -> torch.dtype:
        dtype: torch.dtype = next(self.injections.parameters()).dtype
        return dtype

    def refusal(self, whole: Part) -> str | None:
        if "sphere" in (self.prior.support, self.support):
            given = f"{self.origin} with {self.inference}"
            return f"the codes of Grid are maps, and on no sphere: use the Standard prior with Diagonal, not {given}"
        if not self.posterior.maps:
            others = " or ".join(name for name, other in registered(Posterior).items() if other.maps)
            given = type(self.posterior).__name__
            return f"the codes of Grid are maps, and a {given} posterior is over vectors: use {others}"
        return super().refusal(whole)


def _normals(own: Tensor, residue: Tensor | None, shape: Shape) -> tuple[Distribution, Distribution | None]:
    """p and q of a level over maps of a shape, N(μ, diag σ²), from vectors of locations and log scales, and what q adds."""
    p, q = (
        None if parameters is None else _normal(parameters, shape)
        for parameters in (own, None if residue is None else own + residue)
    )
    assert p is not None
    return p, q


def _normal(parameters: Tensor, shape: Shape) -> Distribution:
    location, log_scale = parameters.chunk(2, -1)
    return shaped(DiagonalNormal(location, limited(log_scale, *SCALE_RANGE)), shape)


def _boxes(own: Tensor, places: Tensor | None, shape: Shape) -> tuple[Distribution, Distribution | None]:
    """The same of a Uniform posterior: p = N(μ, diag σ²) seen through a box, q a box about the places that the features tell,
    whose centre lies whole steps from μ.
    """
    location, log_scale = own.chunk(2, -1)
    p = boxed(shaped(DiagonalNormal(location, limited(log_scale, *BOX_SCALES)), shape))
    return p, None if places is None else shaped(UnitBox(places, location), shape)
