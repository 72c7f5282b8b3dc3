"""Damage of every kind to a small archive: each is told, none gives back anything but what was put in."""

import contextlib
import hashlib
import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lambent.codec.archive import Block, Reader, layout
from lambent.codec.archive.layout import HEAD_BYTES, Entry, Index
from lambent.errors import ArtifactError, DataError, LambentError

Written = Callable[..., bytes]
Reading = Callable[[bytes], list[Block]]


class Parts:
    """An archive taken apart, and put together again with every check made anew."""

    def __init__(self, data: bytes) -> None:
        archive = Reader(io.BytesIO(data))
        self.identity, self.start, self.index = archive.identity, data[: archive.first], archive.index
        self.heads, self.bodies = [], []
        for entry in self.index.entries:
            head = layout.parsed_head(data[entry.offset : entry.offset + HEAD_BYTES], self.identity)
            begin = entry.offset + HEAD_BYTES
            self.heads.append(head)
            self.bodies.append(data[begin : begin + head.payload + head.side])
        self.end = data[-layout.TAIL.size - len(self.index.to_bytes()) :]

    def blocks(self) -> list[bytes]:
        return [head.to_bytes(self.identity) + body for head, body in zip(self.heads, self.bodies, strict=True)]

    def sealed(self, chained: bool = True) -> bytes:
        """Head checks, links, index and SHA-256 of what the heads and bodies are now."""
        data, entries, link = self.start, [], self.identity
        for head, body in zip(self.heads, self.bodies, strict=True):
            record = (replace(head, link=link) if chained else head).to_bytes(self.identity)
            link = layout.digest(record)
            entries.append(Entry(len(data), head.rows, head.size, layout.head_check(record)))
            data += record + body
        return ended(data, Index(tuple(entries), link), self.identity)


def ended(data: bytes, index: Index, identity: bytes) -> bytes:
    written = index.to_bytes()
    whole = data + written + layout.tail_start(written, len(data), identity)
    return whole + hashlib.sha256(whole).digest() + layout.END


def headed(data: bytes, text: bytes, model: int = 0, version: int = 1) -> bytes:
    """An archive without blocks of this description, sealed."""
    start = layout.PROLOGUE.pack(layout.MAGIC, version, 0, len(text), model) + text
    identity = layout.digest(start)
    return ended(start + identity, Index((), identity), identity)


def refused(data: bytes, reading: Reading) -> str:
    with pytest.raises(ArtifactError) as caught:
        reading(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- the beginning -----------------------------------------------------------------------------------------------------


def test_C1_what_is_no_archive(small: bytes, reading: Reading, tmp_path: Any) -> None:
    """An empty file, one byte, the magic alone, another magic, a later version: each is refused by what it is."""
    assert refused(b"", reading) == "the archive is empty"
    assert "breaks off after 1 bytes" in refused(b"L", reading)
    assert "breaks off after 8 bytes" in refused(b"LAMBENT\n", reading)
    assert "is no archive of lambent's (.lam)" in refused(b"\x89PNG\r\n\x1a\n" + small[8:], reading)
    assert "is no archive of lambent's (.lam)" in refused(small.replace(b"LAMBENT\n", b"LAMBENT\r\n", 1), reading)
    assert "has format 2, and this version reads 1: update lambent" in refused(headed(small, b"{}", version=2), reading)
    path = tmp_path / "named.lam"
    path.write_bytes(b"zip")
    with pytest.raises(ArtifactError, match=f"{path} is no archive"):
        Reader(path)
    with pytest.raises(DataError, match="is a folder, not an archive"):
        Reader(tmp_path)
    with pytest.raises(DataError, match="there is no file at"):
        Reader(tmp_path / "none.lam")


GOOD = b'{"event":[2],"kind":"a","model":"' + b"0" * 64 + b'","numerics":1}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"[]", "it is no object"),
        (b"{{", "no JSON"),
        (b"\xff\xfe", "cannot be read"),
        (GOOD[:-1] + b',"kind":"b"}', "stands there twice"),
        (GOOD[:-1] + b',"x":NaN}', "not a finite number"),
        (GOOD[:-1] + b',"x":' + b"[" * 500 + b"]" * 500 + b"}", "nested more than 16 deep"),
        (GOOD[:-1] + b',"x":' + b"[" * 200_000 + b"}", "deep"),
        (GOOD[:-1] + b',"x":' + b"1" * 5000 + b"}", "cannot be read"),
        (GOOD.replace(b"[2]", b"[1000000,1000000]"), "have more than 268435456 numbers"),
        (GOOD.replace(b"[2]", b"[-1]"), "`event`"),
        (GOOD.replace(b"[2]", b"[2.0]"), "`event`"),
        (GOOD.replace(b'"numerics":1', b'"numerics":1e999'), "not a finite number"),
        (GOOD.replace(b'"kind":"a"', b'"kind":7'), "`kind`"),
    ],
)
def test_C6_a_hostile_description(text: bytes, said: str, reading: Reading) -> None:
    """A description, rightly sealed, that is no strict JSON, is too deep, or claims rows of 10^6 × 10^6 numbers is refused."""
    assert reading(headed(b"", GOOD)) == []
    assert said in refused(headed(b"", text), reading)


