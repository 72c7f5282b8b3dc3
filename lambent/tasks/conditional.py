"""Codes and weights of rows that are known in part, and with them whatever their other columns may be.

z_k ~ q(z | x_there), weighed by p(x_there | z_k) p(z_k) / q(z_k | x_there): a mixture over the codes of what the likelihood says
of the rest. Mattei and Frellsen, MIWAE, 2019; Rezende, Mohamed and Wierstra, Stochastic backpropagation, 2014.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lambent.distributions import sample
from lambent.distributions.columnwise import Columnwise, Intervals, Separate, columnwise
from lambent.errors import UsageError
from lambent.fitted import Fitted, Rows
from lambent.metrics.bound import BUDGET, MOST_ROWS, filled, held, steadily
from lambent.model import LatentModel
from lambent.model.noise import RowNoise, row_keys
from lambent.model.trace import Draw, Node, fixed, from_keys
from lambent.progress import counting
from lambent.seeds import stream

SAMPLES = 50  # codes of a row, unless told
STRATA = 16  # values that stand for a column of numbers under one code


@dataclass(frozen=True)
class Points:
    """A distribution over one encoded column for each row: values [points] or [points, rows], weights [points, rows]."""

    values: Tensor
    weights: Tensor


@dataclass(frozen=True)
class Conditional:
    """What rows may be, given what is known of them: a mixture over K codes of each.

    x: [rows, columns], NaN where nothing is known; px: p(x | z_k), of batch shape [K, rows]; codes: of every level, [K, rows, …],
    of an ensemble those of all its members, those of the first first;
    log_weight: [K, rows], normalized over the codes; evidence: log p(x_there) as the K codes have it, [rows], in nats of the
    encoded rows. The first `rows` of them count; those after fill the chunk up. whole: where the model knows how values go
    missing, each row completed under each code, [K, rows, columns], for the weights are those of code and completion together.
    """

    model: LatentModel
    x: Tensor
    context: Tensor | None
    px: Columnwise
    codes: list[Tensor]
    log_weight: Tensor
    log_evidence: Tensor
    rows: int
    whole: Tensor | None = None

    @property
    def evidence(self) -> Tensor:
        """log p(what is known), as the K codes have it, [rows], in nats of encoded rows."""
        return self.log_evidence[: self.rows].cpu()

    @property
    def effective(self) -> Tensor:
        """How many equally weighed codes the K are worth: 1 / Σ_k w_k², [rows]."""
        return (1 / self.log_weight.exp().square().sum(0))[: self.rows].cpu()

    @property
    def separate(self) -> Separate | None:
        """p(x | z) where the columns are independent given a code; None where columns see columns."""
        return self.px if isinstance(self.px, Separate) else None

    def tokens(self, column: int) -> bool:
        """Whether the column is one of tokens."""
        return self.separate is None or self.separate.tokens(column) > 0

    @torch.no_grad()
    def probabilities(self, column: int) -> Tensor:
        """P(token of the column | what is known), [rows, tokens], in float64. `UsageError` for a column of numbers."""
        with steadily():
            each = self.px.conditional_probabilities(self.x.expand(*self.px.batch_shape, -1), column).double()
        return torch.logsumexp(each + self.log_weight.unsqueeze(-1), 0).exp()[: self.rows].cpu()

    @torch.no_grad()
    def mean(self, column: int) -> Tensor:
        """E[column | what is known] of a column of numbers that are independent given a code, in encoded units, [rows]."""
        each = self.px.centre if self.whole is None else self.whole
        return (self.log_weight.exp() * each[..., column].double()).sum(0)[: self.rows].cpu()

    @torch.no_grad()
    def points(self, column: int, within: int = 1) -> Points:
        """The column by weighed values in encoded units: tokens, or quantiles of the numbers under each code.

        within: values that stand for a token, evenly spread over [token, token + 1); of the last one, its middle does.
        """
        if self.tokens(column):
            chances = self.probabilities(column).T / within
            inner = (torch.arange(within).double() + 0.5) / within if within > 1 else torch.zeros(1).double()
            values = torch.arange(len(chances)).double()[:, None] + inner
            if within > 1:
                values[-1] = len(chances) - 0.5
            return Points(values.flatten(), chances.repeat_interleave(within, 0))
        if self.whole is not None:
            own = (self.whole[..., column].double(), self.log_weight.exp())
            return Points(*(each[:, : self.rows].cpu() for each in own))
        assert self.separate is not None
        shares = (torch.arange(STRATA, dtype=torch.float64, device=self.x.device) + 0.5) / STRATA
        values = self.separate.quantile(column, shares[:, None, None]).expand(STRATA, *self.px.batch_shape)
        weights = (self.log_weight.exp() / STRATA).expand_as(values)
        return Points(*(each.flatten(0, 1)[:, : self.rows].cpu() for each in (values, weights)))

    @torch.no_grad()
    def drawn(self, generator: torch.Generator, among: Mapping[int, Intervals] | None = None) -> tuple[Tensor, Tensor]:
        """Each row completed by a draw, under one of its codes taken by weight; and log P(among | what is known), [rows].

        among: by column, half-open intervals into which what is missing of it is to fall. The columns that are restricted are
        drawn first, under every code, and the codes are weighed by how probable that was.
        """
        value, log_weight = self.x.expand(*self.px.batch_shape, -1), self.log_weight
        for column, intervals in (among or {}).items():
            value, log_share = self.px.restricted(value, column, intervals, generator)
            log_weight = log_weight + log_share.double()
        log_chance = torch.logsumexp(log_weight, 0)
        weights = (log_weight - log_chance).exp().nan_to_num(1.0)  # where nothing can be, any code is taken
        chosen = torch.multinomial(weights.T, 1, generator=generator).squeeze(1)
        index = torch.arange(len(self.x), device=chosen.device)
        if self.whole is not None and not among:
            return self.whole[chosen, index][: self.rows].cpu(), log_chance[: self.rows].cpu()
        codes = fixed(*(code[chosen, index] for code in self.codes))
        member = chosen // (len(self.log_weight) // self.model.members)
        px = columnwise(self.model.generate(len(chosen), codes, self.context, member))
        rows, _ = px.completed(value[chosen, index], generator)
        return rows[: self.rows].cpu(), log_chance[: self.rows].cpu()


@torch.no_grad()
def conditionals(
    fitted: Fitted, rows: Rows, samples: int = SAMPLES, seed: int = 0, what: str = "conditions"
) -> Iterator[tuple[Tensor, Conditional]]:
    """Rows known in part, a chunk at a time: their numbers [chunk], and what they may be.

    A row's codes come from the seed and what is known of it: the same row gets the same beside whatever others. Rows of which
    nothing is known have codes of the prior, the same for all of them.
    Raises `UsageError` for a model that takes no gaps while there are some, or whose likelihood has no columns, or one order of
    them alone.
    """
    if samples < 1:
        raise UsageError(f"samples (codes of a row) must be at least 1, not {samples}")
    model, x = fitted.model, rows.x
    require_gaps(model, x)
    require_any_order(model)
    silent = torch.isnan(x).all(1) if x.is_floating_point() else torch.zeros(len(x), dtype=torch.bool)
    order = torch.tensor(sorted(range(len(x)), key=_standing(x).__getitem__), dtype=torch.long)
    most = min(MOST_ROWS, max(1, 4 * BUDGET // (held(model) * samples)))
    chunk = 1 << (most.bit_length() - 1)
    with counting(what, len(x)) as add:
        for part in (order[~silent[order]], order[silent[order]]):
            for start in range(0, len(part), chunk):
                index = part[start : start + chunk]
                with steadily():
                    found = conditional(model, rows.at(index), chunk, samples, seed, bool(silent[index[0]]))
                yield index, found
                add(len(index))


def _standing(x: Tensor) -> list[bytes]:
    """A key by which rows with the same cells missing stand together: what is asked of one is asked of all; then by content."""
    flat = x.flatten(1)
    missing = torch.isnan(flat) if x.is_floating_point() else torch.zeros(len(x), 1, dtype=torch.bool)
    cells = flat.contiguous().cpu().numpy()
    return [bytes(gone) + row.tobytes() for gone, row in zip(missing.to(torch.uint8).cpu().numpy(), cells, strict=True)]


def require_gaps(model: LatentModel, x: Tensor) -> None:
    """Refuse rows with gaps where the model takes none."""
    if not model.gaps and x.is_floating_point() and bool(torch.isnan(x).any()):
        raise UsageError(
            "this model was trained on rows without gaps, and cannot read rows that are known in part: train it with gaps "
            '(--data.missing yes; in Python VAE(modality=Table(missing="yes")))'
        )


def require_any_order(model: LatentModel) -> None:
    """Refuse to ask for columns given others where the likelihood learned them in one order alone."""
    if (why := model.likelihood.one_way) is not None:
        raise UsageError(why)


def conditional(
    model: LatentModel, rows: Rows, chunk: int, samples: int, seed: int, silent: bool = False
) -> Conditional:
    """What a few rows may be, filled up to a chunk of them; silent: nothing is known of any, and the prior's codes are taken."""
    x = filled(rows.x, 0, chunk).to(model.device)
    given = None if rows.context is None else filled(rows.context, 0, chunk).to(model.device)
    noise = RowNoise(samples, sum(model.latent.sizes_of_levels), model.device)
    draw = alike(model, seed) if silent else from_keys(noise, row_keys(x, seed), members=model.members)
    trace = model.trace(x, samples, draw, given)
    px = columnwise(trace.px)
    log_weight = torch.zeros(trace.samples, len(x), dtype=torch.float64, device=x.device)
    if model.latent.density and not silent:
        log_weight += px.log_prob(trace.x).double() + trace.log_ratio.double()
    evidence = torch.logsumexp(log_weight, 0) - math.log(trace.samples)
    if not model.latent.density:
        evidence = torch.full_like(evidence, math.nan)
    whole = None
    if model.missingness is not None:
        whole = _completed(px, trace.x, row_keys(x, seed), sum(model.latent.sizes_of_levels))
        log_weight += model.log_missing(trace.x, whole).double()
    log_weight = log_weight - torch.logsumexp(log_weight, 0)
    codes = [node.z for node in trace.nodes]
    return Conditional(model, trace.x, given, px, codes, log_weight, evidence, len(rows), whole)


