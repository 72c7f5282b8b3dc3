"""Mixed columns: numbers among which there is text, so that all is read as text."""

import re

import numpy as np

from lambent.data.readers.frames import Columns

_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
SHARE = 0.5  # of the cells that must be numbers for the others to be worth a word


def mixed(table: Columns, name: str) -> str | None:
    """What to tell of a column of text that is numbers for the most part, with its first other cell; None of any other."""
    if table.values(name).dtype.kind != "O":
        return None
    codes, levels = table.coded(name)
    numeric = np.array([_NUMBER.fullmatch(level) is not None for level in levels] + [True])  # −1: missing
    present = codes >= 0
    others = np.flatnonzero(present & ~numeric[codes])
    total = int(present.sum())
    if not len(others) or not total or (total - len(others)) / total < SHARE:
        return None
    first = int(others[0])
    place = table.cell(name, first)
    return (
        f"{place}: {levels[codes[first]][:40]!r} is no number, while {total - len(others):,} of the column's {total:,} cells "
        "are: it is read as text; empty such cells or mend them to have it as numbers"
    )
