"""Faults of data that cut across their kinds: endless files, files that change, ranges; and kinds that are not read yet."""

import gzip
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from lambent.data import load
from lambent.data.kinds.image import Image
from lambent.data.kinds.table import Table
from lambent.data.readers import arrays, delimited, idx, pictures
from lambent.errors import DataError
from lambent.model.likelihoods import Bernoulli, DiscretizedLogistics

Draw = Callable[..., Path]


@pytest.mark.parametrize(("size", "words"), [(2**30, "a line longer than 16,777,216 bytes"), (2**35, "at most 17,179")])
def test_D12_a_line_of_a_gigabyte(tmp_path: Path, size: int, words: str) -> None:
    """A CSV file that is one line of 1 GiB, or of 32 GiB, is refused after its first few MiB, in bounded memory."""
    path = tmp_path / "t.csv"
    with path.open("wb") as file:
        file.write(b"a,b\n1,")
        file.truncate(size)  # a hole: it takes no room on the disk
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=rf"t\.csv: has .*{words}"):
            Table().fit(path)
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()


def test_D15_a_million_levels(tmp_path: Path) -> None:
    """A column of a million different words is left out as an identifier; asked for as a category it has at most 1,000 levels; as
    the label it is refused."""
    path = tmp_path / "levels.parquet"
    pq.write_table(pa.table({"n": np.arange(10**6) % 7, "id": [f"id{i}" for i in range(10**6)]}), path)
    table = Table().fit(path)
    assert (table.event, table.noticed["identifiers"]) == ((1,), ["id"])
    assert len(json.dumps(table.state())) < 10_000
    asked = Table(kinds=("id=categorical",)).fit(path)
    assert asked.column("id").tokens == 1001
    assert len(json.dumps(asked.state())) < 200_000
    with pytest.raises(DataError, match=r"levels\.parquet: column 'id': 1,000,000 different labels; at most 100,000"):
        Table(label="id").fit(path)
    assert Table(drop=("id",)).fit(path).event == (1,)


def idx_file(path: Path) -> Path:
    path.write_bytes(gzip.compress(bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3]) + bytes(6)))
    return path


def npy_file(path: Path) -> Path:
    np.save(path, np.zeros((4, 3)))
    return path


def csv_file(path: Path) -> Path:
    path.write_text("a,b\n1,2\n3,4\n")
    return path


def parquet_file(path: Path) -> Path:
    pq.write_table(pa.table({"a": [1.0, 2.0]}), path)
    return path


@pytest.mark.parametrize("change", ["grown", "replaced", "gone"])
@pytest.mark.parametrize(
    ("name", "made", "module", "inner"),
    [
        ("x.npy", npy_file, arrays, "_array"),
        ("x-idx2", idx_file, idx, "_values"),
        ("x.csv", csv_file, delimited, "_read"),
        ("x.parquet", parquet_file, pq, "ParquetFile"),
    ],
)
def test_D31_every_reader_notices_a_file_that_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, made: Callable[[Path], Path], module: Any, inner: str,
    change: str,
) -> None:  # fmt: skip
    """A file that grows, is replaced or goes away while it is read is refused by its name: npy, IDX, CSV, Parquet."""
    path = made(tmp_path / name)
    assert len(load(path)) > 0
    read = getattr(module, inner)

    def meanwhile(*arguments: Any, **how: Any) -> Any:
        if change == "grown":
            path.write_bytes(path.read_bytes() + b"\n")
        elif change == "replaced":
            made(tmp_path / "other").replace(path) if name != "x.npy" else made(tmp_path / "other.npy").replace(path)
        else:
            path.unlink()
        return read(*arguments, **how)

    monkeypatch.setattr(module, inner, meanwhile)
    with pytest.raises(DataError, match=name):
        load(path)


def test_D31_a_picture_that_changes_while_it_is_decoded(
    draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture that is written to while it is decoded is refused by its name."""
    path = draw("a.png")
    image = Image().fit([path])
    plain = pictures._plain

    def meanwhile(picture: Any, at: Path) -> Any:
        at.write_bytes(at.read_bytes() + b"more")
        return plain(picture, at)

    monkeypatch.setattr(pictures, "_plain", meanwhile)
    with pytest.raises(DataError, match=r"a\.png: changed while it was read"):
        image.encode([path])


def test_D33_a_likelihood_refuses_values_outside_its_support() -> None:
    """Bytes of many levels, and numbers beyond [0, 1], are refused by a Bernoulli likelihood with the range found."""
    grey = torch.arange(30, dtype=torch.uint8).reshape(5, 1, 2, 3)
    for rows, words in ((grey, "0 … 29"), (grey / 29 * 2 - 1, "-1 … 1"), (grey / 29, "0 … 1")):
        with pytest.raises(DataError, match=f"Bernoulli is a likelihood of zeros and ones; these data lie in {words}"):
            Bernoulli().check(rows)
    Bernoulli().check((grey > 3).to(torch.uint8))
    DiscretizedLogistics().check(grey)


@pytest.mark.parametrize("name", ["book.md"])
def test_kinds_that_are_not_read_yet_are_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"RIFF\0\0\0\0WAVE")
    with pytest.raises(DataError, match=rf"{name}: of unknown kind"):
        load(tmp_path / name)
