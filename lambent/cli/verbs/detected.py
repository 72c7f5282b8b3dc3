"""What lambent detect does once there is a model: scores, decides, looks for reasons, and tells of it."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.cli import folder as run_folder
from lambent.cli import output
from lambent.cli.folder import model_file, opened
from lambent.cli.reading import detectors, larger
from lambent.cli.reading.sources import has_split, settled
from lambent.cli.verbs.carry import Carried
from lambent.cli.verbs.measure import lead_of, note_notices
from lambent.cli.voice import Voice
from lambent.data import Encoded
from lambent.errors import UsageError
from lambent.fitted import Fitted, Rows
from lambent.tasks.detection import reasons
from lambent.tasks.detection.cases import known_cases
from lambent.tasks.detection.detect import Findings
from lambent.tasks.detection.detect import detect as decided
from lambent.tasks.detection.drift import Drift, drift

RULES = ("fdr", "contamination", "tail")
MOST_REASONS = 1000  # flagged rows that get reasons, the oddest
NAMED = 5  # rows that the summary names
SHOWN = 30  # rows that the page shows


@dataclass(frozen=True)
class Files:
    """Where results go; None: nowhere."""

    out: Path | None
    page: Path | None
    heatmaps: Path | None


@dataclass(frozen=True)
class Asked:
    """What was asked for: the flags, the score, the files that are free to be written, the voice."""

    options: Namespace
    score: Any
    files: Files
    voice: Voice

    @property
    def seed(self) -> int:
        """Of what is drawn beside the model."""
        return int(str(self.options.seed)) if self.options.seed is not None else 0


@dataclass(frozen=True)
class Known:
    """Cases that are known: odd [rows], known [rows], and the column that says so."""

    odd: NDArray[np.bool_]
    known: NDArray[np.bool_]
    column: str


@dataclass(frozen=True)
class Detected:
    """Everything that was found of some rows. page: where to write it, if anywhere; made: the run's folder, where it was made for this."""

    fitted: Fitted
    encoded: Encoded
    rows: Rows
    found: Findings
    why: dict[int, str]
    known: Known | None
    drift: Drift | None
    page: Path | None
    made: Path | None = None

    @property
    def order(self) -> NDArray[np.int64]:
        """Places of the rows, the oddest first."""
        return np.argsort(-self.found.scores, kind="stable")


def claimed(options: Namespace) -> Files:
    """The files to write, checked against the inputs and what exists before anything is read."""
    inputs = [options.data, options.reference, None if options.run is None else model_file(options.run)]
    out = options.out and output.claim(options.out, output.TABLES, options.force, inputs)
    page = options.report and output.claim(options.report, (".html",), options.force, [*inputs, out], "--report")
    if out is not None and page == out:
        raise UsageError(f"--report {page}: is what --out writes; give it a name of its own")
    heatmaps = None if options.heatmaps is None else Path(options.heatmaps)
    if heatmaps is not None and heatmaps.exists() and not heatmaps.is_dir():
        raise UsageError(f"--heatmaps {heatmaps}: is a file; name a folder")
    return Files(out, page, heatmaps)


def of_run(asked: Asked) -> Detected:
    """Rows of a file, as a trained run sees them."""
    options, voice = asked.options, asked.voice
    path, fitted = opened(options.run, str(options.device or "auto"), str(options.threads or "auto"))
    score = detectors.scored_by(asked.score, fitted)
    split = options.split or ("test" if has_split(settled(options.data), "test") else "train")
    encoded = larger.given(fitted.modality, options.data, split, options.resize, path.parent, voice)
    encoded = larger.leading(encoded, None if options.limit is None else int(str(options.limit)))
    note_notices(encoded, voice)
    fitted = detectors.of_run(
        fitted, path.parent, options.reference, score=score, seed=asked.seed, clean=options.clean, voice=voice
    )
    return _looked(asked, fitted, path.parent, encoded, split)


