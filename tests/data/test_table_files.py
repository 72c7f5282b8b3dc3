"""Tables as files: typed columns to CSV, TSV, Parquet and Feather and back, as they went in."""

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from lambent.data.kinds.table import Table
from lambent.data.readers.mixed import mixed
from lambent.data.readers.typed import Declared, Typed
from lambent.data.writers.delimited import rows_of_text
from lambent.data.writers.tables import typed_columns, write_table
from lambent.errors import DataError, UsageError

LINES = (
    "age,code,price,sex,happy,born,seen,zone,note,fraction",
    '39,00123,2.50, Male,yes,1980-01-31,2020-01-01 10:00,2020-01-01T10:00:00Z,"a, ""b",0.1',
    ",00007,10.00,,,,,,=1+1,1e-05",
    "-7,31000, 3.25, Female,no,2001-12-01,2021-06-30 23:59,2021-06-30T23:59:59Z,-,",
)
TEXT = "\n".join((*LINES, ""))


def save(folder: Path, text: str, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def copied(path: Path, to: Path, rows: slice = slice(None)) -> Path:
    """A table read and written again, as a file of another name."""
    table = Table().open(path)
    columns = {name: Typed(table.values(name)[rows], table.declared(name)) for name in table.names}
    return write_table(to, [columns])


def test_a_csv_file_comes_back_as_it_was(tmp_path: Path) -> None:
    """Types, decimals, leading zeros, spaces, dates, words of truth and gaps; numbers lose spaces about them."""
    text = TEXT.replace("yes", "TRUE").replace("no,", "FALSE,").replace(" 3.25", "3.25").replace("=1+1", "plain")
    path = save(tmp_path, text)
    assert copied(path, tmp_path / "again.csv").read_text() == text
    table = Table().open(path)
    kinds = "".join(table.values(name).dtype.kind for name in table.names)
    assert kinds == "fifOfMMMOf"
    assert table.declared("age").type == "Int64"
    assert table.declared("born").type == "Date"
    assert table.declared("zone").zone == "UTC"
    assert table.values("sex").tolist() == [" Male", None, " Female"]
    assert table.values("seen")[0] == np.datetime64("2020-01-01T10:00")


def test_cells_that_lead_with_spaces_come_back_with_them(tmp_path: Path) -> None:
    path = save(tmp_path, "a,b\n1, x\n2,  y\n3,z \n")
    assert copied(path, tmp_path / "again.csv").read_text() == path.read_text()


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".feather", ".arrow"])
def test_every_format_holds_the_same(tmp_path: Path, suffix: str) -> None:
    source = save(tmp_path, TEXT)
    first, again = Table().open(source), Table().open(copied(source, tmp_path / f"t{suffix}"))
    assert again.names == first.names
    for name in first.names:
        assert str(again.values(name).tolist()) == str(first.values(name).tolist())
        assert again.declared(name).type == first.declared(name).type


def test_rows_in_pieces_are_one_file(tmp_path: Path) -> None:
    table = Table().open(save(tmp_path, TEXT))
    whole = [{name: Typed(table.values(name), table.declared(name)) for name in table.names}]
    pieces = [
        {name: Typed(one.values[rows], one.declared) for name, one in whole[0].items()}
        for rows in (slice(1), slice(1, 3))
    ]
    for suffix in (".csv", ".tsv"):
        one = write_table(tmp_path / f"one{suffix}", whole).read_bytes()
        assert write_table(tmp_path / f"two{suffix}", pieces).read_bytes() == one
    for suffix in (".parquet", ".feather"):
        tables = [Table().open(write_table(tmp_path / f"{n}{suffix}", part)) for n, part in enumerate((whole, pieces))]
        for name in table.names:
            assert str(tables[0].values(name).tolist()) == str(tables[1].values(name).tolist())


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"cannot be written as \.xlsx; \.csv, \.tsv, \.parquet, \.feather, \.arrow can"
    ):
        write_table(tmp_path / "t.xlsx", [])


