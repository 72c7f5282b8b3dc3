"""Columns of every kind: their values, what their source declares, and the frame that is made of them again."""

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from lambent.data.readers.frames import Columns, from_array, from_frame, numbers
from lambent.data.readers.framing import arrow_array, framed
from lambent.data.readers.typed import Declared, Typed
from lambent.errors import DataError

MORNING = dt.datetime(2020, 6, 1, 3, 4, 5)
PLAIN: dict[str, list[Any]] = {
    "truth": [True, False, True, True],
    "doubt": [True, None, False, True],
    "whole": [1, 2, 3, 4],
    "real": [0.5, 1.5, None, 2],
    "words": [" a", "b", None, " a"],
    "day": [dt.date(2020, 1, 1), None, dt.date(1900, 2, 1), dt.date(2262, 5, 1)],
    "time": [MORNING, None, MORNING, None],
    "span": [dt.timedelta(days=1, seconds=3), None, dt.timedelta(0), None],
    "hour": [dt.time(3, 4, 5, 6), None, dt.time(0), None],
    "empty": [None, None, None, None],
}
ORDER = ["low", "middle", "high"]
LEVELS = ["low", "high", None, "low"]


def in_pandas() -> pd.DataFrame:
    return pd.DataFrame(PLAIN).assign(
        narrow=np.array([1, 2, 3, 4], "int8"),
        single=np.array([1, 2.5, 3, np.nan], "float32"),
        nullable=pd.array([1, None, 3, 4], "Int64"),
        maybe=pd.array([True, None, False, True], "boolean"),
        text=pd.array(["x", None, "y", "x"], "string"),
        loose=pd.Series(["x", None, "y", "x"], dtype=object),
        ordered=pd.Categorical(LEVELS, ORDER, ordered=True),
        unordered=pd.Categorical(LEVELS, ORDER),
        codes=pd.Categorical([10, 2, None, 10]),
        flags=pd.Categorical([True, False, None, True]),
        stamps=pd.to_datetime(["2020-01-01", "2020-06-01", None, "2021-01-01"]).tz_localize("Europe/Berlin"),
        fine=pd.to_datetime(["2020-01-01 00:00:00.123456"] * 4).astype("datetime64[ns]"),
        arrow=pd.array([1, None, 2, 3], dtype="int64[pyarrow]"),
    )


def in_polars() -> pl.DataFrame:
    return pl.DataFrame(PLAIN).with_columns(
        gaps=pl.Series([1, None, 3, 4]),
        narrow=pl.Series([1, 2, None, 3], dtype=pl.UInt8),
        wide=pl.Series([1, 2, 3, 4], dtype=pl.Int128),
        money=pl.Series(["1.25", "2.50", None, "3.00"]).cast(pl.Decimal(10, 2)),
        ordered=pl.Series(LEVELS, dtype=pl.Enum(ORDER)),
        unordered=pl.Series(LEVELS, dtype=pl.Categorical),
        coarse=pl.col("time").cast(pl.Datetime("ms")),
        zoned=pl.col("time").dt.replace_time_zone("Europe/Berlin"),
    )


def in_arrow() -> pa.Table:
    return (
        pa.table(PLAIN | {"empty": pa.nulls(4)})
        .append_column("gaps", pa.array([1, None, 3, 4], pa.int16()))
        .append_column("money", pa.array([1, 2, None, 4], pa.decimal128(5, 2)))
        .append_column("large", pa.array(PLAIN["words"], pa.large_string()))
        .append_column(
            "ordered", pa.DictionaryArray.from_arrays(pa.array([0, 2, None, 0], pa.int32()), ORDER, ordered=True)
        )
        .append_column("zoned", pa.array(PLAIN["time"], pa.timestamp("s", "Europe/Berlin")))
    )


def typed(table: Columns) -> dict[str, Typed]:
    return {name: Typed(table.values(name), table.declared(name)) for name in table.names}


def again(frame: Any) -> Any:
    table = from_frame(frame)
    return framed(typed(table), table.backend)


