"""Listing: which files a block holds, as told beside it; and the files, handed out again."""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.codec.content import names
from lambent.codec.content.base import Side
from lambent.codec.content.samples import Form, as_png
from lambent.data.readers import regular as files
from lambent.data.readers.folders import files_below
from lambent.errors import ArtifactError, UsageError

PIXELS, FILES = "pixels", "files"
Put = Callable[[Path, "Form | None", "NDArray[Any] | bytes"], None]


def listed(source: Path, notices: Counter[str]) -> tuple[list[Path], list[str]]:
    """All files of a folder at every depth, but for hidden and system ones, or one file; and their names within."""
    if not source.is_dir():
        return [files.regular(source)], [source.name]
    found, passed = files_below(source, None)
    notices.update(passed)
    return found, [names.kept(path, source) for path in found]


def refuse_twice(own: Iterable[str], sides: Iterable[Side]) -> None:
    """`UsageError` for names that the blocks hold already."""
    held = {name for side in sides for name in names_in(side)}
    twice = [name for name in own if name in held]
    if twice:
        raise UsageError(
            f"{len(twice):,} of these files are in the archive already, by name: {', '.join(twice[:3])}; leave them out, or "
            "rename their folder"
        )


class Unpacked:
    """Files out of blocks: each is handed to `put` with its form and its levels, or as the bytes of its file."""

    def __init__(self, put: Put) -> None:
        self.put = put
        self.taken: set[Path] = set()

    def take(self, raw: bytes, side: Side, index: int) -> None:
        place = 0
        for name, size, form in _told(side):
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
    return [name for name, _, _ in _told(side)]


def _told(side: Side) -> list[tuple[str, int, Form | None]]:
    """Name and bytes of each file of a block, and the form of those that are told by their pixels."""
    if side.get("as") == PIXELS:
        return [(name, form.size, form) for name, form in pictured(side)]
    found: list[tuple[str, int, Form | None]] = []
    for item in _items(side, FILES):
        if len(item) != 2 or type(item[1]) is not int or item[1] < 0:
            raise ArtifactError(f"the archive describes a file as {str(item)[:60]}, which none is")
        found.append((item[0], item[1], None))
    return found


def pictured(side: Side) -> list[tuple[str, Form]]:
    return [(item[0], Form.restored(item[1:])) for item in _items(side, PIXELS)]


def _items(side: Side, kind: str) -> list[list[Any]]:
    items = side.get("items")
    right = side.get("as") == kind and isinstance(items, list)
    if not right or not all(isinstance(item, list) and item and isinstance(item[0], str) for item in items or ()):
        raise ArtifactError("a block of the archive does not say which files it holds")
    return items or []