def test_frames_are_written_with_their_types(tmp_path: Path) -> None:
    frame = pd.DataFrame({"n": pd.array([1, None], "Int64"), "b": [True, False], "f": np.float32([0.1, np.nan])})
    frame["d"] = pd.to_timedelta(["1 days 00:00:03", "0 days"])
    frame["t"] = [dt.time(3, 4, 5), None]
    written = rows_of_text(typed_columns(frame))
    assert written == "n,b,f,d,t\n1,True,0.1,1 days 00:00:03,03:04:05\n,False,,0 days 00:00:00,\n"
    ordered = pl.DataFrame({"o": pl.Series(["low", None], dtype=pl.Enum(["low", "high"]))})
    path = write_table(tmp_path / "o.parquet", [typed_columns(ordered)])
    assert Table().open(path).declared("o").levels == ("low", "high")
    assert Table().open(path).declared("o").ordered
    assert rows_of_text(typed_columns(np.array([[1.5, 2]]), ["a", "b"])) == "a,b\n1.5,2.0\n"


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=cmd()", "'=cmd()"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3+SUM(A1)", "'-2+3+SUM(A1)"),
        ("-", "-"),
        ("+", "+"),
        ("-5", "-5"),
        ("+49 30 1234", "+49 30 1234"),
        (" =x", " =x"),
        ("'quoted'", "'quoted'"),
    ],
)
def test_D13_formulas_are_escaped_and_read_back(tmp_path: Path, cell: str, written: str) -> None:
    """Text that a spreadsheet would run is kept as text; exports put an apostrophe before it, and reading takes it away."""
    words = [cell, "other"]
    columns = {
        "text": Typed(np.array([0, 1]), Declared("String"), words),
        "loose": Typed(np.array(words, object), Declared("String")),
    }
    assert rows_of_text(columns).count(written if '"' not in written else "") == 2
    for suffix in (".csv", ".tsv", ".parquet"):
        path = write_table(tmp_path / f"t{suffix}", [columns])
        table = Table().open(path)
        assert table.values("text").tolist() == words
        assert table.values("loose").tolist() == words


def test_D16_numbers_among_text_are_told(tmp_path: Path) -> None:
    """A column of numbers and text is text, and its first cell that is no number is told, with how many are."""
    path = save(tmp_path, "a,b,c\n12,x,1\nabc,1,2\n7, y,3\n,z,?\n")
    table = Table().open(path)
    assert table.values("a").tolist() == ["12", "abc", "7", None]
    told = mixed(table, "a")
    assert told is not None
    assert "column 'a', row 2 (line 3): 'abc' is no number, while 2 of the column's 3 cells are" in told
    assert mixed(table, "b") is None
    assert "row 4 (line 5): '?'" in str(mixed(table, "c"))
    frame = Table().open(pd.DataFrame({"o": pd.Series([12, "abc", None], dtype=object), "n": [1, 2, 3]}))
    assert "'abc' is no number, while 1 of the column's 2 cells" in str(mixed(frame, "o"))
    assert mixed(frame, "n") is None


@pytest.mark.parametrize("digits", ["18446744073709551616", "9" * 5000])
def test_D17_long_integers_may_be_had_as_text(tmp_path: Path, digits: str) -> None:
    """Integers that no float holds are refused as numbers with their cell, and are there as text to the last digit."""
    table = Table().open(save(tmp_path, f"n,m\n3,1\n{digits},2\n"))
    assert table.text("n").tolist() == ["3", digits]
    with pytest.raises(DataError, match=r"column 'n', row 2 \(line 3\): is an integer beyond 2\^53"):
        Table().fit(table)
    large = Table().open(pa.table({"n": [2**60, 1]}))
    assert large.text("n").tolist() == [str(2**60), "1"]
    wide = Table().open(pd.DataFrame({"n": pd.Series([2**70, 1], dtype=object)}))
    assert wide.text("n").tolist() == [str(2**70), "1"]