def test_a_pandas_frame_comes_back() -> None:
    frame = in_pandas()
    back = again(frame)
    assert list(back.columns) == list(frame.columns)
    for name in frame:
        pd.testing.assert_series_equal(back[name], frame[name])


def test_a_polars_frame_comes_back() -> None:
    assert again(in_polars()).equals(in_polars(), null_equal=True)
    assert again(in_polars()).schema == in_polars().schema


def test_an_arrow_table_comes_back() -> None:
    back, table = again(in_arrow()), in_arrow()
    assert back.schema == table.schema
    assert back.equals(table)


@pytest.mark.parametrize("frame", [in_pandas(), in_polars(), in_arrow()], ids=["pandas", "polars", "pyarrow"])
def test_values_of_every_kind(frame: Any) -> None:
    table = from_frame(frame)
    kinds = {name: table.values(name).dtype.kind for name in PLAIN}
    assert kinds == dict(zip(PLAIN, "bfifOMMmmf", strict=True))
    assert table.values("words").tolist() == [" a", "b", None, " a"]
    assert table.values("doubt").tolist()[::2] == [1, 0]
    assert table.values("day")[[0, 2]].tolist() == [dt.datetime(2020, 1, 1), dt.datetime(1900, 2, 1)]
    assert np.isnat(table.values("time")).tolist() == [False, True, False, True]
    assert table.values("hour")[0] == np.timedelta64(((3 * 60 + 4) * 60 + 5) * 10**6 + 6, "us")
    assert table.values("ordered").tolist() == LEVELS
    assert table.declared("ordered").levels == tuple(ORDER)
    assert table.declared("ordered").ordered
    types = [table.declared(name).type for name in PLAIN]
    assert types[:2] + types[4:] == ["Boolean", "Boolean", "String", "Date", "Datetime", "Duration", "Time", "Unknown"]
    codes, levels = table.coded("words")
    assert codes.dtype == np.int32
    assert [levels[code] if code >= 0 else None for code in codes] == PLAIN["words"]
    part = table[np.array([2, 1])]
    assert part.coded("words")[0].tolist() == [-1, 0]
    assert part.coded("words")[1] == ["b"]
    assert part.declared("ordered") == table.declared("ordered")
    assert table.text("whole").tolist() == ["1", "2", "3", "4"]
    assert table.text("doubt").tolist() == ["True", None, "False", "True"]
    assert table.text("day").tolist() == ["2020-01-01", None, "1900-02-01", "2262-05-01"]


def test_a_zone_is_told_and_values_are_in_utc() -> None:
    table = from_frame(in_pandas())
    assert table.declared("stamps").zone == "Europe/Berlin"
    assert table.values("stamps")[1] == np.datetime64("2020-05-31T22:00")


def test_categories_that_are_no_text_are_read_as_text() -> None:
    table = from_frame(in_pandas())
    assert table.values("codes").tolist() == ["10", "2", None, "10"]
    assert table.declared("codes").levels == ("2", "10")
    assert table.values("flags").tolist() == ["True", "False", None, "True"]


@pytest.mark.parametrize("declared", [typed(from_frame(in_pandas()))[name].declared for name in in_pandas()], ids=str)
def test_what_is_declared_survives_json(declared: Declared) -> None:
    assert Declared.restored(declared.state()) == declared


@pytest.mark.parametrize("backend", ["pandas", "polars", "pyarrow"])
def test_text_by_level_and_new_levels(backend: str) -> None:
    """Levels that were not declared come after those that were; text may be given by the numbers of its levels."""
    columns = {
        "words": Typed(np.array([1, -1, 0], np.int32), Declared("String"), ["x", "y"]),
        "kinds": Typed(
            np.array([2, -1, 0], np.int32), Declared("Enum", None, ("low", "high"), True), ["high", "no", "other"]
        ),
    }
    table = from_frame(framed(columns, backend))
    assert table.values("words").tolist() == ["y", None, "x"]
    assert table.values("kinds").tolist() == ["other", None, "high"]
    assert table.declared("kinds").levels == ("low", "high", "other")


