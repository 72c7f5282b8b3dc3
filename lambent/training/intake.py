"""Intake: whatever a user hands to `fit` → batches to train on, rows to validate on, and what reads them."""

from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lambent.data.batches import Batches, InMemory, Streaming, Transform, as_tensor
from lambent.data.kinds.modality import Encoded, Modality
from lambent.data.loading import encode_like, load, load_parted, suggested
from lambent.data.notices import warned
from lambent.data.splitting import cut, numbers
from lambent.data.stored.from_disk import FromDisk
from lambent.data.stored.ondisk import OnDisk
from lambent.data.stored.uncut import crops_of
from lambent.errors import DataError, UsageError
from lambent.model import LatentModel
from lambent.model.model import EXAMPLES
from lambent.seeds import stream
from lambent.training.settings import Training
from lambent.training.views import described


@dataclass(frozen=True)
class Intake:
    """train, held_out: to train and to validate on; modality: what read them, if known; whole: rows that a share was cut off."""

    train: Batches
    held_out: Batches | None
    modality: Modality | None = None
    whole: Tensor | OnDisk | None = None


def taken(
    data: Any,
    validation: Any,
    settings: Training,
    device: torch.device,
    context: Any = None,
    encoding: str | None = None,
    gaps: bool = False,
) -> Intake:
    """The batches that `data` gives, and the rows that `validation` names or that a share of `data` is held out for.

    The modality of a path or a name is fitted without having seen the share, and with the encoding of columns that
    suits the likelihood. gaps: whether levels of what conditions may be missing. Errors as for `fit`.
    """
    if isinstance(data, (str, Path)):
        suited = None if encoding is None else suggested(data).suited(encoding)
        if settings.validation:
            share = settings.validation, stream(settings.seed, "validation share")
            data, validation = load_parted(data, *share, modality=suited)
        else:
            data = load(data, modality=suited)
        warned(data.source)
    if isinstance(data, Encoded) and data.uncut is not None:
        context = data.conditioned(gaps) if context is None else context
        data = crops_of(data.modality, data.uncut, data.source)
    if isinstance(data, OnDisk):
        return _stored(data, validation, settings, device, context, gaps)
    modality, own = None, None
    if isinstance(data, Encoded):
        own = numbers(data.source.get("part"))
        context = data.conditioned(gaps) if context is None else context
        modality, data = data.modality, data.x
    if not (isinstance(data, Tensor) or hasattr(data, "__array__") or hasattr(data, "dtype")):
        return Intake(*_streamed(data, validation, settings, device, context, gaps))
    x = as_tensor(data)
    if x.dim() < 2 or len(x) == 0:
        raise DataError(f"rows must be an array [rows, …] with at least one row; this one has shape {list(x.shape)}")
    given = _context(context, len(x))
    if not isinstance(validation, Real) or not settings.validation or len(x) == 1:
        count = None if own is None or len(own) != len(x) else torch.from_numpy(own)
        train = InMemory(x, settings.batch, settings.seed, device, given, count)
        return Intake(train, _held_out(validation, modality, settings, device, gaps), modality)
    ordered = 0 if modality is None else modality.ordered
    sides = cut(len(x), settings.validation, stream(settings.seed, "validation share"), ordered)
    kept, out = (torch.from_numpy(side.index) for side in sides)
    parts = [
        InMemory(_at(x, index), batch, settings.seed, device, None if given is None else given[index], index)
        for index, batch in ((kept, settings.batch), (out, 4 * settings.batch))
    ]
    return Intake(parts[0], parts[1], modality, x)


def _at(x: Tensor, index: Tensor) -> Tensor:
    """Some of the rows; a run of them shares their memory."""
    first, last = int(index[0]), int(index[-1])
    return x[first : last + 1] if last - first + 1 == len(index) else x[index]


def _stored(
    data: OnDisk, validation: Any, settings: Training, device: torch.device, context: Any, gaps: bool
) -> Intake:
    if not gaps:
        _refuse_gaps(data)
    given, modality = _context(context, len(data)), data.modality
    if not isinstance(validation, Real) or not settings.validation or len(data) == 1:
        own = None if data.index is None else torch.from_numpy(data.index)
        train = FromDisk(data, settings.batch, settings.seed, device, given, own)
        return Intake(train, _held_out(validation, modality, settings, device, gaps), modality)
    parts = []
    sides = cut(len(data), settings.validation, stream(settings.seed, "validation share"))
    for side, batch, fixed in zip(sides, (settings.batch, 4 * settings.batch), (False, True), strict=True):
        index = torch.from_numpy(side.index)
        part = None if given is None else given[index]
        parts.append(FromDisk(data.view(side.index), batch, settings.seed, device, part, index, fixed))
    return Intake(parts[0], parts[1], modality, data)


def _streamed(
    source: Any, validation: Any, settings: Training, device: torch.device, context: Any, gaps: bool
) -> tuple[Batches, Batches | None]:
    if settings.validation:
        raise UsageError("a share cannot be held out of an iterable: give validation rows of their own")
    if context is not None:
        raise UsageError("context=… goes with an array of rows: let the iterable give pairs of rows and their context")
    if not hasattr(source, "__iter__"):
        raise DataError(
            f"a {type(source).__name__} holds no rows: give an array [rows, …], a path, or an iterable of batches"
        )
    batches = Streaming(source, settings.steps, device, settings.seed)
    return batches, _held_out(validation, None, settings, device, gaps)


