"""Detectors for a verb: what a run knows of usual scores, learned from its own rows where its model file does not say."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lambent.cli.reading import larger
from lambent.cli.reading.sources import settled
from lambent.cli.reading.specs import completed
from lambent.cli.voice import Voice
from lambent.data import Encoded, Table
from lambent.data.loading import raw_rows
from lambent.data.splitting import split
from lambent.data.stored.ondisk import OnDisk
from lambent.errors import ArtifactError, DataError, UsageError
from lambent.fitted import Fitted, Rows
from lambent.part import Spec
from lambent.tasks.detection import Score
from lambent.tasks.detection.calibrated import fingerprints, learned

MOST_LEARNED = 100_000  # training rows that are read from disk to learn a score from
FEWEST = 10  # held-out rows from which scores are called usual
NONE_HELD_OUT = (
    "this run held out no rows that usual scores could be told by: name normal rows that it was not trained on with "
    "--reference FILE"
)


def scored_by(given: Any, fitted: Fitted) -> Spec | None:
    """The description of the score that was asked for; None where none was."""
    if given is None:
        return None
    known = Score.default(fitted).spec() if fitted.detection is None else fitted.detection.score
    return completed(Score, given, known, "score")


def given_score(given: Any) -> None:
    """Find mistakes in a score that is named before anything is computed."""
    if given is not None and (isinstance(given, str) or "type" in given):
        completed(Score, given, None, "score")


def enough(held_out: Encoded | OnDisk) -> None:
    """`UsageError` for held-out rows too few to compare with."""
    if len(held_out) < FEWEST:
        raise UsageError(
            f"{len(held_out):,} held-out row{' is' if len(held_out) == 1 else 's are'} too few to tell which scores are usual; "
            f"at least {FEWEST} are needed: give more rows, hold out a larger share (--data.test 0.2 is usual: {5 * FEWEST} rows "
            "do), or name normal rows of their own with --reference FILE"
        )


def calibrated(
    fitted: Fitted,
    training: Sequence[Encoded | OnDisk],
    held_out: Encoded | OnDisk,
    *,
    score: Spec | None,
    seed: int,
    clean: bool,
) -> Fitted:
    """The model as a detector: its score learned from rows that training saw, what is usual from held-out ones."""
    enough(held_out)
    some = [each if isinstance(each, Encoded) else larger.drawn(each, MOST_LEARNED) for each in training]
    seen = _joined([fitted.rows(each, seed) for each in some])
    fresh = _apart(fitted.rows(larger.in_memory(held_out), seed), seen)
    detection = learned(fitted, seen, fresh, score, seed, clean)
    return replace(fitted, detection=detection)


def _apart(held_out: Rows, seen: Rows) -> Rows:
    """The held-out rows without those that training saw, copies of which would make new rows look odd.

    New rows that are no copies either are exchangeable with the rest. Where too few are left, all of them.
    """
    fresh = ~torch.isin(fingerprints(held_out.x), fingerprints(seen.x))
    return held_out if fresh.all() or int(fresh.sum()) < FEWEST else held_out.at(fresh.nonzero().squeeze(1))


def _joined(parts: Sequence[Rows]) -> Rows:
    context = [each.context for each in parts if each.context is not None]
    return Rows(torch.cat([each.x for each in parts]), torch.cat(context) if context else None)


def of_run(
    fitted: Fitted, folder: Path, reference: str | None, *, score: Spec | None, seed: int, clean: bool, voice: Voice
) -> Fitted:
    """A run's model as a detector: as its file has it, else learned from its own rows, read again.

    reference: normal rows that say what is usual, in place of those that the run held out.
    Errors: `UsageError` for a run that held out none, where none are named either.
    """
    if fitted.modality is None:
        raise UsageError("the model file does not say how its data are read, so rows of a file cannot be brought to it")
    own = fitted.detection
    if own is not None and reference is None and score in (None, own.score):
        return fitted
    held_out = _reference(fitted, folder, reference, voice)
    training: list[Encoded | OnDisk]
    try:
        training = [larger.recorded(fitted.provenance, fitted.modality, "train", folder, voice)]
    except (ArtifactError, DataError) as error:
        if reference is None:
            raise
        voice.note(
            f"the rows that the run was trained on are not at hand ({error}): half of {reference} stands for them"
        )
        half, held_out = split(larger.in_memory(held_out), 0.5, seed)
        training = [half]
    clean = clean or reference is not None or bool(own and own.facts.get("clean"))
    voice.step(f"learning which scores are usual from {len(held_out):,} rows that nothing was learned from")
    return calibrated(fitted, training, held_out, score=score or (own.score if own else None), seed=seed, clean=clean)


def _reference(fitted: Fitted, folder: Path, reference: str | None, voice: Voice) -> Encoded | OnDisk:
    """Rows named for it, or those that the run held out."""
    if reference is not None:
        return larger.given(fitted.modality, reference, None, False, folder, voice)
    assert fitted.modality is not None
    found = larger.held_out(fitted.provenance, fitted.modality, folder, voice)
    if found is None:
        raise UsageError(NONE_HELD_OUT)
    return found


def reference_of(fitted: Fitted, folder: Path, reference: str | None, voice: Voice) -> Encoded:
    """What new rows are compared with as a whole: the rows named for it, or those that the run held out."""
    return larger.in_memory(_reference(fitted, folder, reference, voice))


def labels_of(encoded: Encoded, column: str, source: str, split: str) -> Any:
    """The values of a column of labels that lies beside the rows, one a row; `UsageError` where there is none of that name."""
    if isinstance(encoded.modality, Table):
        _refuse_learned(encoded.modality, column)
        opened = encoded.modality.open(raw_rows(settled(source), split).rows)
        if column in opened or column != "label" or encoded.labels is None:
            values = opened.values(column)  # which says what there is, where there is no such column
            return values if encoded.numbers is None else values[encoded.numbers]
    elif encoded.labels is None or column != "label":
        has = "their labels are called 'label'" if encoded.labels is not None else "and these have no labels"
        raise UsageError(f"--labels {column}: names a column of a table; {has}")
    names = encoded.label_names
    assert encoded.labels is not None
    return np.array([names[i] for i in encoded.labels.tolist()], object) if names else encoded.labels


def _refuse_learned(table: Table, column: str) -> None:
    if any(one.name == column and one.width for one in table.columns):
        raise UsageError(
            f"--labels {column}: the model was trained on that column, and would give away what it is to be judged by; train "
            f"without it: lambent detect DATA --labels {column}"
        )
    if column in table.condition:
        raise UsageError(f"--labels {column}: is what the model is conditioned on; it cannot be judged by it")