@pytest.mark.parametrize("field", ["header", "model"])
@pytest.mark.parametrize("length", [0, 1, 2**20, 2**20 + 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1])
def test_C6_lengths_that_are_not_there(field: str, length: int, small: bytes, reading: Reading) -> None:
    """A description or a model of any length that is not there is refused, and nothing of it is allocated."""
    at, form = (12, "<I") if field == "header" else (16, "<Q")
    data = (
        small[:at] + struct.pack(form, length % 2 ** (32 if form == "<I" else 64)) + small[at + struct.calcsize(form) :]
    )
    tracemalloc.start()
    refused(data, reading)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1 << 20


# ---- every byte, every bit ---------------------------------------------------------------------------------------------


def test_C2_truncation_at_every_byte(small: bytes, reading: Reading) -> None:
    """Cut at any byte, an archive is refused before its last block is given, and the index is not there."""
    for length in range(len(small)):
        refused(small[:length], reading)
        try:
            archive = Reader(io.BytesIO(small[:length]))
        except ArtifactError:
            continue
        with pytest.raises(ArtifactError, match="has no whole index at its end"):
            archive.block(0)


def test_C2_blocks_before_the_cut_are_the_right_ones(small: bytes, blocks: list[Block]) -> None:
    """What was given before a cut was noticed is what was put in, block by block."""
    for length in range(len(Parts(small).start), len(small)):
        archive, given = Reader(io.BytesIO(small[:length])), []
        with contextlib.suppress(ArtifactError):
            for block in archive.blocks():
                given.append(block)  # noqa: PERF402 (those before the error are wanted)
        assert len(given) < len(blocks)
        for block, original in zip(given, blocks, strict=False):
            assert (block.payload, block.side) == (original.payload, original.side)


