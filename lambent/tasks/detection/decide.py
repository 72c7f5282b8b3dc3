"""Decide: which scores are odd enough, by four rules, each with what it promises. Higher scores are odder."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.detection import Detection
from lambent.errors import UsageError
from lambent.metrics.conformal import benjamini_hochberg, within
from lambent.tasks.detection.cases import Judged, judged_by_cases
from lambent.tasks.detection.tails import Tail, tail_of

Array = NDArray[Any]
FDR = 0.1  # unless told
CONTAMINATION = 0.1  # unless told, of rows that may hold anomalies, where no error can be promised


@dataclass(frozen=True)
class Decision:
    """flagged [rows]; threshold: the score above which they are (None: none is); rule: its name and number.

    promise: what can be promised and under what, and what cannot, in sentences. facts: numbers behind it, plain JSON.
    """

    flagged: NDArray[np.bool_]
    threshold: float | None
    rule: dict[str, Any]
    promise: str
    facts: dict[str, Any] = field(default_factory=dict)


def by_fdr(
    scores: Array, p: Array | None, held_out: int, fdr: float = FDR, clean: bool = True, trained: int = 0
) -> Decision:
    """Benjamini and Hochberg's procedure on the p-values of all rows together, at the false discovery rate `fdr`.

    clean: whether the held-out rows are known to be normal. trained: how many of the rows the model was trained on.
    """
    within(fdr, "fdr")
    flagged = benjamini_hochberg(_calibrated(p, "fdr"), fdr)
    none = "" if flagged.any() else "No row is flagged. "
    promise = (
        f"{none}Of the flagged rows at most {100 * fdr:g} % are normal, on average over repetitions, as far as normal rows and "
        f"the {held_out:,} held-out rows are exchangeable: drawn alike, and independently. Not promised: this share for one "
        "file, nor how many of the anomalies are flagged; and nothing once normal rows have changed since training."
    )
    if len(scores) > fdr * (held_out + 1):
        least = int(np.ceil(len(scores) / (fdr * (held_out + 1))))
        promise += (
            f" With {held_out:,} held-out rows no p-value is below 1/{held_out + 1:,}, so that of {len(scores):,} rows "
            f"{least:,} at least are flagged, or none."
        )
    if trained:
        promise += (
            f" {trained:,} of these rows were trained on and look more normal than they are: fewer of them are flagged."
        )
    if not clean:
        promise += (
            " The held-out rows may hold anomalies, as the training rows may: where these are as frequent as among the rows "
            "at hand, hardly any can be flagged, and not more falsely. Train on rows that are known to be normal and say so "
            "(--clean), or flag a share (--contamination)."
        )
    return Decision(flagged, _edge(scores, flagged), {"fdr": fdr}, promise, {"flagged": int(flagged.sum())})


def by_share(scores: Array, contamination: float) -> Decision:
    """The most odd share of these rows; of equal scores at the edge none."""
    share_of(contamination)
    threshold = share_threshold(scores, contamination)
    flagged = scores > threshold
    asked, count = f"{100 * contamination:g} % of these {len(scores):,} rows", int(flagged.sum())
    if count:
        promise = (
            f"The {count:,} most odd are flagged, as near to {asked} as whole rows and equal scores allow, whatever they are: "
            "the share was given, and nothing is promised of how many are flagged falsely."
        )
    else:
        promise = (
            f"None is flagged: {asked} is less than half a row, or the most odd ones have the same score. Nothing is "
            "promised."
        )
    return Decision(flagged, threshold, {"contamination": contamination}, promise, {"flagged": count})


def by_tail(scores: Array, held_out: Array, rate: float, seed: int = 0) -> Decision:
    """Above the score that a share `rate` of normal rows would pass, by a generalized Pareto tail of the held-out scores."""
    if not len(held_out):
        raise UsageError(_lacking("tail"))
    found: Tail = tail_of(held_out, rate, seed)
    flagged = scores > found.threshold
    how = (
        f"by a generalized Pareto tail (shape {found.shape:.2f}) of their {found.exceedances:,} largest scores"
        if found.extrapolated
        else "as their own quantile, for so many rows tell it"
    )
    promise = (
        f"Of normal rows about {rate:g} are flagged: the threshold was found from {len(held_out):,} held-out rows, {how}; 90 % "
        f"interval of the threshold {found.low:.5g} to {found.high:.5g}. It is an estimate under a model of the tail, and no "
        "guarantee; rows must be drawn as the held-out ones were."
    )
    return Decision(flagged, found.threshold, {"tail": rate}, promise, found.facts())


def by_labels(scores: Array, cases: tuple[Array, Array], seed: int = 0) -> Decision:
    """Above the score at which a few cases (odd, known) are told apart best, by F1, with what that is worth on others."""
    odd, known = cases
    found: Judged = judged_by_cases(scores[known], odd[known], seed)
    flagged = scores > found.threshold
    promise = (
        f"The threshold is the best by F1 for {found.normal:,} normal and {found.odd:,} odd cases that are known. On cases that "
        f"it was not chosen by (cross-validated in {found.folds} parts): precision {_with_error(found.precision)}, recall "
        f"{_with_error(found.recall)}. It holds for rows among which cases are as frequent and as odd as among the known ones."
    )
    return Decision(flagged, found.threshold, {"labels": int(known.sum())}, promise, found.facts())


def alarm_threshold(held_out: Array, rate: float) -> float:
    """The score above which p ≤ rate: the k-th largest of n held-out ones, k = ⌊rate (n + 1)⌋, and at least their largest."""
    held = np.sort(np.asarray(held_out, np.float64))
    k = max(1, int(np.floor(rate * (len(held) + 1) + 1e-9)))
    return float(held[-min(k, len(held))])


def usual_threshold(detection: Detection) -> float:
    """The threshold that a detector was given, else p ≤ 0.1, or what a tenth of the training rows pass if none were held out."""
    if "threshold" in detection.facts:
        return float(detection.facts["threshold"])
    if len(detection.held_out):
        return alarm_threshold(detection.held_out.numpy(), FDR)
    slope, offset = detection.facts.get("scale", (1.0, 0.0))
    return share_threshold(slope * detection.training.numpy() + offset, CONTAMINATION)


def share_threshold(scores: Array, share: float) -> float:
    """The score above which as many rows lie as are nearest to the share, and no more where scores are equal."""
    ascending = np.sort(scores)
    k = round(share * len(ascending))
    return float(ascending[len(ascending) - 1 - min(k, len(ascending) - 1)])


def share_of(contamination: float) -> float:
    """A share of anomalies; `UsageError` beyond one half, where odd rows would be the usual ones."""
    if isinstance(contamination, bool) or not isinstance(contamination, (int, float, np.number)):
        raise UsageError(f"contamination must be a share in (0, 0.5], such as 0.01, not {contamination!r}")
    if not 0 < contamination <= 0.5:
        raise UsageError(f"contamination must be a share in (0, 0.5], such as 0.01, not {contamination!r}")
    return float(contamination)


def one_rule(**given: Any) -> tuple[str, Any] | None:
    """The one rule that was asked for, by name, or None; `UsageError` for several."""
    asked = {name: value for name, value in given.items() if value is not None}
    if len(asked) > 1:
        raise UsageError(f"one rule decides, and {' and '.join(asked)} are several: leave all but one out")
    return next(iter(asked.items()), None)


CHECKS: dict[str, Callable[[Any], float]] = {
    "fdr": lambda value: within(value, "fdr"),
    "contamination": share_of,
    "tail": lambda value: within(value, "tail"),
}


def _calibrated(p: Array | None, rule: str) -> Array:
    if p is None:
        raise UsageError(_lacking(rule))
    return p


def _lacking(rule: str) -> str:
    return (
        f"{rule} compares rows with held-out normal rows, and this detector has none: train it with some held out "
        "(calibration=0.2), or flag a share of the rows (contamination=0.01)"
    )


def _edge(scores: Array, flagged: Array) -> float | None:
    """The largest score below those flagged, above which all flagged ones lie; None where none is."""
    if not flagged.any():
        return None
    least, below = scores[flagged].min(), scores[~flagged]
    under = below[below < least]
    return float((least + under.max()) / 2) if len(under) else float(np.nextafter(least, -np.inf))


def _with_error(pair: tuple[float, float]) -> str:
    return "unknown" if not np.isfinite(pair[0]) else f"{pair[0]:.2f} ± {pair[1]:.2f}"
