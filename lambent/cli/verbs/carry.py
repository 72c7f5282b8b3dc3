"""Carry a plan out: train, save, evaluate, draw, report."""

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lambent.cli import folder as run_folder
from lambent.cli import output
from lambent.cli.reading import strict
from lambent.cli.reading.chosen import flags_of
from lambent.cli.reading.larger import drawn, load_rows
from lambent.cli.reading.plan import Plan
from lambent.cli.reading.sources import Splits
from lambent.cli.reading.trees import Tree
from lambent.cli.verbs.affording import affordable
from lambent.cli.verbs.assembling import assembled
from lambent.cli.verbs.conclusion import conclusion, metrics_text
from lambent.cli.voice import Voice, plain
from lambent.data import Encoded
from lambent.data.stored.ondisk import OnDisk
from lambent.disk.whole import write_text
from lambent.errors import InterruptedRun
from lambent.fitted import Fitted
from lambent.model import LatentModel
from lambent.objectives import Objective
from lambent.part import Spec
from lambent.report import write as write_report
from lambent.report.numerals import show, show_seconds
from lambent.report.run.findings import Findings
from lambent.report.run.gather import gather
from lambent.tasks.by_column import by_column
from lambent.tasks.by_row import by_row, labels_of
from lambent.tasks.calibration import MOST_ROWS, calibrated
from lambent.tasks.evaluate import Evaluation
from lambent.tasks.listened import listened
from lambent.tasks.samples.without_encoder import evaluated
from lambent.tasks.sections import Section
from lambent.training.alarm import Alarm
from lambent.training.callbacks import CONTEST, Callback, Journal, MLflow, Progress, Quiet, TensorBoard
from lambent.training.fitting import fit
from lambent.training.pace import SLOWER
from lambent.training.precision import device_of
from lambent.training.rivalry import Watch
from lambent.training.run import History, Run
from lambent.training.saving import saved
from lambent.training.settings import waited_for
from lambent.training.threads import checked, scheduled, suit
from lambent.version import versions


@dataclass(frozen=True)
class Job:
    """How a run is carried out: its voice, the command as typed, the tracker, whether the checkpoint outlives the training."""

    voice: Voice
    command: str
    track: str | None = None
    keep_checkpoint: bool = False
    then: str = ""  # what comes after the training, where that is not all
    check: Callable[[Splits], None] | None = None  # of the rows, before anything is trained
    minutes: float | None = None  # of training, from which the epochs follow

    def way(self, folder: Path) -> str:
        """How to go on after an interruption."""
        kept = " --keep-checkpoint" if self.keep_checkpoint else ""
        then = f", then: {self.then}" if self.then else ""
        return f"go on with: lambent train --resume {shlex.quote(str(folder))}{kept}{then}"


@dataclass(frozen=True)
class Carried:
    """What a run has come to: the model, the rows that it took, and what was measured of it."""

    fitted: Fitted
    rows: Splits
    findings: Findings
    evaluation: Evaluation


def carry_out(plan: Plan, folder: Path, job: Job, resume: bool = False) -> int:
    """Train by the plan into the folder, which this process holds, and tell of it; returns the exit status."""
    done = carried(plan, folder, job, resume)
    conclusion(folder, done.evaluation, done.findings, done.fitted, job.voice)
    return 0


