"""LatentModel: encoder → latent → decoder → likelihood."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lambent.errors import UsageError
from lambent.model.joining import joined, joined_shape
from lambent.model.latents import Flat, Latent
from lambent.model.latents.base import Features
from lambent.model.likelihoods import Bernoulli, Likelihood
from lambent.model.missingness import Missingness
from lambent.model.networks import Convolutional, Half, Mlp, Network, Pyramid
from lambent.model.starting import start
from lambent.model.trace import Draw, Node, Trace, from_posterior, from_prior
from lambent.part import Part, Shape, option
from lambent.seeds import seeded

EXAMPLES = 1000  # rows that parts which start from data are shown; a likelihood may ask for more


class LatentModel(Part):
    """p(x, z) = p(z) p(x|z) with its posterior q(z|x); the same object trains, samples, scores and codes."""

    no_paper = "its parts name theirs"

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

    def setup(self, event: Shape, examples: Tensor | None = None, seed: int = 0) -> Self:
        """Make all weights for rows of shape `event`; `examples` are stored rows, for priors that start from data.

        Refuses parts that cannot go together (`UsageError`). The same seed gives the same weights.
        """
        check(self)
        event = tuple(int(n) for n in event)
        if not event or min(event) < 1:
            raise UsageError(f"rows of shape {list(event)} hold nothing to learn from")
        with seeded(torch.Generator().manual_seed(seed)):
            self.likelihood.gaps, self.likelihood.white = self.gaps, self.white
            raw = self.likelihood.setup(event)
            rows = torch.zeros(1, *event) if examples is None else examples[: self.likelihood.examples].cpu()
            observed = self.likelihood.observe(rows)
            embedded = self.likelihood.seen(observed[:EXAMPLES]).detach()  # a start is no part of what learns
            half = self._encoder_for(tuple(embedded.shape[1:]))
            self.encoder: nn.Module = half
            hidden = self.latent.setup(self._with_context(half.shape), embedded, self.context)
            self.decoder: nn.Module = self.network.decoder(joined_shape(hidden, self.context), raw)
            if self.missingness is not None:
                self.missingness.setup(event)
        if examples is not None:
            start(self.likelihood, self.latent, self.decoder, observed, embedded)
        if self.network.convolutional:
            self.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # the faster order in memory for images; the same numbers
        self.register_buffer("anchor", torch.zeros(0), persistent=False)  # knows the device and the dtype
        self.raw_shape = raw
        self.read_shape = joined_shape(hidden, self.context)  # of what the decoder reads
        self.event_shape = event
        self.low_precision: torch.dtype | None = None  # set by the loop for its own duration
        return self

    def _encoder_for(self, event: Shape) -> Half | Pyramid:
        if self.latent.takes == "maps":
            assert isinstance(self.network, Convolutional)
            return self.network.pyramid(event)
        return self.network.encoder(event)

    def _with_context(self, shape: Shape | list[Shape]) -> Shape | list[Shape]:
        if isinstance(shape, list):
            return [joined_shape(each, self.context) for each in shape]
        return joined_shape(shape, self.context)

    @property
    def ready(self) -> bool:
        return "decoder" in self._modules

    def trace(self, x: Tensor, samples: int = 1, draw: Draw | None = None, context: Tensor | None = None) -> Trace:
        """One pass over stored rows [rows, *event], `samples` codes of each."""
        observed = self._observed(x)
        hidden, nodes = self._infer(observed, samples, draw, context)
        return Trace(observed, self._decode(hidden, (samples, len(x)), context), nodes, samples)

    def infer(self, x: Tensor, samples: int = 1, draw: Draw | None = None, context: Tensor | None = None) -> list[Node]:
        """The codes alone, without decoding: one node per level."""
        return self._infer(self._observed(x), samples, draw, context)[1]

    def imagine(self, n: int, draw: Draw | None = None, context: Tensor | None = None) -> list[Node]:
        """n codes from the prior, or from wherever `draw` takes them, without decoding: one node per level."""
        nodes: list[Node] = self._imagined(n, draw, context)[1]
        return nodes

    def generate(self, n: int, draw: Draw | None = None, context: Tensor | None = None) -> Distribution:
        """p(x | z) for n rows with z from the prior, or from wherever `draw` takes it; batch shape [n]."""
        hidden, _ = self._imagined(n, draw, context)
        return self._decode(hidden, (n,), context)

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
        parts = [
            self.encoder,
            *self.likelihood.reading(),
            *(getattr(self.latent, name) for name in self.latent.inferring),
        ]
        learning = [p for part in parts for p in part.parameters() if p.requires_grad]
        try:
            for parameter in learning:
                parameter.requires_grad_(False)
            yield
        finally:
            for parameter in learning:
                parameter.requires_grad_(True)

    def _imagined(self, n: int, draw: Draw | None, context: Tensor | None) -> tuple[Tensor, list[Node]]:
        found: tuple[Tensor, list[Node]] = self.latent(
            None, draw or from_prior(), n, self._features, self._given(context, n)
        )
        return found

    def _infer(
        self, observed: Tensor, samples: int, draw: Draw | None, context: Tensor | None
    ) -> tuple[Tensor, list[Node]]:
        given = self._given(context, len(observed))
        features = self._features(self.likelihood.seen(observed))
        if given is not None:
            features = (
                [joined(each, given) for each in features] if isinstance(features, list) else joined(features, given)
            )
        hidden, nodes = self.latent(features, draw or from_posterior(), samples, self._features, given)
        return hidden, nodes

    def _observed(self, x: Tensor) -> Tensor:
        observed = self.likelihood.observe(x)
        return observed.to(self.anchor.dtype) if observed.dtype.is_floating_point else observed

    def _features(self, embedded: Tensor) -> Features:
        with self._precision(embedded):
            features: Features = self.encoder(embedded.to(self.anchor.dtype))
        if isinstance(features, list):
            return [each.to(self.anchor.dtype) for each in features]
        return features.to(self.anchor.dtype)

    def _decode(self, hidden: Tensor, batch: tuple[int, ...], context: Tensor | None) -> Distribution:
        given = self._given(context, batch[-1])
        with self._precision(hidden):
            raw: Tensor = self.decoder(joined(hidden, given))
        raw = raw.to(self.anchor.dtype)
        raw = raw.reshape(*batch, *self.raw_shape) if len(batch) > 1 else raw
        px: Distribution = self.likelihood(raw, given)
        return px

    def _given(self, context: Tensor | None, rows: int) -> Tensor | None:
        """The context of so many rows, in the model's own type; None for a model without. Refuses any other shape."""
        if not self.context:
            return None
        if context is None or tuple(context.shape) != (rows, self.context):
            found = "none" if context is None else f"one of shape {list(context.shape)}"
            raise UsageError(
                f"this model takes a context of shape [{rows}, {self.context}] with its rows; {found} was given"
            )
        return context.to(self.anchor.device, self.anchor.dtype)

    def _precision(self, like: Tensor) -> AbstractContextManager[Any]:
        if self.low_precision is None:
            return nullcontext()
        return torch.autocast(like.device.type, dtype=self.low_precision)

    @property
    def device(self) -> torch.device:
        device: torch.device = self.anchor.device
        return device


def check(model: LatentModel, *others: Part) -> None:
    """Ask every part of the model, and any others, whether it can serve in this company; raise the first refusal."""
    for part in (*others, *(m for m in model.modules() if isinstance(m, Part))):
        reason = part.refusal(model)
        if reason is not None:
            raise UsageError(reason)
