"""LatentModel: encoder → latent → decoder → likelihood."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lambent.errors import UsageError
from lambent.model.blockwise import start_of_blocks
from lambent.model.company import ask_encoder, check
from lambent.model.joining import joined, joined_shape
from lambent.model.labelling import Labelling
from lambent.model.latents import Flat, Latent
from lambent.model.latents.base import Features
from lambent.model.likelihoods import Bernoulli, Likelihood
from lambent.model.lowering import lowered
from lambent.model.missingness import Missingness
from lambent.model.networks import Half, Mlp, Network, Pyramid, Spatial
from lambent.model.networks.stacked import apart, by_member, in_turn, stacked
from lambent.model.standing import still
from lambent.model.starting import start
from lambent.model.trace import Draw, Node, Trace, fixed, from_posterior, from_prior
from lambent.part import Part, Shape, Spec, option
from lambent.seeds import seeded, stream

EXAMPLES = 1000  # rows that parts which start from data are shown; a likelihood may ask for more


class LatentModel(Part):
    """p(x, z) = p(z) p(x|z) with its posterior q(z|x); the same object trains, samples, scores and codes.

    members = M: an ensemble of M such models in one pass, each from its own random start, p(x) = 1/M Σ_m p_m(x). What was
    `samples` of a row's code is `samples` of each member, those of the first member first, [samples · M, rows]: the mean of the
    members' bounds is the mean over samples, the bound on the mixture's log p(x) the log-mean-exp over all of them. What a
    likelihood learns beside the networks' output, such as a scale of each column, the members share.
    Lakshminarayanan et al., Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles, 2017.
    """

    no_paper = "its parts name theirs"
    many = True

    latent: Latent = option("the codes: how many, their prior, their posterior", factory=Flat)
    likelihood: Likelihood = option("p(x|z)", factory=Bernoulli)
    network: Network = option("the architecture of encoder and decoder", factory=Mlp)
    context: int = option(
        "width of the vector that conditions both halves; 0 for none", default=0, minimum=0, maximum=2**20
    )
    gaps: bool = option(
        "whether values may be missing (NaN): left out of p(x|z), shown to the encoder by a mask", default=False
    )
    white: int = option(
        "the stored level that likelihoods of numbers in [0, 1] read as 1: 255 of bytes, 4095 of images of 12 bits",
        default=255,
        minimum=1,
        maximum=65535,
    )
    missingness: Missingness | None = option(
        "p(m|x), which values are missing, where that depends on the values themselves; none: it tells nothing of them",
        factory=lambda: None,
    )
    labelling: Labelling | None = option(
        "q(y|x), the levels of a condition that few of the rows had, which the SemiSupervised objective adds; none: all had them",
        factory=lambda: None,
    )
    members: int = option(
        "models of these parts, each from its own start, that are trained in one pass and make one mixture",
        default=1,
        minimum=1,
        maximum=1000,
        papers={...: "lakshminarayanan2017simple"},
    )

    def spec(self) -> Spec:
        """As of every part; `labelling` stands in it where there is one: archives name a model by the hash of its description."""
        described = super().spec()
        if described["labelling"] is None:
            del described["labelling"]
        return described

    def setup(self, event: Shape, examples: Tensor | None = None, seed: int = 0) -> Self:
        """Make all weights for rows of shape `event`; `examples` are stored rows, for priors that start from data.

        Refuses parts that cannot go together (`UsageError`). The same seed gives the same weights.
        """
        check(self)
        event = tuple(int(n) for n in event)
        if not event or min(event) < 1:
            raise UsageError(f"rows of shape {list(event)} hold nothing to learn from")
        with seeded(torch.Generator().manual_seed(seed)):
            self.likelihood.gaps, self.likelihood.white, self.likelihood.beside = self.gaps, self.white, self._beside
            raw = self.likelihood.setup(event)
            rows = torch.zeros(1, *event) if examples is None else examples[: self.likelihood.examples].cpu()
            observed = self.likelihood.observe(rows)
            if examples is not None:
                with seeded(torch.Generator().manual_seed(seed)):  # what follows is drawn as without it
                    self.likelihood.study(observed, torch.Generator().manual_seed(stream(seed, "feature space")))
            embedded = self.likelihood.seen(observed[:EXAMPLES]).detach()  # a start is no part of what learns
            built = [self._built(embedded, raw) for _ in range(self.members)]
            if self.missingness is not None:
                self.missingness.setup(event)
            if self.labelling is not None:
                self.labelling.setup(self.network, tuple(embedded.shape[1:]), self.context)
        if examples is not None:
            for half, latent, decoder in built:
                start(self.likelihood, latent, decoder, observed, embedded)
                start_of_blocks(self.likelihood, half, latent, decoder, observed, embedded)
        self._join(built)
        if self.network.convolutional:
            self.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # the faster order in memory for images; the same numbers
        self.register_buffer("anchor", torch.zeros(0), persistent=False)  # knows the device and the dtype
        self.raw_shape = raw
        self.event_shape = event
        self.low_precision: torch.dtype | None = None  # set by the loop for its own duration
        return self

    def _built(self, embedded: Tensor, raw: Shape) -> tuple[nn.Module | None, Latent, nn.Module]:
        """The encoder, if there is to be one, the latent and the decoder of one member, with weights of their own."""
        half = self._encoder_for(tuple(embedded.shape[1:])) if self.latent.encodes else None
        seen = None if half is None else self._with_context(half.shape)
        hidden = self.latent.setup(seen, embedded, self.context)
        self.read_shape = joined_shape(hidden, self._beside)  # of what the decoder reads
        decoder = self.network.decoder(self.read_shape, raw)
        return half, self.latent if self.members == 1 else copy.deepcopy(self.latent), decoder

    def _join(self, built: list[tuple[nn.Module | None, Latent, nn.Module]]) -> None:
        """Take what was built for each member as the model's own, stacked where there are several."""
        halves, latents, decoders = zip(*built, strict=True)
        several, encoders = self.members > 1, [half for half in halves if half is not None]
        if encoders:
            self.encoder: nn.Module = stacked(encoders) if several else encoders[0]
        if several:
            self.latent = stacked(latents)  # type: ignore[assignment] # the first of them
        self.decoder: nn.Module = stacked(decoders) if several else decoders[0]

    def _encoder_for(self, event: Shape) -> Half | Pyramid:
        if self.latent.takes == "maps":
            assert isinstance(self.network, Spatial)
            return self.network.pyramid(event)
        return self.network.encoder(event)

    def _with_context(self, shape: Shape | list[Shape]) -> Shape | list[Shape]:
        if isinstance(shape, list):
            return [joined_shape(each, self._beside) for each in shape]
        return joined_shape(shape, self._beside)

    @property
    def _beside(self) -> int:
        """The width of what networks read of the context."""
        return 0 if self.latent.grouped else self.context

    @property
    def ready(self) -> bool:
        return "decoder" in self._modules

    def trace(self, x: Tensor, samples: int = 1, draw: Draw | None = None, context: Tensor | None = None) -> Trace:
        """One pass over stored rows [rows, *event], `samples` codes of each, of each member where there are several."""
        observed = self._observed(x)
        hidden, nodes = self._infer(observed, samples, draw, context)
        every = samples * self.members
        return Trace(observed, self._decode(hidden, (every, len(x)), context, observed=observed), nodes, every)

    def infer(self, x: Tensor, samples: int = 1, draw: Draw | None = None, context: Tensor | None = None) -> list[Node]:
        """The codes alone, without decoding: one node per level."""
        return self._infer(self._observed(x), samples, draw, context)[1]

    def passed(self, x: Tensor, draw: Draw, context: Tensor | None = None) -> tuple[Tensor, list[Node]]:
        """One code of each stored row, and what the decoder makes of it: raw output [rows, *raw], one node per level."""
        hidden, nodes = self._infer(self._observed(x), 1, draw, context)
        return self._raw(joined(hidden, self._read(context, len(x)))), nodes

    def unfolded(self, codes: list[Tensor], context: Tensor | None = None) -> Tensor:
        """The decoder's raw output [rows, *raw] for codes of every level, the top first, each [rows, *shape]."""
        return self.decoded(len(codes[0]), fixed(*codes), context)

    def decoded(self, n: int, draw: Draw, context: Tensor | None = None) -> Tensor:
        """The decoder's raw output [n, *raw] for n codes from wherever `draw` takes them."""
        return self._raw(joined(self._imagined(n, draw, context)[0], self._read(context, n)))

    def imagine(self, n: int, draw: Draw | None = None, context: Tensor | None = None) -> list[Node]:
        """n codes from the prior, or from wherever `draw` takes them, without decoding: one node per level."""
        nodes: list[Node] = self._imagined(n, draw, context)[1]
        return nodes

    def generate(
        self, n: int, draw: Draw | None = None, context: Tensor | None = None, member: Tensor | None = None,
        observed: Tensor | None = None,
    ) -> Distribution:  # fmt: skip
        """p(x | z) for n rows with z from the prior, or from wherever `draw` takes it; batch shape [n].

        member: which member of an ensemble decodes each row, whole numbers [n]; by default each in turn.
        observed: rows [n, *event] of which a likelihood takes what it does not model, such as the library sizes of cells.
        """
        hidden, _ = self._imagined(n, draw, context)
        if self.members > 1:
            member = in_turn(n, self.members) if member is None else member
            return self._decode(hidden, (n,), context, member, observed)
        return self._decode(hidden, (n,), context, observed=observed)

    def member(self, number: int) -> "LatentModel":
        """One member of an ensemble as a model by itself, with copies of its weights; the first is 0."""
        if not 0 <= number < self.members:
            raise UsageError(f"this model has {self.members} members, from 0 on, and none of number {number}")
        alone: LatentModel = LatentModel.from_spec(self.spec() | {"members": 1}).setup(self.event_shape)
        alone.load_state_dict(apart(self, number))
        return alone.to(self.device, self.anchor.dtype).train(self.training)

    def resized(self, event: Shape) -> "LatentModel":
        """The same weights, shared with this model, for rows of another size: pictures of other heights and widths.

        Raises `UsageError` that names the parts whose weights know the size of what the model was trained on.
        """
        event = tuple(int(n) for n in event)
        if event == self.event_shape:
            return self
        if len(event) != 3 or len(self.event_shape) != 3 or event[0] != self.event_shape[0]:
            raise UsageError(
                f"a model of {list(self.event_shape)} (channels, height, width) serves none of {list(event)}"
            )
        # Twice the own size tells as well as any other, and what knows the size takes little memory there.
        self._sized((event[0], *(2 * side for side in self.event_shape[1:])))
        return self._sized(event)

    def _sized(self, event: Shape) -> "LatentModel":
        other: LatentModel = LatentModel.from_spec(self.spec()).setup(event)
        other.likelihood.adopt(self.likelihood)
        own = self.state_dict()
        shapes = [{(name, value.shape) for name, value in weights.items()} for weights in (own, other.state_dict())]
        knowing = sorted({name for name, _ in shapes[0] ^ shapes[1]})  # of another shape, or there at one size alone
        if knowing:
            own_parts = {"latent"} if self.latent.takes == "vector" else {name.split(".")[0] for name in knowing}
            parts = own_parts & {"latent", "likelihood"} or {"network"}
            told = " and ".join(f"{type(getattr(self, part)).__name__}, the {part}" for part in sorted(parts))
            shown = "×".join(map(str, self.event_shape))
            raise UsageError(
                f"this model takes pictures of {shown} alone, for weights of {told}, know that size ({knowing[0]}): "
                "use a latent of maps that are a share of the picture, such as Grid('/8x1'), with a network of convolutions"
            )
        other.load_state_dict(own, assign=True)
        return other.to(self.device, self.anchor.dtype).train(self.training)

    @property
    def code_shapes(self) -> tuple[Shape, ...]:
        """The shape of a row's code at each level, the top first: the codes of all members side by side."""
        shapes = self.latent.shapes_of_levels
        return tuple((self.members * shape[0], *shape[1:]) for shape in shapes) if self.members > 1 else shapes

    def log_missing(self, x: Tensor, completed: Tensor) -> Tensor:
        """log p(m | x) of which values of rows are missing, [...], where the model holds such a part; else nought.

        x: rows [rows, *event], NaN where missing; completed: the same rows [..., rows, *event] whole, what was missing drawn from
        p(x | z). Where values are missing not at random it belongs to the weight of z: w = p(x_o, z) p(m | x) / q(z | x_o).
        """
        if self.missingness is None:
            return completed.new_zeros(completed.shape[: completed.dim() - len(self.event_shape)])
        missing = torch.isnan(x).to(completed.dtype).expand_as(completed)
        log_missing: Tensor = self.missingness(completed).log_prob(missing)
        return log_missing

    @contextmanager
    def standing(self) -> Iterator[None]:
        """While active, passes carry no gradient to the weights that q(z|x) alone goes through."""
        with still(self._inference()):
            yield

    @contextmanager
    def leading(self) -> Iterator[None]:
        """While active, passes carry a gradient to the weights that q(z|x) alone goes through, and to no others."""
        own = {id(p) for p in self._inference()}
        with still([p for p in self.parameters() if id(p) not in own]):
            yield

    def _inference(self) -> list[nn.Parameter]:
        """The weights that q(z|x) alone goes through."""
        parts = [
            self.encoder,
            *self.likelihood.reading(),
            *(getattr(self.latent, name) for name in self.latent.inferring),
        ]
        return [p for part in parts for p in part.parameters()]

    def _imagined(self, n: int, draw: Draw | None, context: Tensor | None) -> tuple[Tensor, list[Node]]:
        found: tuple[Tensor, list[Node]] = self.latent(
            None, draw or from_prior(), n, self._features, self._given(context, n)
        )
        return found

    def _infer(
        self, observed: Tensor, samples: int, draw: Draw | None, context: Tensor | None
    ) -> tuple[Tensor, list[Node]]:
        ask_encoder(self)
        given, read = self._given(context, len(observed)), self._read(context, len(observed))
        features = self._features(self.likelihood.seen(observed))
        if read is not None:
            features = (
                [joined(each, read) for each in features] if isinstance(features, list) else joined(features, read)
            )
        if self.members > 1:
            assert isinstance(features, Tensor)
            features = features.unflatten(0, (self.members, len(observed)))
            features = features.repeat_interleave(samples, 0) if samples > 1 else features
            samples *= self.members
        hidden, nodes = self.latent(features, draw or from_posterior(), samples, self._features, given)
        return hidden, nodes

    def _observed(self, x: Tensor) -> Tensor:
        observed = self.likelihood.observe(x)
        return observed.to(self.anchor.dtype) if observed.dtype.is_floating_point else observed

    def _features(self, embedded: Tensor) -> Features:
        if self.members > 1:
            embedded = embedded.repeat(self.members, *[1] * (embedded.dim() - 1))
        with lowered(self.low_precision, embedded):
            features: Features = self.encoder(embedded.to(self.anchor.dtype))
        dtype = self.anchor.dtype
        return [each.to(dtype) for each in features] if isinstance(features, list) else features.to(dtype)

    def _decode(
        self,
        hidden: Tensor,
        batch: tuple[int, ...],
        context: Tensor | None,
        member: Tensor | None = None,
        observed: Tensor | None = None,
    ) -> Distribution:
        """p(x | z) of codes that lie in equal shares by members, or of the `member` of each."""
        given = self._read(context, batch[-1])
        read = joined(hidden, given)
        if member is not None:
            places, back = by_member(member.to(read.device), self.members)
            read = read[places]
        raw = self._raw(read) if member is None else self._raw(read)[back]
        raw = raw.reshape(*batch, *self.raw_shape) if len(batch) > 1 else raw
        if observed is not None:
            return self.likelihood.informed(raw, given, observed)
        px: Distribution = self.likelihood(raw, given)
        return px

    def _raw(self, read: Tensor) -> Tensor:
        with lowered(self.low_precision, read):
            raw: Tensor = self.decoder(read)
        return raw.to(self.anchor.dtype)

    def _given(self, context: Tensor | None, rows: int) -> Tensor | None:
        """The context of so many rows, in the model's own type; None for a model without. Refuses any other shape."""
        if not self.context or (context is None and self.latent.grouped):  # each row is a group by itself then
            return None
        if context is None or tuple(context.shape) != (rows, self.context):
            found = "none" if context is None else f"one of shape {list(context.shape)}"
            raise UsageError(
                f"this model takes a context of shape [{rows}, {self.context}] with its rows; {found} was given"
            )
        return context.to(self.anchor.device, self.anchor.dtype)

    def _read(self, context: Tensor | None, rows: int) -> Tensor | None:
        """What networks read of the context: nothing where it only tells which rows belong together."""
        return None if self.latent.grouped else self._given(context, rows)

    @property
    def device(self) -> torch.device:
        return torch.device(self.anchor.device)
