"""Likelihood of a row whose columns see the columns before them."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lambent.distributions.chained import Chained
from lambent.errors import UsageError, nearest
from lambent.model.likelihoods.base import Likelihood
from lambent.model.likelihoods.chain import Chain
from lambent.model.likelihoods.features import KINDS, Features, Layout
from lambent.model.likelihoods.ordering import met, ordered, singled
from lambent.part import Shape, option
from lambent.seeds import mixed_seed

PAIRS = 64  # columns up to which each hears every other in its own way
UNITS = 4096  # hidden units of all columns together, about
NARROWEST = 16


class Autoregressive(Likelihood):
    """p(x | z) = Π_j p(x_j | x_before, z): columns that see columns, by one masked network inside the likelihood.

    A column's value is token + u: whole for levels and values; for bins u, uniform in [0, 1), is the place within the bin, of
    density 1. Levels are seen by a learned vector, bins by smooth features of their place, values by both. What is missing is
    not seen and costs nothing. `start` orders the columns by mutual information. A last token that training never met ("other",
    "elsewhere") has a probability of its own and is not drawn.
    """

    papers = ("larochelle2011neural", "germain2015made")
    many = False

    told = ("tokens", "kinds", "indicates")
    unit_bytes = False
    planar = False
    elementwise = True
    domain = "tokens of its columns, from 0, each with a part of one"
    examples = 20_000

    tokens: tuple[int, ...] = option(
        "how many tokens each column has; one number for all columns", default=(2,), minimum=1, maximum=2**24
    )
    kinds: tuple[str, ...] = option(
        "what the tokens of each column are, and so how they are seen: levels, values or bins; one word for all",
        default=("levels",),
    )
    indicates: tuple[int, ...] = option(
        "of the last columns, which column each is the gap indicator of: they come last, and do not see that column",
        default=(),
        minimum=0,
        maximum=2**24,
    )
    width: int = option(
        f"hidden units of each column at most; fewer where there are many columns, {UNITS} together",
        default=128,
        minimum=1,
        maximum=65536,
    )
    rank: int = option("numbers in the vector of a level", default=16, minimum=1, maximum=4096)
    dropout: float = option("share of hidden units left out in a step of training", default=0.0, minimum=0, below=1)
    agnostic: float = option(
        "share of the steps of training that take the columns in a random order, so that any may be given",
        default=0.0,
        minimum=0,
        maximum=1,
        papers={...: "uria2014deep"},
    )

    def setup(self, event: Shape) -> Shape:
        layout = self._layout(event)
        self.event = event
        width = min(self.width, max(NARROWEST, UNITS // layout.columns // 8 * 8))
        self.chain = Chain(layout, width, self.rank, layout.columns > PAIRS)
        self.read = Features(layout.own, self.rank, presence=False)
        self.register_buffer("order", torch.arange(layout.columns))
        self.register_buffer(
            "met", torch.ones(layout.columns, dtype=torch.bool)
        )  # whether each column's last token was
        self.register_buffer("seed", torch.randint(2**31, ()))  # of orders and of units left out
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))  # of training, so many so far
        self.hidden = (layout.columns, width)
        return (layout.columns * width,)

    def _layout(self, event: Shape) -> Layout:
        if len(event) != 1:
            raise UsageError(
                f"Autoregressive is for rows of columns, not for rows of shape {list(event)}: use the Table kind of data"
            )
        columns = event[0]
        tokens = self.tokens * columns if len(self.tokens) == 1 else self.tokens
        seen = self.kinds * columns if len(self.kinds) == 1 else self.kinds
        for name, given in (("tokens", len(tokens)), ("kinds", len(seen))):
            if given != columns:
                raise UsageError(
                    f"Autoregressive.{name} describes {given} columns and the rows have {columns}: give one for each"
                )
        own = columns - len(self.indicates)
        if any(column >= own for column in self.indicates):
            raise UsageError(
                f"Autoregressive.indicates names column {max(self.indicates)}; the columns that may have gaps are 0 to {own - 1}"
            )
        partner = [-1] * columns
        for indicator, column in enumerate(self.indicates, start=own):
            partner[indicator], partner[column] = column, indicator
        return Layout(tokens, seen, tuple(partner), len(self.indicates))

    def __post_init__(self) -> None:
        super().__post_init__()
        for word in self.kinds:
            if word not in KINDS:
                raise UsageError(f"Autoregressive.kinds: no column is seen as {word!r}; {nearest(word, KINDS)}")

    @property
    def discrete(self) -> bool:  # type: ignore[override]
        return "bins" not in self.kinds

    @property
    def encoding(self) -> str:
        """By ranks, unless it was told what tokens there are."""
        return "ranks" if len(self.tokens) == 1 else super().encoding

    @property
    def one_way(self) -> str | None:
        """Trained in one order alone, a column never saw those that come after it."""
        if self.agnostic:
            return None
        return (
            "this model's columns saw each other in one order alone (Autoregressive.agnostic is 0), and it cannot tell them "
            "given any others: train it with --likelihood.agnostic 0.25"
        )

    def forward(self, raw: Tensor, context: Tensor | None = None) -> Distribution:
        order, draws = self.order, None
        if self.training:
            draws = mixed_seed(int(self.seed), int(self.step))
            self.step += 1
            generator = torch.Generator().manual_seed(draws)
            if self.agnostic and float(torch.rand((), generator=generator)) < self.agnostic:
                order = torch.randperm(len(order), generator=generator).to(order.device)
        return Chained(Bound(self, order, draws), raw.unflatten(-1, self.hidden))

    def embed(self, x: Tensor) -> Tensor:
        """Each column's learned vector and smooth features, [rows, features]."""
        features: Tensor = self.read(self.readable(x))
        return features

    def readable(self, x: Tensor) -> Tensor:
        """The columns without their gap indicators: only training has these, and an encoder would lack them ever after."""
        return x[:, : self.read.layout.columns]

    def embedded_from(self, marks: Tensor) -> Tensor:
        return marks[:, self.read.owner]

    def reading(self) -> list[nn.Module]:
        return [self.read]

    def shown(self, px: Distribution) -> Tensor:
        return px.centre if isinstance(px, Chained) else super().shown(px)

    @torch.no_grad()
    def start(self, observed: Tensor) -> Tensor | None:
        """Take the order of the columns, and the frequencies of their tokens, from the rows."""
        layout = self.chain.layout
        counts = met(layout, observed)
        self.order.copy_(torch.tensor(ordered(layout, observed, counts)))
        own = self.read.layout
        for column in range(
            own.columns
        ):  # indicators are there in training alone, and only where both of their tokens are
            self.met[column] = bool(counts[layout.places(column)][-1] > 0)
        single = singled(layout, observed, counts)
        self.chain.features.know(counts, single)
        self.read.know(counts[: own.total], single[: own.total])
        self.chain.heads.know(counts, single, start=True)
        return None

    def admit(self, x: Tensor) -> None:
        most = self.chain.features.tokens.most.to(x.device) + 1
        outside = ((x < 0) | (x >= most)).flatten(0, -2).any(0)
        if bool(outside.any()):
            column = int(outside.nonzero()[0])
            self.refuse(
                x[..., column], f"tokens from 0 to {int(most[column]) - 1} in column {column}, as Table encodes them"
            )


