"""Reader: an archive front to back, also from a pipe, or one block by the index."""

import os
from collections.abc import Iterator
from functools import cached_property
from typing import Any, BinaryIO

from lambent.codec.archive import layout
from lambent.codec.archive.block import Block
from lambent.codec.archive.layout import HEAD_BYTES, INDEX, MAGIC, PROLOGUE, TAIL, Entry, Head, Index, digest
from lambent.codec.archive.source import Source
from lambent.errors import ArtifactError, UsageError


class Reader:
    """An archive: `header`, `model` (None where it is not inside), and its blocks.

    source: a path, or a file that is open for reading bytes, which may be a pipe.
    Errors: `ArtifactError`, naming the file, for damage of any kind, for another format, for anything behind the archive's end;
    `DataError` for a file that is not there.
    """

    def __init__(self, source: str | os.PathLike[str] | BinaryIO) -> None:
        self.source = Source(source)
        try:
            with self.source.named():
                self.header, self.identity, model = beginning(self.source)
                self.model = checked_model(self.source, model)
        except BaseException:
            self.close()
            raise
        self.first = self.source.place
        self.elements = layout.elements(self.header)
        self._streamed = False

    # ---- front to back -------------------------------------------------------------------------------------------

    def blocks(self) -> Iterator[Block]:
        """Every block in order, each held against its digests; the last one only once the end of the archive was checked.

        So whoever has got all blocks without an error has the whole archive as it was written. A pipe can be read once.
        """
        with self.source.named():
            if self._streamed and not self.source.seekable:
                raise UsageError("is a pipe, which can be read only once")
            if self._streamed:
                self.source.rewind(self.first)
            self._streamed = True
            yield from self._read_blocks()

    def _read_blocks(self) -> Iterator[Block]:
        link, last = self.identity, None
        seen: list[Entry] = []
        while True:
            place = self.source.place
            tag = self.source.exactly(len(layout.BLOCK_TAG), f"block {len(seen)}, or before its end")
            if tag == layout.INDEX_TAG:
                break
            data = tag + self.source.exactly(HEAD_BYTES - len(tag), f"block {len(seen)}")
            head = self._head(data, len(seen))
            if head.link != link:
                raise ArtifactError(f"block {head.number} does not follow on what is before it")
            body = self.source.exactly(head.payload + head.side, f"block {head.number}")
            link = digest(data)
            seen.append(Entry(place, head.rows, head.size, layout.head_check(data)))
            if last is not None:
                yield last
            last = Block.read(head, body)
        self._read_end(Index(tuple(seen), link), place)
        if last is not None:
            yield last

    def _head(self, data: bytes, number: int) -> Head:
        head = layout.parsed_head(data, self.identity)
        if head is None:
            raise ArtifactError(f"block {number} is damaged, or no block of this archive")
        fault = head.fault(self.elements)
        if fault:
            raise ArtifactError(f"block {number} cannot be: {fault}")
        if head.number != number:
            raise ArtifactError(f"block {head.number} stands where block {number} should")
        return head

    def _read_end(self, seen: Index, place: int) -> None:
        wanted = seen.to_bytes()
        data = layout.INDEX_TAG + self.source.exactly(len(wanted) - len(layout.INDEX_TAG), "its index")
        if data != wanted:
            raise ArtifactError("is damaged: its index does not list the blocks that are there")
        start = layout.tail_start(wanted, place, self.identity)
        if self.source.exactly(len(start), "its end") != start:
            raise ArtifactError("is damaged: the check of its index")
        whole = self.source.hash.digest()
        if self.source.exactly(TAIL.size - len(start), "its end") != whole + layout.END:
            raise ArtifactError("is damaged: it does not match its SHA-256")
        end = self.source.place
        behind = self.source.some(len(MAGIC))
        if behind:
            what = "another archive begins" if behind == MAGIC else "there is more"
            raise ArtifactError(f"goes on: {what} behind its end, at byte {end}; cut it off there, or take --salvage")

    # ---- by the index --------------------------------------------------------------------------------------------

    @cached_property
    def index(self) -> Index:
        """What the end of a file says of its blocks."""
        with self.source.named():
            if not self.source.seekable:
                raise UsageError("is a pipe, which has no index before its end")
            index = read_index(self.source, self.first, self.identity)
            if index is None:
                raise ArtifactError("has no whole index at its end: it breaks off, is damaged, or has more behind it")
            return index

    def block(self, number: int) -> Block:
        """One block of a file, found by the index, held against its digests."""
        entries = self.index.entries
        if not 0 <= number < len(entries):
            raise UsageError(f"{self.source.name} has {len(entries)} blocks; there is no block {number}")
        entry = entries[number]
        with self.source.named():
            data = self.source.at(entry.offset, HEAD_BYTES)
            head = self._head(data, number)
            if Entry(entry.offset, head.rows, head.size, layout.head_check(data)) != entry:
                raise ArtifactError(f"block {number} is not the one that the index means")
            return Block.read(head, self.source.at(entry.offset + HEAD_BYTES, head.payload + head.side))

    # ---- closing -------------------------------------------------------------------------------------------------

    def close(self) -> None:
        self.source.close()

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def beginning(source: Source) -> tuple[dict[str, Any], bytes, int]:
    """The description, its digest, and the length of the model that follows."""
    start = source.some(PROLOGUE.size)
    length, model = layout.lengths(start)
    text = source.exactly(length, "its description")
    identity = source.exactly(layout.DIGEST, "its description")
    if identity != digest(start, text):
        raise ArtifactError("is damaged: its description does not match its digest")
    return layout.parsed_header(text), identity, model


def checked_model(source: Source, length: int) -> bytes | None:
    """The model inside; None where there is none."""
    if not length:
        return None
    model = source.exactly(length, "the model inside")
    if source.exactly(layout.DIGEST, "the model inside") != digest(model):
        raise ArtifactError("is damaged: the model inside does not match its digest")
    return model


def read_index(source: Source, first: int, identity: bytes) -> Index | None:
    """The index at the end of a file, whose blocks begin at `first`; None where none is whole."""
    end = source.size - TAIL.size
    tail = source.at(end, TAIL.size) if end >= first + INDEX.size else b""
    if len(tail) < TAIL.size:
        return None
    offset, check, _, mark = TAIL.unpack(tail)
    if mark != layout.END or not first <= offset <= end - INDEX.size:
        return None
    index = layout.parsed_index(source.at(offset, end - offset), offset, check, identity)
    return index if index is None or not index.entries or index.entries[0].offset == first else None
