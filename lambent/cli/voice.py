"""What a verb says: results on standard output, notes and progress on standard error."""

import json
import math
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lambent.progress import hushed

if TYPE_CHECKING:
    from argparse import Namespace


def line(text: str) -> str:
    """Text as one line that cannot steer a terminal: control characters are shown, not sent."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda m: repr(m[0])[1:-1], str(text))


@dataclass(frozen=True)
class Voice:
    """How much is said, and in which form."""

    quiet: bool = False
    json: bool = False

    @classmethod
    def of(cls, options: "Namespace") -> "Voice":
        if options.quiet:
            hushed()
        return cls(options.quiet, getattr(options, "json", False))

    def note(self, text: str) -> None:
        """Something to know, on standard error."""
        if not self.quiet:
            print(f"lambent: note: {line(text)}", file=sys.stderr, flush=True)

    def step(self, text: str) -> None:
        """What is being done, on standard error."""
        if not self.quiet:
            print(line(text), file=sys.stderr, flush=True)

    def say(self, text: str = "") -> None:
        """A line for a reader; nothing in JSON mode."""
        if not self.quiet and not self.json:
            print("\n".join(line(part) for part in text.split("\n")))

    def result(self, value: Any) -> None:
        """The result, in JSON mode."""
        if self.json:
            print(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False))

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[Any]], right: Sequence[int] = ()) -> None:
        """A table for a reader: drawn on a terminal, aligned text elsewhere; `right`: columns of numbers."""
        if self.json:
            return
        cells = [[line(str(cell)) for cell in row] for row in rows]
        if sys.stdout.isatty():
            _drawn(heads, cells, right)
        else:
            _aligned(heads, cells, right)


def _drawn(heads: Sequence[str], rows: list[list[str]], right: Sequence[int]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for index, head in enumerate(heads):
        table.add_column(head, justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    # The system's own width where COLUMNS says none that can be.
    Console(width=shutil.get_terminal_size().columns).print(table)


def _aligned(heads: Sequence[str], rows: list[list[str]], right: Sequence[int]) -> None:
    everything = [list(heads), *rows] if any(heads) else rows
    widths = [max(len(row[i]) for row in everything) for i in range(len(heads))] if everything else []
    for row in everything:
        padded = [c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        print("  ".join(padded).rstrip())


def plain(value: Any) -> Any:
    """Plain JSON: numbers that are not finite become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
