"""The report of a run: one HTML file that needs nothing else. The page lays out the sections that it is given."""

import base64
import hashlib
import os
import re
from collections.abc import Sequence
from functools import singledispatch
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from lambent.disk.whole import write_bytes
from lambent.errors import UsageError
from lambent.report.charts import curves, grids, histogram, matrix, players, shares
from lambent.report.numerals import MISSING, show, show_moment
from lambent.report.run import facts
from lambent.report.run.findings import Findings
from lambent.report.run.sections import sections_of
from lambent.tasks.sections import Cell, Curves, Heard, Histogram, Matrix, Section, Shares, Sheet, TableBlock

ID = re.compile(r"[a-z][a-z0-9-]*")


def render(findings: Findings, sections: Sequence[Section] = (), alone: bool = False) -> str:
    """The page as one string: style, script, charts and pictures inside, nothing fetched.

    sections: what tasks have to say beside the run's own; they stand before the model's description. alone: nothing but these.
    Errors: `UsageError` for an id that is taken, or that is not made of small letters, digits and hyphens.
    """
    every = list(sections) if alone else sections_of(findings, sections)
    _check([section.id for section in every])
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(_resource("page.html.jinja"), globals={"lay": _lay(environment)})
    return template.render(_frame(findings), sections=every)


def write(
    findings: Findings, path: str | os.PathLike[str], sections: Sequence[Section] = (), alone: bool = False
) -> Path:
    """Write the page to `path`, whole or not at all; `MachineError` where the folder or the disk refuses."""
    # a lone surrogate from a file's name cannot be written as UTF-8
    return write_bytes(path, render(findings, sections, alone).encode("utf-8", "replace"))


@singledispatch
def drawn(block: Any) -> Any:
    """A block as the template lays it out: data that have yet to be drawn become pictures."""
    return block


@drawn.register
def _(block: Histogram) -> Any:
    return histogram.drawn(block)


@drawn.register
def _(block: Curves) -> Any:
    return curves.drawn(block)


@drawn.register
def _(block: Shares) -> Any:
    return shares.drawn(block)


@drawn.register
def _(block: Matrix) -> Any:
    return matrix.drawn(block)


@drawn.register
def _(block: Sheet) -> Any:
    return grids.encoded(block)


@drawn.register
def _(block: Heard) -> Any:
    return players.encoded(block)


def _lay(environment: Environment) -> Any:
    """block → HTML, by the macro that has the name of its class."""

    def lay(block: Any) -> Markup:
        ready = drawn(block)
        return Markup(getattr(macros, type(ready).__name__.lower())(ready))

    macros = environment.from_string(
        _resource("blocks.html.jinja"), globals={"lay": lay, "numeric": _numeric, "written": _written}
    ).module
    return lay


def _numeric(table: TableBlock, column: int) -> bool:
    """Whether a column of cells holds numbers, so that its head stands at the right."""
    cells = [cells[column] for _, cells in table.rows if column < len(cells)]
    return any(c.number for c in cells) and all(c.number or c.content == MISSING for c in cells)


def _written(cell: Cell) -> str:
    if isinstance(cell.content, str):
        return cell.content
    return show(cell.content, aligned=isinstance(cell.content, float))


def _check(ids: list[str]) -> None:
    for number, name in enumerate(ids):
        if not ID.fullmatch(name):
            raise UsageError(
                f"{name!r} cannot be the id of a section: take small letters, digits and hyphens, a letter first"
            )
        if name in ids[:number]:
            raise UsageError(
                f"two sections of the page have the id {name!r}: give yours another (taken: {', '.join(ids[:number])})"
            )


def _resource(name: str) -> str:
    return files("lambent.report").joinpath(name).read_text("utf-8")


def _frame(findings: Findings) -> dict[str, Any]:
    """What stands around the sections."""
    script = _resource("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return {
        "findings": findings,
        "style": Markup(_resource("style.css")),
        "script": Markup(script),
        "script_hash": Markup(digest),
        "created": show_moment(findings.created),
        "subtitle": facts.subtitle(findings),
        "headlines": facts.headlines(findings),
        "version": findings.versions.get("lambent", ""),
    }
