"""Refilled: delimited text with its gaps filled, every other cell as it stands in the file."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lambent.data.readers.delimited import cells_in
from lambent.data.readers.filling import there
from lambent.data.readers.forms import harmless
from lambent.data.readers.frames import Columns
from lambent.data.readers.typed import Typed
from lambent.data.writers.delimited import cells
from lambent.data.writers.tables import DELIMITERS
from lambent.disk.whole import write_whole


@dataclass(frozen=True)
class Text:
    """A file of delimited text, and how it is read. opened: its columns, called as `fills` call them."""

    path: Path
    opened: Columns
    delimiter: str | None = None
    header: str = "auto"


def write_refilled(
    path: Path, source: Text, copies: Iterable[Mapping[str, Typed]], beside: Mapping[str, Typed], numbered: bool = False
) -> Path:
    """Write the rows of a text file with what each of the `copies` holds in place of its gaps, one copy after the other.

    copies: columns of all rows, missing where nothing is to be put. beside: columns behind the file's own. numbered: a first column
    "draw" says of which copy a row is, from 1. Raises `MachineError` where the disk refuses.
    """

    def write(place: Path) -> None:
        with open(place, "x", encoding="utf-8", errors="surrogateescape", newline="") as file:
            writer = csv.writer(file, delimiter=DELIMITERS[path.suffix.lower()], lineterminator="\n")
            for number, fills in enumerate(copies, 1):
                named, rows = cells_in(source.path, source.delimiter, source.header)
                head = next(rows) if named else list(source.opened.names)
                if number == 1:
                    writer.writerow([*(["draw"] if numbered else []), *head, *map(harmless, beside)])
                lead = [number] if numbered else []
                writer.writerows([*lead, *row] for row in _refilled(rows, source.opened, fills, beside))

    return write_whole(path, write)


def _refilled(
    rows: Iterator[list[str]], opened: Columns, fills: Mapping[str, Typed], beside: Mapping[str, Typed]
) -> Iterator[list[Any]]:
    commas = opened.notices.names.get("decimal_comma", ())
    put = [(opened.names.index(name), there(column), _texts(column, name in commas)) for name, column in fills.items()]
    behind = [cells(column) for column in beside.values()]
    for number, row in enumerate(rows):
        for place, gaps, texts in put:
            if gaps[number]:
                row[place] = texts[number]
        yield [*row, *(column[number] for column in behind)]


def _texts(column: Typed, comma: bool) -> list[Any]:
    found = cells(column)
    return [str(cell).replace(".", ",") for cell in found] if comma else found
