"""Files: data into an archive by a trained model, block by block; each block is decoded before it is written."""

import json
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from lambent.codec import lookup
from lambent.codec.archive import Block, Writer, layout
from lambent.codec.archive.folding import QUICK, folded
from lambent.codec.content import arrays, lossy, pictures, texts
from lambent.codec.content.base import Content, Model, Piece, Side
from lambent.codec.content.planes import Planes
from lambent.codec.described import Described, described, sides
from lambent.codec.exact.dyadic import NUMERICS
from lambent.codec.opening import coder
from lambent.codec.pack import packed
from lambent.codec.rows import in_order
from lambent.codec.tables.slim import slim
from lambent.data.kinds.image import Image
from lambent.data.kinds.table import Table
from lambent.errors import ArtifactError, DataError, UsageError
from lambent.fitted import Fitted
from lambent.part import elements
from lambent.progress import counting

WORTH = 1.5  # times a coded block that a quick fold of the same reaches where the best one is certain to be longer, too
NUMBERS = (
    1 << 22
)  # of a block's rows, about: a heading of 100 bytes and what the first row borrows are then below 0.1 %
INSIDE = 10  # bits of a weight's fraction where the model travels inside: two thirds of the bytes of 16, at no loss to speak of
INSIDE_TABLES = 4  # the same of a table's: a third of the bytes of 10, at 1.6 % of what the model tells
MOST_BITS = 24
FEWEST = 64  # rows of a block, however large


@dataclass(frozen=True)
class Options:
    """How an archive is made.

    model: it travels inside. verify: each block is decoded before it is written. append: behind the blocks that are there.
    measure: what the same would take without a model is found out. threads: blocks at a time. weight_bits: kept of a weight's
    fraction; fewer make the model inside smaller, and the rest a little larger; None: 10, of a table's 4, where it is inside,
    else 16.
    quality: 1 … 100 of pictures that need not come back to the bit, by a model of rounded codes; None: without loss.
    """

    model: bool = False
    verify: bool = True
    append: bool = False
    measure: bool = False
    threads: int = 1
    weight_bits: int | None = None
    quality: int | None = None

    def __post_init__(self) -> None:
        if self.weight_bits is not None and not 1 <= self.weight_bits <= MOST_BITS:
            raise UsageError(f"weight_bits takes a whole number from 1 to {MOST_BITS}, not {self.weight_bits}")


@dataclass
class Made:
    """What became of the data: the archive as it is now, and what was met on the way.

    taken: bytes of what was compressed now, as it lay. unmodelled: bytes that the same takes without a model, where that was
    measured. model: bytes of the model packed, where it is inside or was measured. coded: bytes of this time's blocks. items: of
    this time. failed: blocks that did not decode to what they were made of, and are stored. notices: what was left out, by name.
    """

    archive: Described
    taken: int = 0
    unmodelled: int = 0
    model: int = 0
    coded: int = 0
    items: int = 0
    failed: int = 0
    notices: Counter[str] = field(default_factory=Counter)

    def add(self, piece: Piece, written: int, unmodelled: int) -> None:
        """Take a block into account."""
        self.taken += piece.taken
        self.items += piece.items
        self.coded += written
        self.unmodelled += unmodelled

    @property
    def pays_from(self) -> float | None:
        """How many such items earn back the bytes of the model inside; None where no number of them does."""
        if not self.items or self.unmodelled <= self.coded:
            return None
        return self.model * self.items / (self.unmodelled - self.coded)


def compress(fitted: Fitted, source: Any, path: Path, options: Options, device: str | torch.device = "cpu") -> Made:
    """Data into an archive at `path`, which stands there once it is whole.

    source: a folder or a file of pictures, a .npy, .npz or IDX file, an array, or the CSV file of a table.
    Errors: `DataError` for data of another kind than the model's, `UsageError` for a model without an exact form.
    """
    bits = _bits(fitted, path, options)
    own = lookup.rounded(slim(fitted) if options.model else fitted, bits)
    content = content_of(source, own, options.quality)
    codec = coder(own, content.kind, device, bits)
    header = {
        "kind": content.kind,
        "model": lookup.identity(own, bits),
        "numerics": NUMERICS,
        "event": list(own.model.event_shape),
        "weight_bits": bits,
        "probe": codec.probe().hex(),
        "content": content.facts(),
    }
    first = _continued(path, header, content) if options.append else 0
    coding = Coding(Model(own, codec), content, options, Made(Described()))
    inside = packed(own, bits) if options.model and not options.append else None
    coding.made.model = len(inside or (_travelling(fitted) if options.measure else b""))
    with ExitStack() as stack:
        writer = stack.enter_context(Writer(path, header, inside, append=options.append))
        add = stack.enter_context(counting(f"compressing {content.noun}", max(content.total, 1)))
        numbered = enumerate(content.pieces(), first)
        for block, piece, plain in in_order(lambda given: coding.block(*given), numbered, options.threads):
            written = writer.add(block)
            coding.made.add(piece, written, plain + written - len(block.payload))
            add(piece.items)
    coding.made.archive = described(path)
    coding.made.notices.update(content.notices)
    return coding.made


