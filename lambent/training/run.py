"""Run: a training in progress, everything that a checkpoint must hold. The loop moves it; callbacks look at it."""

import math
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple, NoReturn

import torch
from torch import Tensor

from lambent.data.batches import Batches, Transform
from lambent.errors import DivergedError
from lambent.model import LatentModel
from lambent.model.bounded import bounding
from lambent.objectives import Objective
from lambent.seeds import stream
from lambent.training.averaging import Average
from lambent.training.diagnosis import likeliest_cause
from lambent.training.optimizers import Clip, adam, grouped
from lambent.training.settings import Training
from lambent.training.spikes import CONTESTED, LEAST, Spikes
from lambent.training.threads import Way

History = dict[str, list[float | None]]


class Contest(NamedTuple):
    """Of a step's contest: the opponent's mean loss, and the norms of the gradients of the model and of the opponent."""

    mean: Tensor
    gradient: Tensor
    rival_gradient: Tensor


class Record(NamedTuple):
    """Of a step: the mean loss, terms [rows], and the contest where there was one."""

    mean: Tensor
    terms: dict[str, Tensor]
    contest: Contest | None = None


@dataclass
class Run:
    """What is trained, on what, by which settings, and how far it has come.

    settings: with epochs, patience and precision as they were decided. total: steps over which the objective's progress and
    the schedule of the rate go from 0 to 1; 0 for all epochs' steps. history: one entry an epoch. threads: their number by
    step, as `threads.scheduled` reads it; "" for torch's own. pace: seconds of a step when they were chosen. options: ways to
    compute that are still open; watched: whether threads may be chosen anew.
    """

    model: LatentModel
    objective: Objective
    batches: Batches
    validation: Batches | None
    settings: Training
    device: torch.device
    transform: Transform | None = None
    augment: Transform | None = None
    total: int = 0
    epoch: int = 0
    position: int = 0
    step: int = 0
    skipped: int = 0
    waited: int = 0
    best: float = math.inf
    best_epoch: int = 0
    history: History = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)
    threads: str = ""
    pace: float = 0.0
    watched: bool = False
    options: list[Way] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings = self.settings
        self.total = self.total or max(1, self.epochs * self.batches.steps)
        opponent = [] if self.objective.opponent is None else list(self.objective.opponent.parameters())
        rivals = {id(p) for p in opponent}
        own = [p for p in (*self.model.parameters(), *self.objective.parameters()) if id(p) not in rivals]
        roots, rate, decay = (self.model, self.objective), settings.learning_rate, settings.weight_decay
        betas = self.objective.betas
        self.optimizer = adam(grouped(roots, own, bool(decay)), rate, decay, self.device, betas)
        self.opponent: torch.optim.AdamW | None = None
        if opponent:
            groups = grouped(roots, opponent, bool(decay))
            for group in groups:
                group["pace"] *= self.objective.opponent_pace
            self.opponent = adam(groups, rate, decay, self.device, betas)
        self.clip = Clip([self.model], settings.clip) if settings.clip else None
        self.generator = torch.Generator(self.device).manual_seed(stream(self.seed, "training noise"))
        self.average = Average(self.model, settings.average) if settings.average else None
        self.kept: list[Tensor] | None = None  # the best weights on the validation split
        self.spikes = Spikes(settings.spike, self.device, least=CONTESTED if opponent else LEAST)
        self.opponent_spikes = Spikes(settings.spike, self.device, "opponent_", CONTESTED) if opponent else None
        self.records: list[Record] = []
        self.objective.rows = self.batches.rows
        self.whole = True  # between two steps, so that the state may be kept

    @property
    def epochs(self) -> int:
        assert self.settings.epochs is not None
        return self.settings.epochs

    @property
    def seed(self) -> int:
        return self.settings.seed

    @property
    def precision(self) -> str:
        """fp32 or bf16, as it was decided for this machine."""
        return self.settings.precision

    @property
    def priced(self) -> bool:
        """Whether there is a KL to report: a posterior without density has none."""
        return self.objective.bounded and self.model.latent.density

    @property
    def bounded(self) -> bool:
        """Whether there is a bound to report: a KL, and a likelihood that is a log-probability."""
        return self.objective.bounded and bounding(self.model)

    @property
    def finite(self) -> bool:
        """Whether all weights are numbers, the opponent's too: a gradient may overflow where its loss did not."""
        rivals = [] if self.objective.opponent is None else list(self.objective.opponent.parameters())
        weights = [p.detach() for p in (*self.model.parameters(), *rivals) if p.numel()]
        return bool(torch.isfinite(torch.nn.utils.get_total_norm(weights, torch.inf)))

    def flush(self) -> None:
        """Add the records since the last flush to the epoch's sums; on a GPU this is where faults come to light."""
        if not self.records:
            return
        means = torch.stack([record.mean for record in self.records]).double()
        over = ~self.spikes.passes(means)
        if self.device.type != "cpu" and bool(over.any()) and not bool(torch.isfinite(means).all()):
            self.diverged("the loss was not finite", self.step)
        self.spikes.count(self.sums, means, over)
        over = self._flush_contests(over)
        self.skipped += int(over.sum())
        kept = [record for record, bad in zip(self.records, over.tolist(), strict=True) if not bad]
        for name in kept[0].terms if kept else ():
            for total in _sums([record.terms[name] for record in kept]):
                self._add(name, total)
        self._add("rows", sum(len(record.terms["loss"]) for record in kept))
        self.records.clear()

    def _flush_contests(self, over: Tensor) -> Tensor:
        """The same of the contests among the records; which steps were over either limit, [steps]."""
        places = [i for i, record in enumerate(self.records) if record.contest is not None]
        if self.opponent_spikes is None or not places:
            return over
        contests = [record.contest for record in self.records if record.contest is not None]
        columns = torch.stack([torch.stack([term.double() for term in contest]) for contest in contests])
        means, gradients = columns[:, 0], columns[:, 1:]
        counted = ~over[places]
        if self.device.type != "cpu" and not bool(torch.isfinite(means[counted]).all()):
            self.diverged("the rival's loss was not finite", self.step)
        above = ~self.opponent_spikes.passes(means)
        self.opponent_spikes.count(self.sums, means[counted], above[counted])
        over = over.clone()
        over[places] |= above
        for gradient, rival_gradient in gradients[~over[places]].tolist():
            self._add("contests", 1)
            self._add("gradient", gradient)
            self._add("rival_gradient", rival_gradient)
        return over

    def _add(self, name: str, amount: float) -> None:
        self.sums[name] = self.sums.get(name, 0.0) + amount

    def diverged(self, what: str, step: int, x: Tensor | None = None, rows: Tensor | None = None) -> NoReturn:
        """End the run: the step, the rows at fault, the likeliest cause. The model is left with its average, if that is good."""
        self.whole = False  # this state is not to be kept: the last checkpoint stands
        seen = self.records[-1].terms if self.records else {}
        cause = likeliest_cause(self.model, seen, x, self.optimizer.param_groups[0]["lr"], self.objective.opponent)
        which = ""
        if rows is not None and x is not None and len(rows):
            which = f", rows {rows[:8].tolist()}{' and more' if len(rows) > 8 else ''}"
        if self.average is not None and all(bool(torch.isfinite(t).all()) for t in self.average.values):
            self.average.assign()
        raise DivergedError(f"step {step} (epoch {self.epoch + 1}{which}): {what}. {cause}")


def _sums(steps: list[Tensor]) -> list[float]:
    """The sum over rows of each step. Never over steps: in other portions, as after a resumption, they round to other bits."""
    sums: list[float] = []
    for _, equal in groupby(steps, len):
        sums += torch.stack(list(equal)).double().cpu().numpy().sum(1).tolist()
    return sums
