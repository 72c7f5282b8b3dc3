"""Texts: the file of a table, by a model of its columns, byte for byte."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from lambent.codec.archive import Block
from lambent.codec.content.base import Content, Encoded, Model, Part, Piece, Restored, Side
from lambent.codec.rows import RowCodec
from lambent.codec.tables.table import decode_table, encode_table
from lambent.data.readers import regular as files
from lambent.errors import ArtifactError, UsageError


class Texts(Content):
    """One table, in one block: its columns are coded one after the other, all rows of them together."""

    kind = "table"
    noun = "lines"

    def __init__(self, path: Path) -> None:
        with files.unchanged(files.regular(path)):
            self.held = path.read_bytes()
        self.total = self.held.count(b"\n") + (not self.held.endswith(b"\n") and bool(self.held))
        self.notices: Counter[str] = Counter()

    def facts(self) -> Side:
        return {}

    def follow(self, sides: Iterable[Side]) -> None:
        raise UsageError("an archive holds one table: compress this into one of its own")

    def pieces(self) -> Iterator[Piece]:
        part = Part(self.held, {"rows": self.total})
        yield Piece(None, part, part, self.total, len(self.held))

    def encode(self, model: Model, piece: Piece, seed: int) -> Encoded | None:
        return Encoded(encode_table(model.fitted, piece.coded.raw, _rows(model)), 1, piece.coded.side)

    def restored(self) -> "RestoredTexts":
        return RestoredTexts()


class RestoredTexts(Restored):
    """The table again."""

    def __init__(self) -> None:
        self.found: bytes | None = None

    def decode(self, model: Model, block: Block, side: Side) -> bytes:
        return decode_table(model.fitted, block.payload, _rows(model), block.size)

    def take(self, raw: bytes, side: Side, index: int) -> None:
        if index:
            raise ArtifactError("the archive holds more than one table")
        self.found = raw

    def finish(self) -> bytes:
        return self.found or b""


def _rows(model: Model) -> RowCodec:
    if not isinstance(model.codec, RowCodec):
        raise ArtifactError("this model has rounded codes, and does not code rows")
    return model.codec
