"""How the decoder reads the code: what is lost where a row is given another's code, or a unit's, and what it knows without."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from lambent.distributions.sequences import END
from lambent.model import LatentModel
from lambent.model.likelihoods import Likelihood
from lambent.model.trace import Draw, Node, expected, fixed, from_posterior, from_prior
from lambent.seeds import stream

PIECE = 256  # rows at a time
MOST_UNITS = 64  # units that are removed one by one


class Cost(NamedTuple):
    """A mean over rows in nats, and its standard error."""

    nats: float
    error: float

    @classmethod
    def of(cls, values: Tensor) -> "Cost":
        values = values.double()
        error = float(values.std() / math.sqrt(len(values))) if len(values) > 1 else math.nan
        return cls(float(values.mean()), error)

    def less(self, nats: float) -> "Cost":
        """So many nats taken off, of which no error is known."""
        return Cost(self.nats - nats, self.error)

    def above(self, least: float = 0.0, sure: float = 3.0) -> bool:
        """Whether it is beyond `least`, by more than so many standard errors from 0."""
        return self.nats > max(least, sure * (self.error if math.isfinite(self.error) else 0.0))


class Reading(NamedTuple):
    """What of log p(x|z) hangs on z, each as `Cost`.

    exchanged: what a row loses with another row's code. levels: what it loses with a level drawn from the prior, the top first.
    units: of every level's units, what it loses with another row's value of that one unit, those of all members of an ensemble
    side by side; None where there are too many.
    alone: what rows gain under one and the same code over rows whose values were shuffled column by column; exactly 0 where
    p(x|z) is a product over values, for then nothing but z can tell of how they hang together.
    """

    exchanged: Cost
    levels: list[Cost]
    units: list[list[Cost]] | None
    alone: Cost


@torch.no_grad()
def reading(model: LatentModel, x: Tensor, seed: int = 0, context: Tensor | None = None) -> Reading:
    """Of rows [rows, *event] as the model takes them; each is decoded by one draw of its code, then by the changed one."""
    members = _log_px_of_members(model, x, context, from_posterior(_generator(model, seed)))
    usual = members.mean(0)
    codes = _codes(model, x, context, seed)
    shift = max(1, len(x) // 2)
    exchanged = usual - _log_px(model, x, context, [level.roll(shift, 1) for level in codes])
    levels = [
        usual - _log_px(model, x, context, _prior_at(number, model, seed)) if len(codes) > 1 else exchanged
        for number in range(len(codes))
    ]
    sizes = [level[0, 0].numel() for level in codes]
    units = None
    if sum(sizes) <= MOST_UNITS and not model.latent.discrete:
        units = [
            [Cost.of(lost) for lost in torch.stack(costs, 1).flatten(0, 1)] if costs else []
            for costs in (
                [
                    members - _log_px_of_members(model, x, context, _without(codes, level, unit, shift))
                    for unit in range(size)
                ]
                for level, size in enumerate(sizes)
            )
        ]
    return Reading(Cost.of(exchanged), [Cost.of(cost) for cost in levels], units, alone(model, x, seed, context))


@torch.no_grad()
def alone(model: LatentModel, x: Tensor, seed: int = 0, context: Tensor | None = None) -> Cost:
    """How much better p(x|z) at the prior's centre explains rows than rows whose values were shuffled column by column."""
    if type(model.likelihood).informed is not Likelihood.informed:  # it is given a sum over the row
        return Cost(0.0, 0.0)
    given = None if context is None else context[:1].expand(len(context), -1)
    real, mixed = (_log_px(model, rows, given, expected) for rows in (x, shuffled(model.likelihood, x, seed)))
    return Cost.of(real - mixed)


def shuffled(likelihood: Likelihood, x: Tensor, seed: int = 0) -> Tensor:
    """Rows whose values were shuffled column by column, gaps and ends where they were: columns as they are, and no more."""
    generator = torch.Generator().manual_seed(stream(seed, "columns shuffled"))
    flat = x.flatten(1).clone()
    held = torch.isnan(flat) if flat.is_floating_point() else torch.zeros_like(flat, dtype=torch.bool)
    if likelihood.ends:
        held = held | (flat == END)
    for column in range(flat.shape[1]):
        places = (~held[:, column]).nonzero().squeeze(1)
        flat[places, column] = flat[places[torch.randperm(len(places), generator=generator)], column]
    return flat.reshape(x.shape)


def _generator(model: LatentModel, seed: int) -> torch.Generator:
    return torch.Generator(model.device).manual_seed(stream(seed, "codes exchanged"))


def _codes(model: LatentModel, x: Tensor, context: Tensor | None, seed: int) -> list[Tensor]:
    """The codes that the usual pass draws, [members, rows, *shape] of every level."""
    generator, pieces = _generator(model, seed), []
    for start in range(0, len(x), PIECE):
        given = None if context is None else context[start : start + PIECE].to(model.device)
        nodes = model.infer(x[start : start + PIECE].to(model.device), 1, from_posterior(generator), given)
        pieces.append([node.z for node in nodes])
    return [torch.cat(level, 1) for level in zip(*pieces, strict=True)]


def _log_px(model: LatentModel, x: Tensor, context: Tensor | None, draw: Draw | list[Tensor]) -> Tensor:
    """`_log_px_of_members`, their mean, [rows]."""
    return _log_px_of_members(model, x, context, draw).mean(0)


def _log_px_of_members(model: LatentModel, x: Tensor, context: Tensor | None, draw: Draw | list[Tensor]) -> Tensor:
    """log p(x|z) of every row, [members, rows], by a draw, or by codes [members, rows, *shape] of every level."""
    found = []
    for start in range(0, len(x), PIECE):
        part = slice(start, start + PIECE)
        given = None if context is None else context[part].to(model.device)
        by = draw if not isinstance(draw, list) else fixed(*(level[:, part] for level in draw))
        found.append(model.trace(x[part].to(model.device), 1, by, given).log_px.cpu())
    return torch.cat(found, 1)


def _prior_at(number: int, model: LatentModel, seed: int) -> Draw:
    generator = _generator(model, seed)
    posterior, prior = from_posterior(generator), from_prior(generator)

    def draw(node: Node, level: int) -> Tensor:
        own = posterior(node, level)  # drawn at every level, so that the others have the numbers of the usual pass
        return prior(node, level) if level == number else own

    return draw


def _without(codes: list[Tensor], level: int, unit: int, shift: int) -> list[Tensor]:
    changed = list(codes)
    flat = codes[level].flatten(2).clone()
    flat[..., unit] = flat[..., unit].roll(shift, 1)
    changed[level] = flat.reshape(codes[level].shape)
    return changed
