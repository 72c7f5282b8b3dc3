"""Sources of tables other than CSV and Parquet: TSV, Feather, packed text, databases."""

import datetime as dt
import gzip
import importlib
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pytest

from lambent.data import from_sql, load
from lambent.data.kinds.table import Table
from lambent.data.readers.sql import read_url
from lambent.errors import DataError, LambentError, MachineError, UsageError

FRAME = pa.table({"n": [1, 2, None], "x": [0.5, 1.5, 2.5], "s": ["a", None, " b"]})


def check(table: Any) -> None:
    assert table.names == ["n", "x", "s"]
    assert table.values("n")[:2].tolist() == [1, 2]
    assert np.isnan(table.values("n")[2])
    assert table.declared("n").type == "Int64"
    assert table.values("x").tolist() == [0.5, 1.5, 2.5]
    assert table.values("s").tolist() == ["a", None, " b"]


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
@pytest.mark.parametrize("name", ["t.feather", "t.arrow"])
def test_feather(tmp_path: Path, name: str, compression: str) -> None:
    feather.write_feather(FRAME, str(tmp_path / name), compression=compression)
    check(Table().open(tmp_path / name))


def test_a_stream_of_arrow(tmp_path: Path) -> None:
    with pa.OSFile(str(tmp_path / "t.arrow"), "wb") as sink, pa.ipc.new_stream(sink, FRAME.schema) as writer:
        writer.write_table(FRAME)
    check(Table().open(tmp_path / "t.arrow"))


def test_feather_of_version_1_says_so(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"FEA1rest")
    with pytest.raises(DataError, match="Feather of version 1; save it anew"):
        Table().open(tmp_path / "t.csv")


def test_D26_a_damaged_feather_file(tmp_path: Path) -> None:
    """A Feather file cut short or with any byte changed gives a table or an error that names it."""
    path = tmp_path / "t.feather"
    feather.write_feather(FRAME, str(path), compression="uncompressed")
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in [*range(0, len(whole), 37), *rng.integers(0, len(whole), 150)]:
        changed = bytearray(whole)
        changed[place] ^= int(rng.integers(1, 256))
        for content in (bytes(changed), whole[:place]):
            path.write_bytes(content)
            assert whether_read(path)


def whether_read(path: Path) -> bool:
    """Whether a file gives a table, or an error that names it."""
    try:
        table = Table().open(path)
        return all(len(table.values(name)) == len(table) for name in table.names)
    except LambentError as error:
        return path.name in str(error)


@pytest.mark.parametrize("name", ["t.csv.gz", "t.tsv.gz"])
def test_packed_text(tmp_path: Path, name: str) -> None:
    mark = "\t" if "tsv" in name else ","
    content = f"n{mark}x{mark}s\n1{mark}0.5{mark}a\n2{mark}1.5{mark}\n{mark}2.5{mark} b\n"
    (tmp_path / name).write_bytes(gzip.compress(content.encode()))
    check(Table().open(tmp_path / name))
    (tmp_path / name).write_bytes(gzip.compress(content.encode())[:30])
    with pytest.raises(DataError, match=r"t\..sv\.gz: is damaged gzip"):
        Table().open(tmp_path / name)


def test_packed_text_is_found_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n3,4\n5,7\n"))
    assert load(path, modality=Table(scale="none")).x.tolist() == [[1, 2], [3, 4], [5, 7]]
    (tmp_path / "t.pdf.gz").write_bytes(path.read_bytes())
    with pytest.raises(DataError, match="unknown kind"):
        load(tmp_path / "t.pdf.gz")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "d.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE rows (n INTEGER, x REAL, s TEXT)")
        connection.executemany("INSERT INTO rows VALUES (?, ?, ?)", zip(*FRAME.to_pydict().values(), strict=True))
        connection.execute('CREATE TABLE "odd ""name" AS SELECT x FROM rows')
    connection.close()
    return path


