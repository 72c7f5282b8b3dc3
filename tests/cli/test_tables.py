"""A table of every kind of column on the command line: CSV → train → rows in any format, with types as they went in."""

import csv
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from lambent.data.kinds.table import Table

Run = Callable[..., Any]
ROWS = 200
FORMS = {
    "age": r"(\d+)?",
    "code": r"000[0-5]\d",
    "price": r"(\d+\.\d\d)?",
    "work": r"(| Private| State-gov|'=x)",
    "happy": r"(TRUE|FALSE|)",
    "born": r"\d{4}-\d\d-\d\d",
    "seen": r"\d{4}-\d\d-\d\d \d\d:\d\d",
    "at": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
    "gain": r"\d+",
    "key": r"K\d{6}",
    "x": r"-?\d+\.\d+(e-\d+)?",
}


def lines() -> list[str]:
    rng = np.random.default_rng(0)

    def cell(word: object) -> str:
        return "" if rng.random() < 0.1 else str(word)

    found = [",".join(FORMS)]
    for n in range(ROWS):
        day = np.datetime64("1980-01-01") + int(rng.integers(0, 9000))
        minute = str(np.datetime64("2020-01-01T00:00") + int(rng.integers(0, 500_000))).replace("T", " ")
        second = np.datetime64("2020-01-01T00:00:00") + int(rng.integers(0, 5_000_000))
        age, price = cell(rng.integers(17, 90)), cell(f"{rng.gamma(2, 10):.2f}")
        work, happy = cell(rng.choice([" Private", " State-gov", "=x"])), cell(rng.choice(["TRUE", "FALSE"]))
        gain = 0 if rng.random() < 0.9 else rng.integers(1, 9999)
        row = [age, f"{rng.integers(0, 60):05d}", price, work, happy, day, minute, f"{second}Z", gain, f"K{n:06d}"]
        found.append(",".join(map(str, [*row, float(rng.normal())])))
    return found


@pytest.fixture(scope="module")
def mixed_run(lambent: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixed")
    (folder / "t.csv").write_text("\n".join(lines()) + "\n")
    done = lambent(
        "train", folder / "t.csv", f"--out={folder / 'run'}", "--epochs=1", "--samples=2", "--rows=20", "--quiet"
    )
    assert done.status == 0, done.err
    return folder


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_text_comes_back_as_it_was_written(lambent: Run, mixed_run: Path, suffix: str) -> None:
    """Integers without a point, leading zeros and spaces, decimals, words of truth, dates, gaps: each as in the source."""
    assert lambent("sample", mixed_run / "run", "-n=300", f"--out=s.{suffix}").status == 0
    with open(f"s.{suffix}", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="," if suffix == "csv" else "\t"))
    assert len(rows) == 300
    assert list(rows[0]) == list(FORMS)
    for name, form in FORMS.items():
        assert [row[name] for row in rows if not re.fullmatch(form, row[name])] == [], name
    assert {row["age"] == "" for row in rows} == {True, False}
    assert {row["work"] for row in rows} <= {"", " Private", " State-gov", "'=x"}
    source = {line.split(",")[9] for line in lines()}
    assert not source & {row["key"] for row in rows}


@pytest.mark.parametrize("suffix", ["parquet", "feather", "arrow"])
def test_types_come_back(lambent: Run, mixed_run: Path, suffix: str) -> None:
    assert lambent("sample", mixed_run / "run", "-n=300", f"--out=s.{suffix}").status == 0
    read = pa.ipc.open_file(f"s.{suffix}").read_all() if suffix != "parquet" else pa.parquet.read_table("s.parquet")
    types = {name: str(kind) for name, kind in zip(read.column_names, read.schema.types, strict=True)}
    assert types["age"] == types["code"] == types["gain"] == "int64"
    assert types["price"] == types["x"] == "double"
    assert types["work"] == types["key"] == "string"
    assert (types["happy"], types["born"]) == ("bool", "date32[day]")
    assert types["seen"].startswith("timestamp")
    assert "tz=UTC" in types["at"]
    assert set(read["work"].to_pylist()) <= {None, " Private", " State-gov", "=x"}
    assert read["age"].null_count > 0


def test_what_is_written_can_be_read(lambent: Run, mixed_run: Path) -> None:
    """Rows that were made are rows of the same table, whatever file they are in: the same encoding, the same scores."""
    scores = []
    for suffix in ("csv", "parquet", "feather"):
        assert lambent("sample", mixed_run / "run", "-n=50", f"--out=s.{suffix}").status == 0
        done = lambent("score", mixed_run / "run", f"s.{suffix}", "--samples=2", f"--out=q-{suffix}.csv")
        assert done.status == 0, done.err
        scores.append(Path(f"q-{suffix}.csv").read_text())
    assert scores[0] == scores[1] == scores[2]
    assert Table().open(Path("s.csv")).declared("code").form == "05d"


def test_a_database_is_a_source(lambent: Run) -> None:
    with sqlite3.connect("d.db") as connection:
        connection.execute("CREATE TABLE t (a INTEGER, b TEXT)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(n % 17, "xyz"[n % 3]) for n in range(100)])
    connection.close()
    shown = lambent("data", "sqlite:///d.db?t")
    assert shown.status == 0
    assert "categorical" in shown.out or "text" in shown.out
    done = lambent("train", "sqlite:///d.db?t", "--out=run", "--epochs=1", "--samples=2", "--rows=20")
    assert done.status == 0, done.err
    assert lambent("evaluate", "run", "--samples=2").status == 0
    assert lambent("data", "sqlite:///d.db?nowhere").complaint.startswith("lambent: error: the database refuses")
