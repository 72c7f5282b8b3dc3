"""fit: train a model on data by an objective."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from lambent.data.batches import Batches, InMemory, Streaming, Transform, as_tensor
from lambent.data.kinds.modality import Encoded
from lambent.data.loading import load
from lambent.errors import DataError, UsageError
from lambent.model import LatentModel, check
from lambent.objectives import Objective
from lambent.seeds import mixed_seed
from lambent.training.callbacks import Callback, Progress
from lambent.training.checkpoint import Checkpoint, restore
from lambent.training.loop import History, Loop
from lambent.training.precision import Precision, device_of, resolved


def fit(
    model: LatentModel,
    objective: Objective,
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
    patience: int = 0,
    precision: Precision = "auto",
    device: str = "auto",
    seed: int = 0,
    context: Any = None,
    transform: Transform | None = None,
    augment: Transform | None = None,
    steps: int | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    progress: bool = False,
    callbacks: Sequence[Callback] = (),
) -> History:
    """Train `model` by `objective`; returns the history, a dict of lists with one entry per epoch.

    Args:
        data: rows [n, *event] as array or tensor (what fits in memory stays there as it came, bytes as bytes, on the
            device), an `Encoded` file or the path or catalog name of one, or any iterable of batches [rows, *event] or
            (rows, context).
        epochs: passes over the data; none: as many as make 10,000 steps, between 10 and 300.
        batch: rows in each step.
        learning_rate: of AdamW, at its highest.
        weight_decay: of AdamW.
        schedule: of the learning rate after the warm-up.
        warmup: share of all steps over which the learning rate rises to its highest.
        clip: the largest norm of the gradient; 0 for no limit.
        spike: a step whose loss lies this many standard deviations above the last epoch's mean is skipped, and counted;
            0 to skip none.
        average: decay per step of the exponential average of the weights, which evaluation uses; 0 for none.
        validation: a share of the rows to hold out, or rows to validate on, as in `data`.
        patience: epochs without a better validation loss after which training stops, keeping the best weights; 0 to go on.
        precision: fp32; bf16 for matrix products in bfloat16; auto takes the latter where the processor has units for it.
        device: cpu, cuda, mps; auto takes a GPU where there is one.
        seed: of weights, order and noise. The same seed gives the same bits on the same machine.
        context: [n, width], for a model with context.
        transform: a random view of each batch, drawn anew every time, in training and validation alike (binarization).
        augment: another before it, in training alone (mirror images).
        steps: batches in one epoch of an iterable that does not tell its length.
        checkpoint: a file that holds the whole state, for resuming.
        resume: go on from `checkpoint` to the bit.
        progress: a progress bar on standard error.
        callbacks: objects that watch the training.

    Raises:
        UsageError: parts that cannot go together, settings out of range. DataError: rows outside the likelihood's support.
        DivergedError: the loss was not finite. InterruptedRun: Ctrl-C or SIGTERM, after the state was kept.
        ArtifactError: a checkpoint of another run. MachineError: no such device; no space.
    """
    _check_settings(locals())
    where = device_of(device)
    arithmetic = resolved(precision, where)
    if isinstance(data, (str, Path)):
        data = load(data)
    if isinstance(data, Encoded):
        transform, augment = transform or data.modality.transform, augment or data.modality.augment
        context = data.context if context is None else context
        data = data.x
    if _is_array(data):
        data = as_tensor(data)
    batches, held_out = _batches(data, validation, batch, seed, where, context, steps)
    epochs = epochs or usual_epochs(batches.steps)
    examples = batches.examples(1000)
    if not model.ready:
        model.setup(tuple(examples.shape[1:]), _seen(examples, transform, seed), seed)
    elif tuple(examples.shape[1:]) != model.event_shape:
        raise DataError(
            f"this model was set up for rows of shape {list(model.event_shape)}; these have {list(examples.shape[1:])}"
        )
    check(model, objective)
    if objective.needs_rows and not batches.rows:
        name = type(objective).__name__
        raise UsageError(f"{name} needs the number of rows, which a stream does not tell: give an array, or use DipVae")
    if context is not None and not model.context:
        raise UsageError("this model takes no context: build it with LatentModel(context=WIDTH), or leave context out")
    _check_rows(model, data, batches, held_out, transform, seed)
    model.to(where)
    objective.setup(model, seed)
    objective.to(where)
    watchers = [*([Progress()] if progress else []), *([Checkpoint(checkpoint)] if checkpoint else []), *callbacks]
    loop = Loop(
        model, objective, batches, held_out, epochs, learning_rate, weight_decay, schedule, warmup, clip, spike, average,
        patience, arithmetic, where, seed, transform, augment, watchers,
    )  # fmt: skip
    if resume:
        if checkpoint is None:
            raise UsageError("to resume, name the checkpoint")
        restore(loop, checkpoint)
    return loop.run()


def usual_epochs(steps: int) -> int:
    """As many epochs of so many steps as make 10,000, between 10 and 300."""
    return min(300, max(10, -(-10_000 // steps)))


def _batches(
    data: Any, validation: Any, batch: int, seed: int, device: torch.device, context: Any, steps: int | None
) -> tuple[Batches, Batches | None]:
    if not _is_array(data):
        if isinstance(validation, float) and validation:
            raise UsageError("a share cannot be held out of an iterable: give validation rows of their own")
        if context is not None:
            raise UsageError(
                "context=… goes with an array of rows: let the iterable give pairs of rows and their context"
            )
        return Streaming(data, steps, device), _held_out(validation, batch, seed, device)
    x: Tensor = data
    if x.dim() < 2 or len(x) == 0:
        raise DataError(f"rows must be an array [rows, …] with at least one row; this one has shape {list(x.shape)}")
    given = None if context is None else as_tensor(context)
    if given is not None and len(given) != len(x):
        raise DataError(f"{len(given)} rows of context were given for {len(x)} rows")
    if given is not None and not bool(torch.isfinite(given).all()):
        row = int((~torch.isfinite(given)).nonzero()[0, 0])
        raise DataError(f"row {row} of the context holds a number that is not finite")
    if not isinstance(validation, (int, float)):
        return InMemory(x, batch, seed, device, given), _held_out(validation, batch, seed, device)
    count = max(1, int(len(x) * validation)) if validation else 0
    if not count or len(x) == 1:
        return InMemory(x, batch, seed, device, given), None
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(mixed_seed(seed, 0x59117)))
    kept, out = order[count:].sort().values, order[:count].sort().values
    train = InMemory(x[kept], batch, seed, device, None if given is None else given[kept], kept)
    return train, InMemory(x[out], 4 * batch, seed, device, None if given is None else given[out], out)


def _is_array(data: Any) -> bool:
    return isinstance(data, Tensor) or hasattr(data, "__array__") or hasattr(data, "dtype")


def _held_out(validation: Any, batch: int, seed: int, device: torch.device) -> Batches | None:
    if isinstance(validation, (int, float)):
        return None
    rows, context = validation if isinstance(validation, tuple) else (validation, None)
    if isinstance(rows, Encoded):
        context = rows.context if context is None else context
        rows = rows.x
    x = as_tensor(rows)
    if x.dim() < 2 or len(x) == 0:
        raise DataError(
            f"validation rows must be an array [rows, …] with at least one row, not of shape {list(x.shape)}"
        )
    return InMemory(x, 4 * batch, seed, device, None if context is None else as_tensor(context))


def _seen(examples: Tensor, transform: Transform | None, seed: int) -> Tensor:
    """Examples as the model will meet them."""
    generator = torch.Generator(examples.device).manual_seed(mixed_seed(seed, 0x5EE))
    return examples if transform is None else transform(examples.clone(), generator)  # some transforms work in place


def _check_rows(
    model: LatentModel,
    data: Any,
    train: Batches,
    held_out: Batches | None,
    transform: Transform | None,
    seed: int,
) -> None:
    """Refuse rows outside the likelihood's support before the first step; of a stream, its first batch."""
    for batches in (train, held_out):
        if batches is not None:
            # Of a share the whole is checked, so that a refusal names the row by its number in the data.
            shared = isinstance(batches, InMemory) and batches.numbers is not None
            rows = data if shared else batches.x if isinstance(batches, InMemory) else batches.examples(1000)
            if tuple(rows.shape[1:]) != model.event_shape:
                raise DataError(
                    f"validation rows have shape {list(rows.shape[1:])}, those to train on {list(model.event_shape)}"
                )
            if batches is train or not shared:
                generator = torch.Generator(rows.device).manual_seed(mixed_seed(seed, 0x5EE))
                model.likelihood.check(rows, transform, generator)
            if model.context and isinstance(batches, InMemory):
                model._given(batches.context, batches.rows)


