"""The report of a run: one HTML file that needs nothing else."""

import base64
import hashlib
import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from lambent.disk.whole import write_bytes
from lambent.report.charts import bars, grids, lines
from lambent.report.charts.scatter import scatter
from lambent.report.numerals import show, show_moment
from lambent.report.run import facts
from lambent.report.run.findings import Findings, Pictures
from lambent.report.run.verdict import summary, verdict


def render(findings: Findings) -> str:
    """The page as one string: style, script, charts and pictures inside, nothing fetched."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(_resource("page.html.jinja"))
    return template.render(_context(findings))


def write(findings: Findings, path: str | os.PathLike[str]) -> Path:
    """Write the page to `path`, whole or not at all; `MachineError` where the folder or the disk refuses."""
    # a lone surrogate from a file's name cannot be written as UTF-8
    return write_bytes(path, render(findings).encode("utf-8", "replace"))


def _resource(name: str) -> str:
    return files("lambent.report").joinpath(name).read_text("utf-8")


def _context(findings: Findings) -> dict[str, Any]:
    script = _resource("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    remarks = verdict(findings)
    context: dict[str, Any] = {
        "findings": findings,
        "style": Markup(_resource("style.css")),
        "script": Markup(script),
        "script_hash": Markup(digest),
        "created": show_moment(findings.created),
        "subtitle": _subtitle(findings),
        "headlines": facts.headlines(findings),
        "remarks": remarks,
        "summary": summary(remarks),
        "curves": lines.curves(findings),
        "history": facts.history(findings),
        "levels": bars.levels(findings),
        "activity": _activity(findings),
        "map": scatter(findings.latent_map),
        "measures": facts.measures(findings),
        "spec_json": json.dumps(findings.spec, indent=2, ensure_ascii=False, default=str) if findings.spec else "",
        "settings": _settings(findings),
    }
    return (
        context | _pictures(findings.pictures) | _tables(findings) | {"version": findings.versions.get("lambent", "")}
    )


def _subtitle(findings: Findings) -> list[str]:
    """Data, model and objective in a few words."""
    rows = findings.data.get("rows")
    data = str(findings.data.get("name", ""))
    if data and rows is not None:
        data += f", {show(rows)} rows"
    objective = str(findings.objective.get("type", ""))
    return [part for part in (data, str(findings.spec.get("type", "")), objective) if part]


def _activity(findings: Findings) -> str:
    """How the page tells active units from the rest, as a sentence."""
    if findings.active_rule:
        return findings.active_rule.rstrip(".") + "."
    if findings.active_threshold is not None:
        return f"A unit counts as active when its KL exceeds {show(findings.active_threshold)} nats."
    return ""


def _settings(findings: Findings) -> list[tuple[str, list[facts.Fact]]]:
    blocks = {
        "Data": findings.data,
        "Objective": findings.objective,
        "Training": findings.training,
        "Versions": findings.versions,
    }
    lists = [(name, facts.facts(block)) for name, block in blocks.items() if block]
    for name, entries in lists:
        if name == "Versions":  # packages keep their own spelling
            for fact, package in zip(entries, findings.versions, strict=True):
                fact.name = package
    return lists


def _pictures(pictures: Pictures | None) -> dict[str, Any]:
    makers = {
        "pairs": grids.pairs,
        "samples": grids.samples,
        "traversals": grids.traversals,
        "interpolation": grids.interpolation,
    }
    return {name: make(pictures) if pictures is not None else None for name, make in makers.items()}


def _tables(findings: Findings) -> dict[str, Any]:
    tables = findings.tables
    paired = facts.paired_rows(tables) if tables else None
    return {
        "paired_rows": paired,
        "sampled_rows": facts.sampled_rows(tables) if tables else None,
        "spec_facts": facts.facts(findings.spec),
    }
