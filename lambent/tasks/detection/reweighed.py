"""Columns that are independent given a code, all of them left out by the same codes.

log p(x_j | x_rest) = log Σ_k w_k − log Σ_k w_k / p(x_j | z_k), w_k = p(x | z_k) p(z_k) / q(z_k), for codes z_k of a mixture q
that is wide enough for every column: of q(z | x), of q(z | x without column j) for each j, and of the prior; then more times
with Gaussians about the codes that weighed most, for an encoder may be far off in rows that are odd. Each code is weighed by the
density of the whole mixture: Veach and Guibas, Optimally combining sampling techniques for Monte Carlo rendering, 1995; Cappé et
al., Population Monte Carlo, 2004.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from lambent.distributions.columnwise import Separate, columnwise
from lambent.fitted import Rows
from lambent.metrics.bound import BUDGET, filled, held
from lambent.model import LatentModel
from lambent.model.noise import RowNoise, row_keys
from lambent.model.trace import fixed, from_keys
from lambent.tasks.conditional import STRATA, Conditional, alike
from lambent.tasks.detection.masked import LeftOut, of_others, token_drop, without

LEAST = 16  # codes that are found without a column, of all members together
EACH = 4  # of each member, at least
WANTED = 256  # codes of all columns together, at least
PRIOR = 32
MOST_COLUMNS = 64  # that codes are found without; of wider tables those that cost most
MOST_ROWS = 16  # of a chunk
ROUNDS = 1  # after the first,
CLOSER = 4  # where one column is looked at: these carry the codes of a far value to where the others are
WIDER = 1.2  # how much more than that of the codes is the variance of a Gaussian about them,
TINY = 1e-12
HALF = 0.5
OWN = 0.1  # and what share of those of the proposals before is added, for few codes may weigh all


@dataclass(frozen=True)
class Shape:
    """How many rows at once, variants of each, codes of each variant, members of the model; and the noise of codes."""

    rows: int
    variants: int
    samples: int
    members: int
    noise: RowNoise

    @classmethod
    def of(cls, model: LatentModel, columns: int, wanted: int | None = None) -> "Shape":
        """For rows of so many columns, of which codes are found without `wanted`; None: without each of them."""
        variants = (min(columns, MOST_COLUMNS) if wanted is None else wanted) + 1
        members = model.members
        samples = max(EACH, math.ceil(max(LEAST, WANTED / variants) / members))
        units = sum(model.latent.sizes_of_levels)
        each = members * (variants * samples + PRIOR) * max(held(model), columns, units * variants)
        most = max(1, min(MOST_ROWS, 4 * BUDGET // each))
        noise = RowNoise(2 * samples, units, model.device)
        return cls(1 << (most.bit_length() - 1), variants, samples, members, noise)

    @property
    def codes(self) -> int:
        """Of a row and member."""
        return self.variants * self.samples + PRIOR

    @property
    def variant(self) -> Tensor:
        """Of which variant each code is, −1 of the prior, [members · codes]."""
        own = torch.arange(self.variants).repeat_interleave(self.samples)
        return torch.cat((own, torch.full((PRIOR,), -1))).repeat(self.members)

    def joined(self, own: Tensor, common: Tensor) -> Tensor:
        """Codes [members · samples, rows · variants, …] and those of the prior as [members · codes, rows, …]."""
        parted = own.reshape(self.members, self.samples, -1, self.variants, *own.shape[2:])
        parted = parted.permute(0, 3, 1, 2, *range(4, parted.dim())).flatten(1, 2)
        return torch.cat((parted, common.unflatten(0, (self.members, -1))), 1).flatten(0, 1)


@dataclass(frozen=True)
class Around:
    """Gaussians about the codes that weighed most without each column: [members, rows, variants, units]."""

    mean: Tensor
    deviation: Tensor

    def drawn(self, noise: Tensor) -> Tensor:
        """Codes [members · samples, rows · variants, units] from noise [samples, rows · variants, units]."""
        mean, deviation = (each.flatten(1, 2).unsqueeze(1) for each in (self.mean, self.deviation))
        drawn: Tensor = mean + deviation * noise
        return drawn.flatten(0, 1)

    def log_prob(self, z: Tensor) -> Tensor:
        """Of codes [members · codes, rows, units] under each variant, [members · codes, rows, variants]."""
        each = z.unflatten(0, (len(self.mean), -1)).unsqueeze(3).double()
        mean, deviation = self.mean.unsqueeze(1).double(), self.deviation.unsqueeze(1).double()
        away = ((each - mean) / deviation).square() + 2 * deviation.log() + math.log(2 * math.pi)
        found: Tensor = -0.5 * away.sum(-1)
        return found.flatten(0, 1)


@dataclass(frozen=True)
class Reweighed(LeftOut):
    """All columns by the same codes: leaving one out takes its share from each code's weight.

    px: p(x | z_k), [codes, rows]; terms: [codes, rows, columns]; log_weight: log p(z_k) − log q(z_k), [codes, rows, 1], or where
    codes have no density [codes, rows, columns], −∞ for those that were not found without that column.
    """

    model: LatentModel
    x: Tensor
    context: Tensor | None
    px: Separate
    codes: list[Tensor]
    terms: Tensor
    log_weight: Tensor
    rows: int
    middle: Tensor
    seed: int

    @property
    def log_prob(self) -> Tensor:
        known = torch.logsumexp(self.rest + self.terms, 0) - torch.logsumexp(self.rest, 0)
        return known.masked_fill(torch.isnan(self.x), 0.0)[: self.rows].cpu()

    @property
    def drop(self) -> Tensor:
        log_weight = self.rest.log_softmax(0)
        heaviest = self.px.centre.double().gather(0, log_weight.argmax(0, keepdim=True)).squeeze(0)
        middle = (log_weight.exp() * self.px.centre.double()).sum(0)
        heights = [torch.logsumexp(log_weight + self._terms(value), 0) for value in (middle, heaviest)]
        own = torch.logsumexp(log_weight + self.terms, 0)
        drop = torch.maximum(*heights) - own - HALF
        for column in range(self.x.shape[1]):
            if self.px.tokens(column):
                drop[:, column] = self._token_drop(column, log_weight[..., column])
        return drop.masked_fill(torch.isnan(self.x), 0.0)[: self.rows].cpu()

    def _terms(self, value: Tensor) -> Tensor:
        return self.px.column_log_prob(value.to(self.x.dtype).expand(*self.px.batch_shape, -1)).double()

    def _token_drop(self, column: int, log_weight: Tensor) -> Tensor:
        each = self.px.conditional_probabilities(self.x, column).double()
        return token_drop(torch.logsumexp(each + log_weight.unsqueeze(-1), 0).exp(), self.x[:, column])

    @cached_property
    def rest(self) -> Tensor:
        """The logarithms of the codes' weights without each column, [codes, rows, columns]."""
        if self.model.latent.density:
            return self.log_weight + self.terms.sum(-1, keepdim=True) - self.terms
        return self.log_weight.expand_as(self.terms)

    def conditional(self, column: int) -> Conditional:
        log_weight = self.rest[..., column].log_softmax(0)
        evidence = torch.full_like(log_weight[0], math.nan)
        x = without(self.x, column)
        return Conditional(self.model, x, self.context, self.px, self.codes, log_weight, evidence, self.rows)

    def closer(self, cells: Sequence[tuple[int, int]]) -> Iterator[tuple[LeftOut, list[tuple[int, int]]]]:
        """By codes of which half were found without that column: where it is odd, those found without others say little of it."""
        shape = Shape.of(self.model, self.x.shape[1], 1)
        for start in range(0, len(cells), shape.rows):
            some = cells[start : start + shape.rows]
            rows, columns = [row for row, _ in some], [column for _, column in some]
            context = None if self.context is None else self.context[rows]
            found = reweighed(self.model, Rows(self.x[rows], context), shape, self.middle, self.seed, columns)
            yield found, list(enumerate(columns))

    def moved(self, column: int, rows: Sequence[int]) -> Tensor:
        own = self.rest[..., column].log_softmax(0)
        others = own.unsqueeze(-1).expand_as(self.terms)
        if self.model.latent.density:
            others = (others - self.terms).log_softmax(0)
        if self.px.tokens(column):
            each = self.px.conditional_probabilities(self.x, column).double().exp()
            with_all = torch.einsum("krt,kr->rt", each, own.exp())
            with_less = torch.einsum("krt,krd->rdt", each, others.exp())
            far = 0.5 * (with_less - with_all.unsqueeze(1)).abs().sum(-1)
        else:
            moments = self._moments(column)
            far = _apart(
                torch.einsum("mkr,kr->mr", moments, own.exp()).unsqueeze(2),
                torch.einsum("mkr,krd->mrd", moments, others.exp()),
            )
        return of_others(far, self.x, column)[list(rows)].cpu()

    def _moments(self, column: int) -> Tensor:
        """The mean of a column and of its square under each code, [2, codes, rows]."""
        shares = (torch.arange(STRATA, dtype=torch.float64, device=self.x.device) + 0.5) / STRATA
        values = self.px.quantile(column, shares[:, None, None]).expand(STRATA, *self.px.batch_shape).double()
        return torch.stack((values.mean(0), values.square().mean(0)))


