"""Pictures: a folder, or one file, as pieces of rows; and the folder again, its pictures as PNG, all else byte for byte."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lambent.codec.content import names
from lambent.codec.content.base import Part, Piece, RestoredRows, RowContent, Side
from lambent.codec.content.planes import Planes
from lambent.codec.content.samples import Form, Samples, as_png, read
from lambent.data.readers import regular as files
from lambent.data.readers.folders import files_below
from lambent.data.readers.pictures import decoding
from lambent.errors import ArtifactError, UsageError

AHEAD = 64  # files that are read together
PLAIN_BYTES = 1 << 22  # of files that no model tells, in one block
PIXELS, FILES = "pixels", "files"


@dataclass
class Batch:
    """Files that go into one block, as far as they are gathered."""

    items: list[tuple[str, Samples | None, bytes]] = field(default_factory=list)
    rows: list[Tensor] = field(default_factory=list)
    count: int = 0
    size: int = 0

    def add(self, name: str, found: Samples | None, held: bytes, rows: Tensor | None) -> None:
        self.items.append((name, found, held))
        self.size += len(held)
        if rows is not None:
            self.rows.append(rows)
            self.count += len(rows)

    def piece(self) -> Piece:
        plain = Part(
            b"".join(held for _, _, held in self.items),
            {"as": FILES, "items": [[name, len(held)] for name, _, held in self.items]},
        )
        if not self.rows:
            return Piece(None, plain, plain, len(self.items), self.size)
        told = [(name, found) for name, found, _ in self.items if found is not None]
        side = {"as": PIXELS, "items": [[name, *found.form.plain()] for name, found in told]}
        raw = b"".join(_bytes(found.levels) for _, found in told)
        return Piece(torch.cat(self.rows), Part(raw, side), plain, len(self.items), self.size)


class Pictures(RowContent):
    """All files of a folder at every depth, but for hidden and system ones, or one file.

    Pictures whose samples the model can tell become rows, alike ones together; all other files are kept as they are.
    """

    kind = "pictures"
    noun = "files"

    def __init__(self, source: Path, planes: Planes, rows: int) -> None:
        self.root = source if source.is_dir() else source.parent
        self.planes, self.rows = planes, rows
        self.notices: Counter[str] = Counter()
        if source.is_dir():
            self.files, found = files_below(source, None)
            self.notices.update(found)
        else:
            self.files = [files.regular(source)]
        self.total = len(self.files)
        self.names = [names.kept(path, self.root) for path in self.files]

    def facts(self) -> Side:
        return {"planes": self.planes.facts()}

    def pieces(self) -> Iterator[Piece]:
        gathered: dict[Any, Batch] = {}
        for name, found, held in self._read():
            rows = None if found is None else self.planes.rows(found.levels[None])
            form = None if found is None or rows is None else found.form
            # Alike ones together: whether rows or files are the smaller is decided block by block.
            key = None if form is None or found is None else (form.kept, form.deep, found.hard)
            batch = gathered.setdefault(key, Batch())
            batch.add(name, found if form else None, held, rows)
            if batch.count >= self.rows or (form is None and batch.size >= PLAIN_BYTES):
                yield gathered.pop(key).piece()
        for batch in gathered.values():
            yield batch.piece()

    def follow(self, sides: Iterable[Side]) -> None:
        held = {name for side in sides for name in names_in(side)}
        twice = [name for name in self.names if name in held]
        if twice:
            raise UsageError(
                f"{len(twice):,} of these files are in the archive already, by name: {', '.join(twice[:3])}; leave them out, or "
                "rename their folder"
            )

    def restored(self) -> "RestoredPictures":
        return RestoredPictures(self.facts(), lambda path, form, content: None)

    def _read(self) -> Iterator[tuple[str, Samples | None, bytes]]:
        """Of each file its name, its samples where it is a picture, and its bytes; some are read at a time."""

        def one(path: Path) -> tuple[Samples | None, bytes]:
            with files.unchanged(path):
                return read(path), files.regular(path).read_bytes()

        waiting = iter(zip(self.names, self.files, strict=True))
        with ThreadPoolExecutor(4) as pool:
            while some := list(islice(waiting, AHEAD)):
                with decoding():
                    done = list(pool.map(one, [path for _, path in some]))
                for (name, _), (found, held) in zip(some, done, strict=True):
                    self.notices["pictures"] += found is not None
                    yield name, found, held


Put = Callable[[Path, "Form | None", "NDArray[Any] | bytes"], None]


class RestoredPictures(RestoredRows):
    """Pictures out of an archive: each is handed to `put` with its form and its levels, or as the bytes of its file."""

    def __init__(self, facts: Side, put: Put) -> None:
        self.planes = Planes.restored(facts.get("planes"))
        self.put = put
        self.taken: set[Path] = set()

    def rows_in(self, side: Side) -> int:
        return sum(self._count(form) for _, form in _pictured(side))

    def _count(self, form: Form) -> int:
        if not self.planes.takes(form.kept):
            raise ArtifactError(f"the archive describes a picture of {form.kept} bands, which its model does not take")
        return self.planes.count(form.kept, form.height, form.width)

    def raw_of(self, rows: Tensor, side: Side) -> bytes:
        found, place = [], 0
        for _, form in _pictured(side):
            count, shape = self._count(form), (1, form.kept, form.height, form.width)
            found.append(_bytes(self.planes.levels(rows[place : place + count], shape, form.deep)[0]))
            place += count
        return b"".join(found)

    def take(self, raw: bytes, side: Side, index: int) -> None:
        place = 0
        for name, size, form in _listed(side):
            held = raw[place : place + size]
            place += size
            if len(held) != size:
                break
            path = names.harmless(name)
            if form is None:
                self._give(
                    path if path not in self.taken else names.ending_in(path, path.suffix, self.taken), None, held
                )
            else:
                levels = np.frombuffer(held, "<u2" if form.deep else np.uint8).reshape(
                    form.kept, form.height, form.width
                )
                self._give(names.ending_in(path, ".png", self.taken), form, levels)
        if place != len(raw):
            raise ArtifactError(f"block {index} holds {len(raw):,} bytes, and describes files of {place:,}")

    def _give(self, path: Path, form: Form | None, content: "NDArray[Any] | bytes") -> None:
        self.taken.add(path)
        self.put(path, form, content)

    def finish(self) -> None: ...


def into(folder: Path) -> Put:
    """Writes each file into a folder."""

    def put(path: Path, form: Form | None, content: "NDArray[Any] | bytes") -> None:
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        held = content if isinstance(content, bytes) else as_png(_said(form), content)
        with open(place, "xb") as file:
            file.write(held)

    return put


def _said(form: Form | None) -> Form:
    assert form is not None
    return form


def names_in(side: Side) -> list[str]:
    """The names of the files of a block."""
    return [name for name, _, _ in _listed(side)]


def _listed(side: Side) -> list[tuple[str, int, Form | None]]:
    """Name and bytes of each file of a block, and the form of those that are told by their pixels."""
    if side.get("as") == PIXELS:
        return [(name, form.size, form) for name, form in _pictured(side)]
    found: list[tuple[str, int, Form | None]] = []
    for item in _items(side, FILES):
        if len(item) != 2 or type(item[1]) is not int or item[1] < 0:
            raise ArtifactError(f"the archive describes a file as {str(item)[:60]}, which none is")
        found.append((item[0], item[1], None))
    return found


def _pictured(side: Side) -> list[tuple[str, Form]]:
    return [(item[0], Form.restored(item[1:])) for item in _items(side, PIXELS)]


def _items(side: Side, kind: str) -> list[list[Any]]:
    items = side.get("items")
    right = side.get("as") == kind and isinstance(items, list)
    if not right or not all(isinstance(item, list) and item and isinstance(item[0], str) for item in items or ()):
        raise ArtifactError("a block of the archive does not say which files it holds")
    return items or []


def _bytes(levels: NDArray[Any]) -> bytes:
    return np.ascontiguousarray(levels, "<u2" if levels.dtype.itemsize == 2 else np.uint8).tobytes()