def test_a_table_of_a_database(database: Path) -> None:
    connection = sqlite3.connect(database)
    check(Table().open(from_sql(connection, "rows")))
    check(Table().open(from_sql(connection, " select * from rows order by x")))
    assert from_sql(connection, 'odd "name').column_names == ["x"]
    assert from_sql(connection, "SELECT x FROM rows WHERE x > 9").num_rows == 0
    connection.close()


def test_a_database_as_a_source(database: Path) -> None:
    check(read_url(f"sqlite:///{database}?rows"))
    found = load(f"sqlite:///{database}?SELECT x, n*x AS y FROM rows WHERE n > 0", modality=Table(scale="none"))
    assert found.x.tolist() == [[0.5, 0.5], [1.5, 3]]
    assert read_url(f"sqlite:///{database}?SELECT s || '?' AS s FROM rows").values("s").tolist() == ["a?", None, " b?"]
    assert found.source["path"].startswith("sqlite:///")


def test_what_a_database_refuses(database: Path) -> None:
    for source, words in (
        (f"sqlite:///{database}?nowhere", "no such table: nowhere"),
        (f"sqlite:///{database}", r"names no table; write sqlite:///.*d\.db\?TABLE"),
        (f"sqlite:///{database}x?rows", "there is no file"),
        (f"sqlite:///{database}?WITH", "refuses"),
    ):
        with pytest.raises(DataError, match=words):
            load(source)
    before = database.read_bytes()
    with pytest.raises(DataError, match="refuses"):
        load(f"sqlite:///{database}?rows; DROP TABLE rows")
    assert database.read_bytes() == before
    with pytest.raises(UsageError, match="a str is no connection"):
        from_sql("rows", "rows")
    with pytest.raises(UsageError, match="name a table"):
        from_sql(sqlite3.connect(":memory:"), " ")


def test_other_databases_need_sqlalchemy(monkeypatch: pytest.MonkeyPatch) -> None:
    actual = importlib.import_module

    def absent(name: str, *rest: Any) -> Any:
        if name == "sqlalchemy":
            raise ImportError(name)
        return actual(name, *rest)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(
        MachineError, match=r"postgresql://me:\*\*\*@host/d: postgresql databases need SQLAlchemy .* pip install"
    ):
        load("postgresql://me:secret@host/d?rows")


class Driver:
    """A connection as SQLAlchemy has it: no cursor, but `exec_driver_sql`, and a dialect that quotes names."""

    def __init__(self, path: Path) -> None:
        self.inner = sqlite3.connect(path)
        self.dialect = self
        self.identifier_preparer = self
        self.asked: list[str] = []

    def quote(self, name: str) -> str:
        return f"[{name}]"

    def exec_driver_sql(self, query: str) -> Any:
        self.asked.append(query)
        cursor = self.inner.execute(query)

        class Result:
            keys = staticmethod(lambda: [one[0] for one in cursor.description])
            fetchmany = staticmethod(cursor.fetchmany)

        return Result()


def test_a_connection_of_sqlalchemy(database: Path) -> None:
    driver = Driver(database)
    check(Table().open(from_sql(driver, "rows")))
    assert driver.asked == ["SELECT * FROM [rows]"]
    driver.inner.close()


def test_dates_from_a_driver() -> None:
    """Drivers that give dates give columns of dates; types that differ from row to row give text."""

    class Cursor:
        description = (("d",), ("m",))
        rows = [[(dt.date(2020, 1, 1), 1), (None, "x")], []]

        def execute(self, query: str) -> None: ...

        def fetchmany(self, size: int) -> Any:
            return self.rows.pop(0)

    class Connection:
        cursor = Cursor

    table = Table().open(from_sql(Connection(), "t"))
    assert table.declared("d").type == "Date"
    assert table.values("d")[0] == np.datetime64("2020-01-01")
    assert table.values("m").tolist() == ["1", "x"]
