"""Beside the model: columns of a file that it does not know, as small as plain means make them."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from lambent.codec.stack import Stack
from lambent.codec.tables.counted import Counted
from lambent.codec.tables.parts import MOST, joined, parted, plain, squeezed, unplain, unsqueezed
from lambent.errors import ArtifactError

NAMES = 4096  # different cells up to which they may be told by their numbers
_WHOLE = re.compile(r"0|-?[1-9]\d{0,17}", re.ASCII)


def packed(cells: Sequence[str]) -> bytes:
    """The cells of a column: as a row of numbers that counts on, by how often each occurs, or as text; whichever is shortest."""
    found = _counting(cells)
    if found is not None:
        return found
    text = (
        b"t" + squeezed("\n".join(cells).encode("utf-8"))
        if not any("\n" in one for one in cells)
        else b"j" + plain(list(cells))
    )
    counts = Counter(cells)
    return min(_named(cells, counts), text, key=len) if len(counts) <= min(NAMES, len(cells) // 2) else text


def unpacked(data: bytes, rows: int, most: int = MOST) -> list[str]:
    """The inverse of `packed`; `ArtifactError` where these are not the cells of so many rows, or unpack to more than so much."""
    kind, rest = data[:1], data[1:]
    if kind == b"c":
        start, step = unplain(rest, most)
        cells = [str(int(start) + int(step) * row) for row in range(rows)]
    elif kind == b"n":
        cells = _of_names(rest, rows, most)
    elif kind == b"j":
        cells = [str(one) for one in unplain(rest, most)]
    else:
        cells = unsqueezed(rest, most).decode("utf-8").split("\n") if rows else []
    if len(cells) != rows:
        raise ArtifactError(f"a column of the table has {len(cells):,} cells, and the table {rows:,} rows")
    return cells


def _counting(cells: Sequence[str]) -> bytes | None:
    if len(cells) < 2 or not (_WHOLE.fullmatch(cells[0]) and _WHOLE.fullmatch(cells[1])):
        return None
    start, step = int(cells[0]), int(cells[1]) - int(cells[0])
    if any(cell != str(start + step * row) for row, cell in enumerate(cells)):
        return None
    return b"c" + plain([start, step])


def _named(cells: Sequence[str], counts: Counter[str]) -> bytes:
    words = sorted(counts)
    place = {word: number for number, word in enumerate(words)}
    often = [counts[word] for word in words]
    stack = Stack(1)
    Counted([often], np.zeros(len(cells), np.int64)).push(stack, np.array([place[cell] for cell in cells], np.int64))
    return b"n" + joined([plain([words, often]), stack.to_bytes()])


def _of_names(data: bytes, rows: int, most: int) -> list[str]:
    head, coded = parted(data)
    words, often = unplain(head, most)
    if len(words) != len(often) or not words or len(words) > NAMES:
        raise ArtifactError("the names of a column of the table are damaged")
    stack = Stack.from_bytes(coded, 1, 0, 0)
    numbers = Counted([[int(n) for n in often]], np.zeros(rows, np.int64)).pop(stack)
    return [str(words[number]) for number in numbers]