def _apart(one: Tensor, other: Tensor) -> Tensor:
    """The Hellinger distance of Gaussians with such moments, [2, …] each: 0 to 1."""
    (mean, square), (shifted, widened) = one, other
    variances = (square - mean.square()).clamp_min(TINY), (widened - shifted.square()).clamp_min(TINY)
    total = variances[0] + variances[1]
    alike = (4 * variances[0] * variances[1] / total.square()).pow(0.25)
    overlap: Tensor = alike * torch.exp(-0.25 * (mean - shifted).square() / total)
    return (1 - overlap).clamp_min(0).sqrt()


def reweighed(
    model: LatentModel, rows: Rows, shape: Shape, middle: Tensor, seed: int, alone: Sequence[int] | None = None
) -> Reweighed:
    """A few rows, filled up to a chunk; middle: [columns], what stands for a column left out of a model that takes no gaps.

    alone: of each row the only column that codes are found without.
    """
    x = filled(rows.x, 0, shape.rows).to(model.device)
    context = None if rows.context is None else filled(rows.context, 0, shape.rows).to(model.device)
    instead = torch.full_like(x, math.nan) if model.gaps else middle.to(x).expand_as(x)
    if alone is None:
        columns = _columns(model, x, context, shape, seed)
    else:
        columns = filled(torch.tensor(alone), 0, shape.rows).to(x.device).unsqueeze(1)
    codes = _Codes(model, x, context, columns, shape, middle, seed)
    found = codes.weighed(instead, None, len(rows))
    flat = model.latent.density and len(found.codes) == 1 and found.codes[0].dim() == 3
    for _ in range((ROUNDS if alone is None else CLOSER) if flat else int(not model.gaps)):
        if not model.gaps:  # nearer to rows without the column than the middle of all rows is
            instead = (found.rest.softmax(0) * found.px.centre.double()).sum(0).to(x.dtype)
        found = codes.weighed(instead, codes.around(found) if flat else None, len(rows))
    return found