RANGES: dict[str, tuple[float, float]] = {
    "epochs": (1, 10**7), "batch": (1, 10**7), "learning_rate": (0, 100), "weight_decay": (0, 100), "warmup": (0, 1),
    "clip": (0, float("inf")), "spike": (0, float("inf")), "average": (0, 0.999999), "patience": (0, 10**9),
    "seed": (0, 2**63 - 1),
}  # fmt: skip


def _check_settings(given: dict[str, Any]) -> None:
    for name, (low, high) in RANGES.items():
        value = given[name]
        if name == "epochs" and value is None:
            continue
        whole = name in ("epochs", "batch", "patience", "seed")
        kind = int if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
            raise UsageError(f"{name} must be a {'whole ' if whole else ''}number in {low:,} … {high:,}, not {value!r}")
    if given["schedule"] not in ("constant", "linear", "cosine"):
        raise UsageError(f"no schedule is called {given['schedule']!r}: constant, linear or cosine")
    if given["patience"] and isinstance(given["validation"], (int, float)) and not given["validation"]:
        raise UsageError("patience waits for a better validation loss: give validation=0.1 or rows, or patience=0")
    steps = given["steps"]
    if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 1):
        raise UsageError(f"steps must be a whole number from 1 up, not {steps!r}")
    share = given["validation"]
    if isinstance(share, (int, float)) and not 0 <= share < 1:
        raise UsageError(f"validation must be a share in 0 … 1 (1 excluded) or rows, not {share!r}")
