"""Content: what is compressed, in pieces that a block holds; and Restored, what becomes of the pieces of an archive."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

Side = dict[str, Any]  # plain JSON


@dataclass(frozen=True)
class Part:
    """Bytes that come back, and what says of which items they are."""

    raw: bytes
    side: Side


@dataclass(frozen=True)
class Piece:
    """As much as one block holds.

    rows: [n, *event] as the model takes them, which with `coded.side` say `coded.raw`; None where a model cannot tell them.
    plain: the same items without a model. items: how many. taken: bytes that they took where they came from.
    """

    rows: Tensor | None
    coded: Part
    plain: Part
    items: int
    taken: int


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
    def restored(self) -> "Restored":
        """What turns rows into the same bytes again."""


class Restored(ABC):
    """The same on its way out of an archive. Whatever is said in an archive may be a stranger's: it is held against the bytes."""

    @abstractmethod
    def rows_in(self, side: Side) -> int:
        """How many rows of the model a coded block has by what stands beside it; `ArtifactError` where that cannot be."""

    @abstractmethod
    def raw_of(self, rows: Tensor, side: Side) -> bytes:
        """The bytes that so many rows of a coded block say."""

    @abstractmethod
    def take(self, raw: bytes, side: Side, index: int) -> None:
        """One block's content, in order; `ArtifactError` where it is not what the block says."""

    @abstractmethod
    def finish(self) -> Any:
        """All is there: what came back."""