def carried(plan: Plan, folder: Path, job: Job, resume: bool = False) -> Carried:
    """Train by the plan into the folder, evaluate, and write everything there."""
    device_of(plan.fit["device"])
    trackers = _trackers(job.track, folder)
    plan.framed()
    rows = load_rows(plan.rows, plan.modality, plan.fit["validation"], folder, job.voice, plan.encoding)
    plan.rows, plan.fit["validation"] = rows.request, rows.validation
    modality = rows.train.modality
    model, parts = assembled(plan, modality, job.voice)
    if job.check is not None:
        job.check(rows)
    objective = Objective.from_spec(parts["objective"])
    if job.minutes is not None and not resume:
        plan.fit["epochs"] = affordable(model.spec(), parts["objective"], rows, plan.fit, job.minutes, job.voice)
    start = _Start(plan, parts, rows, folder, resume, job.voice)
    watchers = [
        start,
        Journal(folder / run_folder.HISTORY),
        *progress_of(job.voice),
        Watch(job.voice.note),
        Alarm(job.voice.note),
        *trackers,
    ]
    try:
        history = fit(
            model, objective, rows.train, checkpoint=folder / run_folder.CHECKPOINT, resume=resume, callbacks=watchers,
            **plan.fit | {"validation": 0.0 if rows.valid is None else rows.valid},
        )  # fmt: skip
    except InterruptedRun as stopped:
        raise InterruptedRun(f"{stopped}; the state is kept, {job.way(folder)}", stopped.exit_status) from None
    plan.name = plan.name or folder.resolve().name
    provenance = _provenance(plan, rows, parts["objective"], history, model, job.command)
    provenance["kept_epoch"] = start.kept_epoch
    fitted = Fitted(model, rows.train.modality, provenance)
    if rows.valid is not None:
        fitted.calibration = calibrated(fitted, drawn(rows.valid, MOST_ROWS), seed=plan.fit["seed"])
    fitted.save(folder / run_folder.MODEL)
    suit(model, plan.fit["threads"])  # which by now are a number, so that the same again has the same metrics
    try:
        findings, found = conclude(fitted, rows.test, plan.evaluate, folder, job.voice)
    except KeyboardInterrupt as stopped:
        status = getattr(stopped, "exit_status", 130)
        raise InterruptedRun(f"interrupted after training; the model is saved, {job.way(folder)}", status) from None
    if not job.keep_checkpoint:
        # Only now: until the report stood there, it was the way to go on.
        (folder / run_folder.CHECKPOINT).unlink(missing_ok=True)
    return Carried(fitted, rows, findings, found)


def conclude(
    fitted: Fitted,
    test: Encoded | OnDisk,
    how: dict[str, Any],
    folder: Path,
    voice: Voice,
    further: Callable[[Evaluation], Sequence[Section]] = lambda found: (),
) -> tuple[Findings, Evaluation]:
    """Evaluate a trained model and write metrics, pictures and report, with `further` sections, into the folder."""
    rows = drawn(test, how["rows"])
    sampled = f" with {how['samples']:,} samples each" if fitted.model.latent.encodes else ""
    voice.step(f"evaluating on {len(rows):,} rows{sampled}")
    found = evaluated(fitted, rows, how["samples"], seed=0)
    write_text(folder / run_folder.METRICS, metrics_text(found, rows))
    findings = gather(fitted, rows, found, versions())
    _write_pictures(findings, folder)
    more = [*further(found), *listened(fitted, rows), *by_row(found, labels_of(rows)), *by_column(fitted, rows)]
    write_report(findings, folder / run_folder.REPORT, more)
    return findings, found


class _Start(Quiet):
    """When training truly starts, and not before: take away what an earlier run left, and write down what this one does."""

    def __init__(
        self, plan: Plan, parts: dict[str, Spec], rows: Splits, folder: Path, resume: bool, voice: Voice
    ) -> None:
        self.plan, self.parts, self.rows, self.folder = plan, parts, rows, folder
        self.resume, self.voice = resume, voice
        self.kept_epoch: int | None = None  # the one whose weights the model ends with, where that is not the last

    def on_start(self, run: Run) -> None:
        self.plan.fit |= {"epochs": run.epochs, "precision": run.precision}
        self._note_threads(run)
        count, batch = run.batches.rows, self.plan.fit["batch"]
        if 0 < count < batch:
            self.voice.note(
                f"a batch of {batch:,} was asked for; the rows to train on are {count:,}: each step takes all"
            )
        if run.settings.patience and self.plan.fit["patience"] == "auto":
            waited = waited_for(int(run.settings.patience), run.batches.steps)
            self.voice.note(
                f"{count:,} rows are few: the weights that are best on the validation rows are kept, and training stops after "
                f"{waited:,} epochs without better ones (--patience 0: to the end)"
            )
        if run.model.latent.grouped and not run.model.context:
            self.voice.note(
                "nothing says which rows are of one style, so that none share a code of style: name their label as condition "
                "(--condition label)"
            )
        if self.plan.preset is not None and not self.resume:
            same = flags_of(self.plan.chosen, self._tree())
            self.voice.step(f"--preset {self.plan.preset} says the same on this machine as: {same}")
        if (sentence := saved(run)) is not None:
            self.voice.note(sentence)
        if self.resume:
            return
        run_folder.emptied(self.folder)
        self._write_config()

    def on_threads(self, run: Run) -> None:
        """The same again is the same change at the same step."""
        before, now = list(scheduled(run.threads).values())[-2:]
        self.voice.note(
            f"steps had become {SLOWER:g} times slower: from step {run.step:,} on {now} thread{'s' * (now != 1)}, where there "
            f"{'were' if before != 1 else 'was'} {before} (written into {run_folder.CONFIG}; --threads N: no change)"
        )
        self._note_threads(run)
        self._write_config()

    def _note_threads(self, run: Run) -> None:
        if run.threads:
            self.plan.fit["threads"] = checked(run.threads)

    def _write_config(self) -> None:
        head = "# Everything that this run was told. The same again: lambent train --config THIS-FILE --out ANOTHER-FOLDER\n"
        write_text(self.folder / run_folder.CONFIG, head + strict.dumped(self._tree()))

    def _tree(self) -> Tree:
        return self.plan.plain(self.rows.train.modality.spec(), self.parts)

    def on_end(self, run: Run) -> None:
        if run.kept is None:
            return
        self.kept_epoch = run.best_epoch
        ended = f", {run.epoch - run.best_epoch:,} epochs without better ones" if run.epoch < run.epochs else ""
        self.voice.step(f"kept: the weights of epoch {run.best_epoch}, best on the validation rows{ended}")


