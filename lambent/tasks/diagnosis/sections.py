"""A diagnosis as a report: what is wrong and what cures it, the numbers that show it, the units, the course of the training."""

import math
import shlex
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from lambent.tasks.diagnosis.diagnose import Diagnosis, Finding
from lambent.tasks.sections import Block, Cell, Code, Curve, Curves, Group, Remark, Remarks, Section, TableBlock

# Numbers that are shown: their name in the evidence, what they are called, what they count.
SHOWN = (
    ("elbo", "ELBO", "nats per row"),
    ("kl", "KL", "nats per row"),
    ("mutual_information", "information", "nats"),
    ("active_units", "units that live", ""),
    ("another_code", "another row's code costs", "nats per row"),
    ("encoder_lag", "encoder lag", "nats per row"),
    ("amortization_gap", "amortization gap", "nats per row"),
    ("prior_gap", "codes from the prior", "nats per row"),
    ("decoder_alone", "decoder without a code", "nats per row"),
)
MOST_UNITS = 64  # lines of the table of units
COURSE = (("kl", "KL"), ("elbo", "ELBO"))


def diagnosis_sections(found: Diagnosis, after: Diagnosis | None = None, source: str = "DATA") -> list[Section]:
    """What is wrong, what shows it, the units and the training; `after`: the same of the run that was trained with the cure.

    source: what `lambent train` is to be given before the flags of a cure.
    """
    sections = [_verdict(found, source), _numbers(found, after), _units(found), _course(found)]
    if after is not None:
        sections.insert(1, _cured(after, source))
    return [section for section in sections if section is not None]


def number(value: Any) -> str:
    """A number of the evidence, with its error where it has one; of units, how many of how many."""
    if isinstance(value, dict) and "living" in value:
        return f"{value['living']} of {value['of']}"
    if isinstance(value, dict):
        error = value.get("error")
        return f"{value['nats']:.3f}" + ("" if error is None else f" ± {error:.3f}")
    return "–" if value is None else f"{value:.3f}"


def _verdict(found: Diagnosis, source: str) -> Section:
    lead = "Causes, the likeliest first, each with the numbers that show it and with what cures it."
    return Section("diagnosis", "What is wrong", lead, _findings(found, source))


def _cured(after: Diagnosis, source: str) -> Section:
    lead = "The same of the run that was trained anew, with the flags of the first cure."
    return Section("cured", "After the cure", lead, _findings(after, source))


def _findings(found: Diagnosis, source: str) -> list[Block]:
    remarks = [_remark(finding) for finding in found.findings]
    if found.healthy:
        said = "No number that is looked at shows a fault" + ("; to note:" if remarks else ".")
        remarks.insert(0, Remark("good", "Nothing is wrong", said))
    commands = [
        Code(f"lambent train {source} {shlex.join(finding.flags)} --out NEW", command=True, label=finding.name)
        for finding in found.findings
        if finding.flags
    ]
    return [Remarks(remarks), *commands]


def _remark(finding: Finding) -> Remark:
    return Remark(finding.level, finding.name, f"Shown by: {finding.shown}.", finding.cure)


def _numbers(found: Diagnosis, after: Diagnosis | None) -> Section:
    every = [one.plain()["evidence"] for one in (found, after) if one is not None]
    rows = [
        (title, [*(Cell(number(evidence[name]), number=True) for evidence in every), Cell(unit, role="unit")])
        for name, title, unit in SHOWN
    ]
    heads = ["", *(["value"] if after is None else ["before", "after"]), "unit"]
    lead = f"Measured on {found.evidence.rows:,} rows. What each of them is: the page “What is wrong with my VAE?” of the docs."
    return Section("evidence", "Numbers", lead, [TableBlock(heads, rows, "What was measured")])


def _units(found: Diagnosis) -> Section | None:
    """Unit by unit, level after level: those of the highest KL, which are as many as fit."""
    evidence = found.evidence
    lines: list[tuple[float, str, list[Cell]]] = []
    costs = evidence.reading.units
    for number_of, level in enumerate(evidence.levels):
        nats = level.nats.tolist() if level.measure == "kl" and level.nats is not None else []
        missed: Sequence[Any] = [] if costs is None else costs[number_of]
        for unit, (kl, cost, lives) in enumerate(zip_longest(nats, missed, evidence.alive[number_of])):
            name = f"{unit}" if len(evidence.levels) == 1 else f"{number_of + 1}.{unit}"
            cells = [
                Cell("–" if kl is None else f"{kl:.3g}", number=True),
                Cell("–" if cost is None else f"{cost.nats:.3g} ± {cost.error:.2g}", number=True),
                Cell("yes" if lives else "no", odd=not lives),
            ]
            lines.append((kl if kl is not None else (cost.nats if cost is not None else 0.0), name, cells))
    if not lines:
        return None
    lines.sort(key=lambda line: -line[0])
    note = "" if len(lines) <= MOST_UNITS else f"The first {MOST_UNITS} of {len(lines):,}."
    lead = "A unit lives if its KL exceeds what is free and the likelihood misses it when its code is replaced by the prior's."
    heads = ["unit", "KL, nats", "without it, nats", "lives"]
    table = TableBlock(heads, [(name, cells) for _, name, cells in lines[:MOST_UNITS]], "The units of the code", note)
    return Section("diagnosed-units", "Units", lead, [table])


def _course(found: Diagnosis) -> Section | None:
    """The KL and the bound by epoch."""
    figures: list[Block] = []
    for column, title in COURSE:
        values = found.evidence.history.get(column, ())
        known = [(float(i + 1), v) for i, v in enumerate(values) if v is not None and math.isfinite(v)]
        if len(known) < 2:
            continue
        epochs, heights = [i for i, _ in known], [v for _, v in known]
        low, high = min(*heights, 0.0) if column == "kl" else min(heights), max(heights)
        curve = Curve(title, epochs, heights, main=True, value=f"{heights[-1]:.4g}")
        caption = f"From epoch {epochs[0]:.0f} to {epochs[-1]:.0f}: from {heights[0]:.4g} to {heights[-1]:.4g}."
        up = (low, high if high > low else low + 1.0)
        figures.append(Curves(title, [curve], "nats per row", caption, across=(epochs[0], epochs[-1]), up=up))
    return Section("course", "Training", "What the model learned, by epoch.", [Group(figures)]) if figures else None