def test_gaps_that_the_source_had_not() -> None:
    """Integers and truth values that have gaps now take the type beside theirs that can hold them."""
    columns = {
        "whole": Typed(np.array([1, np.nan]), Declared("Int8", native="int8")),
        "truth": Typed(np.array([1, np.nan]), Declared("Boolean", native="bool")),
    }
    assert framed(columns, "pandas").dtypes.astype(str).tolist() == ["Int8", "boolean"]
    assert framed(columns, "polars").dtypes == [pl.Int8, pl.Boolean]


def test_values_that_their_type_cannot_hold() -> None:
    whole = Declared("Int8", native="Int8")
    assert arrow_array(Typed(np.array([1, 300]), whole)).to_pylist() == [1, 300]
    assert arrow_array(Typed(np.array([1.5, 2]), whole)).to_pylist() == [1.5, 2]
    late = Typed(np.array(["2900-01-01"], "M8[us]"), Declared("Datetime", native="datetime64[ns]"))
    assert framed({"t": late}, "pandas")["t"].tolist() == [dt.datetime(2900, 1, 1)]


def test_arrays() -> None:
    """Numbers alone are an array of floats; with text it is one of objects."""
    mixed = np.array([[1, "a", 2.5], [2, None, np.nan]], dtype=object)
    table = from_array(mixed)
    assert [table.values(name).dtype.kind for name in table.names] == ["i", "O", "f"]
    back = framed(typed(table), "array")
    assert back.dtype == object
    assert back.tolist()[0] == [1, "a", 2.5]
    assert back[1, 1] is None
    plain = framed(typed(from_array(np.array([[1, 2], [3, 4]]))), "array")
    assert plain.dtype == np.float64
    assert plain.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("cells", "values", "kind"),
    [
        ([1, 2.5, None], [1, 2.5, np.nan], "Float64"),
        ([True, 2, None], [1, 2, np.nan], "Float64"),
        (["a", 1, 2.5, None], ["a", "1", "2.5", None], "String"),
        ([dt.date(2020, 1, 1), None], ["2020-01-01", "NaT"], "Date"),
        ([MORNING, None], ["2020-06-01T03:04:05", "NaT"], "Datetime"),
    ],
)
def test_objects_are_what_they_hold(cells: list[Any], values: list[Any], kind: str) -> None:
    table = from_frame(pd.DataFrame({"o": pd.Series(cells, dtype=object)}))
    assert table.declared("o").type == kind
    found = table.values("o")
    wanted = np.array(values, found.dtype)
    assert found.tolist() == wanted.tolist() or np.array_equal(found, wanted, equal_nan=True)


def test_gaps_pass_where_they_may() -> None:
    table = from_frame(in_polars())
    assert numbers(table, "gaps", gaps=True)[[0, 2, 3]].tolist() == [1, 3, 4]
    with pytest.raises(DataError, match=r"column 'gaps', row 2: is missing"):
        numbers(table, "gaps")
    with pytest.raises(DataError, match="infinite"):
        numbers(from_array(np.array([[np.nan], [np.inf]])), "x0", gaps=True)


def test_text_that_pandas_keeps_in_chunks_is_read() -> None:
    pd = pytest.importorskip("pandas")
    pa = pytest.importorskip("pyarrow")
    chunks = pa.chunked_array([["red", "blue", None], ["blue", "green", "red"]], type=pa.string())
    frame = pd.DataFrame(
        {"name": pd.arrays.ArrowExtensionArray(chunks).astype(str if pd.__version__ >= "3" else "string[pyarrow]")}
    )
    frame["name"] = pd.concat([frame["name"].iloc[:3], frame["name"].iloc[3:]], ignore_index=True)
    codes, levels = from_frame(frame).coded("name")
    found = [None if code < 0 else levels[code] for code in codes]
    assert found == ["red", "blue", None, "blue", "green", "red"]
