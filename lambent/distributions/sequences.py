"""p(x | z) of rows of tokens that end where they end: Π_t p(x_t | x_<t, z)."""

import math
from abc import abstractmethod
from typing import Protocol

import torch
from torch import Size, Tensor

from lambent.distributions.explicit import Axes, Explicit

END = 0  # the token after a row's last
State = tuple[Tensor, ...]


class Conditionals(Protocol):
    """What a row of tokens asks of the network that holds its conditionals; raw: [rows, width]."""

    @abstractmethod
    def log_prob(self, raw: Tensor, tokens: Tensor, there: Tensor) -> Tensor:
        """Σ_t log p(x_t | x_<t, z) over the tokens that are there, [rows]; tokens and there: [rows, steps]."""

    @abstractmethod
    def begin(self, raw: Tensor) -> State:
        """What is kept of each row before its first token."""

    @abstractmethod
    def step(self, tokens: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Logits of the next token, [rows, symbols], after these [rows] (None: at the start), and what is kept then."""


class Sequences(Explicit):
    """Rows of at most `length` tokens, the last of them END, then NaN; those of `length` tokens need no END.

    Drawn token by token at a temperature, each from the fewest tokens that together have the probability `top_p`;
    log-probabilities are those of temperature 1 and all tokens.
    """

    has_rsample = False

    def __init__(
        self, conditionals: Conditionals, raw: Tensor, length: int, temperature: float = 1.0, top_p: float = 1.0
    ) -> None:
        super().__init__(raw.shape[:-1], Size((length,)))
        self.conditionals = conditionals
        self.raw = raw
        self.temperature, self.top_p = temperature, top_p

    def log_prob(self, value: Tensor) -> Tensor:
        """Of rows [..., steps], which may be cut or padded to any length behind their ends."""
        shape = torch.broadcast_shapes(self.batch_shape, value.shape[:-1])
        tokens, there = counted(value)
        tokens, there = (each.expand(*shape, each.shape[-1]).flatten(0, -2) for each in (tokens, there))
        found = self.conditionals.log_prob(self._rows(shape), tokens, there)
        return found.reshape(shape)

    @property
    def mean(self) -> Tensor:
        return self.centre

    @property
    def centre(self) -> Tensor:
        """Token by token the most likely one, [*batch, length]."""
        return self._drawn((), None, 0.0)

    def rsample(
        self, sample_shape: Axes = Size(), generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        return self._drawn(tuple(sample_shape), generator, self.temperature * temperature)

    @torch.no_grad()
    def continued(self, before: Tensor, steps: int, generator: torch.Generator | None = None) -> Tensor:
        """Tokens drawn behind given ones, [rows, given + steps], whole numbers; what stands behind an END means nothing.

        before: [rows, given] tokens, for a distribution of as many rows.
        """
        raw = self.raw.reshape(-1, self.raw.shape[-1])
        made = torch.cat((before, before.new_zeros(len(raw), steps)), 1)
        state, token = self.conditionals.begin(raw), None
        for step in range(made.shape[1]):
            logits, state = self.conditionals.step(token, state)
            if step >= before.shape[1]:
                made[:, step] = chosen(logits, generator, self.temperature, self.top_p)
            token = made[:, step]
        return made

    def _rows(self, shape: tuple[int, ...]) -> Tensor:
        return self.raw.expand(*shape, self.raw.shape[-1]).reshape(-1, self.raw.shape[-1])

    @torch.no_grad()
    def _drawn(self, sample_shape: tuple[int, ...], generator: torch.Generator | None, temperature: float) -> Tensor:
        shape = (*sample_shape, *self.batch_shape)
        raw = self._rows(shape)
        made = raw.new_full((len(raw), self.event_shape[0]), math.nan)
        going = torch.ones(len(raw), dtype=torch.bool, device=raw.device)
        state, token = self.conditionals.begin(raw), None
        for step in range(self.event_shape[0]):
            logits, state = self.conditionals.step(token, state)
            token = chosen(logits, generator, temperature, self.top_p)
            made[:, step] = torch.where(going, token.to(made.dtype), made[:, step])
            going = going & (token != END)
            if not bool(going.any()):
                break
        return made.reshape(*shape, *self.event_shape)


def refuse_graph(x: Tensor) -> None:
    """`RuntimeError` where a CUDA graph is being made, before anything that it could not hold: lengths differ by batch."""
    if x.is_cuda and torch.cuda.is_current_stream_capturing():
        raise RuntimeError("rows are cut to the longest of a batch, so that batches differ in shape")


def counted(value: Tensor) -> tuple[Tensor, Tensor]:
    """Rows [..., steps] as tokens, END where there is none, and which are there, both cut to the longest of the rows."""
    there = ~torch.isnan(value)
    tokens = value.masked_fill(~there, END).long()
    there = there & ((tokens == END).cumsum(-1) - (tokens == END).long() == 0)
    refuse_graph(value)
    longest = max(1, int(there.sum(-1).max())) if there.numel() else 1
    return tokens[..., :longest], there[..., :longest]


def chosen(logits: Tensor, generator: torch.Generator | None, temperature: float, top_p: float) -> Tensor:
    """A token of each row of logits [rows, symbols], [rows]; at temperature 0 the most likely one."""
    if temperature == 0.0:
        return logits.argmax(-1)
    shares = (logits.double() / temperature).softmax(-1)
    if top_p < 1.0:
        ranked, order = shares.sort(-1, descending=True)
        ranked = ranked.masked_fill(ranked.cumsum(-1) - ranked >= top_p, 0.0)  # the first stays
        shares = torch.zeros_like(shares).scatter(-1, order, ranked)
    return torch.multinomial(shares, 1, generator=generator).squeeze(-1)
