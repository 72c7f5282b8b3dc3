"""Affording: how many epochs fit into so many minutes, by a trial of the very training on some of its rows."""

import time
from pathlib import Path
from typing import Any

from lambent.cli.reading.larger import drawn
from lambent.cli.reading.sources import Splits
from lambent.cli.voice import Voice
from lambent.model import LatentModel
from lambent.objectives import Objective
from lambent.part import Spec
from lambent.report.numerals import show_seconds
from lambent.training.callbacks import Quiet
from lambent.training.fitting import fit
from lambent.training.run import Run

PASSES = 8  # over the rows of a trial: what changes over a training, such as when a rival begins, changes in it too
BATCHES = 4  # of the first trial
LONG = 3.0  # seconds of a trial that is believed
MORE = 8  # times as many batches in the next
LEAST_SHARE = 0.05  # of the minutes that a trial may take
WATCHED = 1 / 3  # of a step's time that as many rows take to be validated on


def affordable(
    spec: Spec, objective: Spec, rows: Splits, settings: dict[str, Any], minutes: float, voice: Voice
) -> int:
    """The epochs that a training of these parts makes in so many minutes on this machine, at least one."""
    batch, valid = settings["batch"], 0 if rows.valid is None else len(rows.valid)
    steps = max(1, len(rows.train) // batch)
    batches, allowed = BATCHES, minutes * 60 * LEAST_SHARE
    step, spent = _trial(spec, objective, rows, settings, batches)
    while spent < min(LONG, allowed) and batches < steps:
        batches = min(steps, batches * MORE)
        step, spent = _trial(spec, objective, rows, settings, batches)
    epoch = step * (steps + WATCHED * valid / batch)
    epochs = max(1, int(minutes * 60 / epoch))
    voice.step(
        f"--minutes {minutes:g}: {epochs:,} epochs, of {show_seconds(epoch)} each by a trial of {batches:,} steps"
    )
    if epoch > minutes * 60:
        voice.note("one epoch takes longer than that: take fewer rows with --limit, or a smaller network")
    return epochs


class _Clock(Quiet):
    """When each epoch ended; what its steps told has been fetched by then, from a GPU too."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_epoch(self, run: Run) -> None:
        self.ends.append(time.perf_counter())
        self.steps = run.batches.steps


def _trial(spec: Spec, objective: Spec, rows: Splits, settings: dict[str, Any], batches: int) -> tuple[float, float]:
    """Seconds of a step, and of all that were counted: without the first epoch, which makes kernels and threads."""
    few, clock = drawn(rows.train, batches * settings["batch"]), _Clock()
    own = settings | {"epochs": PASSES, "validation": 0.0, "patience": 0}
    fit(LatentModel.from_spec(unlearned(spec)), Objective.from_spec(objective), few, callbacks=[clock], **own)
    spent = clock.ends[-1] - clock.ends[0]
    return spent / (clock.steps * (len(clock.ends) - 1)), spent


def unlearned(spec: Spec) -> Spec:
    """A model whose steps cost the same, but which leaves no file of features that its few rows have taught."""
    likelihood = spec["likelihood"]
    file = likelihood.get("features")
    if not file or Path(file).exists():
        return spec
    return spec | {"likelihood": likelihood | {"features": "", "steps": 0}}
