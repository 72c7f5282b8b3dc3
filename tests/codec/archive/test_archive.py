"""The archive: what was put in comes out, front to back, by number, from a pipe, and after more was appended."""

import hashlib
import io
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lambent.codec.archive import Block, Reader, Writer, folding, layout
from lambent.errors import ArtifactError, DataError, MachineError, UsageError

Written = Callable[..., bytes]
Reading = Callable[[bytes], list[Block]]


def same(given: list[Block], back: list[Block]) -> bool:
    """Equal but for their numbers, which are those of their order."""
    fields = [(b.kind, b.rows, b.size, b.digest, b.payload, b.side, b.lanes, b.seed, b.borrowed) for b in given]
    mine = [(b.kind, b.rows, b.size, b.digest, b.payload, b.side, b.lanes, b.seed, b.borrowed) for b in back]
    return fields == mine and [b.number for b in back] == list(range(len(given)))


def test_what_was_put_in_comes_out(small: bytes, blocks: list[Block], header: Any, tmp_path: Path) -> None:
    with Reader(tmp_path / "small.lam") as archive:
        assert archive.header == header
        assert archive.model == b"the bytes of a model"
        assert same(blocks, list(archive.blocks()))
        assert same(blocks, list(archive.blocks()))  # again
        assert [archive.block(i) for i in (3, 0, 2, 1)] == [list(archive.blocks())[i] for i in (3, 0, 2, 1)]
        assert archive.index.rows == sum(block.rows for block in blocks)
        assert archive.index.size == sum(block.size for block in blocks)
        with pytest.raises(UsageError, match="has 4 blocks; there is no block 4"):
            archive.block(4)


def test_the_layout_is_the_one_that_is_described(written: Written, header: dict[str, Any]) -> None:
    """Read by hand from docs/format.md, without any code of the archive's."""
    block = Block.coded(b"content!", 3, b"p" * 24, lanes=2, seed=7, borrowed=5, side=b"side")
    data = written([block], model=b"model")
    magic, version, zero, length, model = struct.unpack_from("<8sHHIQ", data)
    assert (magic, version, zero, model) == (b"LAMBENT\n", 1, 0, 5)
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert data[24 : 24 + length] == text
    at = 24 + length
    identity = hashlib.sha256(data[:at]).digest()[:16]
    assert data[at : at + 16] == identity
    assert data[at + 16 : at + 37] == b"model" + hashlib.sha256(b"model").digest()[:16]
    begin = at + 37
    head = data[begin : begin + 100]
    assert struct.unpack("<4sBBH8IQ", head[:48]) == (b"blk\n", 0, 0, 0, 0, 3, 8, 24, 4, 4, 2, 5, 7)
    body = b"p" * 24 + b"side"
    digests = identity, hashlib.sha256(b"content!").digest()[:16], hashlib.sha256(body).digest()[:16]
    assert (head[48:64], head[64:80], head[80:96]) == digests
    assert struct.unpack("<I", head[96:100])[0] == zlib.crc32(identity + head[:96])
    assert data[begin + 100 : begin + 128] == body
    index = data[begin + 128 : -52]
    link = hashlib.sha256(head[:100]).digest()[:16]
    assert index == struct.pack("<4sIQQ16sQIII", b"idx\n", 1, 3, 8, link, begin, 3, 8, zlib.crc32(identity + head[:96]))
    place = struct.pack("<Q", begin + 128)
    assert data[-52:-40] == place + struct.pack("<I", zlib.crc32(identity + index + place))
    assert data[-40:] == hashlib.sha256(data[:-40]).digest() + b"LAMBEND\n"


def test_stored_content_is_verbatim_or_zstandard() -> None:
    noise = os.urandom(1000)
    assert Block.stored(noise, 1).payload == noise
    assert len(Block.stored(bytes(100_000), 1).payload) < 30
    for content in (noise, bytes(100_000), b"", b"a"):
        assert Block.stored(content, 1).content() == content


def test_C12_what_is_stored_never_expands(written: Written) -> None:
    """Noise that is stored takes its own bytes and the same few more, however much of it there is."""
    more = [len(written([Block.stored(os.urandom(size), 1)])) - size for size in (1, 1000, 300_000)]
    assert more[0] == more[1] == more[2] < 600


@pytest.mark.parametrize("count", [0, 1, 3])
def test_C13_any_number_of_blocks(count: int, written: Written, reading: Reading, more_blocks: Any) -> None:
    """Archives of no block, one and an odd number come back, and of no rows in a block."""
    blocks = [*more_blocks(count), Block.stored(b"", 0)][: count or None]
    data = written(blocks if count else [], model=None)
    assert same(blocks if count else [], reading(data))
    assert same([Block.stored(b"", 0)], reading(written([Block.stored(b"", 0)])))


def test_C20_twice_the_same_bytes(written: Written, more_blocks: Any, header: dict[str, Any]) -> None:
    """The same blocks and description, in whatever order of its names, make the same bytes."""
    other = dict(reversed(list(header.items())))
    assert written(more_blocks()) == written(more_blocks(), other)


