"""A CSV file through a trained model of its table, and back to the same bytes."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lambent.codec.pace import Pace
from lambent.codec.rows import Coded, RowCodec
from lambent.codec.stack import Numbers, Stack
from lambent.codec.tables import beside, chain, columns
from lambent.codec.tables.columns import Cells, Read
from lambent.codec.tables.parts import MOST, joined, parted, plain, squeezed, unplain, unsqueezed
from lambent.codec.tables.text import Sheet, bare, sheet
from lambent.data.kinds.table import Table
from lambent.data.readers.forms import freed
from lambent.errors import ArtifactError, DataError, LambentError, UsageError, nearest
from lambent.fitted import Fitted

BLOCK = 1 << 16  # rows that are coded together
STORED, CODED = b"S", b"C"
EACH = 4096  # places for each lane of their stack
LANES = 64
DIGEST = 8  # bytes of a hash of the file
DAMAGED = "the compressed table is damaged, or was made with another model"
ROOM, JSON = (
    1 << 20,
    8,
)  # bytes of a part that is unpacked: so many, and for each of the file so many, for characters are escaped
SMALL = 16  # times smaller, and it is not tried whether LZMA does better


def encode_table(fitted: Any, source: str | Path | bytes, codec: RowCodec | None = None) -> bytes:
    """A CSV file, or its bytes, as few bytes by a trained model of its table; `decode_table` gives back the very same.

    codec: the model's exact form, where it is there already.

    Columns that the model knows cost about the negative ELBO of their tokens and what tells values of one token apart; others are
    packed beside them. What is no table, or would not become smaller, is packed as it is.
    Errors: `UsageError` for a model that cannot code tables, `DataError` where the file lacks columns of the model.
    """
    given = Fitted.of(fitted)
    table = of_tables(given)
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    found = sheet(content, table.delimiter)
    layout = None if found is None else _layout(table, found)
    if found is None or layout is None:
        return STORED + squeezed(content)
    coded = CODED + _digest(content) + _Encoder(table, found, layout).coded(codec or RowCodec(given))
    if len(coded) * SMALL < len(content):
        return coded
    return min(coded, STORED + squeezed(content), key=len)


def decode_table(fitted: Any, data: bytes, codec: RowCodec | None = None, most: int = MOST) -> bytes:
    """The inverse of `encode_table`, with the same model.

    most: bytes that the file has at most; what would make more is refused before it does.
    Errors: `ArtifactError` for bytes that are damaged, or were made with another model.
    """
    given = Fitted.of(fitted)
    table = of_tables(given)
    if data[:1] == STORED:
        return unsqueezed(data[1:], most)
    if data[:1] != CODED:
        raise ArtifactError("these bytes are no compressed table")
    try:
        content = _decoded(codec or RowCodec(given), table, data[1 + DIGEST :], most)
    except LambentError:
        raise
    except (LookupError, TypeError, ValueError, OverflowError, StopIteration, AttributeError) as error:
        raise ArtifactError(f"{DAMAGED} ({error!r})") from None
    if _digest(content) != data[1 : 1 + DIGEST]:
        raise ArtifactError(f"{DAMAGED}: what comes out is not what went in")
    return content


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=DIGEST).digest()


def of_tables(fitted: Fitted) -> Table:
    """The table that a model was trained on; `UsageError` for a model whose tables cannot be coded."""
    table = fitted.modality
    if not isinstance(table, Table):
        raise UsageError("this model was not trained on a table, and cannot compress one")
    if table.window > 1:
        raise UsageError("a model of windows of a series cannot compress its table: train one with --data.window 1")
    if not chain.sees_columns(fitted.model.likelihood):
        name = type(fitted.model.likelihood).__name__
        raise UsageError(
            f"a table is compressed by a model whose columns see columns, of tokens; this one has the {name} likelihood: train "
            "one with --data.scale ranks"
        )
    return table


@dataclass(frozen=True)
class Layout:
    """Where the columns of a model stand in a file: places[i] is that of its i-th; names: whether the first row has names."""

    names: bool
    places: list[int]


def _layout(table: Table, found: Sheet) -> Layout | None:
    """None for a file without rows, or of which the row of names stands out of line."""
    names = table.named and 0 not in found.odd
    if (table.named and not names) or found.rows <= names:
        return None
    own = (
        [freed(bare(column[0])) for column in found.columns] if names else [f"x{i}" for i in range(len(found.columns))]
    )
    wanted = [column.name for column in table.encoding.modelled]
    for name in wanted:
        if name not in own:
            raise DataError(f"the table has no column {name!r}, which the model knows; {nearest(name, own)}")
    return Layout(names, [own.index(name) for name in wanted])


class _Encoder:
    """One file on its way through a model."""

    def __init__(self, table: Table, found: Sheet, layout: Layout) -> None:
        self.table, self.sheet, self.layout = table, found, layout
        self.rows = found.rows - layout.names
        self.known = table.encoding.modelled
        self.cells = [found.columns[place][layout.names :] for place in layout.places]
        gappy = set(table.encoding.indicates)
        self.writers = [
            columns.learned(column, Counter(cells), place in gappy)
            for place, (column, cells) in enumerate(zip(self.known, self.cells, strict=True))
        ]

    def coded(self, codec: RowCodec) -> bytes:
        blocks, kept = [], [list[str]() for _ in self.known]
        for first in range(0, self.rows, BLOCK):
            reads = [
                writer.read(cells[first : first + BLOCK])
                for writer, cells in zip(self.writers, self.cells, strict=True)
            ]
            for texts, read in zip(kept, reads, strict=True):
                texts += read.kept
            coded = codec.encode(torch.from_numpy(self._tokens(reads)))
            blocks.append(_block(coded, _placed(self.writers, reads)))
        left = (own for place, own in enumerate(self.sheet.columns) if place not in self.layout.places)
        others = [beside.packed(own[self.layout.names :]) for own in left]
        return joined([plain(self._head()), plain(kept), joined(others), joined(blocks)])

    def _tokens(self, reads: Sequence[Read]) -> Numbers:
        """[rows, columns]: tokens, of missing cells 0, and the indicators behind them."""
        own = np.stack([read.tokens for read in reads], 1)
        gaps = (own[:, list(self.table.encoding.indicates)] < 0).astype(np.int64)
        return np.concatenate([np.maximum(own, 0), gaps], 1)

    def _head(self) -> dict[str, Any]:
        found, layout = self.sheet, self.layout
        return {
            "encoding": found.encoding,
            "delimiter": found.delimiter,
            "ending": found.ending,
            "closed": found.closed,
            "width": len(found.columns),
            "odd": [[line, text] for line, text in sorted(found.odd.items())],
            "names": [column[0] for column in found.columns] if layout.names else None,
            "places": layout.places,
            "columns": [{"blank": writer.blank, **writer.state()} for writer in self.writers],
        }


def _placed(writers: Sequence[Cells], reads: Sequence[Read]) -> Stack:
    """What tells cells of one token apart, of all columns."""
    stack = Stack(min(LANES, 1 + sum(len(read.tokens) for read in reads) // EACH))
    for writer, read in zip(reversed(writers), reversed(reads), strict=True):
        writer.push(stack, read)
    return stack


def _block(coded: Coded, places: Stack) -> bytes:
    numbers = [coded.rows, coded.seed, coded.borrowed, *coded.pace, places.lanes, places.borrowed]
    return joined([plain(numbers), coded.data, places.to_bytes()])


def _decoded(codec: RowCodec, table: Table, data: bytes, most: int) -> bytes:
    head_part, kept_part, others, blocks = parted(data)
    room = ROOM + JSON * most
    head = unplain(head_part, room)
    known = table.encoding.modelled
    writers = [
        columns.restored(column, state["blank"], state) for column, state in zip(known, head["columns"], strict=True)
    ]
    kept = [iter(texts) for texts in unplain(kept_part, room)]
    cells = [list[str]() for _ in known]
    for block in parted(blocks):
        for own, more in zip(cells, _cells_of(codec, table, block, writers, kept), strict=True):
            own += more
        if len(cells[0]) * int(head["width"]) > most + 1:  # of each cell but the last a byte stands behind it
            raise ArtifactError(f"the compressed table would have more than {most:,} bytes")
    places = dict(zip(head["places"], cells, strict=True))
    rows, packed = len(cells[0]), iter(parted(others))
    body = [
        places[place] if place in places else beside.unpacked(next(packed), rows, room)
        for place in range(int(head["width"]))
    ]
    if sum(len(cell) for column in body for cell in column) > most:
        raise ArtifactError(f"the compressed table would have more than {most:,} bytes")
    if head["names"] is not None:
        body = [[str(name), *own] for name, own in zip(head["names"], body, strict=True)]
    odd = {int(line): str(text) for line, text in head["odd"]}
    whole = Sheet(head["encoding"], head["delimiter"], head["ending"], bool(head["closed"]), body, odd)
    return whole.written()


def _cells_of(
    codec: RowCodec, table: Table, block: bytes, writers: Sequence[Cells], kept: Sequence[Iterator[str]]
) -> list[list[str]]:
    """The cells of one block, by column of the model."""
    head, coded, placed = parted(block)
    rows, seed, borrowed, popped, left, lanes, lent = (int(number) for number in unplain(head))
    if not 0 < rows <= BLOCK or not 0 < lanes <= LANES:
        raise ArtifactError("a block of the compressed table has a damaged head")
    x = codec.decode(Coded(rows, seed, borrowed, Pace(popped, left), coded)).numpy().astype(np.int64)
    own = x[:, : len(writers)]
    for number, place in enumerate(table.encoding.indicates, len(writers)):
        own[x[:, number] > 0, place] = -1
    stack = Stack.from_bytes(placed, lanes, 0, lent)
    return [
        writer.pop(stack, own[:, place], texts) for place, (writer, texts) in enumerate(zip(writers, kept, strict=True))
    ]