def _travelling(fitted: Fitted) -> bytes:
    """The model as it would be inside an archive."""
    bits = _inside(fitted)
    return packed(lookup.rounded(slim(fitted), bits), bits)


def _inside(fitted: Fitted) -> int:
    """Bits of a weight's fraction that a model has inside an archive."""
    return INSIDE_TABLES if isinstance(fitted.modality, Table) else INSIDE


def _bits(fitted: Fitted, path: Path, options: Options) -> int:
    """Those asked for; of an archive that is appended to its own."""
    if options.append and path.is_file():
        return int(described(path).header["weight_bits"])
    return options.weight_bits or (_inside(fitted) if options.model else lookup.BITS)


def content_of(source: Any, fitted: Fitted, quality: int | None = None) -> Content:
    """What there is to compress, as the model tells it; `DataError` where that cannot be."""
    if quality is not None:
        return _photographs(source, fitted, quality)
    rows = min(layout.MOST_ROWS, max(FEWEST, NUMBERS // elements(fitted.model.event_shape)))
    if not isinstance(source, (str, Path)):
        return arrays.of_memory(source, fitted, rows)
    path = Path(source)
    if not path.is_dir() and ((":" in path.name and arrays.is_keyed(path)) or arrays.is_arrays(path)):
        return arrays.opened(path, fitted, rows)
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder")
    if isinstance(fitted.modality, Table):
        if path.is_dir():
            raise DataError(
                f"{path}: is a folder, and this model is of the rows of a table: name a CSV file of such rows"
            )
        return texts.Texts(path)
    if fitted.modality is not None and not isinstance(fitted.modality, Image):
        name = type(fitted.modality).__name__
        raise DataError(f"{path}: is no array of rows, and this model is of the kind {name}, not of pictures")
    return pictures.Pictures(path, Planes.of(fitted), rows)


def _photographs(source: Any, fitted: Fitted, quality: int) -> Content:
    if not isinstance(source, (str, Path)) or arrays.is_arrays(Path(source)) or not Path(source).exists():
        raise DataError("a quality is for pictures in files: give a folder, or a picture's file")
    return lossy.Photographs(Path(source), fitted, quality)


def _continued(path: Path, header: dict[str, Any], content: Content) -> int:
    """How many blocks there are already; the content is told what they hold. Refuses what cannot go behind them."""
    if not path.is_file():
        raise UsageError(f"{path}: there is no archive to append to; leave --append out")
    held = described(path)
    if held.header.get("model") != header["model"]:
        raise UsageError(
            f"{path}: was made with the model {held.header['model'][:12]}, and this is {header['model'][:12]}: name the same run"
        )
    if held.header != header:
        raise UsageError(
            f"{path}: holds {held.header['kind']} of another form: compress these into an archive of their own"
        )
    content.follow(sides(path))
    return held.coded_blocks + held.stored_blocks


@dataclass
class Coding:
    """Pieces into blocks; several at a time."""

    model: Model
    content: Content
    options: Options
    made: Made

    def block(self, number: int, piece: Piece) -> tuple[Block, Piece, int]:
        """A piece as a block: coded where that decodes to the same and is the shorter, else as it is.

        With it the piece, and the bytes that it takes as it is, 0 where nobody asks.
        """
        coded = self._coded(number, piece)
        block = _plain(piece) if coded is None else shorter(coded, piece, elements(self.model.fitted.model.event_shape))
        stored = block if not block.is_coded or not self.options.measure else _plain(piece)
        return block, piece, len(stored.payload) if self.options.measure else 0

    def _coded(self, seed: int, piece: Piece) -> Block | None:
        """None where no model tells the piece, or where it does not come back to the bit."""
        found = self.content.encode(self.model, piece, seed)
        if found is None:
            return None
        raw, side = piece.coded.raw if found.raw is None else found.raw, as_bytes(found.side)
        block = Block.coded(raw, found.rows, found.payload, 1, found.seed, found.borrowed, side)
        if self.options.verify and not self._comes_back(block, found.side, raw):
            self.made.failed += 1
            return None
        return block

    def _comes_back(self, block: Block, side: Side, raw: bytes) -> bool:
        try:
            return self.content.restored().decode(self.model, block, side) == raw
        except ArtifactError:
            return False


def shorter(coded: Block, piece: Piece, numbers: int) -> Block:
    """The coded block, or the piece as it is where that is no longer, or where an archive may not hold what is coded.

    numbers: of a row. So few bytes, for one thing, may not make so many.
    """
    unfit = coded.head(0, b"", b"").fault(numbers) is not None
    if not unfit and len(folded(piece.plain.raw, QUICK)) > WORTH * len(coded.payload):
        return coded
    stored = _plain(piece)
    return stored if unfit or len(stored.payload) <= len(coded.payload) else coded


def _plain(piece: Piece) -> Block:
    return Block.stored(piece.plain.raw, piece.items, as_bytes(piece.plain.side))


def as_bytes(side: Side) -> bytes:
    """What stands beside a block, as canonical JSON."""
    return json.dumps(side, sort_keys=True, separators=(",", ":")).encode("ascii")
