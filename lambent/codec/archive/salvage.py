"""Salvage: the blocks of a damaged archive that are intact, wherever they stand in it, and a list of what is lost."""

import os
from collections.abc import Iterator

from lambent.codec.archive import layout
from lambent.codec.archive.block import Block
from lambent.codec.archive.layout import BLOCK_TAG, DIGEST, HEAD_BYTES, Head
from lambent.codec.archive.reader import Reader, beginning, checked_model, read_index
from lambent.codec.archive.source import PIECE, Source
from lambent.errors import ArtifactError, UsageError

OFTEN = 4  # how many times its own size an archive is read in search of blocks


class Salvage:
    """What is intact of the archive at a path: `header`, `model` (None where it is not inside, or damaged), `blocks()`.

    damage: the first thing that is wrong with the archive, in words; None where it is whole. lost: what of it cannot be had.
    Errors: `ArtifactError` where the description itself is damaged: without it no block can be decoded; `UsageError` for a pipe.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.lost: list[str] = []
        self.damage = _damage(path)
        self.source = Source(path)
        try:
            with self.source.named():
                if not self.source.seekable:
                    raise UsageError("is a pipe: what is damaged can be salvaged only from a file")
                self.header, self.identity, model = beginning(self.source)
                self.first = self.source.place + (model + DIGEST if model else 0)
                self.model = self._model(model)
                self._places = self._intact()
        except BaseException:
            self.close()
            raise
        self.numbers = sorted(self._places)
        self.lost += self._missing()

    def blocks(self) -> Iterator[Block]:
        """The intact blocks in order of their numbers."""
        with self.source.named():
            for number in self.numbers:
                place, head = self._places[number]
                yield self._read(place, head)

    def close(self) -> None:
        self.source.close()

    def __enter__(self) -> "Salvage":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- the search ----------------------------------------------------------------------------------------------

    def _model(self, length: int) -> bytes | None:
        try:
            return checked_model(self.source, length)
        except ArtifactError:
            self.lost.append("the model inside")
            return None

    def _intact(self) -> dict[int, tuple[int, Head]]:
        """Where the blocks are that match their digests, by number; of two with one number the first."""
        places: dict[int, tuple[int, Head]] = {}
        elements, place = layout.elements(self.header), self._next(self.first)
        left = (
            OFTEN * self.source.size
        )  # heads that are whole before bodies that are not could each ask for all that follows
        while place is not None:
            head = layout.parsed_head(self.source.at(place, HEAD_BYTES), self.identity)
            if head is None or head.fault(elements):
                place = self._next(place + 1)
                continue
            body = head.payload + head.side
            end = place + HEAD_BYTES + body
            left -= body
            if self._is_intact(place, head):
                places.setdefault(head.number, (place, head))
                place = self._next(end)
            else:
                place = self._next(place + 1 if left > 0 else end)
        return places

    def _is_intact(self, place: int, head: Head) -> bool:
        try:
            self._read(place, head)
        except ArtifactError:
            return False
        return True

    def _read(self, place: int, head: Head) -> Block:
        return Block.read(head, self.source.at(place + HEAD_BYTES, head.payload + head.side))

    def _next(self, place: int) -> int | None:
        """Where the next tag of a block stands, from `place` on."""
        while len(piece := self.source.at(place, PIECE)) >= len(BLOCK_TAG):
            found = piece.find(BLOCK_TAG)
            if found >= 0:
                return place + found
            place += len(piece) - len(BLOCK_TAG) + 1
        return None

    def _missing(self) -> list[str]:
        """What is not there, by the index where that is whole, else by the numbers of the blocks that are."""
        index = read_index(self.source, self.first, self.identity)
        if index is None:
            count = max(self.numbers, default=-1) + 1
            lost = [f"block {number}" for number in range(count) if number not in self._places]
            return [*lost, f"the index: there may have been more than {count} blocks"]
        entries = enumerate(index.entries)
        return [f"block {number}, {entry.rows} rows" for number, entry in entries if number not in self._places]


def _damage(path: str | os.PathLike[str]) -> str | None:
    try:
        with Reader(path) as whole:
            for _ in whole.blocks():
                pass
    except ArtifactError as error:
        return str(error)
    return None
