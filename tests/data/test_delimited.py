"""CSV: encodings, delimiters, headers, and faults with their lines."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambent.data.kinds.table import Table
from lambent.data.readers import delimited
from lambent.errors import DataError, UsageError


def save(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def values(path: Path, **options: str) -> list[list[float]]:
    table = Table(scale="none", **options).fit(path)
    back = table.decode(table.encode(path))  # with the columns that are the same in every row
    return np.float32(back).tolist()


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_ends(tmp_path: Path, separator: str, end: str) -> None:
    rows = [["a", "b b"], ["1", "2.5"], ["-3", "1e-3"]]
    path = save(tmp_path, end.join(separator.join(r) for r in rows) + end)
    assert values(path) == [[1, 2.5], [-3, pytest.approx(1e-3)]]
    assert values(path, delimiter=separator) == values(path)


def test_a_delimiter_of_two_characters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one ASCII character"):
        Table(delimiter="::").fit(save(tmp_path, "a::b\n1::2\n"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_D10_encodings(tmp_path: Path, encoding: str) -> None:
    """UTF-8 with and without a mark, UTF-16 and Latin-1 are decoded, the last with a notice."""
    path = save(tmp_path, "größe,b\n1,2\n3,4\n".encode(encoding))
    table = Table().fit(path)
    assert [c["name"] for c in table.state()["columns"]] == ["größe", "b"]
    assert table.notices == ({"read_as_latin1": 1} if encoding == "latin-1" else {})


def test_D10_what_cannot_be_decoded_says_so(tmp_path: Path) -> None:
    """UTF-16 without a mark, and text that breaks off, are refused."""
    for content in ("a,b\n1,2\n".encode("utf-16-le"), b"\xff\xfea\0,", b"a,b\n1,\0\n"):
        with pytest.raises(DataError, match=r"UTF-16|utf-16"):
            Table().fit(save(tmp_path, content))


@pytest.mark.parametrize(("bad", "line"), [("1,2,3", 4), ("1", 4), ('"x\ny",2,3', 4)])
def test_D11_ragged_rows_give_their_line(tmp_path: Path, bad: str, line: int) -> None:
    """A row of more or fewer fields than the first is refused with its line."""
    path = save(tmp_path, f"a,b\n1,2\n\n{bad}\n5,6\n")
    with pytest.raises(DataError, match=rf"t\.csv, line {line}: has \d fields where the first line has 2"):
        Table().fit(path)


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    path = save(tmp_path, '\n"a\nA",b\n1,2\n\n3,inf\n')
    with pytest.raises(DataError, match=r"column 'b', row 2 \(line 6\)"):
        Table().fit(path)


def test_D12_a_million_columns_or_one_endless_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A million columns, and a line beyond the limit at any place in the file, are refused."""
    with pytest.raises(DataError, match="1,000,000 fields; at most 100,000"):
        Table().fit(save(tmp_path, "x," * 999_999 + "x\n"))
    monkeypatch.setattr(delimited, "LIMIT_LINE", 2**20)
    for content in (b"a" * 2**21, b"a,b\n" + b"1" * 2**21 + b"\n1,2\n", b"a,b\n1,2\n" + b"1" * 2**21):
        with pytest.raises(DataError, match=r"line longer than 1,048,576 bytes"):
            Table().fit(save(tmp_path, content))
    with pytest.raises(DataError, match="line 1: field larger"):
        Table().fit(save(tmp_path, b"a" * 200_000 + b",b\n1,2\n"))


def test_D13_formulas_are_text(tmp_path: Path) -> None:
    """A cell such as =cmd() is text like any other: refused among numbers, kept as a label."""
    path = save(tmp_path, "a,b\n1,=cmd()\n2,3\n")
    with pytest.raises(DataError, match=r"row 1 \(line 2\): '=cmd\(\)' is no number"):
        Table().fit(path)
    assert Table(label="b").fit(path).read(path).label_names == ["3", "=cmd()"]


def test_D16_the_first_bad_cell_is_named(tmp_path: Path) -> None:
    """Text among numbers is refused with column, row and line; a decimal comma is none where points are asked for."""
    path = save(tmp_path, "a,b\n" + "1,2\n" * 500 + "12,abc\n" + "1,2\n" * 20)
    with pytest.raises(DataError, match=r"column 'b', row 501 \(line 502\): 'abc' is no number"):
        Table().fit(path)
    with pytest.raises(DataError, match=r"'1,5' is no number"):
        Table(decimal=".").fit(save(tmp_path, "a;b\n1,5;2\n2,5;3\n"))