def test_C3_every_bit_of_an_archive(small: bytes, reading: Reading, blocks: list[Block]) -> None:
    """Each bit of a small archive flipped alone: all are noticed, and a block read by the index is right or refused."""
    payloads = [block.payload for block in blocks]
    for bit in range(8 * len(small)):
        data = bytearray(small)
        data[bit // 8] ^= 1 << bit % 8
        refused(bytes(data), reading)
        try:
            archive = Reader(io.BytesIO(bytes(data)))
            assert [archive.block(i).payload for i in range(4)] == payloads
        except ArtifactError:
            continue


# ---- blocks in other places --------------------------------------------------------------------------------------------


def arrangements(count: int) -> dict[str, list[int]]:
    every = list(range(count))
    return {
        "swapped": [1, 0, *every[2:]],
        "turned": every[::-1],
        "doubled": [0, *every],
        "dropped first": every[1:],
        "dropped middle": [0, *every[2:]],
        "dropped last": every[:-1],
    }


@pytest.mark.parametrize("sealed", ["as they were", "resealed"])
@pytest.mark.parametrize("name", arrangements(4))
def test_C4_blocks_swapped_doubled_dropped(name: str, sealed: str, small: bytes, reading: Reading) -> None:
    """Blocks that change places, stand twice or are missing are noticed, also where index and SHA-256 were made anew."""
    parts, order = Parts(small), arrangements(4)[name]
    records = parts.blocks()
    if sealed == "as they were":
        refused(parts.start + b"".join(records[i] for i in order) + parts.end, reading)
        return
    parts.heads, parts.bodies = [parts.heads[i] for i in order], [parts.bodies[i] for i in order]
    data = parts.sealed(chained=False)
    if name == "dropped last":  # rightly sealed this is an archive of three blocks: no check can know better
        assert len(reading(data)) == 3
        return
    assert "stands where block" in refused(data, reading)
    archive = Reader(io.BytesIO(data))
    for number in (i for i, place in enumerate(order) if i != place):
        with pytest.raises(ArtifactError, match="stands where block"):
            archive.block(number)


def test_C4_a_block_of_another_archive(
    small: bytes, written: Written, more_blocks: Any, header: Any, reading: Reading
) -> None:
    """A block of the same number from an archive of the same or another description is noticed, by either way of reading."""
    parts = Parts(small)
    for other in (written(more_blocks(4, seed=9)), written(more_blocks(4, seed=9), header | {"numerics": 2})):
        records = parts.blocks()
        theirs = Parts(other).blocks()[1]
        for sides in (records[1], theirs):
            assert len(sides) > HEAD_BYTES
        records[1] = theirs
        data = parts.start + b"".join(records) + parts.end
        refused(data, reading)
        with pytest.raises(ArtifactError):
            Reader(io.BytesIO(data)).block(1)


def test_C4_a_twin_that_is_sealed(small: bytes, written: Written, more_blocks: Any, reading: Reading) -> None:
    """A block of a twin archive, with index and SHA-256 made anew, breaks the chain."""
    parts, twin = Parts(small), Parts(written(more_blocks(4, seed=9)))
    parts.heads[1], parts.bodies[1] = twin.heads[1], twin.bodies[1]
    assert "block 1 does not follow on what is before it" in refused(parts.sealed(chained=False), reading)


# ---- behind the end ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("behind", [b"\0", b"\n", b"garbage behind it", b"LAMBENT"])
def test_C5_more_behind_the_end(behind: bytes, small: bytes, reading: Reading) -> None:
    """Bytes behind the end are refused, with the place where to cut them off."""
    said = refused(small + behind, reading)
    assert (
        said
        == f"the archive goes on: there is more behind its end, at byte {len(small)}; cut it off there, or take --salvage"
    )


def test_C5_two_archives_in_one_file(small: bytes, reading: Reading) -> None:
    """Two archives one behind the other are refused by that name, not read as one."""
    assert f"goes on: another archive begins behind its end, at byte {len(small)}" in refused(small * 2, reading)
    with pytest.raises(ArtifactError, match=r"is not the one|damaged|whole index"):
        Reader(io.BytesIO(small * 2)).block(0)


# ---- claims ------------------------------------------------------------------------------------------------------------

CLAIMS = {
    "rows": [2**20 + 1, 2**32 - 1],
    "size": [2**28 + 1, 2**32 - 1, 24 * 1024 + 1],
    "payload": [2**28 + 1, 2**32 - 1, 0, 15],
    "side": [2**28 + 1, 2**32 - 1, 2**27],
    "side_size": [2**28 + 1, 2**32 - 1],
    "lanes": [0, 4, 2**16 + 1, 2**32 - 1],
    "kind": [2, 255],
}


@pytest.mark.parametrize(("field", "value"), [(name, value) for name, values in CLAIMS.items() for value in values])
def test_C6_a_block_that_claims_too_much(field: str, value: int, small: bytes, reading: Reading) -> None:
    """A head, rightly sealed, that claims 2^32 rows, bytes, lanes or another kind is refused before anything is allocated."""
    parts = Parts(small)
    parts.heads[0] = replace(parts.heads[0], **{field: value})
    data = parts.sealed()
    tracemalloc.start()
    said = refused(data, reading)
    with pytest.raises(ArtifactError):
        Reader(io.BytesIO(data)).block(0)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "block 0" in said
    assert most < 1 << 20


def test_C6_a_bomb_in_zstandard(reading: Reading, written: Written) -> None:
    """Content that unfolds to more than its head says, or whose frame claims 2^60 bytes, is refused without being unfolded."""
    bomb = Block.stored(bytes(1 << 24), 0)
    data = written([Block(layout.STORED, 0, 5000, layout.digest(b""), bomb.payload)])
    with pytest.raises(ArtifactError, match="unfolds to another length than it says"):
        reading(data)[0].content()
    claiming = bytes.fromhex("28b52ffd") + b"\xc0" + b"\x00" + struct.pack("<Q", 1 << 60) + b"\x01\x00\x00"
    with pytest.raises(ArtifactError, match=r"unfolds to another length|cannot be unfolded"):
        reading(written([Block(layout.STORED, 0, 5000, layout.digest(b""), claiming)]))[0].content()


def test_C6_an_index_that_claims_too_much(small: bytes, reading: Reading) -> None:
    """An index of 2^32 blocks, of places outside the file, or of other rows is refused."""
    parts = Parts(small)
    body = parts.start + b"".join(parts.blocks())
    entries = parts.index.entries
    for wrong in (
        Index(entries[:-1], parts.index.link),
        Index((*entries, entries[-1]), parts.index.link),
        Index((replace(entries[0], offset=2**63), *entries[1:]), parts.index.link),
        Index((replace(entries[0], rows=2**31), *entries[1:]), parts.index.link),
        Index(entries, bytes(16)),
    ):
        assert "its index does not list the blocks that are there" in refused(
            ended(body, wrong, parts.identity), reading
        )
    counted = bytearray(parts.index.to_bytes())
    counted[4:8] = b"\xff" * 4
    seal = struct.pack("<QI", len(body), zlib.crc32(parts.identity + counted + struct.pack("<Q", len(body))))
    with pytest.raises(ArtifactError, match="has no whole index"):
        Reader(io.BytesIO(body + counted + seal + bytes(32) + layout.END)).block(0)


class Counted(io.BytesIO):
    """How many bytes were read in all."""

    total = 0

    def read(self, *given: Any) -> bytes:
        data = super().read(*given)
        self.total += len(data)
        return data


@pytest.mark.parametrize("form", ["noise", "tags", "heads", "nested"])
def test_C7_C23_anything_behind_a_valid_description(form: str, small: bytes) -> None:
    """Random bytes, block tags, heads that claim all that follows: refused, having read little more than the file has."""
    rng, parts = np.random.default_rng(1), Parts(small)
    size = 200_000
    claim = replace(parts.heads[0], payload=size, size=size, side=0, side_size=0).to_bytes(parts.identity)
    tail = {
        "noise": rng.bytes(size),
        "tags": layout.BLOCK_TAG * (size // 4),
        "heads": claim * (size // len(claim)),
        "nested": small * (size // len(small)),
    }[form]
    file = Counted(parts.start + tail)
    with pytest.raises(ArtifactError):
        list(Reader(file).blocks())
    assert file.total <= 2 * len(file.getvalue())


@pytest.mark.parametrize("seed", range(40))
def test_C7_random_bytes_in_a_sealed_block(seed: int, small: bytes, reading: Reading) -> None:
    """Random payloads, side data and heads behind right checks end in a typed error or in what the head declares."""
    rng, parts = np.random.default_rng(seed), Parts(small)
    fields = ["kind", "rows", "size", "payload", "side", "side_size", "lanes", "borrowed", "seed"]
    for i in range(4):
        parts.bodies[i] = rng.bytes(int(rng.integers(0, 200)))
        changed = {str(name): int(rng.integers(0, 2 ** int(rng.integers(1, 32)))) for name in rng.choice(fields, 2)}
        changed |= {"kind": changed["kind"] % 256} if "kind" in changed else {}
        whole = {"payload": len(parts.bodies[i]), "side": 0} if rng.random() < 0.7 else {}
        body = {"body": layout.digest(parts.bodies[i])}
        parts.heads[i] = replace(parts.heads[i], **(changed | whole | body))
    tracemalloc.start()
    with contextlib.suppress(LambentError):
        for block in reading(parts.sealed()):
            if not block.is_coded:
                block.content()
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