def _context(context: Any, rows: int) -> Tensor | None:
    if context is None:
        return None
    given = as_tensor(context)
    if len(given) != rows:
        raise DataError(f"{len(given)} rows of context were given for {rows} rows")
    if not bool(torch.isfinite(given).all()):
        row = int((~torch.isfinite(given)).nonzero()[0, 0])
        raise DataError(f"row {row} of the context holds a number that is not finite")
    return given


def _refuse_gaps(data: OnDisk) -> None:
    """Refuse rows on disk of which a level is missing (`DataError`), without holding all of their context in memory."""
    for start in range(0, len(data) if data.modality.conditions else 0, EXAMPLES):
        context = data.context(np.arange(start, min(start + EXAMPLES, len(data))))
        if context is not None:
            data.modality.conditions.without_gaps(context, start)


def _held_out(
    validation: Any, modality: Modality | None, settings: Training, device: torch.device, gaps: bool
) -> Batches | None:
    if isinstance(validation, Real):
        return None
    rows, context = validation if isinstance(validation, tuple) else (validation, None)
    if isinstance(rows, (str, Path)):
        rows = _read_alike(rows, modality)
    if isinstance(rows, OnDisk):
        if not gaps:
            _refuse_gaps(rows)
        given = _context(context, len(rows))
        return FromDisk(rows, 4 * settings.batch, settings.seed, device, given, fixed=True)
    if isinstance(rows, Encoded):
        context = rows.conditioned(gaps) if context is None else context
        rows = rows.x
    x = as_tensor(rows)
    if x.dim() < 2 or len(x) == 0:
        raise DataError(
            f"validation rows must be an array [rows, …] with at least one row, not of shape {list(x.shape)}"
        )
    return InMemory(x, 4 * settings.batch, settings.seed, device, _context(context, len(x)))


def _read_alike(source: str | Path, modality: Modality | None) -> Encoded:
    """Rows of a path or a name, as those to train on were read; where that is not known, only bytes, which no scale changes."""
    if modality is not None:
        return encode_like(modality, source)
    encoded = load(source)
    if not encoded.modality.of_bytes:
        raise UsageError(
            f"validation={str(source)!r} would be scaled by itself, and not as the rows to train on: name their source, too, "
            "or give validation rows as an array"
        )
    return encoded


def examples_of(
    batches: Batches, transform: Transform | None, seed: int, count: int = EXAMPLES
) -> tuple[Tensor, Tensor]:
    """A few rows: as they are stored, and as the model will meet them."""
    stored = batches.examples(count)
    return stored, _viewed(stored, transform, seed)


def _viewed(rows: Tensor, transform: Transform | None, seed: int) -> Tensor:
    generator = torch.Generator(rows.device).manual_seed(stream(seed, "views of examples"))
    return rows if transform is None else transform(rows.clone(), generator)  # some transforms work in place


def check_rows(model: LatentModel, intake: Intake, transform: Transform | None, seed: int) -> None:
    """Refuse rows outside the likelihood's support before the first step; of a stream, its first batch."""
    for batches in (intake.train, intake.held_out):
        if batches is None:
            continue
        rows: Tensor | OnDisk = batches.examples(EXAMPLES)
        if isinstance(batches, InMemory):
            rows = batches.x
        elif isinstance(batches, FromDisk):
            rows = batches.data
        if tuple(rows.shape[1:]) != model.event_shape:
            raise DataError(
                f"validation rows have shape {list(rows.shape[1:])}, those to train on {list(model.event_shape)}"
            )
        if intake.whole is None:
            _check(model, rows, transform, seed)
        if model.context and isinstance(batches, InMemory):
            model._given(batches.context, batches.rows)
        if model.context and isinstance(batches, FromDisk):
            one = batches.context_of(np.arange(1))  # which stands for all: those of the others have its shape
            model._given(None if one is None else one.expand(batches.rows, -1), batches.rows)
    if intake.whole is not None:  # the whole, so that a refusal names the row by its number in the data
        _check(model, intake.whole, transform, seed)


def _check(model: LatentModel, rows: Tensor | OnDisk, transform: Transform | None, seed: int) -> None:
    def check(these: Any, device: torch.device) -> str:
        generator = torch.Generator(device).manual_seed(stream(seed, "views of examples"))
        model.likelihood.check(these, transform, generator)
        return "held"

    if isinstance(rows, Tensor):
        check(rows, rows.device)
    elif rows.store.digest is not None:
        # Pictures are bytes, or bits by the making of their modality: to decode them all would tell no more.
        some = np.linspace(0, len(rows) - 1, min(EXAMPLES, len(rows))).astype(np.int64)
        check(rows.read(some), torch.device("cpu"))
    else:
        question = f"support of {model.likelihood!r} for {described(transform)}"
        rows.known(question, lambda: check(rows, torch.device("cpu")))
