"""Resampling: codes of the prior for rows that are to satisfy a demand, each taken as often as its rows do."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lambent.distributions import sample
from lambent.distributions.columnwise import Columnwise, columnwise
from lambent.errors import UsageError
from lambent.model import LatentModel
from lambent.model.networks.stacked import in_turn
from lambent.model.trace import fixed, from_prior
from lambent.tasks.conditional import require_any_order
from lambent.tasks.demands import Demand

PILOT = 4096  # codes by which a demand is judged
MOST_CODES = 1 << 18  # tried before a demand is called impossible
ENOUGH = 4  # codes that each row should be able to choose among, by their effective number
LEAST = 1e-6  # probability below which rows would tell of the model's errors and not of the data
TRIES = 64  # times as many rows as asked for that are drawn at most, by which a relation is judged


@dataclass
class Worth:
    """How the rows came about: the probability of what was asked for, and how many codes they are worth, in all."""

    words: str
    probability: float | None = None
    effective: float = 0.0
    rows: int = 0


class Source:
    """Rows of one demand under one context, drawn by importance resampling over codes of the prior."""

    def __init__(
        self,
        model: LatentModel,
        demand: Demand,
        context: Tensor | None,
        temperature: float = 1.0,
        hold: Callable[[Tensor], Tensor] | None = None,
        relations: str = "",
    ) -> None:
        """context: [1, width]; hold: which encoded rows satisfy the `relations`, which are the words for them."""
        self.model = model
        self.demand = demand
        self.context = context
        self.temperature = temperature
        self.hold = hold
        self.relations = relations
        self.worth = Worth(demand.words)
        self.factor = 1.0

    @property
    def density(self) -> bool:
        """Whether a value of a continuous column is given: what is weighed is then a density and no probability."""
        return bool(self.demand.cells)

    def judge(self, generator: torch.Generator) -> None:
        """How probable the demand is, and how many codes a row needs to choose among; refuse what cannot be."""
        if not self.demand:
            return
        require_any_order(self.model)
        total, log_weights = 0, []
        while total < MOST_CODES:
            log_weights.append(self._candidates(PILOT if total == 0 else 4 * PILOT, generator)[2])
            total += len(log_weights[-1])
            every = torch.cat(log_weights)
            if worth_of(every) >= 10:
                break
        mean = float(torch.logsumexp(every, 0) - math.log(total))
        if not self.density:
            self._refuse(mean, total)
            self.worth.probability = math.exp(mean)
        elif mean == -math.inf:
            raise UsageError(f"{self.demand.words}: has no probability at any of {total:,} codes")
        self.factor = ENOUGH * total / worth_of(every)

    def _refuse(self, mean: float, total: int) -> None:
        if mean == -math.inf:
            raise UsageError(
                f"{self.demand.words}: none of {total:,} codes of the prior allows it; its probability is below {3 / total:.1g} "
                "(95 % confidence). Ask for less"
            )
        if mean < math.log(LEAST):
            raise UsageError(
                f"{self.demand.words}: has a probability of about {math.exp(mean):.1g} under this model, and below {LEAST:g} "
                "rows would tell of the model's errors, not of the data. Ask for less"
            )

    def drawn(self, count: int, generator: torch.Generator) -> Tensor:
        """So many rows, [count, columns], that satisfy the relations too."""
        if self.hold is None:
            return self._drawn(count, generator)
        found: list[Tensor] = []
        have = tried = 0
        while have < count:
            x = self._drawn(max(count - have, 256), generator)
            kept = x[self.hold(x)]
            found.append(kept)
            have, tried = have + len(kept), tried + len(x)
            if tried >= max(TRIES * count, 16 * PILOT) and have < count:
                share = f"{have / tried:.1g}" if have else f"below {3 / tried:.1g} (95 % confidence)"
                raise UsageError(
                    f"{self.relations}: of {tried:,} rows {have:,} satisfy it, where {count:,} are wanted; its probability "
                    f"is {share}. Ask for fewer rows, or leave it out"
                )
        return torch.cat(found)[:count]

    @torch.no_grad()
    def _drawn(self, count: int, generator: torch.Generator) -> Tensor:
        model = self.model
        if not self.demand:
            drawn = model.generate(count, from_prior(generator, self.temperature), self._context(count))
            return sample(drawn, (), generator).float().cpu()
        tries = min(MOST_CODES, max(PILOT, math.ceil(self.factor * count)))
        codes, value, log_weight = self._candidates(tries, generator)
        self.worth.effective += min(worth_of(log_weight), count)
        self.worth.rows += count
        weights = (log_weight - log_weight.max()).exp()
        chosen = evenly_chosen(weights, count, generator)
        owners = in_turn(PILOT, model.members).to(chosen.device)[chosen % PILOT]  # as the candidates were decoded
        picked = fixed(*(code[chosen] for code in codes))
        px = columnwise(model.generate(count, picked, self._context(count), owners))
        return px.completed(value[chosen], generator)[0].float().cpu()

    @torch.no_grad()
    def _candidates(self, count: int, generator: torch.Generator) -> tuple[list[Tensor], Tensor, Tensor]:
        """Codes of the prior, the demanded cells under each, and log P of the demand given it, [count]."""
        model, width = self.model, self.model.event_shape[0]
        parts: list[tuple[list[Tensor], Tensor, Tensor]] = []
        for start in range(0, count, PILOT):
            rows = min(PILOT, count - start)
            draw = from_prior(generator, self.temperature)
            codes = [node.z[0] for node in model.imagine(rows, draw, self._context(rows))]
            px = columnwise(model.generate(rows, fixed(*codes), self._context(rows)))
            parts.append((codes, *self._weighed(px, codes[0].new_full((rows, width), torch.nan), generator)))
        levels = [torch.cat(level) for level in zip(*(codes for codes, _, _ in parts), strict=True)]
        return levels, torch.cat([value for _, value, _ in parts]), torch.cat([weight for _, _, weight in parts])

    def _weighed(self, px: Columnwise, value: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        for place, cell in self.demand.cells.items():
            value[:, place] = cell
        log_weight = px.log_prob(value).double() if self.demand.cells else value.new_zeros(len(value)).double()
        for place, intervals in self.demand.among.items():
            value, log_share = px.restricted(value, place, intervals, generator)
            log_weight = log_weight + log_share.double()
        return value, log_weight

    def _context(self, rows: int) -> Tensor | None:
        return None if self.context is None else self.context[:1].expand(rows, -1).to(self.model.device)


def worth_of(log_weight: Tensor) -> float:
    """How many equally weighed codes these are worth, (Σ w)² / Σ w²; 0 where all weigh nothing."""
    top = log_weight.max()
    if top == -math.inf:
        return 0.0
    weights = (log_weight - top).exp()
    return float(weights.sum() ** 2 / weights.square().sum())


def evenly_chosen(weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """So many of the codes, each as often as it weighs but for less than one: systematic resampling, in random order."""
    ends = weights.double().cumsum(0)
    start = torch.rand((), generator=generator, device=weights.device, dtype=torch.float64)
    places = (torch.arange(count, device=weights.device, dtype=torch.float64) + start) / count * ends[-1]
    chosen = torch.searchsorted(ends, places).clamp_max(len(weights) - 1)
    return chosen[torch.randperm(count, generator=generator, device=weights.device)]
