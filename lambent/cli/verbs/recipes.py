"""Recipes of a comparison: the whole configuration of each model, and the rows without the class that is left out."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from lambent.cli.reading import larger
from lambent.cli.reading.plan import Plan
from lambent.cli.reading.sources import Splits
from lambent.cli.reading.trees import Tree
from lambent.cli.verbs.assembling import assembled
from lambent.cli.voice import Voice
from lambent.data import Image
from lambent.disk.whole import write_bytes
from lambent.errors import UsageError, nearest
from lambent.model import check
from lambent.model.latents import Latent
from lambent.objectives import Objective
from lambent.tasks.by_row import labels_of
from lambent.training.settings import usual_epochs


def recipe(plan: Plan, rows: Splits, epochs: int | None) -> Tree:
    """The whole configuration, with parts that can be trained together; `UsageError` says why they cannot."""
    plan.rows, plan.fit["validation"] = dict(rows.request), rows.validation
    modality = rows.train.modality
    model, parts = assembled(plan, modality, Voice(quiet=True))
    check(model, Objective.from_spec(parts["objective"]))
    plan.fit["epochs"] = epochs
    return plan.plain(modality.spec(), parts)


def encodes(recipe: Tree) -> bool:
    """Whether the model of a recipe has an encoder."""
    return bool(Latent.from_spec(recipe["latent"]).encodes)


def usual(plan: Plan, rows: Splits) -> int:
    """As many epochs as a training takes that is not told."""
    return usual_epochs(max(1, len(rows.train) // int(plan.fit["batch"])))


def without(rows: Splits, odd: str, path: Path) -> Tree:
    """The rows without one class as a file, whose test rows have it still; what of `data` reads it."""
    train, test = (larger.in_memory(part) for part in (rows.train, rows.test))
    parts = [train, *([] if rows.valid is None else [larger.in_memory(rows.valid)])]
    names = labels_of(test)
    if names is None or any(part.labels is None for part in parts):
        raise UsageError(f"--odd {odd}: leaves a class out, and these data have no labels")
    if odd not in names:
        raise UsageError(f"--odd {odd}: no label of the test rows; {nearest(str(odd), set(names))}")
    if not isinstance(train.modality, Image):
        raise UsageError("--odd: leaves a class of pictures out, and these rows are none: leave it out of the command")
    kept = [np.array([name != odd for name in labels_of(part) or ()]) for part in parts]
    pictures = [np.asarray(train.modality.pictures(part.x))[keep] for part, keep in zip(parts, kept, strict=True)]
    labels = [np.asarray(part.labels)[keep] for part, keep in zip(parts, kept, strict=True)]
    arrays = {
        "train_images": np.concatenate(pictures), "train_labels": np.concatenate(labels),
        "test_images": np.asarray(train.modality.pictures(test.x)),
        "test_labels": np.array([name == odd for name in names], np.int64),
    }  # fmt: skip
    write_npz(path, arrays)
    return {"source": str((path).resolve()), "split": "train", "test": "test", "limit": None}


def write_npz(path: Path, arrays: dict[str, Any]) -> Path:
    """Arrays as one file, whole or not at all."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return write_bytes(path, stream.getvalue())
