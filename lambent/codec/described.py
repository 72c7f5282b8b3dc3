"""What an archive says of itself, without its model."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lambent.codec.archive import Block, Reader
from lambent.codec.content.base import Side
from lambent.disk import strict_json
from lambent.errors import ArtifactError
from lambent.part import elements

DEEPEST = 16


@dataclass
class Described:
    """An archive in numbers; all sizes are bytes.

    bytes: of the file. model: of the model inside, 0 where it carries none. content: of what comes back out of the blocks.
    rows, payload: of coded blocks what the model told, and the bytes that it took. stored: of stored blocks the bytes.
    items: pictures told by the model, and files or rows in all.
    """

    header: dict[str, Any] = field(default_factory=dict)
    bytes: int = 0
    model: int = 0
    content: int = 0
    rows: int = 0
    payload: int = 0
    stored: int = 0
    coded_blocks: int = 0
    stored_blocks: int = 0
    coded_items: int = 0
    stored_items: int = 0

    @property
    def items(self) -> int:
        return self.coded_items + self.stored_items

    @property
    def bits(self) -> float | None:
        """Bits for each number of the rows that the model told, the model and the headings apart; None where it told none."""
        of_rows = self.rows and self.header["kind"] != "table"  # whose payload holds more than rows
        numbers = self.rows * elements(tuple(self.header["event"])) if of_rows else 0
        return 8 * self.payload / numbers if numbers else None

    def plain(self) -> dict[str, Any]:
        """As plain JSON."""
        told = {
            "model_inside" if name == "model" else name: value for name, value in vars(self).items() if name != "header"
        }
        return {**told, "items": self.items, "bits_per_number": self.bits}


def described(path: Path) -> Described:
    """Every block read and held against its digests, none decoded."""
    with Reader(path) as archive:
        found = Described(archive.header, os.path.getsize(path), len(archive.model or b""))
        for block in archive.blocks():
            _count(found, block, side_of(block))
    return found


def _count(found: Described, block: Block, side: Side) -> None:
    items = side.get("items")
    count = len(items) if isinstance(items, list) else int(side.get("rows", block.rows))
    found.content += block.size
    if block.is_coded:
        found.rows += block.rows
        found.payload += len(block.payload)
        found.coded_blocks += 1
        found.coded_items += count
    else:
        found.stored += len(block.payload)
        found.stored_blocks += 1
        found.stored_items += count


def sides(path: Path) -> Iterator[Side]:
    """What stands beside each block."""
    with Reader(path) as archive:
        for block in archive.blocks():
            yield side_of(block)


def side_of(block: Block) -> Side:
    """What stands beside a block; `ArtifactError` where that is no JSON object."""
    try:
        found = strict_json.parsed(block.side.decode("utf-8"), deepest=DEEPEST)
    except ValueError as error:
        raise ArtifactError(f"{block}: what stands beside it is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ArtifactError(f"{block}: what stands beside it is no JSON object")
    return found
