"""fit: train a model on data by an objective."""

import dataclasses
import sys
from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import Any, Literal

from lambent.data.batches import InMemory, Transform
from lambent.data.conditions import Conditions
from lambent.errors import DataError, UsageError
from lambent.model import LatentModel, check
from lambent.objectives import Objective
from lambent.part import Spec
from lambent.training.alarm import Alarm
from lambent.training.callbacks import Callback, Progress
from lambent.training.checkpoint import Checkpoint, restore
from lambent.training.intake import check_rows, examples_of, taken
from lambent.training.loop import Loop
from lambent.training.measuring import left_open
from lambent.training.pace import watched
from lambent.training.precision import Precision, device_of, resolved
from lambent.training.rivalry import Watch
from lambent.training.room import Room
from lambent.training.run import History, Run
from lambent.training.saving import Told
from lambent.training.settings import Training
from lambent.training.stepping import refuse_parts
from lambent.training.threads import AUTO


def fit(
    model: LatentModel,
    objective: Objective | Spec | str,
    data: Any,
    *,
    epochs: int | None = None,
    batch: int = 128,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.0,
    schedule: Literal["constant", "linear", "cosine"] = "constant",
    warmup: float = 0.0,
    clip: float = 0.0,
    spike: float = 20.0,
    average: float = 0.999,
    validation: Any = 0.0,
    patience: int | Literal["auto"] = "auto",
    precision: Precision = "auto",
    accumulate: int = 1,
    recompute: bool = False,
    threads: int | str | None = None,
    device: str = "auto",
    seed: int = 0,
    steps: int | None = None,
    context: Any = None,
    transform: Transform | None = None,
    augment: Transform | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    progress: bool = False,
    callbacks: Sequence[Callback] = (),
) -> History:
    """Train `model` by `objective`; returns the history, a dict of lists with one entry per epoch.

    objective: a part, its name or its description.

    Of validation rows that a share names, nothing is learned: where `data` is a path or a name, its modality (scales,
    categories) is fitted to the other rows alone. With patience, the model ends with the weights of its best epoch on them.

    Args:
        data: rows [n, *event] as array or tensor (what fits in memory stays there as it came, bytes as bytes, on the
            device), an `Encoded` file or the path or catalog name of one, rows that stay on disk (`lambent.data.on_disk`,
            the same bits as from memory), or any iterable of batches [rows, *event] or (rows, context). The order of an
            iterable is its own business; a run over one is resumed exactly if it can repeat an epoch's order, and is helped
            to where it has `set_epoch` or a `generator` (see `Streaming`).
        {settings}
        context: [n, width], for a model with context.
        transform: a random view of each batch, drawn anew every time, in training and validation alike (binarization).
        augment: another before it, in training alone (mirror images).
        checkpoint: a file that holds the whole state, for resuming.
        resume: go on from `checkpoint` to the bit; data, parts, settings and views must be those that it was made with.
        progress: a progress bar on standard error.
        callbacks: objects that watch the training.

    Raises:
        UsageError: parts that cannot go together, settings out of range. DataError: rows outside the likelihood's support.
        DivergedError: the loss was not finite. InterruptedRun: Ctrl-C or SIGTERM, after the state was kept.
        ArtifactError: a checkpoint of another run. MachineError: no such device; no space.
    """
    given = locals()
    settings = {field.name: given[field.name] for field in dataclasses.fields(Training)}
    share = validation if isinstance(validation, Real) else 0.0
    run = prepared(
        model, objective, data, Training.of(**settings | {"validation": share}), validation, context, transform, augment
    )
    watchers = [
        *([Told(), Progress(), Watch(_said), Alarm(_said)] if progress else []),
        *([Checkpoint(checkpoint)] if checkpoint else []),
        *callbacks,
    ]
    if resume:
        if checkpoint is None:
            raise UsageError("to resume, name the checkpoint")
        restore(run, checkpoint)
    return Loop(run, watchers).train()


def _said(text: str) -> None:
    sys.stderr.write(f"{text}\n")


fit.__doc__ = (fit.__doc__ or "").replace("        {settings}", Training.described())


def prepared(
    model: LatentModel,
    objective: Objective | Spec | str,
    data: Any,
    settings: Training,
    validation: Any = 0.0,
    context: Any = None,
    transform: Transform | None = None,
    augment: Transform | None = None,
) -> Run:
    """A run at its start: data taken in and checked, model and objective set up and on the device. Errors as for `fit`."""
    objective = Objective.from_spec(objective)
    where = device_of(settings.device)
    options = left_open(settings, where)
    settings = settings.changed(precision=resolved(settings.precision, where))
    intake = taken(data, validation, settings, where, context, model.likelihood.encoding, objective.unlabelled)
    if intake.modality is not None:
        transform, augment = transform or intake.modality.transform, augment or intake.modality.augment
    batches, seed = intake.train, settings.seed
    if not objective.encodes and settings.patience not in ("auto", 0):
        name = type(objective).__name__
        raise UsageError(f"patience waits for a better validation loss, and {name} has none: leave it out, or 0")
    watched_by = objective.encodes and (intake.held_out is not None or bool(settings.validation))
    settings = settings.settled(batches.steps, batches.rows, watched_by)
    stored, met = examples_of(batches, transform, seed, model.likelihood.examples)
    if model.ready and tuple(stored.shape[1:]) != model.event_shape:
        raise DataError(
            f"this model was set up for rows of shape {list(model.event_shape)}; these have {list(stored.shape[1:])}"
        )
    room = Room.of(settings, objective, batches, intake.held_out is not None, where)
    room.set_up(model, tuple(stored.shape[1:]), met, seed)
    check(model, objective)
    refuse_parts(model, objective, settings.accumulate)
    if objective.needs_rows and not batches.rows:
        name = type(objective).__name__
        raise UsageError(f"{name} needs the number of rows, which a stream does not tell: give an array, or use DipVae")
    if context is not None and not model.context:
        raise UsageError("this model takes no context: build it with LatentModel(context=WIDTH), or leave context out")
    conditions = None if intake.modality is None else intake.modality.conditions
    if conditions and not model.context:
        raise UsageError(
            f"these rows are read to be conditioned on {', '.join(conditions.names)}, and this model takes no context: build it "
            f"with LatentModel(context={conditions.width}), or read them without condition"
        )
    white = model.white if intake.modality is None else intake.modality.white
    if white != model.white and model.likelihood.unit_bytes:
        raise UsageError(
            f"these pictures have levels up to {white:,}, and this model reads {model.white:,} as white: build it with "
            f"LatentModel(white={white})"
        )
    check_rows(model, intake, transform, seed)
    model.to(where)
    objective.meet(conditions or Conditions(), batches.context if isinstance(batches, InMemory) else None)
    objective.setup(model, seed)
    objective.to(where)
    run = Run(model, objective, batches, intake.held_out, settings, where, transform, augment)
    run.options, run.watched = options, watched(settings.threads, where)
    if where.type == "cpu" and settings.threads not in (None, AUTO):
        run.threads = str(settings.threads)
    return run
