"""Block: some rows of an archive, coded or stored, that can be decoded without the others."""

from dataclasses import dataclass, field

from lambent.codec.archive.folding import folded, unfolded
from lambent.codec.archive.layout import CODED, STORED, Head, digest
from lambent.errors import ArtifactError


@dataclass(frozen=True)
class Block:
    """Rows of an archive.

    rows: how many; size, digest: bytes of the content that it decodes to, and their digest; payload: the coded or stored bytes;
    side: bytes that belong to the rows and are kept as they are, such as names; lanes, seed, borrowed: of the stack, for a coded
    block. number: its place in the archive, once it has one.
    """

    kind: int
    rows: int
    size: int
    digest: bytes
    payload: bytes = field(repr=False)
    side: bytes = field(default=b"", repr=False)
    lanes: int = 0
    seed: int = 0
    borrowed: int = 0
    number: int | None = None

    @classmethod
    def coded(
        cls, content: bytes, rows: int, payload: bytes, lanes: int, seed: int = 0, borrowed: int = 0, side: bytes = b""
    ) -> "Block":
        """A block whose `payload`, the bytes of a stack, decodes to the content by the archive's model."""
        return cls(CODED, rows, len(content), digest(content), payload, side, lanes, seed, borrowed)

    @classmethod
    def stored(cls, content: bytes, rows: int, side: bytes = b"") -> "Block":
        """A block that holds the content itself, folded by Zstandard where that is shorter."""
        return cls(STORED, rows, len(content), digest(content), folded(content), side)

    @property
    def is_coded(self) -> bool:
        return self.kind == CODED

    def content(self) -> bytes:
        """What a stored block holds; raises `ArtifactError` where it is not what was put in."""
        if self.is_coded:
            raise ValueError(f"{self} is coded: its content comes of the model")
        content = unfolded(self.payload, self.size)
        self.check(content)
        return content

    def check(self, content: bytes) -> None:
        """Raise `ArtifactError` where the block was decoded to anything but what was put in."""
        if len(content) != self.size or digest(content) != self.digest:
            raise ArtifactError(f"{self} decodes to something else than was put in")

    def head(self, number: int, link: bytes, side: bytes) -> Head:
        """The record that stands before the payload and the folded side data."""
        lengths = (len(self.payload), len(side), len(self.side))
        stack, body = (self.lanes, self.borrowed, self.seed), digest(self.payload, side)
        return Head(self.kind, number, self.rows, self.size, *lengths, *stack, link, self.digest, body)

    @classmethod
    def read(cls, head: Head, body: bytes) -> "Block":
        """The block of this head and the bytes behind it; raises `ArtifactError` where they do not belong together."""
        if len(body) != head.payload + head.side or digest(body) != head.body:
            raise ArtifactError(f"block {head.number} is damaged")
        payload, side = body[: head.payload], unfolded(body[head.payload :], head.side_size)
        stack = (head.lanes, head.seed, head.borrowed)
        return cls(head.kind, head.rows, head.size, head.content, payload, side, *stack, head.number)

    def __str__(self) -> str:
        return "a block" if self.number is None else f"block {self.number}"
