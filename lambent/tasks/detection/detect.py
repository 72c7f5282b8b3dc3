"""detect: which rows of some data are odd, by a rule that says what it promises."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lambent.data.kinds.modality import Encoded
from lambent.data.loading import raw_rows
from lambent.data.readers.frames import Columns
from lambent.data.readers.framing import framed
from lambent.data.readers.series import objects, typed
from lambent.data.readers.typed import Declared, Typed
from lambent.data.splitting import cut
from lambent.errors import DataError, UsageError
from lambent.fitted import Fitted, Rows
from lambent.model import ask_encoder
from lambent.seeds import stream
from lambent.tasks.detection.calibrated import Scored, detector_of, learned, scored_rows
from lambent.tasks.detection.cases import known_cases
from lambent.tasks.detection.decide import CONTAMINATION, FDR, Decision, by_fdr, by_labels, by_share, by_tail, one_rule
from lambent.tasks.detection.reason import why
from lambent.tasks.detection.reasons import reasons as reasons_of
from lambent.tasks.detection.scores import Score

Array = NDArray[Any]


@dataclass(frozen=True)
class Findings:
    """Which rows are odd. Higher scores are odder.

    scores, flagged [rows]; p [rows], or None where no rows were held out; threshold: the score above which rows are flagged, None
    where none is; rule: its name and number; promise: what it promises, under what, and what not; facts: numbers behind it.
    numbers: of each row in its data, from 0; why: reasons in words, by the place of a row among these; encoded: the rows.
    """

    scores: NDArray[np.float64]
    p: NDArray[np.float64] | None
    flagged: NDArray[np.bool_]
    threshold: float | None
    rule: dict[str, Any]
    promise: str
    facts: dict[str, Any]
    numbers: NDArray[np.int64]
    why: dict[int, str] = field(default_factory=dict)
    encoded: Encoded | None = field(default=None, repr=False)
    backend: str = "array"

    def __len__(self) -> int:
        return len(self.scores)

    def columns(self) -> dict[str, Typed]:
        """row, score, p, flagged and why, as columns that a table is written from."""
        own: dict[str, Array] = {"row": self.numbers, "score": self.scores}
        if self.p is not None:
            own["p"] = self.p
        own["flagged"] = self.flagged
        if self.why:
            own["why"] = objects([self.why.get(place) for place in range(len(self))])
        return {name: Typed(values, Declared(typed(values))) for name, values in own.items()}

    def frame(self) -> Any:
        """The same as a frame of the kind that the data came in; of arrays and files of the first library that is installed."""
        return framed(self.columns(), "file" if self.backend == "array" else self.backend)


def detect(
    fitted: Any,
    data: Any,
    *,
    fdr: float | None = None,
    contamination: float | None = None,
    tail: float | None = None,
    labels: Any = None,
    score: Any = None,
    reference: Any = None,
    reasons: int = 0,
    seed: int = 0,
) -> Findings:
    """Scores, p-values and flags of rows, by one rule.

    Unless one is named, it is the one that the detector was given, or else fdr=0.1 where it was trained on clean rows, and
    contamination=0.1 where it was not.

    Args:
        fitted: a `Detector` that is fitted, or a model with a detector in its file.
        data: rows, as the model takes them: an array, a frame, a path.
        fdr: flags rows such that of those flagged at most this share is normal, on average (Benjamini and Hochberg's procedure on
            conformal p-values of all rows together).
        contamination: flags the most odd share of these rows.
        tail: flags rows beyond a score that this share of normal rows would pass, from the tail of the held-out scores.
        labels: a column of the data, or values [rows], of cases that are known (0 and 1, normal and attack; empty where not
            known): they choose the threshold, by F1.
        reference: normal rows that were not trained on, for a model that is no detector, or to compare with others than the rows
            that a detector held out. Of a score that keeps rows, such as the nearest one, half of them are kept.
        reasons: of so many of the oddest flagged rows of a table it is told why: which columns, and what was to be expected.
        score: with reference, the score: a part, its name or its description; None: the default for such a model.

    The same rows get the same numbers, beside whatever others and in any order; flags by fdr and contamination hang on all rows.
    Errors: `UsageError` for several rules, or one that lacks what it needs; `DataError` for rows that cannot be scored.
    """
    asked = one_rule(fdr=fdr, contamination=contamination, tail=tail, labels=labels)
    fitted = Fitted.of(fitted)
    ask_encoder(fitted.model)
    if score is not None or reference is not None:
        fitted = _compared(fitted, reference, score, seed)
    detection, _ = detector_of(fitted)
    data, opened = _opened(fitted, data)
    rows = fitted.rows(data, seed)
    found = scored_rows(fitted, rows)
    name, value = asked or usual_rule(fitted)
    if name == "labels":
        value = _known(value, opened, rows)
    decision = _decided(found, name, value, detection.held_out.numpy(), bool(detection.facts.get("clean")), seed)
    encoded = rows.encoded
    numbers = None if encoded is None else encoded.numbers
    return Findings(
        found.scores,
        found.p,
        decision.flagged,
        decision.threshold,
        decision.rule,
        decision.promise,
        decision.facts,
        np.arange(len(rows)) if numbers is None else np.asarray(numbers, np.int64),
        _reasons(fitted, rows, found.scores, decision.flagged, reasons),
        encoded=encoded,
        backend="array" if opened is None else opened.backend,
    )


def _reasons(fitted: Fitted, rows: Rows, scores: Array, flagged: Array, most: int) -> dict[int, str]:
    """Why the oddest flagged rows are odd, in words, by place."""
    order = np.argsort(-scores, kind="stable")
    index = order[flagged[order]][: max(0, most)].tolist()
    told = reasons_of(fitted, rows, index)
    return {place: why(each) for place, each in zip(index, told, strict=True)}


def usual_rule(fitted: Fitted) -> tuple[str, Any]:
    """The rule that the detector was given when it was trained, or what its rows allow.

    A false discovery rate of 0.1 where the held-out rows are known to be normal; where they may hold anomalies as often as the
    rows at hand, comparing with them tells none apart, and the most odd tenth is flagged.
    """
    detection, _ = detector_of(fitted)
    kept = detection.facts.get("rule")
    if isinstance(kept, dict) and len(kept) == 1:
        return next(iter(kept.items()))
    return ("fdr", FDR) if detection.facts.get("clean") else ("contamination", CONTAMINATION)


def _decided(found: Scored, name: str, value: Any, held_out: Array, clean: bool, seed: int) -> Decision:
    if name == "fdr":
        return by_fdr(found.scores, found.p, len(held_out), value, clean, int(found.known.sum()))
    if name == "contamination":
        return by_share(found.scores, value)
    if name == "tail":
        return by_tail(found.scores, held_out, value, seed)
    return by_labels(found.scores, value, seed)


def _compared(fitted: Fitted, reference: Any, score: Any, seed: int) -> Fitted:
    """The model as a detector that compares with reference rows; a score that keeps rows keeps one half of them."""
    if reference is None:
        raise UsageError("another score is compared with rows of its own: name normal rows as reference=…, too")
    rows = fitted.rows(reference, seed)
    chosen = Score.default(fitted) if score is None else Score.from_spec(score)
    kept, held_out = rows, rows
    if type(chosen).learn is not Score.learn:
        halves = cut(len(rows), 0.5, stream(seed, "held out to compare"))
        kept, held_out = (rows.at(torch.from_numpy(side.index)) for side in halves)
    return replace(fitted, detection=learned(fitted, kept, held_out, chosen, seed, clean=True))


def _opened(fitted: Fitted, data: Any) -> tuple[Any, Columns | None]:
    """The data, read where they are files; and their columns, where they are a table."""
    if isinstance(data, (Encoded, Rows)) or fitted.modality is None:
        return data, None
    raw = raw_rows(data, several=False)
    raw = replace(raw, rows=fitted.modality.open(raw.rows))
    return raw, raw.rows if isinstance(raw.rows, Columns) else None


def _known(labels: Any, opened: Columns | None, rows: Rows) -> tuple[Array, Array]:
    """(odd, known) of a column of the data, of labels beside the rows, or of values."""
    values = labels
    if isinstance(labels, str):
        beside = {} if rows.encoded is None else rows.encoded.beside
        if opened is not None and labels in opened:
            values = opened.values(labels)
        elif labels in beside:
            values = beside[labels]
        elif opened is not None:
            opened.values(labels)  # says which columns there are
        else:
            raise UsageError(f"labels {labels!r}: these data have no labels of that name beside them")
    if len(values) != len(rows):
        raise DataError(f"{len(values):,} labels were given for {len(rows):,} rows")
    return known_cases(values)
