"""Distributions of a row that can be asked column by column: rows completed, columns given others; NaN is what is missing."""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Size, Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, Independent, Laplace, Normal, StudentT
from torch.nn import functional

from lambent.distributions.columns import ColumnProduct
from lambent.distributions.explicit import Axes, Explicit, centre, sample
from lambent.distributions.quantiles import below, known, quantile, whole
from lambent.errors import UsageError

Intervals = Sequence[tuple[float, float]]  # half-open, [low, high), of encoded values
TRIES = 64  # draws of which one is to lie inside, where an element does not know how much of it does


class Columnwise(Explicit):
    """p(x | z) of rows [*batch, columns], column by column. NaN is a missing value: it adds nothing to a log-probability."""

    @abstractmethod
    def column_log_prob(self, value: Tensor) -> Tensor:
        """The share of each column in `log_prob`, [*batch, columns], in nats; 0 where a value is missing."""

    @abstractmethod
    def completed(
        self, value: Tensor, generator: torch.Generator | None = None, among: Mapping[int, Intervals] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The rows with their missing values drawn given all that is there, and log p of what was there, [*batch].

        What is there is returned to the bit. among: by column, half-open intervals of values, one of which a missing value is to
        fall into; the second term then counts the probability of that, too: it is the importance weight of z. −inf where no value
        can, whatever is then drawn.
        """

    @abstractmethod
    def restricted(
        self, value: Tensor, column: int, intervals: Intervals, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """The rows with the column, where it is missing, drawn from the intervals given all that is there, and no other column.

        The second term is the log-probability that it falls there, [*batch]; 0 where the column is not missing. −inf where no
        value can, whatever is then drawn.
        """

    @abstractmethod
    def conditional_probabilities(self, value: Tensor, column: int) -> Tensor:
        """log P(token of the column | all else that is there), [*batch, tokens], in nats.

        Raises `UsageError` for a column of numbers.
        """


class Separate(Columnwise):
    """Independent columns: `groups[i]` are the elements [*batch, columns] of the columns `places[i]`."""

    has_rsample = False

    def __init__(self, groups: list[Distribution], places: list[list[int]]) -> None:
        batch = torch.broadcast_shapes(*(g.batch_shape[:-1] for g in groups))
        super().__init__(Size(batch), Size((sum(map(len, places)),)))
        self.groups = groups
        self.places = places
        self.order = torch.tensor([column for place in places for column in place]).argsort()

    def column_log_prob(self, value: Tensor) -> Tensor:
        missing = torch.isnan(value)
        filled = value.masked_fill(missing, 0.0)
        pieces = [g.log_prob(filled[..., place]) for g, place in zip(self.groups, self.places, strict=True)]
        return self._joined(pieces).masked_fill(missing, 0.0)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.column_log_prob(value).sum(-1)

    @property
    def centre(self) -> Tensor:
        """Each column's own: the mean, for tokens the mode."""
        return self._joined([centre(g) for g in self.groups])

    @property
    def mean(self) -> Tensor:
        return self.centre

    def rsample(
        self, sample_shape: Axes = Size(), generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        return self._joined([sample(g, tuple(sample_shape), generator) for g in self.groups])

    def completed(
        self, value: Tensor, generator: torch.Generator | None = None, among: Mapping[int, Intervals] | None = None
    ) -> tuple[Tensor, Tensor]:
        value = value.expand(*self.batch_shape, *self.event_shape)
        missing = torch.isnan(value)
        log_prob = self.column_log_prob(value).double()
        drawn = self.rsample((), generator).to(value.dtype)
        for column, intervals in (among or {}).items():
            inside, log_share = self._truncated(column, intervals, generator)
            drawn[..., column] = inside.to(value.dtype)
            log_prob[..., column] = torch.where(missing[..., column], log_share, log_prob[..., column])
        return torch.where(missing, drawn, value), log_prob.sum(-1).to(value.dtype)

    def restricted(
        self, value: Tensor, column: int, intervals: Intervals, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        value = value.expand(*self.batch_shape, *self.event_shape).clone()
        missing = torch.isnan(value[..., column])
        inside, log_share = self._truncated(column, intervals, generator)
        value[..., column] = torch.where(missing, inside.to(value.dtype), value[..., column])
        return value, log_share.masked_fill(~missing, 0.0)

    def tokens(self, column: int) -> int:
        """How many values a column can take; 0 for numbers."""
        elements, _ = self._of(column)
        if isinstance(elements, Bernoulli):
            return 2
        return elements.logits.shape[-1] if isinstance(elements, Categorical) else 0

    def conditional_probabilities(self, value: Tensor, column: int) -> Tensor:
        elements, place = self._of(column)
        if isinstance(elements, Categorical):
            logits = functional.log_softmax(elements.logits, -1)[..., place, :]
        elif isinstance(elements, Bernoulli):
            logit = elements.logits[..., place]
            logits = torch.stack((functional.logsigmoid(-logit), functional.logsigmoid(logit)), -1)
        else:
            raise UsageError(f"column {column} holds numbers, {type(elements).__name__}, and no tokens")
        return logits.expand(*self.batch_shape, logits.shape[-1])

    def below(self, column: int, value: Tensor) -> Tensor:
        """P(x < value) of a column, [*value's, *batch] in float64; value [..., *batch] or to be broadcast to it."""
        elements, place = self._alone(column)
        return below(elements, value.unsqueeze(-1).expand(*value.shape, elements.batch_shape[-1]))[..., place]

    def quantile(self, column: int, share: Tensor) -> Tensor:
        """The least value of a column with P(x ≤ value) ≥ share; shapes as in `below`."""
        elements, place = self._alone(column)
        return quantile(elements, share.unsqueeze(-1).expand(*share.shape, elements.batch_shape[-1]))[..., place]

    def _of(self, column: int) -> tuple[Distribution, int]:
        """The elements among which a column is, and its place there."""
        for elements, place in zip(self.groups, self.places, strict=True):
            if column in place:
                return elements, place.index(column)
        raise UsageError(f"there is no column {column}: the rows have {self.event_shape[0]}")

    def _alone(self, column: int) -> tuple[Distribution, int]:
        """The same, without the others beside it where that is to be had: what is asked of one costs no more than one."""
        elements, place = self._of(column)
        if not isinstance(elements, Normal | StudentT | Laplace):
            return elements, place
        own = {name: getattr(elements, name)[..., place : place + 1] for name in elements.arg_constraints}
        return type(elements)(**own, validate_args=False), 0

    def _joined(self, pieces: list[Tensor]) -> Tensor:
        numbers = [p if p.dtype.is_floating_point else p.float() for p in pieces]
        batch = torch.broadcast_shapes(*(p.shape[:-1] for p in numbers))
        return torch.cat([p.expand(*batch, p.shape[-1]) for p in numbers], -1)[..., self.order.to(numbers[0].device)]

    def _truncated(self, column: int, intervals: Intervals, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """A draw of a column that lies in one of the intervals, and the log-probability that any does, both [*batch]."""
        elements = self._of(column)[0]
        if not known(elements):
            return self._tried(column, intervals, generator)
        like = self.centre[..., column].double()
        edges = torch.tensor([*intervals], dtype=torch.float64, device=like.device).reshape(-1, 2)
        shape = (2, len(edges), *([1] * like.dim()))
        low, high = self.below(column, edges.T.reshape(shape).expand(2, len(edges), *like.shape))
        shares = (high - low).clamp_min(0)
        sums = shares.cumsum(0)
        total = sums[-1] if len(sums) else torch.zeros_like(like)
        uniform = torch.rand(like.shape, generator=generator, device=like.device, dtype=torch.float64) * total
        chosen = (sums <= uniform).sum(0, keepdim=True).clamp_max(max(len(edges) - 1, 0))
        if not len(edges):
            return like, torch.full_like(like, -math.inf)
        into = uniform - (sums - shares).gather(0, chosen).squeeze(0)
        level = low.gather(0, chosen).squeeze(0) + into
        first, end = edges[:, 0][chosen.squeeze(0)], edges[:, 1][chosen.squeeze(0)]
        # Rounding may leave the interval by a digit; its end is no part of it.
        last = torch.nextafter(end.float(), torch.full_like(end, -math.inf).float()).double()
        if whole(elements):
            first, last = first.ceil(), end.ceil() - 1
        return torch.minimum(torch.maximum(self.quantile(column, level), first), last), total.log()

    def _tried(self, column: int, intervals: Intervals, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """The same where an element does not know its shares: of several draws one that lies inside, and how many do."""
        tried = self.rsample((TRIES,), generator)[..., column].double()
        inside = torch.zeros_like(tried, dtype=torch.bool)
        for low, high in intervals:
            inside |= (tried >= low) & (tried < high)
        first = inside.to(torch.int8).argmax(0, keepdim=True)
        return tried.gather(0, first).squeeze(0), inside.double().mean(0).log()


def columnwise(d: Distribution) -> Columnwise:
    """`d` as a distribution that can be asked column by column; it may be over independent columns.

    Raises `UsageError` for any other, such as one over pictures.
    """
    if isinstance(d, Columnwise):
        return d
    if isinstance(d, ColumnProduct):
        return Separate([_elements(part) for part in d.parts], d.places)
    return Separate([_elements(d)], [list(range(d.event_shape.numel()))])


def _elements(d: Distribution) -> Distribution:
    if isinstance(d, Independent) and len(d.event_shape) == 1 and d.reinterpreted_batch_ndims == 1:
        base: Distribution = d.base_dist
        return base
    raise UsageError(
        f"rows of shape {list(d.event_shape)} under {type(d).__name__} have no columns that can be asked one by one: "
        "this is for tables, with likelihoods such as StudentT, Categorical, Mixed"
    )
