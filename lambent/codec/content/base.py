"""Content: what is compressed, in pieces that a block holds; and Restored, what becomes of the blocks of an archive."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lambent.codec.archive import Block
from lambent.codec.pace import Pace
from lambent.codec.rows import Coded, RowCodec
from lambent.errors import ArtifactError, DataError
from lambent.fitted import Fitted

Side = dict[str, Any]  # plain JSON
MOST_PACE = 1 << 31


@dataclass(frozen=True)
class Model:
    """What blocks are coded by: a trained model, and its exact form."""

    fitted: Fitted
    codec: RowCodec


@dataclass(frozen=True)
class Part:
    """Bytes that come back, and what says of which items they are."""

    raw: bytes
    side: Side


@dataclass(frozen=True)
class Piece:
    """As much as one block holds.

    rows: [n, *event] as the model takes them, which with `coded.side` say `coded.raw`; None where no rows do. plain: the same
    without a model. items: how many. taken: bytes that they took where they came from.
    """

    rows: Tensor | None
    coded: Part
    plain: Part
    items: int
    taken: int


@dataclass(frozen=True)
class Encoded:
    """A piece as a model codes it: the payload of a block, what stands beside it, and what its stack needs."""

    payload: bytes
    rows: int
    side: Side
    seed: int = 0
    borrowed: int = 0


class Content(ABC):
    """What is compressed.

    noun: what it is counted in. total: how many there are. notices: what was met, by name, once all pieces were taken.
    """

    kind: str
    noun: str
    total: int
    notices: Counter[str]

    @abstractmethod
    def facts(self) -> Side:
        """What the header is to say, so that it can be put together again."""

    @abstractmethod
    def pieces(self) -> Iterator[Piece]:
        """All of it, in the order in which it comes back."""

    @abstractmethod
    def follow(self, sides: Iterable[Side]) -> None:
        """What an archive holds already, by what stands beside its blocks: this goes behind it; `UsageError` where it cannot."""

    @abstractmethod
    def encode(self, model: Model, piece: Piece, seed: int) -> Encoded | None:
        """A piece by the model; None where the model cannot tell it."""

    @abstractmethod
    def restored(self) -> "Restored":
        """What turns blocks into the same bytes again."""


class Restored(ABC):
    """The same on its way out of an archive. Whatever is said in an archive may be a stranger's: it is held against the bytes."""

    @abstractmethod
    def decode(self, model: Model, block: Block, side: Side) -> bytes:
        """The content of a coded block; `ArtifactError` where the block does not bear out what stands beside it."""

    @abstractmethod
    def take(self, raw: bytes, side: Side, index: int) -> None:
        """One block's content, in order; `ArtifactError` where it is not what the block says."""

    @abstractmethod
    def finish(self) -> Any:
        """All is there: what came back."""


class RowContent(Content):
    """What is told by rows of the model."""

    def encode(self, model: Model, piece: Piece, seed: int) -> Encoded | None:
        if piece.rows is None:
            return None
        try:
            model.fitted.model.likelihood.check(piece.rows)
        except DataError:  # beyond what the likelihood knows
            return None
        found = model.codec.encode(piece.rows, seed)
        return Encoded(
            found.data, found.rows, {**piece.coded.side, "pace": list(found.pace)}, found.seed, found.borrowed
        )


class RestoredRows(Restored):
    """The same again."""

    @abstractmethod
    def rows_in(self, side: Side) -> int:
        """How many rows of the model a coded block has by what stands beside it; `ArtifactError` where that cannot be."""

    @abstractmethod
    def raw_of(self, rows: Tensor, side: Side) -> bytes:
        """The bytes that so many rows of a coded block say."""

    def decode(self, model: Model, block: Block, side: Side) -> bytes:
        pace = side.get("pace")
        if not isinstance(pace, list) or len(pace) != 2 or not all(type(n) is int and 0 <= n < MOST_PACE for n in pace):
            raise ArtifactError(f"{block} does not say how it was coded")
        if (said := self.rows_in(side)) != block.rows:
            raise ArtifactError(f"{block} holds {block.rows:,} rows, and describes content of {said:,}")
        coded = Coded(block.rows, block.seed, block.borrowed, Pace(*pace), block.payload)
        return self.raw_of(model.codec.decode(coded), side)
