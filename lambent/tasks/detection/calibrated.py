"""Calibrated: what scores of rows are usual, learned from training rows and from held-out ones; and scores beside these."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lambent.detection import Detection
from lambent.errors import DataError, UsageError
from lambent.fitted import Fitted, Rows
from lambent.metrics.conformal import p_values
from lambent.model.noise import are_among, row_keys
from lambent.part import Spec
from lambent.tasks.detection.reasons import usual_costs
from lambent.tasks.detection.scores import Score

BEYOND = 1e300  # the score of a row so far out that its own has no place among numbers
FEW = 10_000  # training rows that tell how two read-outs compare, where no others do
TOGETHER = 4096  # rows whose fingerprints are computed together
SPREAD = 0.9  # the quantile that, beside the median, says how wide scores lie


@dataclass(frozen=True)
class Scored:
    """scores [rows], float64, higher = odder; p [rows], or None where no rows were held out; known: which were trained on."""

    scores: NDArray[np.float64]
    p: NDArray[np.float64] | None
    known: NDArray[np.bool_]


def learned(
    fitted: Fitted,
    training: Rows,
    held_out: Rows | None,
    score: Score | Spec | str | None = None,
    seed: int = 0,
    clean: bool = False,
) -> Detection:
    """What a detector keeps: the score with what it needs to know of the training rows, and the scores of both sets of rows.

    training: rows that the model was fitted to; held_out: normal rows of which nothing was learned, or None: then there are no
    p-values. score: a part, its name or its description; None: the default for such a model. clean: whether the training rows
    were said to hold no anomalies. If not, what compares new rows with the training rows compares them with odd ones, too: then
    all rows are read out as training rows are, which heeds that some are odd.
    Errors: `UsageError` for a score that the model cannot give, `DataError` for rows whose score is not a number.
    """
    return learned_with_scores(fitted, training, held_out, score, seed, clean)[0]


def learned_with_scores(
    fitted: Fitted,
    training: Rows,
    held_out: Rows | None,
    score: Score | Spec | str | None = None,
    seed: int = 0,
    clean: bool = False,
) -> tuple[Detection, Tensor, Tensor]:
    """The same, and the scores of training and of held-out rows in their own order, on one scale, as `scored_rows` gives them."""
    chosen = Score.default(fitted) if score is None else Score.from_spec(score)
    chosen = Score.from_spec(chosen.spec())  # a copy: what it keeps belongs to this model
    chosen.refuse(fitted)
    chosen.learn(fitted, training)
    apart = clean and type(chosen).seen is not Score.seen
    read = chosen if clean else chosen.seen  # one read-out for all rows, where any may be odd
    empty = torch.empty(0, dtype=torch.float64)
    usual = _finite(chosen.seen(fitted, training))
    fresh = empty if held_out is None else _finite(read(fitted, held_out))
    beside = empty if held_out is None or not apart else _finite(chosen.seen(fitted, held_out))
    slope, offset = 1.0, 0.0
    if apart and len(fresh):
        slope, offset = scale_between(beside, fresh)
    elif apart:  # no other rows are at hand
        some = training if len(training) <= FEW else training.at(torch.arange(FEW))
        slope, offset = scale_between(usual[:FEW], _finite(chosen(fitted, some)))
    facts: dict[str, Any] = {
        "training": len(training),
        "held_out": len(fresh),
        "clean": clean,
        "seed": seed,
        "scale": [slope, offset],
    }
    with suppress(UsageError):  # of a model that can give no reasons
        facts["usual"] = usual_costs(fitted, training if held_out is None else held_out)
    detection = Detection(
        chosen.spec(),
        {name: tensor.detach().cpu() for name, tensor in chosen.kept.items()},
        fresh.sort().values,
        usual.sort().values,
        facts,
        beside.sort().values,
        fingerprints(training.x).unique(),
    )
    return detection, slope * usual + offset, fresh


def scored_rows(fitted: Fitted, rows: Rows) -> Scored:
    """Scores and p-values of rows, each of the row's content alone: the same bits beside whatever others and in any order.

    After clean training, rows that were trained on are read out as such, where the score has a read-out of its own for them,
    compared with the same read-out of the held-out rows, and brought to the scale of the others.
    Errors: `UsageError` for a model without a detector, `DataError` for rows whose score is not a number.
    """
    detection, score = detector_of(fitted)
    known = are_among(fingerprints(rows.x), detection.known)
    clean = bool(detection.facts.get("clean"))
    apart = known if clean and type(score).seen is not Score.seen else torch.zeros_like(known)
    read = score if clean else score.seen
    scores = torch.empty(len(rows), dtype=torch.float64)
    fresh, seen = (~apart).nonzero().squeeze(1), apart.nonzero().squeeze(1)
    if len(fresh):
        scores[fresh] = _finite(read(fitted, _at(rows, fresh)), fresh)
    if len(seen):
        scores[seen] = _finite(score.seen(fitted, _at(rows, seen)), seen)
    p = None
    if len(detection.held_out):
        p = p_values(detection.held_out.numpy(), scores.numpy())
        if len(seen):
            p[seen.numpy()] = p_values(detection.held_out_seen.numpy(), scores[seen].numpy())
    slope, offset = detection.facts.get("scale", (1.0, 0.0))
    scores[seen] = slope * scores[seen] + offset
    return Scored(scores.numpy(), p, known.numpy())


def scale_between(seen: Tensor, fresh: Tensor) -> tuple[float, float]:
    """(slope, offset) that bring scores as of training rows to the scale of others, from both read-outs of the same rows.

    So that the medians agree, and the 90 % quantiles.
    """
    (middle, high), (theirs, beyond) = (np.quantile(each.numpy(), (0.5, SPREAD)) for each in (seen, fresh))
    slope = float((beyond - theirs) / (high - middle)) if high > middle and beyond > theirs else 1.0
    return slope, float(theirs - slope * middle)


def fingerprints(x: Tensor) -> Tensor:
    """64 bits of what each row holds, [rows] int64: equal rows have equal ones."""
    return torch.cat([row_keys(some.cpu(), 0) for some in x.split(TOGETHER)])


def detector_of(fitted: Fitted) -> tuple[Detection, Score]:
    """What the model keeps of a detector, and its score; `UsageError` where there is none."""
    if fitted.detection is None:
        raise UsageError(
            "this model is no detector: it knows no scores of held-out rows to compare with. Train one with "
            "lambent.Detector, or lambent detect DATA"
        )
    score = Score.from_spec(fitted.detection.score)
    score.kept = dict(fitted.detection.kept)
    return fitted.detection, score


def _at(rows: Rows, index: Tensor) -> Rows:
    """All of the rows as they are, or some of them."""
    return rows if len(index) == len(rows) else rows.at(index)


def _finite(scores: Tensor, index: Tensor | None = None) -> Tensor:
    """Scores as float64; what lies beyond all numbers is odder than anything, and what is no number is refused."""
    scores = scores.detach().double().cpu().clamp_max(BEYOND)
    bad = (~torch.isfinite(scores)).nonzero().squeeze(1)
    if len(bad):
        row = int(bad[0] if index is None else index[bad[0]])
        raise DataError(f"the score of row {row} is {float(scores[bad[0]])}: the model does not tell how odd it is")
    return scores
