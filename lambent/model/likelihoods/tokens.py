"""Likelihood of texts: rows of tokens that end where they end, each token seen by those after it."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional

from lambent.distributions.sequences import END, Sequences, State, counted, refuse_graph
from lambent.errors import UsageError
from lambent.model.likelihoods.base import Likelihood
from lambent.model.likelihoods.readers import READERS, left_out
from lambent.part import Shape, option
from lambent.seeds import mixed_seed

LOGITS = 1 << 23  # made at a time where nothing is learned: 32 MB in float32
ON_GPU = 16  # times as many, which keep it busy


class Tokens(Likelihood):
    """p(x | z) = Π_t p(x_t | x_<t, z) of tokens 0 … symbols − 1, 0 the end of a text, then NaN: by a network that reads them.

    z is added to what every layer reads at every step. A row's probability does not depend on how far it is padded; of rows as
    long as there is room the end is not asked for, so that the probabilities of all rows sum to 1. The vectors of tokens are
    those that logits are made with. Bowman et al., Generating Sentences from a Continuous Space, 2016; Press & Wolf, 2017.
    """

    papers = ("bowman2016generating", "press2017using")
    many = False

    told = ("symbols",)
    discrete = True
    ends = True
    unit_bytes = False
    planar = False
    domain = "whole numbers of tokens: a text's own, then 0, its end, then NaN"
    examples = 20_000

    symbols: int = option("tokens that there are, the end of a text among them", default=256, minimum=2, maximum=2**24)
    reader: Literal["Gru", "Transformer"] = option(
        "the network that reads the tokens before each one",
        default="Gru",
        papers={"Gru": "cho2014learning", "Transformer": "vaswani2017attention"},
    )
    width: int = option(
        "units of the reader, and numbers in the vector of a token", default=256, minimum=1, maximum=65536
    )
    depth: int = option("layers of the reader", default=1, minimum=1, maximum=1000)
    heads: int = option("heads of attention, of a Transformer", default=4, minimum=1, maximum=1024)
    rank: int = option("numbers in the vector of a token that the encoder reads", default=128, minimum=1, maximum=65536)
    word_dropout: float = option(
        "share of the tokens before each one that it is not shown in training, so that it must ask the code",
        default=0.0,
        minimum=0,
        maximum=1,
    )
    dropout: float = option(
        "share of the reader's inputs and outputs left out in training", default=0.0, minimum=0, below=1
    )
    temperature: float = option("of drawing: below 1 likelier tokens alone, at 0 the likeliest", default=1.0, minimum=0)
    top_p: float = option(
        "tokens are drawn from the fewest that together are as probable as this",
        default=1.0,
        above=0,
        maximum=1,
        papers={...: "holtzman2020curious"},
    )

    def setup(self, event: Shape) -> Shape:
        if len(event) != 1:
            raise UsageError(
                f"Tokens is for rows of tokens, not for rows of shape {list(event)}: use the Text kind of data"
            )
        self.event = event
        self.vectors = nn.Parameter(torch.randn(self.symbols + 2, self.width) / math.sqrt(self.width))  # start, unseen
        self.bias = nn.Parameter(torch.zeros(self.symbols))
        self.network = READERS[self.reader](self.width, self.depth, self.heads, event[0])
        self.read = nn.Embedding(self.symbols, self.rank)
        self.register_buffer("seed", torch.randint(2**31, ()))  # of what is left out
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))  # of training, so many so far
        return (self.width,)

    def forward(self, raw: Tensor, context: Tensor | None = None) -> Distribution:
        generator = None
        if self.training and (self.word_dropout or self.dropout):
            generator = torch.Generator(raw.device).manual_seed(mixed_seed(int(self.seed), int(self.step)))
            self.step += 1
        return Sequences(Bound(self, generator), raw, self.event[0], self.temperature, self.top_p)

    def embed(self, x: Tensor) -> Tensor:
        """A learned vector of each token and a 1 beside it, [rows, steps, rank + 1]; noughts where there is none."""
        refuse_graph(x)
        there = ~torch.isnan(x)
        vectors = self.read(x.masked_fill(~there, END).long())
        seen = there.to(vectors.dtype).unsqueeze(-1)
        return torch.cat((vectors * seen, seen), -1)

    def embedded_from(self, marks: Tensor) -> Tensor:
        return marks.unsqueeze(-1)

    def reading(self) -> list[nn.Module]:
        return [self.read]

    def padding(self, x: Tensor) -> Tensor:
        return torch.isnan(x) & ((x == END).cumsum(-1) > 0)

    def lengths(self, x: Tensor) -> Tensor:
        return counted(x)[1].sum(-1)

    @torch.no_grad()
    def start(self, observed: Tensor) -> Tensor | None:
        """Logits begin as the shares of tokens."""
        tokens, there = counted(observed)
        counts = torch.bincount(tokens[there].clamp(0, self.symbols - 1), minlength=self.symbols).double() + 0.1
        self.bias.copy_((counts / counts.sum()).log())
        return None

    def admit(self, x: Tensor) -> None:
        if bool((x != x.round()).any()) or float(x.min()) < 0 or float(x.max()) >= self.symbols:
            self.refuse(
                x, f"the Text kind of data, and as many symbols as it has tokens; here there are {self.symbols}"
            )
        ended = (x == END).cumsum(-1) > 0
        if bool((ended & (x != END)).any()):
            self.refuse(x, "the Text kind of data: here tokens follow the end of a text")


@dataclass(frozen=True)
class Bound:
    """The conditionals of one pass: the likelihood's network, and the source of what is left out of training, if any."""

    likelihood: Tokens
    generator: torch.Generator | None

    def log_prob(self, raw: Tensor, tokens: Tensor, there: Tensor) -> Tensor:
        """In pieces of rows where nothing is learned."""
        own = self.likelihood
        of_a_row = tokens.shape[1] * (own.symbols + 8 * own.width)
        at_once = (ON_GPU if raw.is_cuda else 1) * LOGITS // of_a_row
        rows = max(1, len(raw) if torch.is_grad_enabled() else at_once)
        pieces = zip(raw.split(rows), tokens.split(rows), there.split(rows), strict=True)
        found = [self._log_prob(*piece) for piece in pieces]
        return found[0] if len(found) == 1 else torch.cat(found) if found else raw.new_zeros(0)

    def _log_prob(self, raw: Tensor, tokens: Tensor, there: Tensor) -> Tensor:
        own = self.likelihood
        hidden = own.computed(own.network, self._dropped(self._seen(tokens)), raw)
        # Logits of the tokens that are there alone: of most rows, half of the steps are behind their ends.
        logits = self._logits(self._dropped(hidden[there]))
        found = -functional.cross_entropy(logits, tokens[there], reduction="none")
        return torch.zeros_like(hidden[..., 0]).masked_scatter(there, found).sum(-1)

    def begin(self, raw: Tensor) -> State:
        state: State = self.likelihood.network.begin(raw)
        return state

    def step(self, tokens: Tensor | None, state: State) -> tuple[Tensor, State]:
        own = self.likelihood
        if tokens is None:
            tokens = torch.full((len(state[0]),), own.symbols, device=own.vectors.device)
        hidden, state = own.network.step(self._vectors(tokens), state)
        return self._logits(hidden), state

    def _seen(self, tokens: Tensor) -> Tensor:
        """The vectors of the start and of the tokens before each one, some of them not shown in training."""
        own = self.likelihood
        before = functional.pad(tokens[:, :-1], (1, 0), value=own.symbols)
        if self.generator is not None and own.word_dropout:
            hidden = torch.rand(before.shape, generator=self.generator, device=before.device) < own.word_dropout
            before = before.masked_fill(hidden & (before != own.symbols), own.symbols + 1)
        return self._vectors(before)

    def _vectors(self, tokens: Tensor) -> Tensor:
        return functional.embedding(tokens, self.likelihood.vectors) * math.sqrt(self.likelihood.width)

    def _dropped(self, x: Tensor) -> Tensor:
        share = self.likelihood.dropout
        return x if self.generator is None or not share else left_out(x, share, self.generator)

    def _logits(self, hidden: Tensor) -> Tensor:
        own = self.likelihood
        return own.computed(functional.linear, hidden, own.vectors[: own.symbols], own.bias)