@dataclass(frozen=True)
class Bound:
    """The conditionals of one pass: the likelihood's network, an order of its columns, the seed of what is left out, if any."""

    likelihood: Autoregressive
    sequence: Tensor
    draws: int | None

    @property
    def _layout(self) -> Layout:
        layout: Layout = self.likelihood.chain.layout
        return layout

    @property
    def order(self) -> list[int]:
        order: list[int] = self.likelihood.order.tolist()
        return order

    def binned(self, column: int) -> bool:
        return self._layout.seen[column] == "bins"

    def closed(self, column: int) -> bool:
        return not self._met[column]

    @cached_property
    def _met(self) -> list[bool]:
        met: list[bool] = self.likelihood.met.tolist()
        return met

    def indicator(self, column: int) -> int | None:
        partner = self._layout.partner[column]
        return partner if partner > column else None

    def log_prob(self, raw: Tensor, value: Tensor) -> Tensor:
        likelihood, chain = self.likelihood, self.likelihood.chain
        shape = torch.broadcast_shapes(raw.shape[:-1], value.shape)
        hidden = likelihood.computed(chain, raw, value, self.sequence, self._masks(shape, raw))
        tokens = chain.features.tokens(value).expand(shape).reshape(-1, shape[-1])
        if self.draws is not None:
            likelihood.met |= (tokens == chain.features.tokens.most).any(0)
        found: Tensor = chain.heads.log_prob(hidden, tokens).reshape(shape)
        return found

    def gathered(self, value: Tensor) -> Tensor:
        chain = self.likelihood.chain
        shown: Tensor = chain.heard.gathered(chain.features(value))
        return shown

    def add(self, gathered: Tensor, column: int, rows: Tensor, tokens: Tensor) -> None:
        shown = self.likelihood.chain.features
        span = slice(shown.spans[column], shown.spans[column + 1])
        self.likelihood.chain.heard.add(gathered, column, span, rows, shown.of(column, tokens))

    def logits(self, raw: Tensor, gathered: Tensor, column: int) -> Tensor:
        chain = self.likelihood.chain
        hidden = self.likelihood.computed(chain.one, raw, gathered, column)
        found: Tensor = chain.heads.logits(hidden, column)
        return found

    def _masks(self, shape: tuple[int, ...], raw: Tensor) -> Tensor | None:
        """What is left out of both hidden layers, [2, columns, rows, width]: 0, or 1 / the share kept; quickly, as bytes."""
        dropout = self.likelihood.dropout
        if self.draws is None or not dropout:
            return None
        left_out = max(1, round(256 * dropout))
        rows, columns, width = math.prod(shape[:-1]), shape[-1], raw.shape[-1]
        generator = torch.Generator(raw.device).manual_seed(mixed_seed(self.draws, 1))
        words = torch.empty(-(-2 * columns * rows * width // 8), dtype=torch.int64, device=raw.device)
        drawn = words.random_(-(2**63), None, generator=generator).view(torch.uint8)[: 2 * columns * rows * width]
        kept = (drawn >= left_out).to(raw.dtype).mul_(256 / (256 - left_out))
        return kept.view(2, columns, rows, width)
