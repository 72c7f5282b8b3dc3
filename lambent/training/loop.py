"""The one loop: it serves every objective, with or without an opponent, and can be resumed to the bit."""

import time
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from lambent.errors import InterruptedRun
from lambent.objectives import Loss
from lambent.training import heap
from lambent.training.callbacks import Callback
from lambent.training.graphed import Graphed, own_queue
from lambent.training.optimizers import clear, drop_subnormals, norm_of, scheduled
from lambent.training.pace import Pace
from lambent.training.precision import computing
from lambent.training.run import Contest, History, Record, Run
from lambent.training.settings import SHORTEST
from lambent.training.signals import Stop, stopping
from lambent.training.spikes import Spikes
from lambent.training.stepping import gradient
from lambent.training.threads import put_back
from lambent.training.validating import examined, validated

FLUSH = 256  # steps between sums of the per-example records; bounds their memory


class Loop:
    """Takes a run from where it is to its end, step by step, and tells those who watch."""

    def __init__(self, run: Run, callbacks: Sequence[Callback] = ()) -> None:
        self.run = run
        self.callbacks = callbacks
        self.graphed = Graphed(run.model, run.objective, run.generator, self._gradient, run.device)
        self.pace = Pace(run, lambda other: Loop(other)._take_step, lambda: self._tell("on_threads"))

    def train(self) -> History:
        """Train to the end, or raise `InterruptedRun` or `DivergedError` with the last good state kept."""
        heap.settle()
        with put_back(), own_queue(self.run.device):
            self.pace.settle()
            return self._train()

    def _train(self) -> History:
        run = self.run
        self._tell("on_start")
        try:
            with stopping() as stop, computing(run.model, run.precision, run.device):
                while run.epoch < run.epochs and not self._out_of_patience():
                    self._run_epoch(stop)
        except BaseException:  # whatever ends the run, those who watch it close what they opened
            self._tell("on_interrupt")
            raise
        finally:
            run.model.eval()
            for parameter in run.model.parameters():
                parameter.grad = None
        self._settle()
        self._tell("on_end")
        return run.history

    def _run_epoch(self, stop: Stop) -> None:
        run = self.run
        run.model.train()
        run.objective.train()
        started = time.monotonic() - run.sums.get("seconds", 0.0)
        steppers = [c.on_step for c in self.callbacks if hasattr(c, "on_step")]
        for x, context, rows in run.batches.epoch(run.epoch, run.position):
            self.pace.before_step()
            run.whole = False
            began = time.perf_counter()
            self._take_step(x, context, rows)
            self.pace.after_step(time.perf_counter() - began)
            run.position += 1
            run.step += 1
            run.whole = True
            if run.position % FLUSH == 0:  # by position, so that a resumed run judges at the same steps
                run.flush()
                self._judge_levels()
            for on_step in steppers:
                run.sums["seconds"] = time.monotonic() - started
                on_step(run)
            if stop.signal is not None:
                run.flush()
                run.sums["seconds"] = time.monotonic() - started
                raise InterruptedRun(
                    f"stopped by {stop.name} in epoch {run.epoch + 1}, after step {run.step}", stop.exit_status
                )
        run.whole = False
        run.flush()
        self._end_epoch(time.monotonic() - started)

    def _take_step(self, x: Tensor, context: Tensor | None, rows: Tensor | None) -> None:
        run = self.run
        rate = self._rate(run.step)
        # This step included, so that the last one has progress 1; past the module's own, slow, way of setting an attribute.
        progress = (run.step + 1) / run.total
        vars(run.objective)["progress"] = progress if progress < 1.0 else 1.0
        for view in (run.augment, run.transform):
            x = x if view is None else view(x, run.generator)
        loss, mean = self.graphed.step(x, context)
        taken = run.spikes.passes(mean)
        if run.average is not None and (run.device.type == "cuda" or bool(taken)):
            run.average.take(run.step)  # only now: weights with a finite loss cannot spoil it
        gradient = None if run.opponent is None else norm_of(run.optimizer)
        passed = self._update(run.optimizer, taken, rate)
        contest = None if gradient is None else self._contest(loss, context, taken, rate, gradient)
        run.records.append(Record(mean, {"loss": loss.rows.detach(), **loss.seen}, contest))
        counts = (
            taken
            if contest is None or run.opponent_spikes is None
            else taken & run.opponent_spikes.passes(contest.mean)
        )
        run.objective.after(run.model, loss, counts)
        if loss.trace is not None:
            run.model.latent.follow(loss.trace.nodes, taken, run.generator)
        if not passed:
            self._inspect(x, rows)
        elif contest is not None and run.device.type == "cpu" and not bool(torch.isfinite(contest.mean)):
            run.diverged("the rival's loss was not finite", run.step + 1, x)

    def _contest(
        self, loss: Loss, context: Tensor | None, taken: Tensor, rate: float, gradient: Tensor
    ) -> Contest | None:
        """The opponent's step, left out with the model's or where its own loss is a spike; None where it begins later."""
        run = self.run
        assert run.opponent is not None
        assert run.opponent_spikes is not None
        clear(run.opponent)  # the first loss passed through it
        rival = run.objective.contest(run.model, loss, run.generator, context)
        if rival is None:
            return None
        rival.mean().backward()
        mean = rival.detach().mean()
        contest = Contest(mean, gradient, norm_of(run.opponent))
        self._update(run.opponent, taken & run.opponent_spikes.passes(mean), rate)
        return contest

    def _gradient(self, x: Tensor, context: Tensor | None) -> tuple[Loss, Tensor]:
        return gradient(self.run, x, context)

    def _rate(self, step: int) -> float:
        settings = self.run.settings
        return settings.learning_rate * scheduled(settings.schedule, settings.warmup, step / self.run.total)

    def _update(self, optimizer: torch.optim.Optimizer, taken: Tensor, rate: float) -> bool:
        """One step, left out where the loss is not finite or far above the last epoch's; whether it was taken.

        A GPU leaves it out by itself, and the answer is then always yes: to ask would stop the queue.
        """
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get("pace", 1.0)
        if self.run.clip is not None:
            self.run.clip.cut(optimizer)
        passed = True
        if self.run.device.type == "cuda":
            optimizer.found_inf = (~taken).float()  # type: ignore[attr-defined]
        else:
            passed = bool(taken)
        if passed:
            optimizer.step()
        clear(optimizer)
        return passed

    def _inspect(self, x: Tensor, rows: Tensor | None) -> None:
        """A loss over the limit: a finite one is a spike, already skipped; the other kind ends the run."""
        losses = self.run.records[-1].terms["loss"]
        if not bool(torch.isfinite(losses.mean())):
            at_fault = None if rows is None else rows[~torch.isfinite(losses)]
            self.run.diverged("the loss was not finite", self.run.step + 1, x, at_fault)

    # ---- at the end of an epoch ----------------------------------------------------------------------------------

    def _end_epoch(self, seconds: float) -> None:
        run = self.run
        if not run.finite:
            run.diverged("the weights were not finite", run.step)
        if run.average is not None:
            run.average.take(run.step)
        row = self._summed()
        row["learning_rate"] = self._rate(run.step - 1)  # a run resumed at the epoch's end has made no step yet
        row |= run.model.latent.told() | run.objective.told()
        row |= validated(run)
        examined(run)
        row |= {"skipped": run.skipped, "seconds": (run.history.get("seconds") or [0.0])[-1] + seconds}  # type: ignore[operator]
        for name, value in row.items():
            run.history.setdefault(name, []).append(value)
        for spikes in self._limits():
            if not spikes.judge_level(run.sums):
                spikes.follow(run.sums)
        for optimizer in (run.optimizer, run.opponent):
            if optimizer is not None:
                drop_subnormals(optimizer)
        run.epoch += 1
        run.position = 0
        run.sums = {}
        run.objective.progress = min(1.0, run.step / run.total)
        self._judge(row.get("validation_loss"))
        run.whole = True
        self._tell("on_epoch")

    def _summed(self) -> dict[str, float | None]:
        """The means over the epoch's rows of what its steps recorded."""
        run = self.run
        rows = max(1.0, run.sums.get("rows", 0.0))
        row: dict[str, float | None] = {"epoch": run.epoch + 1, "step": run.step}
        for name in ("loss", "reconstruction", "kl"):
            row[name] = run.sums[name] / rows if name in run.sums else None
        if not run.priced:
            row["kl"] = None
        bounded = run.bounded and row["kl"] is not None
        row["elbo"] = -(row["reconstruction"] or 0.0) - (row["kl"] or 0.0) if bounded else None
        if run.opponent is not None:
            contests = run.sums.get("contests", 0.0)
            row |= {name: run.sums[name] / contests if contests else None for name in ("gradient", "rival_gradient")}
        return row

    def _judge_levels(self) -> None:
        for spikes in self._limits():
            spikes.judge_level(self.run.sums)

    def _limits(self) -> list[Spikes]:
        return [spikes for spikes in (self.run.spikes, self.run.opponent_spikes) if spikes is not None]

    # ---- judging -------------------------------------------------------------------------------------------------

    def _judge(self, loss: float | None) -> None:
        """Keep the best weights on the validation split, once the objective has stopped changing."""
        run = self.run
        if loss is None or not run.settings.patience or not run.objective.settled:
            return
        if loss < run.best:
            run.best, run.best_epoch, run.waited = loss, run.epoch, 0
            with run.average.applied() if run.average is not None else nullcontext():
                run.kept = [p.detach().clone() for p in run.model.state_dict().values()]
        else:
            run.waited += 1

    def _out_of_patience(self) -> bool:
        run = self.run
        patience = int(run.settings.patience)
        if not patience or run.waited < patience:
            return False
        steps = [int(step or 0) for step in run.history["step"]]  # at the ends of epochs, and none in between
        return steps[-1] - steps[run.best_epoch - 1] >= patience * SHORTEST

    def _settle(self) -> None:
        """Leave the model with the weights to use: the best on validation, else the averaged, else the last."""
        run = self.run
        with torch.no_grad():
            if run.kept is not None:
                for target, value in zip(run.model.state_dict().values(), run.kept, strict=True):
                    target.copy_(value)
            elif run.average is not None:
                run.average.assign()

    def _tell(self, event: str) -> None:
        for callback in self.callbacks:
            getattr(callback, event, lambda run: None)(self.run)
