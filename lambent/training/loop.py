"""The one loop: it serves every objective, with or without an opponent, and can be resumed to the bit."""

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import groupby

import torch
from torch import Tensor

from lambent.data.batches import Batches, Transform
from lambent.errors import DivergedError, InterruptedRun
from lambent.model import LatentModel
from lambent.model.trace import from_posterior
from lambent.objectives import Objective
from lambent.seeds import mixed_seed
from lambent.training import heap
from lambent.training.averaging import Average
from lambent.training.callbacks import Callback
from lambent.training.optimizers import adam, clear, drop_subnormals, paced, scheduled
from lambent.training.precision import computing
from lambent.training.signals import Stop, stopping

History = dict[str, list[float | None]]
FLUSH = 256  # steps between sums of the per-example records; bounds their memory


@dataclass
class Loop:
    """A training in progress: everything that a checkpoint must hold, and the step."""

    model: LatentModel
    objective: Objective
    batches: Batches
    validation: Batches | None
    epochs: int
    learning_rate: float
    weight_decay: float
    schedule: str
    warmup: float
    clip: float
    spike: float
    decay: float
    patience: int
    precision: str
    device: torch.device
    seed: int
    transform: Transform | None
    augment: Transform | None
    callbacks: Sequence[Callback]
    epoch: int = 0
    position: int = 0
    step: int = 0
    skipped: int = 0
    waited: int = 0
    best: float = math.inf
    history: History = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.total = max(1, self.epochs * self.batches.steps)
        opponent = [] if self.objective.opponent is None else list(self.objective.opponent.parameters())
        rivals = {id(p) for p in opponent}
        own = [p for p in (*self.model.parameters(), *self.objective.parameters()) if id(p) not in rivals]
        settings = (self.learning_rate, self.weight_decay, self.device)
        self.optimizer = adam(paced(self.model, own), *settings)
        self.opponent = adam([{"params": opponent}], *settings) if opponent else None
        self.generator = torch.Generator(self.device).manual_seed(mixed_seed(self.seed, 0x10015E))
        self.average = Average(self.model, self.decay) if self.decay else None
        self.kept: list[Tensor] | None = None  # the best weights on the validation split
        self.limit = torch.full((), torch.finfo(torch.float32).max, device=self.device)
        self._records: list[tuple[Tensor, dict[str, Tensor]]] = []  # of each step: the mean loss, and terms [rows]
        self.objective.rows = self.batches.rows
        self.whole = True  # between two steps, so that the state may be kept

    # ---- running -------------------------------------------------------------------------------------------------

    def run(self) -> History:
        """Train to the end, or raise `InterruptedRun` or `DivergedError` with the last good state kept."""
        heap.settle()
        self._tell("on_start")
        try:
            with stopping() as stop, computing(self.model, self.precision, self.device):
                while self.epoch < self.epochs and not self._out_of_patience():
                    self._run_epoch(stop)
        except BaseException:  # whatever ends the run, those who watch it close what they opened
            self._tell("on_interrupt")
            raise
        finally:
            self.model.eval()
            for parameter in self.model.parameters():
                parameter.grad = None
        self._settle()
        self._tell("on_end")
        return self.history

    def _run_epoch(self, stop: Stop) -> None:
        self.model.train()
        self.objective.train()
        started = time.monotonic() - self.sums.get("seconds", 0.0)
        steppers = [c.on_step for c in self.callbacks if hasattr(c, "on_step")]
        for x, context, rows in self.batches.epoch(self.epoch, self.position):
            self.whole = False
            self._take_step(x, context, rows)
            self.position += 1
            self.step += 1
            self.whole = True
            if self.position % FLUSH == 0:  # by position, so that a resumed run judges at the same steps
                self._flush(rows)
                self._judge_level()
            for on_step in steppers:
                self.sums["seconds"] = time.monotonic() - started
                on_step(self)
            if stop.signal is not None:
                self._flush(rows)
                self.sums["seconds"] = time.monotonic() - started
                raise InterruptedRun(
                    f"stopped by {stop.name} in epoch {self.epoch + 1}, after step {self.step}", stop.exit_status
                )
        self.whole = False
        self._flush(None)
        self._end_epoch(time.monotonic() - started)

    def _take_step(self, x: Tensor, context: Tensor | None, rows: Tensor | None) -> None:
        rate = self._rate(self.step)
        # This step included, so that the last one has progress 1; past the module's own, slow, way of setting an attribute.
        vars(self.objective)["progress"] = (self.step + 1) / self.total
        for view in (self.augment, self.transform):
            x = x if view is None else view(x, self.generator)
        loss = self.objective(self.model, x, self.generator, context)
        mean = loss.rows.mean()
        mean.backward()
        taken = mean.detach() <= self.limit
        passed = self._update(self.optimizer, taken, rate)
        if self.opponent is not None:
            clear(self.opponent)  # the first loss passed through it
            rival = self.objective.rival(self.model, loss, self.generator, context)
            assert rival is not None
            rival.mean().backward()
            # The limit is of the first loss: the opponent's own is on another scale, and need only be finite.
            self._update(self.opponent, taken & torch.isfinite(rival.detach().mean()), rate)
        self.objective.after(self.model, loss, taken)
        if self.average is not None:
            self.average.step()
        self._records.append((mean.detach(), {"loss": loss.rows.detach(), **loss.seen}))
        if not passed:
            self._inspect(x, rows)

    def _rate(self, step: int) -> float:
        return self.learning_rate * scheduled(self.schedule, self.warmup, step / self.total)

    def _update(self, optimizer: torch.optim.Optimizer, taken: Tensor, rate: float) -> bool:
        """One step, left out where the loss is not finite or far above the last epoch's; whether it was taken.

        A GPU leaves it out by itself, and the answer is then always yes: to ask would stop the queue.
        """
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get("pace", 1.0)
        if self.clip:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, self.clip)
        passed = True
        if self.device.type == "cuda":
            optimizer.found_inf = (~taken).float()  # type: ignore[attr-defined]
        else:
            passed = bool(taken)
        if passed:
            optimizer.step()
        clear(optimizer)
        return passed

    # ---- keeping count -------------------------------------------------------------------------------------------

    def _flush(self, rows: Tensor | None) -> None:
        """Add the records since the last flush to the epoch's sums; on a GPU this is where faults come to light."""
        if not self._records:
            return
        means = torch.stack([mean for mean, _ in self._records]).double()
        over = ~(means <= self.limit.double())
        if bool(over.any()):
            if self.device.type != "cpu" and not bool(torch.isfinite(means).all()):
                self._diverged(None, rows, "the loss was not finite", self.step)
            self.skipped += int(over.sum())
        self._add("window", len(over))
        self._add("window_over", int(over.sum()))
        kept = [record for record, bad in zip(self._records, over.tolist(), strict=True) if not bad]
        for name in kept[0][1] if kept else ():
            for total in _sums([terms[name] for _, terms in kept]):
                self._add(name, total)
        self._add("rows", sum(len(terms["loss"]) for _, terms in kept))
        for mean in means[~over].tolist():
            self._add("steps", 1)
            self._add("mean", mean)
            self._add("square", mean * mean)
        self._records.clear()

    def _add(self, name: str, amount: float) -> None:
        self.sums[name] = self.sums.get(name, 0.0) + amount

    def _judge_level(self) -> bool:
        """Where most losses since the last look were over the limit, it is no spike but a new level: let it pass."""
        new = self.sums.pop("window_over", 0.0) * 2 > self.sums.pop("window", 0.0)
        if new:
            self.limit.fill_(torch.finfo(torch.float32).max)
        return new

    def _end_epoch(self, seconds: float) -> None:
        if not self.finite:
            self._diverged(None, None, "the weights were not finite", self.step)
        rows = max(1.0, self.sums.get("rows", 0.0))
        row: dict[str, float | None] = {"epoch": self.epoch + 1, "step": self.step}
        for name in ("loss", "reconstruction", "kl"):
            row[name] = self.sums[name] / rows if name in self.sums else None
        if not self._bounded:
            row["kl"] = None
        row["elbo"] = None if row["kl"] is None else -(row["reconstruction"] or 0.0) - row["kl"]
        row["learning_rate"] = self._rate(self.step - 1)  # a run resumed at the epoch's end has made no step yet
        row |= self._validated()
        row |= {"skipped": self.skipped, "seconds": (self.history.get("seconds") or [0.0])[-1] + seconds}  # type: ignore[operator]
        for name, value in row.items():
            self.history.setdefault(name, []).append(value)
        if not self._judge_level():
            self._raise_limit()
        for optimizer in (self.optimizer, self.opponent):
            if optimizer is not None:
                drop_subnormals(optimizer)
        self.epoch += 1
        self.position = 0
        self.sums = {}
        self.objective.progress = self.step / self.total
        self._judge(row.get("validation_loss"))
        self.whole = True
        self._tell("on_epoch")

    def _raise_limit(self) -> None:
        """Where the next epoch's losses count as spikes: `spike` standard deviations above this epoch's mean."""
        steps = self.sums.get("steps", 0.0)
        if not self.spike or steps < 8:
            return
        mean = self.sums["mean"] / steps
        spread = math.sqrt(max(0.0, self.sums["square"] / steps - mean * mean))
        self.limit.fill_(mean + self.spike * max(spread, 1e-3 * abs(mean), 1e-3))

    @torch.no_grad()
    def _validated(self) -> dict[str, float | None]:
        """The bound's parts on the validation split, one sample, the same noise each time, with the averaged weights."""
        if self.validation is None:
            return {}
        self.model.eval()
        generator = torch.Generator(self.device).manual_seed(mixed_seed(self.seed, 0x7A11D))
        sums, rows = torch.zeros(2, dtype=torch.float64), 0
        with self.average.applied() if self.average is not None else nullcontext():
            for x, context, _ in self.validation.epoch(0):
                x = self.transform(x, generator) if self.transform is not None else x
                trace = self.model.trace(x, 1, from_posterior(generator), context)
                kl = trace.kl.expand(1, len(x))
                sums += torch.stack([-trace.log_px.sum(), kl.sum()]).double().cpu()
                rows += len(x)
        self.model.train()
        reconstruction, kl_mean = (float(value) / rows for value in sums)
        weighted = self.objective.weighed(reconstruction, kl_mean)
        found = {"validation_reconstruction": reconstruction, "validation_kl": None, "validation_elbo": None}
        if self._bounded:
            found |= {"validation_kl": kl_mean, "validation_elbo": -reconstruction - kl_mean}
        return found | {"validation_loss": weighted}

    @property
    def _bounded(self) -> bool:
        """Whether there is a bound to report: a posterior without density has none, and no KL."""
        return self.objective.bounded and self.model.latent.density

    # ---- judging -------------------------------------------------------------------------------------------------

    def _judge(self, loss: float | None) -> None:
        """Keep the best weights on the validation split, once the objective has stopped changing."""
        if loss is None or not self.patience or not self.objective.settled:
            return
        if loss < self.best:
            self.best, self.waited = loss, 0
            with self.average.applied() if self.average is not None else nullcontext():
                self.kept = [p.detach().clone() for p in self.model.state_dict().values()]
        else:
            self.waited += 1

    def _out_of_patience(self) -> bool:
        return bool(self.patience) and self.waited >= self.patience

    def _settle(self) -> None:
        """Leave the model with the weights to use: the best on validation, else the averaged, else the last."""
        with torch.no_grad():
            if self.kept is not None:
                for target, value in zip(self.model.state_dict().values(), self.kept, strict=True):
                    target.copy_(value)
            elif self.average is not None:
                self.average.assign()

    def _inspect(self, x: Tensor, rows: Tensor | None) -> None:
        """A loss over the limit: a finite one is a spike, already skipped; the other kind ends the run."""
        losses = self._records[-1][1]["loss"]
        if not bool(torch.isfinite(losses.mean())):
            at_fault = None if rows is None else rows[~torch.isfinite(losses)]
            self._diverged(x, at_fault, "the loss was not finite", self.step + 1)

    @property
    def finite(self) -> bool:
        """Whether all weights are numbers: a gradient may overflow where its loss did not."""
        weights = [p.detach() for p in self.model.parameters() if p.numel()]
        return bool(torch.isfinite(torch.nn.utils.get_total_norm(weights, torch.inf)))

    def _diverged(self, x: Tensor | None, rows: Tensor | None, what: str, step: int) -> None:
        from lambent.training.diagnosis import likeliest_cause

        self.whole = False  # this state is not to be kept: the last checkpoint stands
        seen = self._records[-1][1] if self._records else {}
        cause = likeliest_cause(self.model, seen, x, self.optimizer.param_groups[0]["lr"])
        which = ""
        if rows is not None and x is not None and len(rows):
            which = f", rows {rows[:8].tolist()}{' and more' if len(rows) > 8 else ''}"
        if self.average is not None and all(bool(torch.isfinite(t).all()) for t in self.average.values):
            self.average.assign()
        raise DivergedError(f"step {step} (epoch {self.epoch + 1}{which}): {what}. {cause}")

    def _tell(self, event: str) -> None:
        for callback in self.callbacks:
            getattr(callback, event, lambda loop: None)(self)


def _sums(steps: list[Tensor]) -> list[float]:
    """The sum over rows of each step. Never over steps: in other portions, as after a resumption, they round to other bits."""
    sums: list[float] = []
    for _, equal in groupby(steps, len):
        sums += torch.stack(list(equal)).double().cpu().numpy().sum(1).tolist()
    return sums
