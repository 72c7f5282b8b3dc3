"""Tables of any columns a piece at a time: the same rows as from memory, whatever the file."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch

from lambent.data import load, on_disk
from lambent.data.kinds.table import Table
from lambent.data.readers import pieces, table_pieces
from lambent.data.readers.piecewise import pieces_of
from lambent.data.readers.typed import Typed
from lambent.data.writers.tables import typed_columns, write_table
from lambent.errors import DataError

ROWS = 3000


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    gaps = rng.random((4, ROWS)) < 0.1
    return pd.DataFrame(
        {
            "age": pd.array(np.where(gaps[0], None, rng.integers(17, 90, ROWS)), "Int64"),
            "pay": np.where(gaps[1], np.nan, rng.gamma(2, 100, ROWS).round(2)),
            "work": np.where(gaps[2], None, rng.choice([" private", " state", "none, yet"], ROWS)),
            "fine": rng.random(ROWS) < 0.3,
            "born": pd.to_datetime("1950-01-01") + pd.to_timedelta(rng.integers(0, 20_000, ROWS), "D"),
            "town": [f"town {n}" for n in rng.integers(0, 40, ROWS)],
        }
    )


def saved(folder: Path, suffix: str) -> Path:
    if suffix.endswith(".gz"):
        frame().to_csv(folder / f"t{suffix}", index=False)
        return folder / f"t{suffix}"
    if suffix == ".parquet":
        parquet.write_table(pa.Table.from_pandas(frame()), folder / "t.parquet", row_group_size=700)
        return folder / "t.parquet"
    return write_table(folder / f"t{suffix}", [typed_columns(frame())])


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz", ".parquet", ".feather", ".arrow"])
def test_the_same_rows_as_from_memory(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, suffix)
    monkeypatch.setattr(pieces, "PIECE", 2**14)
    assert len(list(pieces_of(path))) > 3
    stored, whole = on_disk(path, tmp_path / "cache", modality="Table"), load(path, modality="Table")
    assert isinstance(stored.modality, Table)
    assert isinstance(whole.modality, Table)
    assert torch.equal(stored[:].nan_to_num(-9), whole.x.nan_to_num(-9))
    kinds = {column.name: column.kind for column in stored.modality.columns}
    assert kinds == {column.name: column.kind for column in whole.modality.columns}
    first, second = stored.modality.decode(stored[:50]), whole.modality.decode(whole.x[:50])
    pd.testing.assert_frame_equal(first, second)
    assert first["age"].tolist() == frame()["age"][:50].tolist()
    assert first["town"].tolist() == frame()["town"][:50].tolist()


def test_what_the_first_cells_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns whose later cells are of another kind than the first mebibyte's are read as what holds both, from the start."""
    monkeypatch.setattr(table_pieces, "HEAD", 2**10)
    monkeypatch.setattr(pieces, "PIECE", 2**14)
    rows = [f"{n},{n % 3},{n % 5 == 0},2020-01-0{1 + n % 9},," for n in range(4000)]
    rows += ["0.5,3+,maybe,unknown,late,7"] * 1000
    path = tmp_path / "t.csv"
    path.write_text("n,level,truth,day,word,number\n" + "\n".join(rows) + "\n")
    found = pieces_of(path)
    assert found.count() == 5000
    columns = [{name: Typed(piece.values(name), piece.declared(name)) for name in piece.names} for piece in found]
    together = {name: np.concatenate([one[name].values for one in columns]) for name in columns[0]}
    assert together["n"][3999:4001].tolist() == [3999, 0.5]
    assert together["level"][3999:4001].tolist() == ["0", "3+"]
    assert together["truth"][3999:4001].tolist() == ["False", "maybe"]
    assert together["day"][3999:4001].tolist() == ["2020-01-04", "unknown"]
    assert together["word"][3999:4001].tolist() == [None, "late"]
    assert np.isnan(together["number"][3999])
    assert together["number"][4000] == 7


def test_long_integers_that_come_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_pieces, "HEAD", 2**10)
    path = tmp_path / "t.csv"
    path.write_text("n,m\n" + "1,2\n" * 1000 + f"{2**60 + 1},3\n")
    found = pieces_of(path)
    found.count()
    assert [piece.text("n").tolist()[-1] for piece in found][-1] == str(2**60 + 1)
    with pytest.raises(DataError, match=r"column 'n', row 1001: is an integer beyond 2\^53"):
        on_disk(path, tmp_path / "cache", modality="Table")


def test_whole_numbers_stay_whole_where_they_are_text(tmp_path: Path) -> None:
    """New rows of which a column of names holds only digits are the same levels, in pieces too."""
    learned = tmp_path / "t.csv"
    learned.write_text("level,x\n" + "1,0.5\n2,1.5\n3+,2.5\n" * 50)
    table = Table(kinds=("level=categorical",)).fit(learned)
    fresh = tmp_path / "fresh.csv"
    fresh.write_text("level,x\n1,0.5\n,1.5\n2,2.5\n")
    expected = table.encode(fresh)
    assert expected[[0, 2], 0].tolist() == [0, 1]
    (piece,) = pieces_of(fresh)
    assert torch.equal(table.encode(piece).nan_to_num(-9), expected.nan_to_num(-9))


MEASURED = """
import sys
from lambent.data import on_disk
from lambent.data.readers import pieces
from lambent.data.stored import ondisk
pieces.PIECE = ondisk.PIECE = 2**21
peak = lambda: int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]) // 1024
assert len(on_disk(sys.argv[1], sys.argv[3], modality="Table")) == 30_000
before = peak()
assert len(on_disk(sys.argv[2], sys.argv[3], modality="Table")) == 300_000
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the highest resident set of a process is read from /proc")
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet", ".feather"])
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, suffix: str) -> None:
    """Ten times the rows of text, dates and gaps take hardly more memory; as columns of objects they would take 100 MiB more."""
    for name, times in (("small", 10), ("large", 100)):
        path = tmp_path / f"{name}{suffix}"
        if suffix == ".csv.gz":
            pd.concat([frame()] * times).to_csv(path, index=False)
        else:
            write_table(path, (typed_columns(frame()) for _ in range(times)))
    places = [str(tmp_path / name) for name in (f"small{suffix}", f"large{suffix}", "cache")]
    done = subprocess.run([sys.executable, "-c", MEASURED, *places], stdout=subprocess.PIPE, text=True, check=True)
    assert int(done.stdout) < 40
