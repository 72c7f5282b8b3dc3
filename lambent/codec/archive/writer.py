"""Writer: an archive is written beside its place, block by block, and moved there when it is whole."""

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from lambent.codec.archive import layout
from lambent.codec.archive.block import Block
from lambent.codec.archive.folding import folded
from lambent.codec.archive.layout import HEAD_BYTES, TAIL, Entry, Index, digest
from lambent.codec.archive.reader import Reader
from lambent.codec.archive.source import PIECE
from lambent.disk.whole import replacing
from lambent.errors import ArtifactError, UsageError


class Writer:
    """An archive under way: `add` a block, another, …, then `close`; a `with` statement closes it.

    header: what is true of all blocks, see `layout.header_fault`; model: its bytes, to travel inside.
    append: the blocks of the archive at `path` come first; it must be whole, and of the same header, and its model stays.
    Until it is closed nothing stands at `path` but what stood there; after an error, or where the process is killed, that stays.
    Errors: `MachineError` where the disk refuses, `UsageError` for a block beyond the limits, `ArtifactError` for an archive
    that cannot be appended to.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        header: Mapping[str, Any],
        model: bytes | None = None,
        append: bool = False,
    ) -> None:
        self.path = Path(path)
        start = layout.prologue(header, model)
        self._identity = start[-layout.DIGEST :]
        self._link, self._entries = self._identity, list[Entry]()
        self._elements = layout.elements(header)
        self._place, self._hash = 0, hashlib.sha256()
        self._state = _state(self.path) if append else None
        copied = self._take_over(header) if append else 0
        self._open = ExitStack()
        self.closed = False
        with self._or_nothing():
            temporary = self._open.enter_context(replacing(self.path))
            self._file = self._open.enter_context(open(temporary, "xb"))  # noqa: SIM115 (the stack closes it)
            if append:
                self._copy(copied)
            else:
                self._write(start, *([model, digest(model)] if model else []))

    def add(self, block: Block) -> int:
        """Write a block behind the others; returns how many bytes it takes."""
        side = folded(block.side)
        head = block.head(len(self._entries), self._link, side)
        fault = head.fault(self._elements)
        if fault:
            raise UsageError(f"this block cannot be written: {fault}")
        data = head.to_bytes(self._identity)
        self._entries.append(Entry(self._place, head.rows, head.size, layout.head_check(data)))
        self._link = digest(data)
        with self._or_nothing():
            self._write(data, block.payload, side)
        return HEAD_BYTES + len(block.payload) + len(side)

    def close(self) -> None:
        """Write the index, and move the archive into its place."""
        if self.closed:
            return
        with self._or_nothing():
            index, place = Index(tuple(self._entries), self._link).to_bytes(), self._place
            self._write(index, layout.tail_start(index, place, self._identity))
            self._write(self._hash.digest(), layout.END)
            if self._state is not None and _state(self.path) != self._state:
                raise ArtifactError(f"{self.path} was changed while it was appended to: nothing is appended")
        self.closed = True
        self._open.close()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        if kind is None:
            self.close()
        elif not self.closed:
            self.closed = True
            self._open.__exit__(kind, *rest)

    @contextmanager
    def _or_nothing(self) -> Iterator[None]:
        """After any error within, what was written is removed."""
        try:
            yield
        except BaseException:
            self.closed = True
            self._open.__exit__(*sys.exc_info())  # an error of the disk leaves here in words
            raise

    def _write(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._file.write(piece)
            self._hash.update(piece)
            self._place += len(piece)

    # ---- appending -----------------------------------------------------------------------------------------------

    def _take_over(self, header: Mapping[str, Any]) -> int:
        """Go on from an archive that is whole; returns how many of its bytes stay."""
        with Reader(self.path) as old:
            names = sorted(set(header) | set(old.header))
            other = [n for n in names if layout.header_bytes(header.get(n)) != layout.header_bytes(old.header.get(n))]
            if other:
                raise ArtifactError(
                    f"{self.path} has another {', '.join(other)}; only the same can be appended: write an archive of its own"
                )
            for _ in old.blocks():
                pass
            self._identity, self._link, self._entries = old.identity, old.index.link, list(old.index.entries)
            return old.source.size - TAIL.size - len(old.index.to_bytes())

    def _copy(self, count: int) -> None:
        with open(self.path, "rb") as old:
            while piece := old.read(min(PIECE, count - self._place)):
                self._write(piece)


def _state(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written anew."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