@pytest.mark.parametrize("digits", ["9007199254740993", "-9007199254740993", "18446744073709551616", "9" * 5000])
def test_D17_long_integers(tmp_path: Path, digits: str) -> None:
    """Integers beyond 2^53, and of 5,000 digits, are refused with their cell; floats of that size are taken."""
    for rest in ("3", "0.5"):
        with pytest.raises(DataError, match=r"column 'n', row 2 \(line 3\)"):
            Table().fit(save(tmp_path, f"n,m\n{rest},1\n{digits},2\n"))
    assert values(save(tmp_path, "n\n1.5\n1e20\n")) == [[1.5], [pytest.approx(1e20)]]


@pytest.mark.parametrize("cell", ["", "NaN", "nan", "NA", "null"])
def test_D5_missing_cells(tmp_path: Path, cell: str) -> None:
    """An empty, NaN or NA cell among numbers is a gap; where none was learned it is refused with column, row and line."""
    gappy = save(tmp_path, f"a,b\n1,2\n3,{cell}\n5,6\n")
    assert Table(scale="none").fit(gappy).encode(gappy).isnan().tolist() == [
        [False, False],
        [False, True],
        [False, False],
    ]
    with pytest.raises(DataError, match=r"column 'b', row 2 \(line 3\): is missing or not a number, and this table"):
        Table().fit(save(tmp_path, "a,b\n1,2\n3,4\n", "whole.csv")).encode(gappy)
    empty = save(tmp_path, f"a,b\n1,{cell}\n3,{cell}\n")
    assert Table().fit(empty).noticed == {"empty_columns": ["b"]}
    with pytest.raises(DataError, match=r"column 'b', row 1 \(line 2\): is missing .*\(1 more in this column\)"):
        Table().fit(save(tmp_path, "a,b\n1,2\n3,4\n", "whole.csv")).encode(empty)


@pytest.mark.parametrize("cell", ["inf", "-inf", "1e400", "1e38"])
def test_D6_infinite_cells(tmp_path: Path, cell: str) -> None:
    """Infinite cells and numbers beyond 1e30 are refused with column, row and line."""
    with pytest.raises(DataError, match=r"column 'b', row 2 \(line 3\): is infinite or beyond"):
        Table().fit(save(tmp_path, f"a,b\n1,2.5\n3,{cell}\n"))


def test_D9_duplicate_names(tmp_path: Path) -> None:
    """Two columns of one name are refused by it."""
    with pytest.raises(DataError, match="several columns are called 'a'"):
        Table().fit(save(tmp_path, "a,b,a\n1,2,3\n"))


@pytest.mark.parametrize("content", ["", "\n\n", "a,b\n"])
def test_D1_nothing_in_it(tmp_path: Path, content: str) -> None:
    """An empty file, blank lines alone and a header without rows are refused."""
    with pytest.raises(DataError, match=r"is empty|no data"):
        Table().fit(save(tmp_path, content))


@pytest.mark.parametrize(
    ("first", "named"),
    [
        ("a,b,c", True),
        ("0,1,2", True),
        ("2001,2002,2003", True),
        ("id,2019,2020", True),
        ("1.5,2,3", False),
        ("3,1,2", False),
        ("7,7,7", False),
        ("0,tcp,0", False),
        ("5.1,3.5,x", False),
    ],
)
def test_headers_are_told_from_data(tmp_path: Path, first: str, named: bool) -> None:
    path = save(tmp_path, f"{first}\n1,2,3\n4,5,6\n")
    read = delimited.read_csv(path)
    assert read.rows == (2 if named else 3)
    assert read.names == (first.split(",") if named else ["x0", "x1", "x2"])
    assert delimited.read_csv(path, header="none").rows == 3
    if len(set(first.split(","))) == 3:
        assert delimited.read_csv(path, header="first-row").names == first.split(",")


def test_types_are_found_in_all_rows(tmp_path: Path) -> None:
    path = save(tmp_path, "a\n" + "1\n" * 700_000 + "0.5\n")  # past the first megabyte
    assert values(path)[-1] == [0.5]


def test_what_is_no_csv_is_named(tmp_path: Path) -> None:
    for content, words in ((b"PK\x03\x04rest", "workbook or zip"), (b"\x1f\x8brest", "gzip")):
        with pytest.raises(DataError, match=words):
            Table().fit(save(tmp_path, content))
    with pytest.raises(DataError, match="is a folder"):
        Table().fit(tmp_path)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-1e15, 1e15, allow_subnormal=False)] * 3), min_size=1, max_size=8), st.booleans())
def test_what_python_writes_is_read(tmp_path_factory: pytest.TempPathFactory, rows: list, quoted: bool) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)
        writer.writerows([["a", "b,c", 'd"e'], *rows])
    assert np.allclose(values(path), np.array(rows, np.float32), rtol=1e-6)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_a_table_or_a_data_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = save(tmp_path_factory.mktemp("csv"), content)
    fault = ""
    try:
        assert np.isfinite(Table().fit(path).encode(path).numpy()).all()
    except DataError as error:
        fault = str(error)
    assert not fault or "t.csv" in fault
