"""Pages that a verb writes of what it found: one HTML file that needs nothing else."""

from argparse import Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lambent.cli import folder as run_folder
from lambent.cli import output
from lambent.cli.reading.flags import Parser, filled
from lambent.cli.voice import Voice
from lambent.report import Findings, write
from lambent.tasks.sections import Section
from lambent.version import versions


def add_page(parser: Parser) -> None:
    """--report."""
    parser.add_argument("--report", metavar="PAGE.html", type=filled("--report"), help="a page with all of it")


def claimed(options: Namespace, inputs: Iterable[Any]) -> Path | None:
    """Where the page goes, checked before any work is done; None where none is asked for."""
    if not options.report:
        return None
    return output.claim(options.report, (".html",), options.force, [one for one in inputs if one], "--report")


def named(page: Path | None) -> dict[str, str]:
    """The page in the JSON of a verb."""
    return {} if page is None else {"report": str(page)}


def write_page(page: Path | None, title: str, sections: Sequence[Section], voice: Voice) -> None:
    """The page, where one is asked for."""
    if page is None:
        return
    write(Findings(title, created=run_folder.now(), versions=versions()), page, sections, alone=True)
    voice.say(f"\n{page}: all of it")
