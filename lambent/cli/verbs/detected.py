"""What lambent detect does once there is a model: scores, decides, and looks for reasons."""

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.cli import folder as run_folder
from lambent.cli import output
from lambent.cli.folder import model_file, opened
from lambent.cli.reading import detectors, larger
from lambent.cli.reading.sources import Splits, has_split, settled
from lambent.cli.verbs.carry import Carried
from lambent.cli.verbs.made import refuse_beside
from lambent.cli.verbs.measure import note_notices
from lambent.cli.voice import Voice
from lambent.data import Encoded
from lambent.data.stored.ondisk import OnDisk
from lambent.errors import ArtifactError, DataError, UsageError
from lambent.estimators.parting import refuse_leaks
from lambent.fitted import Fitted, Rows
from lambent.model import ask_encoder
from lambent.tasks.detection import Heatmap, has_reasons, heatmaps, reasons, usual_heat, why
from lambent.tasks.detection.cases import known_cases
from lambent.tasks.detection.detect import Findings
from lambent.tasks.detection.detect import detect as decided
from lambent.tasks.detection.drift import Drift, drift
from lambent.tasks.detection.heat import Usual

RULES = ("fdr", "contamination", "tail")
NO_PICTURES = "--heatmaps: is for pictures; of tables the column `why` says which cells are odd"
NAMED = 5  # rows that the summary names
SHOWN = 30  # rows of a table that the page shows
PICTURES = 12  # or pictures


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
    """Everything that was found of some rows.

    why, heat: of the oddest rows, by place. page: where to write it, if anywhere; made: the run's folder, where it was made for
    this.
    """

    fitted: Fitted
    encoded: Encoded
    rows: Rows
    found: Findings
    why: dict[int, str]
    heat: dict[int, Heatmap]
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
    out = options.out and output.claim(options.out, output.with_beside(output.TABLES), options.force, inputs)
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
    ask_encoder(fitted.model)
    if asked.files.out is not None:
        refuse_beside(asked.files.out, fitted)
    score = detectors.scored_by(asked.score, fitted)
    split = options.split or ("test" if has_split(settled(options.data), "test") else "train")
    encoded = larger.given(fitted.modality, options.data, split, options.resize, path.parent, voice)
    _refuse_heatmaps(asked, fitted)
    encoded = larger.leading(encoded, None if options.limit is None else int(str(options.limit)))
    note_notices(encoded, voice)
    fitted = detectors.of_run(
        fitted, path.parent, options.reference, score=score, seed=asked.seed, clean=options.clean, voice=voice
    )
    return _looked(asked, fitted, path.parent, encoded, split)


def _refuse_heatmaps(asked: Asked, fitted: Fitted) -> None:
    if asked.options.heatmaps is not None and len(fitted.model.event_shape) != 3:
        raise UsageError(NO_PICTURES)


def refuse(rows: Splits, options: Namespace) -> None:
    """Before anything is trained: `UsageError` where nothing is held out, `DataError` for a column that gives the labels away."""
    if options.reference is None and _held_out(rows) is None:
        raise UsageError(
            "no rows are held out that could say which scores are usual: leave out --validation 0, or --data.test, or name "
            "normal rows with --reference FILE"
        )
    if options.reference is None and (held_out := _held_out(rows)) is not None:
        detectors.enough(held_out)
    if options.heatmaps is not None and len(rows.train.modality.event) != 3:
        raise UsageError(NO_PICTURES)
    if options.labels is not None and isinstance(rows.train, Encoded):
        refuse_leaks(rows.train, rows.train.labels)


def _held_out(rows: Splits) -> Encoded | OnDisk | None:
    """Rows of a run that nothing was learned from, drawn as those that it was trained on."""
    return rows.test if not isinstance(rows.request["test"], str) else rows.valid


def after_training(done: Carried, folder: Path, asked: Asked) -> Detected:
    """The run's model as a detector, kept so, and all rows of the data that it was trained on."""
    options, voice, fitted = asked.options, asked.voice, done.fitted
    rows, modality = done.rows, done.fitted.modality
    assert modality is not None
    held_out = _held_out(rows)
    if options.reference is not None:
        held_out = larger.given(modality, options.reference, None, False, folder, voice)
    assert held_out is not None  # `refuse` saw to it
    voice.step(f"learning which scores are usual from {len(held_out):,} rows that nothing was learned from")
    score, seed = detectors.scored_by(asked.score, fitted), int(fitted.provenance["fit"]["seed"])
    learned_from = [rows.train, *([rows.valid] if rows.valid is not None and rows.valid is not held_out else [])]
    fitted = detectors.calibrated(
        fitted, learned_from, held_out, score=score, seed=seed, clean=options.clean or options.reference is not None
    )
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
    voice.step(f"looking at {len(rows):,} row{'' if len(rows) == 1 else 's'}")
    found = decided(fitted, rows, seed=asked.seed, **rule)
    page = asked.files.page or (None if made is None else made / run_folder.DETECTION)
    why, heat = _explained(asked, fitted, folder, rows, found, page is not None)
    changed = None
    if options.drift:
        voice.step(
            "comparing the whole with the rows that the run held out"
            if options.reference is None
            else f"comparing the whole with {options.reference}"
        )
        reference = detectors.reference_of(fitted, folder, options.reference, voice)
        changed = drift(fitted, rows, reference, seed=asked.seed)
    return Detected(fitted, encoded, rows, found, why, heat, known, changed, page, made)


def _explained(
    asked: Asked, fitted: Fitted, folder: Path, rows: Rows, found: Findings, paged: bool
) -> tuple[dict[int, str], dict[int, Heatmap]]:
    """Why rows are odd, in words and of pictures as heat-maps, by place: of flagged rows, and of those that are shown."""
    order, most = np.argsort(-found.scores, kind="stable"), asked.options.reasons
    flagged = order[found.flagged[order]]
    if 0 < most < len(flagged):
        asked.voice.note(
            f"reasons are given of the oddest {most:,} of {len(flagged):,} flagged rows (--reasons N: of so many)"
        )
    of_pictures = fitted.pictures(rows.x[:1]) is not None
    shown = NAMED if not paged else PICTURES if of_pictures else SHOWN
    index = np.unique(np.concatenate([flagged[:most], order[:shown]])).tolist() if most else []
    try:
        if of_pictures and index:
            usual = _usual_heat(asked, fitted, folder)
            heat = dict(zip(index, heatmaps(fitted, rows, index, usual), strict=True))
            return {place: each.text for place, each in heat.items()}, heat
        told = reasons(fitted, rows, index) if index and has_reasons(fitted) else []
    except UsageError as error:
        asked.voice.note(f"no reasons are given: {error}")
        return {}, {}
    return {place: why(each) for place, each in zip(index, told, strict=False)}, {}


def _usual_heat(asked: Asked, fitted: Fitted, folder: Path) -> Usual | None:
    """What pictures cost that nothing was learned from; None where none are at hand, so that drawn ones stand for them."""
    try:
        reference = detectors.reference_of(fitted, folder, asked.options.reference, asked.voice)
    except (UsageError, ArtifactError, DataError):
        return None
    return usual_heat(fitted, fitted.rows(reference, asked.seed))
