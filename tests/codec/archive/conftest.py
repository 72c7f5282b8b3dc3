"""A small archive of every kind of block, as bytes, and reading it."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lambent.codec.archive import Block, Reader, Writer

HEADER: dict[str, Any] = {
    "kind": "arrays",
    "model": "0123456789abcdef" * 4,
    "numerics": 1,
    "event": [1, 2, 2],
    "content": {"name": "é"},
}
MODEL = b"the bytes of a model"


def some_blocks(count: int = 4, seed: int = 0) -> list[Block]:
    """Coded, stored verbatim, and folded by Zstandard, with side data and without."""
    rng, made = np.random.default_rng(seed), list[Block]()
    for i in range(count):
        content, names = rng.bytes(20), b"a.png b.png " * (3 * (i % 2))
        if i % 3 == 0:
            made.append(Block.coded(content, 5, rng.bytes(24), 2, seed=i, borrowed=1, side=names))
        else:
            made.append(Block.stored(content if i % 3 == 1 else content[:1] * 60, 5 if i % 3 == 1 else 15, side=names))
    return made


def bytes_of(path: Path, blocks: list[Block], header: dict[str, Any] = HEADER, model: bytes | None = MODEL) -> bytes:
    with Writer(path, header, model) as archive:
        for block in blocks:
            archive.add(block)
    return path.read_bytes()


def read(data: bytes) -> list[Block]:
    """Every block of an archive; an error where anything is wrong with it."""
    return list(Reader(io.BytesIO(data)).blocks())


@pytest.fixture
def blocks() -> list[Block]:
    return some_blocks()


@pytest.fixture
def small(tmp_path: Path, blocks: list[Block]) -> bytes:
    return bytes_of(tmp_path / "small.lam", blocks)


@pytest.fixture
def header() -> dict[str, Any]:
    return {**HEADER}


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., bytes]:
    """written(blocks, header, model): the bytes of such an archive."""
    return lambda *given, **more: bytes_of(tmp_path / "written.lam", *given, **more)


@pytest.fixture
def reading() -> Callable[[bytes], list[Block]]:
    return read


@pytest.fixture
def more_blocks() -> Callable[..., list[Block]]:
    return some_blocks
