"""Salvage: of a damaged archive every intact block comes back, in order, and what is lost is told; never anything else."""

import itertools
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lambent.codec.archive import Block, Reader, Salvage, layout
from lambent.codec.archive.layout import HEAD_BYTES
from lambent.errors import ArtifactError, UsageError


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[bytes], tuple[list[Block], list[str], bytes | None]]:
    """saved(data): the blocks, what is lost, and the model."""

    def of(data: bytes) -> tuple[list[Block], list[str], bytes | None]:
        path = tmp_path / "damaged.lam"
        path.write_bytes(data)
        with Salvage(path) as found:
            blocks = list(found.blocks())
            assert [block.number for block in blocks] == found.numbers
            assert found.damage is None or str(path) in found.damage
            return blocks, ([found.damage] if found.damage else []) + found.lost, found.model

    return of


def place(small: bytes, tmp_path: Path, number: int) -> int:
    with Reader(tmp_path / "small.lam") as archive:
        return archive.index.entries[number].offset


Saved = Callable[[bytes], tuple[list[Block], list[str], bytes | None]]


def right(found: list[Block], blocks: list[Block]) -> bool:
    return all((b.payload, b.side) == (blocks[b.number].payload, blocks[b.number].side) for b in found)


def test_nothing_is_lost_of_what_is_whole(small: bytes, blocks: list[Block], saved: Saved) -> None:
    found, lost, model = saved(small)
    assert (len(found), lost, model) == (4, [], b"the bytes of a model")
    assert right(found, blocks)


def test_C2_salvage_after_truncation_at_every_byte(
    small: bytes, blocks: list[Block], saved: Saved, tmp_path: Path
) -> None:
    """Cut at any byte behind the description, the blocks before the cut are saved, and that there is damage is told."""
    ends = [place(small, tmp_path, n) for n in (1, 2, 3)]
    ends.append(ends[-1] + HEAD_BYTES + len(blocks[3].payload) + side_length(small, ends[-1]))
    for length in range(place(small, tmp_path, 0), len(small)):
        found, lost, _ = saved(small[:length])
        assert lost
        assert len(found) == sum(end <= length for end in ends)
        assert right(found, blocks)


def side_length(small: bytes, offset: int) -> int:
    """Bytes of folded side data of the block at this place."""
    return int.from_bytes(small[offset + 24 : offset + 28], "little")


def test_C3_salvage_after_every_flipped_bit(small: bytes, blocks: list[Block], saved: Saved) -> None:
    """Each bit behind the description flipped alone: damage is told, at most one block is lost, the others are right."""
    begin = layout.PROLOGUE.size + int.from_bytes(small[12:16], "little") + layout.DIGEST
    for bit in range(8 * begin, 8 * len(small)):
        data = bytearray(small)
        data[bit // 8] ^= 1 << bit % 8
        found, lost, _ = saved(bytes(data))
        assert lost
        assert len(found) >= 3
        assert right(found, blocks)


def test_a_damaged_block_is_named_with_its_rows(small: bytes, saved: Saved, tmp_path: Path) -> None:
    at = place(small, tmp_path, 1) + HEAD_BYTES
    data = small[:at] + bytes([small[at] ^ 1]) + small[at + 1 :]
    found, lost, _ = saved(data)
    assert [block.number for block in found] == [0, 2, 3]
    assert lost == [f"{tmp_path / 'damaged.lam'}: block 1 is damaged", "block 1, 5 rows"]


def test_bytes_lost_or_put_in_between(small: bytes, saved: Saved, blocks: list[Block], tmp_path: Path) -> None:
    """Where bytes are missing or too many, what follows them is found again."""
    at = place(small, tmp_path, 1) + HEAD_BYTES + 3
    for data in (small[:at] + small[at + 2 :], small[:at] + b"more" + small[at:]):
        found, lost, _ = saved(data)
        assert [block.number for block in found] == [0, 2, 3]
        assert lost[1:] == ["block 1", "the index: there may have been more than 4 blocks"]
        assert right(found, blocks)


def test_C4_salvage_puts_blocks_in_order(small: bytes, saved: Saved, blocks: list[Block], tmp_path: Path) -> None:
    """Blocks that changed places or stand twice come back once each, in order; those of another archive do not."""
    ends = [place(small, tmp_path, n) for n in range(4)] + [len(small) - layout.TAIL.size - 40 - 4 * 20]
    records = [small[a:b] for a, b in itertools.pairwise(ends)]
    data = small[: ends[0]] + b"".join(records[i] for i in (2, 1, 1, 0, 3)) + small[ends[4] :]
    found, lost, _ = saved(data)
    assert [block.number for block in found] == [0, 1, 2, 3]
    assert right(found, blocks)
    assert "block 2 stands where block 0 should" in lost[0]


def test_C5_salvage_of_an_archive_with_more_behind_it(
    small: bytes, saved: Saved, blocks: list[Block], written: Any
) -> None:
    """What follows the end is left out: garbage, or another archive's blocks."""
    other = written(blocks[:2], model=None)
    for behind in (b"garbage", other):
        found, lost, _ = saved(small + behind)
        assert [block.number for block in found] == [0, 1, 2, 3]
        assert right(found, blocks)
        assert "behind its end" in lost[0]


def test_a_damaged_model_is_told(small: bytes, saved: Saved) -> None:
    data = small.replace(b"the bytes of a model", b"The bytes of a model")
    found, lost, model = saved(data)
    assert len(found) == 4
    assert model is None
    assert lost[1:] == ["the model inside"]


def test_without_its_description_nothing_can_be_saved(small: bytes, saved: Saved) -> None:
    with pytest.raises(ArtifactError, match="its description does not match its digest"):
        saved(small.replace(b'"kind"', b'"Kind"'))


def test_a_pipe_cannot_be_salvaged(tmp_path: Path, small: bytes) -> None:
    out, into = os.pipe()
    with os.fdopen(into, "wb") as file:
        file.write(small)
    with pytest.raises(UsageError, match="can be salvaged only from a file"):
        Salvage(f"/dev/fd/{out}")
    os.close(out)


def test_C23_salvage_is_bounded(small: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of heads, each rightly sealed and claiming all that follows, are searched in reading a few times the file."""
    with Reader(tmp_path / "small.lam") as archive:
        identity, first = archive.identity, archive.first
    size = 400_000
    noise = np.random.default_rng(0).bytes(size)
    head = layout.parsed_head(small[first : first + HEAD_BYTES], identity)
    claims = [replace(head, number=n, size=size // 2, payload=size // 2, side=0, side_size=0) for n in range(2000)]
    path = tmp_path / "hostile.lam"
    path.write_bytes(small[:first] + b"".join(claim.to_bytes(identity) for claim in claims) + noise)
    total = 0
    real = Salvage._read

    def counted(self: Salvage, at: int, claimed: Any) -> Block:
        nonlocal total
        total += claimed.payload
        return real(self, at, claimed)

    monkeypatch.setattr(Salvage, "_read", counted)
    with Salvage(path) as found:
        assert list(found.blocks()) == []
    assert total <= 5 * path.stat().st_size