def test_C21_from_a_pipe(small: bytes, blocks: list[Block]) -> None:
    """An archive is read from a pipe, also from standard input; its index, or a second time, it is not."""
    out, into = os.pipe()
    with os.fdopen(into, "wb") as file:
        file.write(small)
    with os.fdopen(out, "rb") as file:
        archive = Reader(file)
        assert same(blocks, list(archive.blocks()))
        with pytest.raises(UsageError, match="is a pipe, which has no index before its end"):
            _ = archive.index
        with pytest.raises(UsageError, match="can be read only once"):
            list(archive.blocks())
    code = "import sys; from lambent.codec.archive import Reader; print(sum(b.rows for b in Reader(sys.stdin.buffer).blocks()))"
    done = subprocess.run([sys.executable, "-c", code], input=small, capture_output=True, check=True)
    assert int(done.stdout) == sum(block.rows for block in blocks)


def test_C21_a_pipe_that_breaks_off(small: bytes) -> None:
    """A pipe that ends early, or that claims a model of 4 GiB and ends, is refused with no more memory than has come."""
    out, into = os.pipe()
    with os.fdopen(into, "wb") as file:
        file.write(small[:16] + struct.pack("<Q", 1 << 32) + small[24:])
    with os.fdopen(out, "rb") as file, pytest.raises(ArtifactError, match=r"breaks off|damaged"):
        Reader(file)


# ---- appending ---------------------------------------------------------------------------------------------------------


def test_appended_blocks_follow(
    small: bytes, blocks: list[Block], header: Any, tmp_path: Path, more_blocks: Any
) -> None:
    """An archive that was appended to has the bytes of one that was written at once."""
    with Writer(tmp_path / "small.lam", header, append=True) as archive:
        for block in more_blocks(3, seed=1):
            archive.add(block)
    with Reader(tmp_path / "small.lam") as archive:
        assert archive.model == b"the bytes of a model"
        assert same([*blocks, *more_blocks(3, seed=1)], list(archive.blocks()))
    at_once = tmp_path / "once.lam"
    with Writer(at_once, header, b"the bytes of a model") as archive:
        for block in [*blocks, *more_blocks(3, seed=1)]:
            archive.add(block)
    assert at_once.read_bytes() == (tmp_path / "small.lam").read_bytes()


def test_only_the_same_is_appended(small: bytes, header: Any, tmp_path: Path) -> None:
    path = tmp_path / "small.lam"
    with pytest.raises(ArtifactError, match=r"has another event, model; only the same can be appended"):
        Writer(path, header | {"event": [4], "model": "0" * 64}, append=True)
    with pytest.raises(DataError, match="there is no file at"):
        Writer(tmp_path / "none.lam", header, append=True)
    path.write_bytes(small[:-1])
    with pytest.raises(ArtifactError, match="breaks off within its end"):
        Writer(path, header, append=True)
    assert path.read_bytes() == small[:-1]


def test_an_archive_that_changes_while_it_is_appended_to(
    small: bytes, header: Any, tmp_path: Path, more_blocks: Any
) -> None:
    path = tmp_path / "small.lam"
    archive = Writer(path, header, append=True)
    archive.add(more_blocks(1)[0])
    path.write_bytes(small + b"!")
    with pytest.raises(ArtifactError, match="was changed while it was appended to"):
        archive.close()
    assert path.read_bytes() == small + b"!"
    assert os.listdir(tmp_path) == ["small.lam"]


# ---- what cannot be ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("kind", "", "`kind` must be a short text"),
        ("model", "run", "`model` must be a SHA-256"),
        ("numerics", True, "`numerics` must be a whole number"),
        ("event", [0], "`event` must be a list of at most 8 sizes"),
        ("event", [10**6, 10**6], "have more than 268435456 numbers"),
    ],
)
def test_a_description_that_cannot_be_is_not_written(
    field: str, value: Any, said: str, header: Any, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactError, match=said):
        Writer(tmp_path / "x.lam", header | {field: value})
    assert not os.listdir(tmp_path)


def test_a_block_beyond_the_limits_is_not_written(header: Any, tmp_path: Path) -> None:
    with Writer(tmp_path / "x.lam", header) as archive:
        for block in (
            Block.coded(b"c", 2**21, b"p" * 8, 1),
            Block.coded(b"c", 1, b"p" * 8, 2),
            Block.coded(b"c" * 9000, 1, b"p" * 8, 1),
            Block.coded(b"c", 0, b"p" * 8, 0),
        ):
            with pytest.raises(UsageError, match="this block cannot be written"):
                archive.add(block)
    with Reader(tmp_path / "x.lam") as archive:
        assert archive.index.entries == ()


def test_M10_without_zstandard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without zstandard, archives say which extra to install."""
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MachineError, match=r"pip install 'lambent\[codec\]'"):
        folding.folded(b"content")


def test_a_block_that_decodes_to_something_else_says_so(blocks: list[Block], small: bytes) -> None:
    block = Reader(io.BytesIO(small)).block(0)
    with pytest.raises(ArtifactError, match="block 0 decodes to something else than was put in"):
        block.check(bytes(block.size))
    assert layout.digest(b"abc").hex() == "ba7816bf8f01cfea414140de5dae2223"  # FIPS 180-4, its first half