def after_training(done: Carried, folder: Path, asked: Asked) -> Detected:
    """The run's model as a detector, kept so, and all rows of the data that it was trained on."""
    options, voice, fitted = asked.options, asked.voice, done.fitted
    rows, modality = done.rows, done.fitted.modality
    assert modality is not None
    held_out = rows.test if not isinstance(rows.request["test"], str) else rows.valid
    if options.reference is not None:
        held_out = larger.given(modality, options.reference, None, False, folder, voice)
    if held_out is None:
        raise UsageError(detectors.NONE_HELD_OUT)
    voice.step(f"learning which scores are usual from {len(held_out):,} rows that nothing was learned from")
    score, seed = detectors.scored_by(asked.score, fitted), int(fitted.provenance["fit"]["seed"])
    fitted = detectors.calibrated(fitted, rows.train, held_out, score=score, seed=seed, clean=options.clean)
    fitted.save(folder / run_folder.MODEL)
    split = options.split or rows.request["split"]
    encoded = larger.in_memory(larger.given(modality, rows.request["source"], split, options.resize, folder, voice))
    return _looked(asked, fitted, folder, encoded, split, made=folder)


def _looked(
    asked: Asked, fitted: Fitted, folder: Path, encoded: Encoded, split: str, made: Path | None = None
) -> Detected:
    options, voice = asked.options, asked.voice
    known = None
    if options.labels is not None:
        values = detectors.labels_of(encoded, options.labels, options.data, split)
        known = Known(*known_cases(values), options.labels)
    rule: dict[str, Any] = {name: getattr(options, name) for name in RULES if getattr(options, name) is not None}
    if known is not None and not rule:
        rule["labels"] = values
    rows = fitted.rows(encoded, asked.seed)
    voice.step(f"looking at {len(rows):,} rows")
    found = decided(fitted, rows, seed=asked.seed, **rule)
    page = asked.files.page or (None if made is None else made / run_folder.DETECTION)
    order = np.argsort(-found.scores, kind="stable")
    wanted = np.concatenate(
        [
            np.flatnonzero(found.flagged)[np.argsort(-found.scores[found.flagged], kind="stable")][:MOST_REASONS],
            order[: NAMED if page is None else SHOWN],
        ]
    )
    why = _why(fitted, rows, np.unique(wanted).tolist(), voice)
    changed = None
    if options.drift:
        voice.step(
            "comparing the whole with the rows that the run held out"
            if options.reference is None
            else f"comparing the whole with {options.reference}"
        )
        reference = detectors.reference_of(fitted, folder, options.reference, voice)
        changed = drift(fitted, rows, reference, seed=asked.seed)
    return Detected(fitted, encoded, rows, found, why, known, changed, page, made)


def _why(fitted: Fitted, rows: Rows, index: Sequence[int], voice: Voice) -> dict[int, str]:
    """The reasons of some rows in words, by place."""
    if fitted.column_names is None or not index:
        return {}
    try:
        told = reasons(fitted, rows, index)
    except UsageError as error:
        voice.note(f"no reasons are given: {error}")
        return {}
    return {place: "; ".join(one.text for one in each) for place, each in zip(index, told, strict=True)}


# ---- telling ---------------------------------------------------------------------------------------------------------


def tell(detected: Detected, asked: Asked) -> None:
    """Write what was asked for, and sum it up."""
    from lambent.cli.verbs.detection_page import write_page

    files, voice = asked.files, asked.voice
    if files.out is not None:
        output.write(files.out, _columns(detected), lead_of(detected.encoded), None)
    if detected.page is not None:
        write_page(detected, detected.page, asked.options)
    voice.result(_plain(detected, asked))
    if not voice.json:
        _say(detected, asked)


def _columns(detected: Detected) -> dict[str, Any]:
    found = detected.found
    columns: dict[str, Any] = {"score": found.scores}
    if found.p is not None:
        columns["p"] = found.p
    why = [detected.why.get(i) if flag else None for i, flag in enumerate(found.flagged.tolist())]
    return columns | {"flagged": found.flagged, "why": np.array(why, object)}


def _oddest(detected: Detected) -> list[dict[str, Any]]:
    """The oddest rows with all that is known of them."""
    found = detected.found
    lead = lead_of(detected.encoded)
    rows = []
    for i in detected.order[:NAMED].tolist():
        row: dict[str, Any] = {name: _plain_cell(values[i]) for name, values in lead.items()}
        row |= {"score": float(found.scores[i])} | ({} if found.p is None else {"p": float(found.p[i])})
        rows.append(row | {"flagged": bool(found.flagged[i]), "why": detected.why.get(i, "")})
    return rows


