"""p(x | z) of a row whose columns see the columns before them: Π_j p(x_j | x_before, z)."""

import math
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Size, Tensor

from lambent.distributions.columnwise import Columnwise, Intervals
from lambent.distributions.explicit import Axes


class Conditionals(Protocol):
    """What a chain asks of the network that holds its conditionals. A value is token + u, 0 ≤ u < 1; NaN is missing.

    raw: [*batch, columns, width]. gathered: what the columns that are there show to the others, [rows, numbers].
    """

    @property
    def order(self) -> list[int]:
        """The columns as they follow each other."""
        ...

    def binned(self, column: int) -> bool:
        """Whether every token is an interval, so that u is of account; else it is of the last one alone."""
        ...

    def closed(self, column: int) -> bool:
        """Whether the last token is none to be drawn."""
        ...

    def indicator(self, column: int) -> int | None:
        """The column that is 1 where this one is missing, if there is one."""
        ...

    def log_prob(self, raw: Tensor, value: Tensor) -> Tensor:
        """log p(x_j | those before it that are there, z), [*batch, columns], whatever stands where a value is missing."""
        ...

    def gathered(self, value: Tensor) -> Tensor: ...

    def add(self, gathered: Tensor, column: int, rows: Tensor, tokens: Tensor) -> None:
        """Let some rows show the tokens of a column that they did not show."""
        ...

    def logits(self, raw: Tensor, gathered: Tensor, column: int) -> Tensor:
        """log P(token | all that is shown), [rows, tokens], of a column that is not shown itself; its raw [rows, width]."""
        ...


