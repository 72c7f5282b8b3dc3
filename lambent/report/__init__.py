"""The HTML report of a run: `render` makes the page, `write` saves it, `verdict` judges the run in plain words."""

from lambent.report.page import render, write
from lambent.report.run.findings import Findings, LatentMap, Measure, Pictures, Tables
from lambent.report.run.verdict import summary, verdict
from lambent.tasks.sections import Remark, Section

__all__ = [
    "Findings",
    "LatentMap",
    "Measure",
    "Pictures",
    "Remark",
    "Section",
    "Tables",
    "render",
    "summary",
    "verdict",
    "write",
]