def _columns(model: LatentModel, x: Tensor, context: Tensor | None, shape: Shape, seed: int) -> Tensor:
    """Which columns codes are found without, [rows, variants − 1]: all, or those that cost most under the row's own code."""
    every = torch.arange(x.shape[1], device=x.device).expand(len(x), -1)
    if every.shape[1] < shape.variants:
        return every
    trace = model.trace(x, 1, from_keys(shape.noise, row_keys(x, seed), members=model.members), context)
    costs = -columnwise(trace.px).column_log_prob(trace.x).mean(0)
    return costs.topk(shape.variants - 1, dim=1).indices.sort(1).values


@dataclass(frozen=True)
class _Codes:
    """Codes of rows [rows, columns], without each of some `columns` [rows, variants − 1], and how they are weighed."""

    model: LatentModel
    x: Tensor
    context: Tensor | None
    columns: Tensor
    shape: Shape
    middle: Tensor
    seed: int

    def weighed(self, instead: Tensor, around: Around | None, rows: int) -> Reweighed:
        """By `instead` [rows, columns] in place of what is left out, and half of them from Gaussians, where there are any."""
        variants = self.x.unsqueeze(1).repeat(1, self.shape.variants, 1)
        variants[:, 1:].scatter_(2, self.columns.unsqueeze(-1), instead.gather(1, self.columns).unsqueeze(-1))
        flat = variants.flatten(0, 1)
        codes = self._drawn(flat, around)
        trace = self.model.trace(self.x, self.shape.codes, fixed(*codes), self.context)
        px = columnwise(trace.px)
        assert isinstance(px, Separate)
        if self.model.latent.density:
            log_p = _total([node.p.log_prob(node.z) for node in trace.nodes])
            log_weight = (log_p - self._log_q(flat, codes, around, log_p)).unsqueeze(-1)
        else:
            log_weight = self._own_only()
        terms = px.column_log_prob(trace.x).double()
        return Reweighed(self.model, self.x, self.context, px, codes, terms, log_weight, rows, self.middle, self.seed)

    @property
    def _given(self) -> Tensor | None:
        return None if self.context is None else self.context.repeat_interleave(self.shape.variants, 0)

    def _drawn(self, flat: Tensor, around: Around | None) -> list[Tensor]:
        shape, keys = self.shape, row_keys(flat, self.seed)
        own = shape.samples if around is None else shape.samples // 2
        found = [
            node.z
            for node in self.model.infer(flat, own, from_keys(shape.noise, keys, members=shape.members), self._given)
        ]
        if around is not None:
            rest, units = shape.samples - own, found[0].shape[-1]
            drawn = around.drawn(shape.noise(keys, shape.samples, rest, 0, units, found[0].dtype))
            parts = [each.unflatten(0, (shape.members, -1)) for each in (found[0], drawn)]
            found = [torch.cat(parts, 1).flatten(0, 1)]
        prior = self.model.infer(self.x, PRIOR, alike(self.model, self.seed), self.context)
        return [shape.joined(z, node.z) for z, node in zip(found, prior, strict=True)]

    def _log_q(self, flat: Tensor, codes: list[Tensor], around: Around | None, log_p: Tensor) -> Tensor:
        """The density of the mixture that the codes were drawn from, [members · codes, rows]."""
        shape = self.shape
        wide = [_repeated(code, shape.variants) for code in codes]
        proposed = []
        for node in self.model.infer(flat, shape.codes, fixed(*wide), self._given):
            assert node.q is not None
            proposed.append(node.q.log_prob(node.z))
        log_q = _total(proposed).unflatten(1, (-1, shape.variants))
        if around is not None:
            share = shape.samples // 2 / shape.samples
            log_q = torch.logaddexp(log_q + math.log(share), around.log_prob(codes[0]) + math.log(1 - share))
        log_q = torch.logsumexp(log_q, -1) + math.log(shape.samples / shape.codes)
        return torch.logaddexp(log_q, log_p + math.log(PRIOR / shape.codes))

    def around(self, found: Reweighed) -> Around:
        """Gaussians with the moments of the codes as they are weighed without each column."""
        shape, rest = self.shape, found.rest
        whole = found.log_weight + found.terms.sum(-1, keepdim=True)
        log_weight = torch.cat((whole, rest.gather(2, self.columns.expand(len(rest), -1, -1))), 2)
        weights, z = log_weight.unflatten(0, (shape.members, -1)).softmax(1), found.codes[0].double()
        z = z.unflatten(0, (shape.members, -1))
        mean = torch.einsum("mkrv,mkru->mrvu", weights, z)
        variance = torch.einsum("mkrv,mkru->mrvu", weights, z.square()) - mean.square()
        own = z[:, : shape.variants * shape.samples].unflatten(1, (shape.variants, shape.samples)).var(2)
        deviation = (WIDER * variance.clamp_min(0) + OWN * own.transpose(1, 2)).sqrt().clamp_min(1e-6)
        return Around(mean.to(self.x.dtype), deviation.to(self.x.dtype))

    def _own_only(self) -> Tensor:
        """Without densities: for each column the codes that were found without it alike; of others those of the whole row."""
        variant = self.shape.variant.to(self.x.device)[:, None, None]
        wanted = torch.zeros_like(self.x, dtype=torch.long)
        wanted.scatter_(
            1, self.columns, torch.arange(1, self.shape.variants, device=self.x.device).expand_as(self.columns)
        )
        return torch.where(variant == wanted, 0.0, -math.inf).double()


def _repeated(code: Tensor, times: int) -> Tensor:
    """Each row [samples, rows, …] so many times, one after the other."""
    return code.unsqueeze(2).expand(-1, -1, times, *code.shape[2:]).flatten(1, 2)


def _total(terms: list[Tensor]) -> Tensor:
    return torch.stack([term.double() for term in terms]).sum(0)