class Chained(Columnwise):
    """Rows of tokens, each with its place within (uniform, a density of 1), drawn and scored one column after the other.

    A missing value is not seen by the columns after it, and costs nothing: log p of what is there, in the order of the columns.
    """

    has_rsample = False

    def __init__(self, conditionals: Conditionals, raw: Tensor) -> None:
        super().__init__(raw.shape[:-2], raw.shape[-2:-1])
        self.conditionals = conditionals
        self.raw = raw

    def column_log_prob(self, value: Tensor) -> Tensor:
        return self.conditionals.log_prob(self.raw, value).masked_fill(torch.isnan(value), 0.0)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.column_log_prob(value).sum(-1)

    @property
    def mean(self) -> Tensor:
        return self.centre

    @property
    def centre(self) -> Tensor:
        """Each column's most likely token given those before it, [*batch, columns]; the middle of its interval."""
        empty = self._empty(())
        return self._filled(empty, None, 0.0)[0].reshape(*self.batch_shape, *self.event_shape)

    def rsample(
        self, sample_shape: Axes = Size(), generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        """Drawn column by column; the logits are divided by the temperature, at 0 the most likely token is taken."""
        shape = (*sample_shape, *self.batch_shape, *self.event_shape)
        return self._filled(self._empty(tuple(sample_shape)), generator, temperature)[0].reshape(shape)

    @torch.no_grad()
    def completed(
        self, value: Tensor, generator: torch.Generator | None = None, among: Mapping[int, Intervals] | None = None
    ) -> tuple[Tensor, Tensor]:
        shape = torch.broadcast_shapes(value.shape, (*self.batch_shape, *self.event_shape))
        known = self.log_prob(value)
        rows = value.expand(shape).reshape(-1, shape[-1]).to(self.raw.dtype)
        filled, restricted = self._filled(rows, generator, 1.0, among)
        drawn = torch.where(torch.isnan(value), filled.reshape(shape).to(value.dtype), value)
        return drawn, known + restricted.reshape(known.shape).to(known.dtype)

    @torch.no_grad()
    def restricted(
        self, value: Tensor, column: int, intervals: Intervals, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        logits = self.conditional_probabilities(value, column).double()
        shape = logits.shape[:-1]
        logits = logits.reshape(-1, logits.shape[-1])
        inside, cut = self._shares(column, intervals, logits)
        weights = logits.exp() * inside
        total = weights.sum(-1, keepdim=True)
        weights = torch.where(total > 0, weights, inside + (inside.sum() == 0))
        token, within = self._drawn(column, weights, inside, cut, (generator, 1.0))
        value = value.expand(*shape, value.shape[-1]).clone()
        missing = torch.isnan(value[..., column])
        drawn = _joined(token, within, value.dtype).reshape(shape)
        value[..., column] = torch.where(missing, drawn, value[..., column])
        log_share = total.squeeze(-1).clamp(max=1.0).log().reshape(shape)
        return value, log_share.masked_fill(~missing, 0.0)

    def conditional_probabilities(self, value: Tensor, column: int) -> Tensor:
        value = value.clone()
        value[..., column] = math.nan
        shape = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        gathered = self.conditionals.gathered(value.reshape(-1, value.shape[-1]))
        gathered = gathered.reshape(*value.shape[:-1], -1).expand(*shape, -1).reshape(-1, gathered.shape[-1])
        logits = self.conditionals.logits(self._rows(shape, column), gathered, column)
        return logits.reshape(*shape, logits.shape[-1])

    # ---- inside --------------------------------------------------------------------------------------------------

    def _rows(self, shape: tuple[int, ...], column: int) -> Tensor:
        """The raw output of a column for every row of a larger batch, [rows, width]."""
        own = self.raw[..., column, :]
        return own.expand(*shape, own.shape[-1]).reshape(-1, own.shape[-1])

    def _empty(self, sample_shape: tuple[int, ...]) -> Tensor:
        rows = math.prod((*sample_shape, *self.batch_shape))
        return self.raw.new_full((rows, self.event_shape[0]), math.nan)

    @torch.no_grad()
    def _filled(
        self,
        rows: Tensor,
        generator: torch.Generator | None,
        temperature: float,
        among: Mapping[int, Intervals] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Rows [rows, columns] with what was missing drawn in order given all that is there, and log P of `among`, [rows]."""
        conditionals = self.conditionals
        filled, log_share = rows.clone(), rows.new_zeros(len(rows), dtype=torch.float64)
        shape = (len(rows) // max(1, self.batch_shape.numel()), *self.batch_shape)
        gathered = conditionals.gathered(rows)
        for column in conditionals.order:
            missing = torch.isnan(rows[:, column]).nonzero().squeeze(1)
            if not len(missing):
                continue
            raw = self._rows(shape, column)
            whole = len(missing) == len(rows)
            given = (raw, gathered) if whole else (raw[missing], gathered[missing])
            logits = conditionals.logits(*given, column).double()
            if temperature not in (0.0, 1.0):
                logits = (logits / temperature).log_softmax(-1)
            inside, low = self._shares(column, (among or {}).get(column), logits)
            weights = logits.exp() * inside
            total = weights.sum(-1, keepdim=True)
            log_share[missing] += total.squeeze(-1).clamp(max=1.0).log() if column in (among or {}) else 0.0
            # Where nothing can be, anything is drawn: its weight is nought.
            weights = torch.where(total > 0, weights, inside + (inside.sum() == 0))
            token, within = self._drawn(column, weights, inside, low, (generator, temperature))
            filled[missing, column] = _joined(token, within, filled.dtype)
            shows = self._showing(filled, column, missing)
            conditionals.add(gathered, column, missing[shows], token[shows])
        return filled, log_share

    def _showing(self, filled: Tensor, column: int, rows: Tensor) -> Tensor:
        """Which of the rows let the others see what was drawn: not those of which it is known that the cell is missing."""
        indicator = self.conditionals.indicator(column)
        if indicator is None:
            return torch.ones_like(rows, dtype=torch.bool)
        return ~(filled[rows, indicator] >= 1)

    def _shares(self, column: int, intervals: Intervals | None, like: Tensor) -> tuple[Tensor, Tensor]:
        """How much of each token's interval may be drawn, [tokens], and what of it lies in the given ones, [pieces, 2, tokens].

        The pieces are where within its own interval, from 0 to 1; a single value is inside or not.
        """
        inside, cut = self._inside(column, intervals, like)
        if self.conditionals.closed(column):
            inside[-1] = 0.0
        return inside, cut

    def _inside(self, column: int, intervals: Intervals | None, like: Tensor) -> tuple[Tensor, Tensor]:
        tokens = like.shape[-1]
        first = torch.arange(tokens, dtype=torch.float64, device=like.device)
        if intervals is None:
            return torch.ones_like(first), torch.stack((first * 0, first * 0 + 1))[None]
        single = torch.full((tokens,), not self.conditionals.binned(column), device=like.device)
        single[-1] = False
        pieces = []
        for low, high in intervals:
            start, end = (low - first).clamp(0, 1), (high - first).clamp(0, 1)
            # A value is inside or not; it stands at the beginning of its interval.
            holds = (low <= first) & (first < high)
            pieces.append(torch.stack((torch.where(single, 0.0, start), torch.where(single, holds.double(), end))))
        cut = torch.stack(pieces) if pieces else first.new_zeros(1, 2, tokens)
        return (cut[:, 1] - cut[:, 0]).clamp_min(0).sum(0).clamp(max=1.0), cut

    def _drawn(
        self, column: int, weights: Tensor, inside: Tensor, cut: Tensor, how: tuple[torch.Generator | None, float]
    ) -> tuple[Tensor, Tensor]:
        """A token of each row by its weights [rows, tokens], and where within its interval, both [rows]."""
        generator, temperature = how
        if temperature == 0.0:
            token, uniform = weights.argmax(-1), weights.new_full((len(weights),), 0.5)
        else:
            token = torch.multinomial(weights, 1, generator=generator).squeeze(1)
            uniform = torch.rand(len(weights), generator=generator, device=weights.device, dtype=weights.dtype)
        lengths = (cut[:, 1] - cut[:, 0]).clamp_min(0)[:, token]  # [pieces, rows]
        into = uniform * lengths.sum(0)
        sums = lengths.cumsum(0)
        piece = (sums <= into).sum(0, keepdim=True).clamp_max(len(cut) - 1)
        within = into - (sums - lengths).gather(0, piece).squeeze(0) + cut[:, 0][:, token].gather(0, piece).squeeze(0)
        only = not self.conditionals.binned(column)
        return token, torch.where((token < weights.shape[-1] - 1) & only, 0.0, within)


def _joined(token: Tensor, within: Tensor, dtype: torch.dtype) -> Tensor:
    """token + u as one number that still lies below token + 1 after rounding."""
    whole = token.to(dtype)
    return torch.minimum((token + within).to(dtype), torch.nextafter(whole + 1, whole))
