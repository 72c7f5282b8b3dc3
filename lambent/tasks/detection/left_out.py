"""Rows with each of their columns left out in turn: what it costs given the others, and what it might have been.

log p(x_j | x_rest) = log Σ_k w_k − log Σ_k w_k / p(x_j | z_k), w_k = p(x | z_k) p(z_k) / q(z_k), for codes z_k of a mixture q that
is wide enough for every column: of q(z | x), of q(z | x without column j) for each j, and of the prior. Veach and Guibas,
Optimally combining sampling techniques, 1995: each code is weighed by the density of the mixture, whichever part it is from.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lambent.distributions.columnwise import Columnwise, Separate, columnwise
from lambent.fitted import Rows
from lambent.metrics.bound import BUDGET, filled, held, steadily
from lambent.model import LatentModel
from lambent.model.noise import RowNoise, row_keys
from lambent.model.trace import Node, fixed, from_keys
from lambent.progress import counting
from lambent.tasks.conditional import Conditional, alike, conditional, require_any_order

LEAST = 16  # codes that are found without a column
WANTED = 256  # codes of all columns together, at least
PRIOR = 32
SAMPLES = 8  # codes of a row where columns see columns: these say most of each other
MOST_COLUMNS = 64  # that codes are found without; of wider tables those that cost most
MOST_ROWS = 16  # of a chunk


class LeftOut(ABC):
    """A chunk of rows, each column of which was left out in turn.

    x: [rows, columns], NaN where a value is missing.
    """

    x: Tensor

    @property
    @abstractmethod
    def log_prob(self) -> Tensor:
        """log p(x_j | x_rest), [rows, columns] in nats of the encoded rows; 0 where a value is missing."""

    @abstractmethod
    def conditional(self, column: int) -> Conditional:
        """What that column may be, given the rest of each row."""

    @abstractmethod
    def moved(self, column: int) -> Tensor:
        """How far the expectation of that column moves without another column, [rows, columns].

        Of tokens half the sum of the differences of their probabilities; of numbers the means' distance in deviations.
        """


# ---- columns that are independent given a code -----------------------------------------------------------------------


@dataclass(frozen=True)
class Reweighed(LeftOut):
    """All columns by the same codes: leaving one out takes its share from each code's weight.

    px: p(x | z_k), [codes, rows]; terms: [codes, rows, columns]; log_weight: [codes, rows, 1], or where codes have no density
    [codes, rows, columns], −∞ for codes that were found by that column.
    """

    model: LatentModel
    x: Tensor
    context: Tensor | None
    px: Separate
    codes: list[Tensor]
    terms: Tensor
    log_weight: Tensor
    rows: int

    @property
    def log_prob(self) -> Tensor:
        rest = self._rest
        known = torch.logsumexp(rest + self.terms, 0) - torch.logsumexp(rest, 0)
        return known.masked_fill(torch.isnan(self.x), 0.0)[: self.rows].cpu()

    @property
    def _rest(self) -> Tensor:
        """The weights of the codes without each column, [codes, rows, columns]."""
        if self.model.latent.density:
            return self.log_weight + self.terms.sum(-1, keepdim=True) - self.terms
        return self.log_weight.expand_as(self.terms)

    def _without(self, column: int) -> Tensor:
        return self._rest[..., column].log_softmax(0)

    def conditional(self, column: int) -> Conditional:
        log_weight = self._without(column)
        evidence = torch.full_like(log_weight[0], math.nan)
        return Conditional(
            self.model, _without(self.x, column), self.context, self.px, self.codes, log_weight, evidence, self.rows
        )

    def moved(self, column: int) -> Tensor:
        own = self._without(column)
        others = own.unsqueeze(-1)
        if self.model.latent.density:
            others = (others - self.terms).log_softmax(0)
        if self.px.tokens(column):
            each = self.px.conditional_probabilities(self.x, column).double().exp()
            with_all = torch.einsum("krt,kr->rt", each, own.exp())
            with_less = torch.einsum("krt,krd->rdt", each, others.expand_as(self.terms).exp())
            far = 0.5 * (with_less - with_all.unsqueeze(1)).abs().sum(-1)
        else:
            centre = self.px.centre[..., column].double().expand_as(own)
            mean = (own.exp() * centre).sum(0)
            shifted = torch.einsum("kr,krd->rd", centre, others.expand_as(self.terms).exp())
            far = (shifted - mean.unsqueeze(1)).abs() / self._deviation(column).unsqueeze(1)
        return _others_only(far, self.x, column)[: self.rows].cpu()

    def _deviation(self, column: int) -> Tensor:
        found = replace(self.conditional(column), rows=len(self.x)).points(column)
        mean = (found.values * found.weights).sum(0)
        variance = ((found.values - mean).square() * found.weights).sum(0)
        return variance.sqrt().clamp_min(1e-9).to(self.x.device)


def _without(x: Tensor, column: int) -> Tensor:
    x = x.clone()
    x[..., column] = math.nan
    return x


def _others_only(far: Tensor, x: Tensor, column: int) -> Tensor:
    """Nought for the column itself and for what is missing anyway."""
    far = far.masked_fill(torch.isnan(x), 0.0)
    far[:, column] = 0.0
    return far


def _reweighed(model: LatentModel, rows: Rows, shape: "Shape", middle: Tensor, seed: int) -> Reweighed:
    x = filled(rows.x, 0, shape.rows).to(model.device)
    context = None if rows.context is None else filled(rows.context, 0, shape.rows).to(model.device)
    columns = torch.arange(x.shape[1], device=x.device).expand(len(x), -1)
    if columns.shape[1] > MOST_COLUMNS:
        plain = columnwise(model.trace(x, 1, from_keys(shape.noise, row_keys(x, seed)), context).px)
        costs = -plain.column_log_prob(model.likelihood.observe(x))[0]
        columns = costs.topk(MOST_COLUMNS, dim=1).indices.sort(1).values
    if model.gaps:
        return _coded(model, x, context, columns, torch.full_like(x, math.nan), shape, len(rows), seed)
    first = _coded(model, x, context, columns, middle.to(x).expand_as(x), shape, len(rows), seed)
    # Again with what was then expected of each column in its place: nearer to rows without it than the middle of all rows is.
    weights = first._rest.softmax(0)
    expected = (weights * first.px.centre.double()).sum(0).to(x.dtype)
    return _coded(model, x, context, columns, expected, shape, len(rows), seed)


def _coded(
    model: LatentModel,
    x: Tensor,
    context: Tensor | None,
    columns: Tensor,
    instead: Tensor,
    shape: "Shape",
    rows: int,
    seed: int,
) -> Reweighed:
    """Codes of the rows, of the rows with `instead` in each of some columns [rows, columns], and of the prior."""
    variants = x.unsqueeze(1).repeat(1, shape.variants, 1)
    place = columns.unsqueeze(-1)
    variants[:, 1:].scatter_(2, place, instead.gather(1, columns).unsqueeze(-1))
    flat = variants.flatten(0, 1)
    given = None if context is None else context.repeat_interleave(shape.variants, 0)
    found = model.infer(flat, shape.samples, from_keys(shape.noise, row_keys(flat, seed)), given)
    prior = model.infer(x, PRIOR, alike(model, seed), context)
    codes = [shape.joined(own.z, common.z) for own, common in zip(found, prior, strict=True)]
    trace = model.trace(x, shape.codes, fixed(*codes), context)
    px = columnwise(trace.px)
    assert isinstance(px, Separate)
    if model.latent.density:
        log_weight = _log_weight(model, trace.nodes, flat, codes, given, shape).unsqueeze(-1)
    else:
        log_weight = _own_only(shape, columns, x)
    terms = px.column_log_prob(trace.x).double()
    return Reweighed(model, x, context, px, codes, terms, log_weight, rows)


def _log_weight(
    model: LatentModel, nodes: list[Node], flat: Tensor, codes: list[Tensor], given: Tensor | None, shape: "Shape"
) -> Tensor:
    """log p(z) − log q(z), q the mixture of all that the codes were drawn from, [codes, rows]."""
    log_p = _total([node.p.log_prob(node.z) for node in nodes])
    wide = [code.repeat_interleave(shape.variants, 1) for code in codes]
    proposed = []
    for node in model.infer(flat, shape.codes, fixed(*wide), given):
        assert node.q is not None
        proposed.append(node.q.log_prob(node.z))
    log_q = _total(proposed).unflatten(1, (-1, shape.variants)) + math.log(shape.samples / shape.codes)
    return log_p - torch.logaddexp(torch.logsumexp(log_q, -1), log_p + math.log(PRIOR / shape.codes))


def _total(terms: list[Tensor]) -> Tensor:
    return torch.stack([term.double() for term in terms]).sum(0)


def _own_only(shape: "Shape", columns: Tensor, x: Tensor) -> Tensor:
    """Without densities: for each column the codes that were found without it, weighed alike; of others those of the whole row."""
    variant = shape.variant.to(x.device)[:, None, None]
    wanted = torch.zeros_like(x, dtype=torch.long)
    wanted.scatter_(1, columns, torch.arange(1, shape.variants, device=x.device).expand_as(columns))
    return torch.where(variant == wanted, 0.0, -math.inf).double()


@dataclass(frozen=True)
class Shape:
    """How many rows at once, variants of each, codes of each variant, and codes all together, of each member of a model."""

    rows: int
    variants: int
    samples: int
    members: int
    noise: RowNoise

    @classmethod
    def of(cls, model: LatentModel, columns: int) -> "Shape":
        variants = min(columns, MOST_COLUMNS) + 1
        samples = max(LEAST, math.ceil(WANTED / variants))
        members = int(getattr(model, "members", 1))
        units = sum(model.latent.sizes_of_levels)
        each = members * (variants * samples + PRIOR) * max(held(model), columns, units * variants)
        most = max(1, min(MOST_ROWS, 4 * BUDGET // each))
        return cls(1 << (most.bit_length() - 1), variants, samples, members, RowNoise(samples, units, model.device))

    @property
    def codes(self) -> int:
        return self.variants * self.samples + PRIOR

    @property
    def variant(self) -> Tensor:
        """Of which variant each code is, −1 of the prior, [members · codes]."""
        own = torch.arange(self.variants).repeat_interleave(self.samples)
        return torch.cat((own, torch.full((PRIOR,), -1))).repeat(self.members)

    def joined(self, own: Tensor, common: Tensor) -> Tensor:
        """Codes [members · samples, rows · variants, …] and those of the prior as [members · codes, rows, …]."""
        event = own.shape[2:]
        parted = own.reshape(self.members, self.samples, -1, self.variants, *event)
        parted = parted.permute(0, 3, 1, 2, *range(4, parted.dim())).flatten(1, 2)
        return torch.cat((parted, common.unflatten(0, (self.members, -1))), 1).flatten(0, 1)


# ---- columns that see columns ------------------------------------------------------------------------------------------


class Masked(LeftOut):
    """Each column by itself: rows are read again without it."""

    def __init__(self, model: LatentModel, rows: Rows, chunk: int, partner: dict[int, int], seed: int) -> None:
        self.model, self.rows, self.chunk, self.partner, self.seed = model, rows, chunk, partner, seed
        self.x = rows.x

    @property
    def log_prob(self) -> Tensor:
        return torch.stack([self._known(column) for column in range(self.x.shape[1])], 1)

    def _known(self, column: int) -> Tensor:
        own = self.x[:, column]
        chances = self.conditional(column).probabilities(column)
        token = own.nan_to_num(0.0).floor().long().clamp(0, chances.shape[1] - 1)
        return chances.gather(1, token.unsqueeze(1)).squeeze(1).log().masked_fill(torch.isnan(own), 0.0)

    def conditional(self, column: int) -> Conditional:
        x = _without(self.x, column)
        if column in self.partner:  # whether a cell is missing is not to be told by the cell
            x[:, self.partner[column]] = math.nan
        return conditional(self.model, replace(self.rows, x=x), self.chunk, SAMPLES, self.seed)

    def moved(self, column: int) -> Tensor:
        own = self.conditional(column)
        base = own.probabilities(column)
        far = torch.zeros(self.x.shape, dtype=torch.float64)
        for other in range(self.x.shape[1]):
            if other not in (column, self.partner.get(column)):
                less = replace(own, x=_without(own.x, other)).probabilities(column)
                far[:, other] = 0.5 * (less - base).abs().sum(1)
        return _others_only(far, self.x, column)


# ---- either ------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def left_out(
    model: LatentModel, rows: Rows, middle: Tensor, partner: dict[int, int], seed: int = 0, what: str = "reasons"
) -> Iterator[tuple[Tensor, LeftOut]]:
    """Rows a chunk at a time, each with every column left out in turn: their numbers [chunk], and what they cost.

    middle: [columns], a usual value of each, which stands for one that is left out where a model takes no gaps. partner: of the
    indicators of gaps, the columns that they are of. The same row has the same numbers beside whatever others.
    Errors: `UsageError` for a model whose rows have no columns, or whose columns were learned in one order alone.
    """
    require_any_order(model)
    separate = _separate(model, rows)
    shape = Shape.of(model, rows.x.shape[1]) if separate else None
    chunk = MOST_ROWS if shape is None else shape.rows
    with counting(what, len(rows)) as add:
        for start in range(0, len(rows), chunk):
            index = torch.arange(start, min(start + chunk, len(rows)))
            with steadily():
                if shape is None:
                    found: LeftOut = Masked(model, rows.at(index), chunk, partner, seed)
                else:
                    found = _reweighed(model, rows.at(index), shape, middle, seed)
                yield index, found
            add(len(index))


def _separate(model: LatentModel, rows: Rows) -> bool:
    """Whether the columns are independent given a code."""
    one = rows.at(torch.zeros(1, dtype=torch.long))
    context = None if one.context is None else one.context.to(model.device)
    px: Columnwise = columnwise(model.trace(one.x.to(model.device), 1, context=context).px)
    return isinstance(px, Separate)
