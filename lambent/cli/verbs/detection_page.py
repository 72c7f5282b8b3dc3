"""The page of a detection: its sections, from what was found."""

from argparse import Namespace
from pathlib import Path

import numpy as np

from lambent.cli import folder as run_folder
from lambent.cli.verbs.detected import Detected
from lambent.data.leading import lead_of
from lambent.metrics.conformal import p_values
from lambent.report import Findings
from lambent.report import write as write_report
from lambent.report.numerals import show
from lambent.tasks.detection import detect, sections
from lambent.tasks.detection.heat import peak
from lambent.tasks.detection.overlay import coloured
from lambent.tasks.sections import Section
from lambent.version import versions


def write_page(detected: Detected, path: Path, options: Namespace) -> None:
    """Everything on one page."""
    name = Path(str(options.data)).name
    findings = Findings(f"Odd rows: {name}", created=run_folder.now(), versions=versions())
    write_report(findings, path, sections_of(detected), alone=True)


def sections_of(detected: Detected) -> list[Section]:
    """What is flagged, scores, the oddest, p-values, known cases, drift: as far as each is known."""
    found, fitted = detected.found, detected.fitted
    detection = fitted.detection
    assert detection is not None
    count = int(found.flagged.sum())
    facts = {
        "Flagged": f"{count:,} of {len(found.scores):,} rows",
        "Threshold": "none" if found.threshold is None else show(found.threshold),
        "Score": str(detection.score["type"]),
        "Held-out rows": f"{len(detection.held_out):,}",
        "Training rows": f"{len(detection.training):,}",
    }
    told = [
        sections.decision(f"{count:,} of {len(found.scores):,} rows by {rule_in_words(found)}.", found.promise, facts),
        sections.score_heap(found.scores, detection.held_out.numpy(), found.threshold),
        _oddest(detected),
    ]
    if found.p is not None:
        told.append(_calibration(detected))
    known = detected.known
    if known is not None:
        odd = known.odd[known.known]
        words = f"{known.column} says of {int(odd.sum()):,} rows that they are odd, of {int((~odd).sum()):,} that they are normal"
        cases = sections.known_cases(odd, found.scores[known.known], found.flagged[known.known], words)
        told += [] if cases is None else [cases]
    return told + ([] if detected.drift is None else [sections.drifted(detected.drift)])


def _oddest(detected: Detected) -> Section:
    found, some = detected.found, detected.order[: sections.MOST_PICTURES].tolist()
    pictures = detected.fitted.pictures(detected.rows.x[some])
    heat = [detected.heat[place] for place in some if place in detected.heat]
    hottest = peak(heat)
    below = [coloured(np.clip(each.heat / hottest, 0, 1)) for each in heat] if len(heat) == len(some) else None
    return sections.oddest(
        lead_of(detected.encoded), found.scores, found.p, found.flagged, detected.why,
        None if pictures is None else np.asarray(pictures), None if below is None else np.stack(below).astype(np.uint8),
    )  # fmt: skip


def _calibration(detected: Detected) -> Section:
    found, detection = detected.found, detected.fitted.detection
    assert detection is not None
    assert found.p is not None
    held = detection.held_out_seen if len(detection.held_out_seen) else detection.held_out
    shown = {"training rows": p_values(held.numpy(), detection.training.numpy()), "these rows": found.p}
    if detected.known is not None and (normal := detected.known.known & ~detected.known.odd).any():
        shown["these rows, known to be normal"] = found.p[normal]
    return sections.calibration(shown, "these rows")


RULES = {
    "fdr": "false discovery rate {:g}",
    "contamination": "share {:g} of the rows",
    "tail": "tail that {:g} of normal rows reach",
    "labels": "threshold best for {:,} known cases",
}


def rule_in_words(found: detect.Findings) -> str:
    """The rule with its number, and the threshold that it came to."""
    name, value = next(iter(found.rule.items()))
    above = "no row is odd enough" if found.threshold is None else f"scores above {show(found.threshold, 5)}"
    return f"{RULES[name].format(value)}: {above}"