LINES = 50


class _Lines(Quiet):
    """A line for an epoch, where there is no terminal to draw a bar on: for every one, or of many for about fifty."""

    def __init__(self, voice: Voice) -> None:
        self.voice = voice

    def on_epoch(self, run: Run) -> None:
        if run.epoch not in (1, run.epochs) and run.epoch % max(1, run.epochs // LINES):
            return
        last = {name: values[-1] for name, values in run.history.items()}
        shown = {"loss": "loss", "elbo": "ELBO", "kl": "KL", "validation_elbo": "validation ELBO"} | CONTEST
        shown |= {} if run.bounded else {"validation_loss": "validation loss"}
        parts = [f"{title} {show(last[name])}" for name, title in shown.items() if last.get(name) is not None]
        self.voice.step(f"epoch {run.epoch}/{run.epochs}: {', '.join(parts)} ({show_seconds(last.get('seconds'))})")


def progress_of(voice: Voice) -> list[Callback]:
    """What tells a person how a training goes."""
    if voice.quiet:
        return []
    return [Progress()] if sys.stderr.isatty() else [_Lines(voice)]


def _trackers(track: str | None, folder: Path) -> list[Callback]:
    if track == "tensorboard":
        return [TensorBoard(folder / "tensorboard")]
    return [MLflow()] if track == "mlflow" else []


def _provenance(
    plan: Plan, rows: Splits, objective: Spec, history: History, model: LatentModel, command: str
) -> dict[str, Any]:
    """What the model file says about where it came from: enough to rebuild the report and to find its test rows again."""
    last = {
        name: next((v for v in reversed(history.get(name, [])) if v is not None), None)
        for name in ("step", "seconds", "skipped")
    }
    found = {
        "name": plan.name,
        "command": command,
        "created": run_folder.now(),
        "data": rows.train.source,
        "test": rows.test.source,
        "request": rows.request,
        "objective": objective,
        "fit": plan.fit,
        "evaluate": plan.evaluate,
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": last["step"],
        "seconds": last["seconds"],
        "skipped": int(last["skipped"] or 0),
        "history": history,
    }
    return {key: plain(value) for key, value in found.items()}


def _write_pictures(findings: Findings, folder: Path) -> None:
    shown = findings.pictures
    if shown is None:
        return
    pairs = None
    if shown.originals is not None and shown.reconstructions is not None:
        pairs = output.paired(shown.originals, shown.reconstructions)
    grids = {
        "reconstructions.png": pairs,
        "samples.png": None if shown.samples is None else output.sheet_of(shown.samples, 10),
        "interpolation.png": shown.interpolation,
        "traversals.png": shown.traversals,
    }
    for name, grid in grids.items():
        if grid is not None and len(grid):
            output.write_grid(folder / name, grid)