def _completed(px: Columnwise, x: Tensor, keys: Tensor, used: int) -> Tensor:
    """The rows under each code, [K, rows, columns], their gaps drawn from p(x | z_k) by the noise of each row.

    used: dimensions of the noise that the codes have: others lie evenly beside these, the same would hang on them.
    """
    assert isinstance(px, Separate)  # NotMiwae refuses likelihoods whose draws have no gradient
    samples, columns = px.batch_shape[0], x.shape[1]
    noise = RowNoise(samples, used + columns, x.device)(keys, 0, samples, used, columns, torch.float64)
    whole = x.expand(*px.batch_shape, columns).clone()
    for column in torch.isnan(x).any(0).nonzero().flatten().tolist():
        drawn = px.quantile(column, torch.special.ndtr(noise[..., column]))
        whole[..., column] = torch.where(torch.isnan(x[:, column]), drawn.to(x.dtype), x[:, column])
    return whole


def alike(model: LatentModel, seed: int) -> Draw:
    """z ~ p(z), the same for all rows; under a context, and below the top, each by itself."""
    generator = torch.Generator(model.device).manual_seed(stream(seed, "codes of the prior"))

    def draw(node: Node, level: int) -> Tensor:
        lead = node.shape[: len(node.shape) - len(node.p.batch_shape)]
        drawn = sample(node.p, lead, generator)
        return drawn[:, :1].expand_as(drawn) if level == 0 and len(lead) == len(node.shape) else drawn

    return draw