def _plain_cell(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def judged(detected: Detected) -> dict[str, float] | None:
    """How well the known cases are told apart and flagged; None where not both kinds are known."""
    if detected.known is None:
        return None
    from sklearn.metrics import average_precision_score, roc_auc_score

    odd = detected.known.odd[detected.known.known]
    scores, flagged = detected.found.scores[detected.known.known], detected.found.flagged[detected.known.known]
    if odd.all() or not odd.any():
        return None
    numbers = {
        "odd": int(odd.sum()),
        "normal": int((~odd).sum()),
        "auroc": float(roc_auc_score(odd, scores)),
        "average_precision": float(average_precision_score(odd, scores)),
        "recall": float(flagged[odd].mean()),
        "false_alarms": float(flagged[~odd].mean()),
    }
    return numbers | ({"precision": float(odd[flagged].mean())} if flagged.any() else {})


def _plain(detected: Detected, asked: Asked) -> dict[str, Any]:
    found = detected.found
    files = {"out": asked.files.out, "report": detected.page, "run": detected.made}
    return {
        **{name: str(path) for name, path in files.items() if path is not None},
        "rows": len(found.scores),
        "flagged": int(found.flagged.sum()),
        "higher": "more odd",
        "score": detected.fitted.detection.score if detected.fitted.detection else None,
        "rule": found.rule,
        "threshold": found.threshold,
        "promise": found.promise,
        "facts": found.facts,
        "oddest": _oddest(detected),
        **({} if detected.known is None else {"labels": {"column": detected.known.column, **(judged(detected) or {})}}),
        **({} if detected.drift is None else {"drift": detected.drift.plain()}),
        "data": detected.encoded.source,
    }


def rule_in_words(found: Findings) -> str:
    """The rule with its number, and the threshold that it came to."""
    name, value = next(iter(found.rule.items()))
    words = {
        "fdr": f"false discovery rate {value:g}" if name == "fdr" else "",
        "contamination": f"the oddest {100 * value:.3g} %" if name == "contamination" else "",
        "tail": f"the tail that {value:g} of normal rows reach" if name == "tail" else "",
        "labels": f"the threshold best for {value:,} known cases" if name == "labels" else "",
    }.get(name, name)
    above = "no row is odd enough" if found.threshold is None else f"scores above {found.threshold:.5g}"
    return f"{words}: {above}"


def _say(detected: Detected, asked: Asked) -> None:
    found, voice = detected.found, asked.voice
    where = "" if asked.files.out is None else f"{asked.files.out}: "
    voice.say(
        f"{where}{int(found.flagged.sum()):,} of {len(found.scores):,} rows are flagged by {rule_in_words(found)} (higher = more odd)"
    )
    voice.say(f"  {found.promise}")
    told = judged(detected)
    if told is not None and detected.known is not None:
        precision = f"{100 * told['precision']:.3g} % of those flagged are odd, " if "precision" in told else ""
        voice.say(
            f"  {detected.known.column}: {told['odd']:,} odd and {told['normal']:,} normal cases are known; AUROC {told['auroc']:.3f}, "
            f"average precision {told['average_precision']:.3f}; {precision}{100 * told['recall']:.3g} % of the odd ones are flagged"
        )
    if detected.drift is not None:
        voice.say(f"  drift: {detected.drift.sentence}")
    voice.say(f"\nthe {min(NAMED, len(found.scores))} oddest:" if len(found.scores) > 1 else "\nthe row:")
    rows = _oddest(detected)
    heads = [name for name in rows[0] if name != "flagged"]
    shown = [[f"{row[name]:.4g}" if name in ("score", "p") else row[name] for name in heads] for row in rows]
    voice.table(heads, shown, right=[i for i, name in enumerate(heads) if name in ("row", "score", "p")])
    if detected.page is not None:
        voice.say(f"\n{detected.page}: all of it, with charts")
    if detected.made is not None:
        voice.say(f"{detected.made}: the run; for other rows: lambent detect {detected.made} DATA -o FILE")
