"""Table: scaling, frames of every library, labels, new data, round trips."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as any_array

from lambent.data import splitting
from lambent.data.kinds.modality import Modality
from lambent.data.kinds.table import Table
from lambent.data.loading import load, load_parted
from lambent.data.notices import sentences
from lambent.errors import ArtifactError, DataError, UsageError

X = np.random.default_rng(0).normal([1e6, -3, 0.1], [5, 1e-3, 40], (50, 3))
NAMES = ["a", "b", "c"]
FRAMES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "pandas": pd.DataFrame,
    "polars": pl.DataFrame,
    "lazy": lambda d: pl.DataFrame(d).lazy(),
    "pyarrow": pa.table,
}


def columns(x: np.ndarray = X) -> dict[str, np.ndarray]:
    return {name: x[:, i] for i, name in enumerate(NAMES)}


@pytest.mark.parametrize("scale", ["standard", "robust", "none"])
def test_arrays_are_scaled_and_come_back(scale: str) -> None:
    table = Table(scale=scale).fit(X)
    x = table.encode(X)
    assert x.dtype == torch.float32
    assert table.event == (3,)
    if scale != "none":
        assert float(x.double().mean(0).abs().max()) < (1e-4 if scale == "standard" else 0.3)
        assert np.allclose(x.double().std(0, correction=0), 1, atol=1e-4 if scale == "standard" else 0.4)
    back = table.decode(x)
    assert isinstance(back, np.ndarray)
    assert back.dtype == np.float64
    assert np.abs((back - X) / X.std(0)).max() < (1e-4 if scale == "none" else 1e-6) * 1e3
    likelihood = {"type": "JohnsonSU"} if scale == "robust" else {"type": "StudentT", "scale": "predicted"}
    found = table.defaults()
    assert found["likelihood"] == likelihood
    assert found["latent"]["size"] == 3
    assert found["network"] == {"type": "Mlp", "width": 128, "linear": True}


def test_statistics_are_those_of_float64() -> None:
    x = np.array([[1e9], [1e9 + 1], [1e9 + 2]])
    table = Table().fit(x)
    assert table.encode(x)[:, 0].tolist() == pytest.approx([-1.2247449, 0, 1.2247449])
    assert np.array_equal(table.decode(table.encode(x)).round(3), x)


def test_robust_scale_ignores_outliers() -> None:
    x = np.random.default_rng(0).normal(5, 2, (20_000, 1))
    x[:100] = 1e6
    column = Table(scale="robust").fit(x).state()["columns"][0]
    assert column["centre"] == pytest.approx(5, abs=0.1)
    assert column["scale"] == pytest.approx(2, rel=0.05)
    sparse = np.zeros((100, 1))
    sparse[:5] = 3
    assert Table(scale="robust").fit(sparse).state()["columns"][0]["scale"] == pytest.approx(sparse.std())


@pytest.mark.parametrize("library", FRAMES)
def test_frames_of_every_library(library: str) -> None:
    frame = FRAMES[library](columns())
    table = Table().fit(frame)
    assert torch.equal(table.encode(frame), Table().fit(X).encode(X))
    back = table.decode(table.encode(frame))
    assert type(back).__module__.split(".")[0] == {"lazy": "polars"}.get(library, library)
    assert np.allclose(np.stack([np.asarray(back[n]) for n in NAMES], axis=1), X)


def test_integers_booleans_and_nullable_columns() -> None:
    frame = pd.DataFrame({"i": pd.array([1, 2, 4], "Int64"), "b": [True, False, True], "f": [0.5, 1.5, 2.5]})
    x = Table(scale="none").fit(frame).encode(frame)
    assert x.tolist() == [[1, 1, 0.5], [2, 0, 1.5], [4, 1, 2.5]]
    mixed = pd.DataFrame({"o": pd.Series([1, 2.5, 3], dtype=object)})
    assert Table(scale="none").fit(mixed).encode(mixed).flatten().tolist() == [1, 2.5, 3]


def test_odd_containers() -> None:
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix([[1, 2], [3, 4]])
    assert Table(scale="none").fit(matrix).encode(matrix).tolist() == [[1, 2], [3, 4]]
    masked = np.ma.array([[1.0, 2.0], [2.0, 4.0], [3.0, 7.0]], mask=[[False, True], [False, False], [False, False]])
    assert Table(scale="none").fit(masked).encode(masked)[:, 1].isnan().tolist() == [True, False, False]
    fields = np.array([(1, 2.5), (3, 4.5)], dtype=[("a", "i4"), ("b", "f8")])
    assert Table(scale="none").fit(fields).encode(fields).tolist() == [[1, 2.5], [3, 4.5]]
    wide = pl.DataFrame({"n": pl.Series([1, 5], dtype=pl.Int128)})
    assert Table(scale="none").fit(wide).encode(wide).tolist() == [[1], [5]]
    with pytest.raises(DataError, match=r"row 2: is an integer beyond"):
        Table().fit(pl.DataFrame({"n": pl.Series([1, 2**60], dtype=pl.Int128)}))
    with pytest.raises(DataError, match="'1' is text; turn the column into numbers"):
        Table(scale="standard").fit(pl.DataFrame({"s": ["1", "2"]}))
    with pytest.raises(DataError, match="a dict is no table"):
        Table().fit({"a": [1, 2]})


def test_names_that_are_numbers() -> None:
    frame = pd.DataFrame(X)
    table = Table().fit(frame)
    assert [c["name"] for c in table.state()["columns"]] == ["0", "1", "2"]
    assert torch.equal(table.encode(frame), Table().fit(X).encode(X))


def test_new_data_are_matched_by_name() -> None:
    table = Table().fit(pd.DataFrame(columns()))
    shuffled = pd.DataFrame(columns())[["c", "a", "b"]].assign(extra="text")
    read = table.read(shuffled)
    assert torch.equal(read.x, table.encode(pd.DataFrame(columns())))
    assert read.source["notices"] == {"ignored_columns": 1}
    with pytest.raises(DataError, match=r"lacks 1 of 3 columns: 'b'"):
        table.encode(pd.DataFrame(columns()).rename(columns={"b": "B"}))
    assert torch.equal(table.encode(X), read.x)
    with pytest.raises(DataError, match="lacks"):
        table.encode(X[:, :2])
    assert torch.equal(Table().fit(X).encode(pd.DataFrame(columns())), read.x)


def test_labels_are_kept_beside_the_data() -> None:
    frame = pd.DataFrame(columns()).assign(kind=["no", "yes"] * 25)
    table = Table(label="kind").fit(frame)
    read = table.read(frame)
    assert read.x.shape == (50, 3)
    assert read.label_names == ["no", "yes"]
    assert read.labels is not None
    assert read.labels.tolist() == [0, 1] * 25
    new = pd.DataFrame(columns()).assign(kind="maybe")
    fresh = table.read(new)
    assert fresh.label_names == ["no", "yes", "maybe"]
    assert fresh.labels is not None
    assert set(fresh.labels) == {2}
    assert table.read(pd.DataFrame(columns())).labels is None
    numbered = Table(label="kind").fit(frame.assign(kind=[3, 5] * 25)).read(frame.assign(kind=[3, 5] * 25))
    assert numbered.labels is not None
    assert numbered.labels.tolist() == [3, 5] * 25
    assert numbered.label_names is None


def test_dropping_and_misnaming() -> None:
    frame = pd.DataFrame(columns()).assign(note="x")
    assert Table(drop=("note", "a")).fit(frame).event == (2,)
    for bad in (Table(drop=("nota",)), Table(label="nota")):
        with pytest.raises(UsageError, match="did you mean 'note'"):
            bad.fit(frame)
    with pytest.raises(DataError, match="no columns are left"):
        Table(drop=("a", "b", "c", "note")).fit(frame)


@pytest.mark.parametrize("index", ["", "Unnamed: 0", "__index_level_0__"])
def test_a_saved_index_is_dropped_with_a_notice(index: str) -> None:
    frame = pd.DataFrame({index: np.random.default_rng(0).permutation(500)[:50], **columns()})
    table = Table().fit(frame)
    assert table.event == (3,)
    assert table.notices == {"dropped_index": 1}
    told = sentences(load(frame, modality=Table()).source)["dropped_index"]
    assert told == f"1 column is an index saved along, and left out: {index or 'one without a name'}"
    assert table.read(frame).source["notices"] == {"dropped_index": 1}
    kept = Table().fit(frame.assign(**{index: np.arange(50) // 2}))
    assert kept.event == (4,)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
@pytest.mark.parametrize("bad", [np.inf, -np.inf, 1e38])
def test_D5_D6_a_bad_cell_names_row_and_column(library: str, bad: float) -> None:
    """An infinite or huge cell of any frame library is refused with row and column, at fitting and later."""
    data: dict[str, Any] = {n: list(v) for n, v in columns().items()}
    data["b"][7] = bad
    with pytest.raises(DataError, match=r"column 'b', row 8: is infinite"):
        Table().fit(FRAMES[library](data))
    table = Table().fit(FRAMES[library](columns()))
    with pytest.raises(DataError, match=r"column 'b', row 8"):
        table.encode(FRAMES[library](data))


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
@pytest.mark.parametrize("gap", [np.nan, None])
def test_D5_a_missing_cell_is_a_gap(library: str, gap: float | None) -> None:
    """A missing cell of any frame library is a gap, NaN among numbers scaled by what is there; refused where none was learned."""
    data: dict[str, Any] = {n: list(v) for n, v in columns().items()}
    data["b"][7] = gap
    table = Table().fit(FRAMES[library](data))
    x = table.encode(FRAMES[library](data))
    assert table.gaps
    assert x.isnan().nonzero().tolist() == [[7, 1]]
    there = np.delete(X[:, 1], 7)
    assert np.allclose(np.delete(x[:, 1].numpy(), 7), (there - there.mean()) / there.std(), atol=1e-6)
    back = table.decode(x)
    assert np.asarray(back["b"], np.float64)[7] != np.asarray(back["b"], np.float64)[7]
    assert np.allclose(np.asarray(back["a"], np.float64), X[:, 0])
    whole = Table().fit(FRAMES[library](columns()))
    assert not whole.gaps
    for strict in (whole, Table(missing="no").fit(FRAMES[library](columns()))):
        with pytest.raises(DataError, match=r"column 'b', row 8: is missing .*--data\.missing yes"):
            strict.encode(FRAMES[library](data))
    with pytest.raises(DataError, match=r"column 'b', row 8: is missing"):
        load(FRAMES[library](data), modality=Table(missing="no"))


def test_D5_in_an_array() -> None:
    """A NaN in an array that was learned without is refused with row and column, and with how many more there are."""
    x = X.copy()
    x[3, 1] = x[9, 1] = np.nan
    with pytest.raises(DataError, match=r"the array: column 'x1', row 4: is missing .*\(1 more in this column\)"):
        Table().fit(X).encode(x)
    assert Table().fit(x).encode(x).isnan().sum() == 2


def test_held_out_rows_may_have_gaps() -> None:
    x = X.copy()
    held = splitting.cut(50, 0.2, 0)[1].index
    x[held[0], 2] = np.nan
    kept, out = load_parted(x, 0.2, 0)
    assert kept.modality.gaps
    assert out.x.isnan().sum() == 1
    with pytest.raises(DataError, match="is missing"):
        load_parted(x, 0.2, 0, modality=Table(missing="no"))


def test_D7_a_column_without_any_value() -> None:
    """A column without any value is left out by its name, among numbers and among text, and comes back empty."""
    for empty in ([None] * 50, [np.nan] * 50):
        for more in ({}, {"t": ["u", "v"] * 25}):
            table = Table().fit(pd.DataFrame({**columns(), **more, "e": empty}))
            assert table.noticed["empty_columns"] == ["e"]
            assert table.event == (3 + len(more),)
            back = table.decode(table.encode(pd.DataFrame({**columns(), **more, "e": empty})))
            assert list(back.columns) == ["a", "b", "c", *more, "e"]
            assert back["e"].isna().all()
    table = Table().fit(pa.table({**columns(), "e": pa.nulls(50)}))
    assert table.noticed["empty_columns"] == ["e"]
    with pytest.raises(DataError, match=r"no columns are left to learn from .*no cell holds a value"):
        Table().fit(pd.DataFrame({"e": [None] * 50, "f": [np.nan] * 50}))


@pytest.mark.parametrize("value", [0.0, 3.3, 1e9 / 3, -7e-9])
def test_D8_a_constant_column_is_no_part_of_the_model(value: float) -> None:
    """A constant column is told by name, is no part of the encoded rows, comes back, and a row that differs is told."""
    frame = pd.DataFrame({"a": X[:, 0], "flat": np.full(50, value), "c": X[:, 2]})
    for scale in ("auto", "standard", "robust", "none"):
        table = Table(scale=scale).fit(frame)
        assert (table.notices, table.noticed) == ({"constant": 1}, {"constant": ["flat"]})
        assert torch.equal(table.encode(frame), Table(scale=scale).fit(frame[["a", "c"]]).encode(frame[["a", "c"]]))
        back = table.decode(table.encode(frame))
        assert list(back.columns) == ["a", "flat", "c"]
        assert (back["flat"] == value).all()
        twin = Modality.from_spec(table.spec()).restore(json.loads(json.dumps(table.state())))
        assert twin.event == (2,)
        later = frame.assign(flat=[value] * 49 + [value + 1])
        told = sentences(twin.read(later).source)["changed"]
        assert f"column 'flat' was {value:g} in every row" in told
        assert f"row 50 is {value + 1:g}" in told
        assert twin.read(frame.astype("float32")).source["notices"] == {}, "float32 of the same value is no other value"


def test_D8_a_value_far_outside_what_was_fitted() -> None:
    """A value that overflows float32 once scaled is refused with its cell."""
    table = Table().fit(np.array([[1e-12], [2e-12]]))
    with pytest.raises(DataError, match=r"row 1: lies 1e\+42 scales out|row 1: lies"):
        table.encode(np.array([[1e30]]))


def test_D9_duplicate_names() -> None:
    """Two columns of one name are refused by it, in every kind of frame."""
    frame = pd.DataFrame(X, columns=["a", "b", "a"])
    for raw in (frame, pa.Table.from_arrays([pa.array(X[:, i]) for i in range(3)], ["a", "b", "a"])):
        with pytest.raises(DataError, match="several columns are called 'a'"):
            Table().fit(raw)


def test_D12_too_many_columns() -> None:
    """More than 100,000 columns are refused."""
    with pytest.raises(DataError, match="has 100,001 columns"):
        Table().fit(np.zeros((1, 100_001)))


def test_D14_levels_of_a_category() -> None:
    """Categories have tokens in their order; unseen ones that of "other"; where a scale is asked for they are refused."""
    frame = pd.DataFrame({"n": [1.0, 2.0, 3.0], "level": pd.Categorical(["low", "high", "low"])})
    table = Table().fit(frame)
    assert table.encode(frame)[:, 1].tolist() == [1, 0, 1]
    assert Table(label="level").fit(frame).read(frame).label_names == ["high", "low"]
    assert table.encode(frame.assign(level=["mid", "high", None]))[:, 1].tolist()[:2] == [2, 0]
    with pytest.raises(DataError, match=r"column 'level', row 1: 'low' is no number"):
        Table(scale="standard").fit(frame)
    numbers = Table().fit(pd.DataFrame({"n": [1.0, 2.0], "level": [0.5, 1.5]}))
    with pytest.raises(DataError, match=r"column 'level', row 1: 'low' is no number"):
        numbers.encode(frame)


def test_D16_text_among_numbers_names_the_cell() -> None:
    """A column of numbers and text is refused with the telling cell; few such values, of many rows each, are names."""
    frame = pd.DataFrame({"n": pd.Series(["1", "2", "abc", "4"], dtype=object), "d": pd.date_range("2020", periods=4)})
    with pytest.raises(DataError, match=r"column 'n', row 3: 'abc' is no number.*--data\.kinds n=categorical"):
        Table().fit(frame)
    with pytest.raises(DataError, match=r"column 'n', row 3: 'abc' is no number.*'n', 'd'.*--data\.drop"):
        Table(scale="standard").fit(frame)
    codes = Table().fit(pd.DataFrame({"n": ["1", "2", "?", "4"] * 10}))
    assert codes.column("n").kind == "categorical"
    assert "most are numbers, and '?' is no number" in codes.column("n").why
    table = Table().fit(pd.DataFrame({"n": [1.0, 2.0]}))
    with pytest.raises(DataError, match=r"column 'n', row 2: 'x' is no number"):
        table.encode(pd.DataFrame({"n": pd.Series([1, "x"], dtype=object)}))


@pytest.mark.parametrize("dtype", ["int64", "uint64", "object"])
def test_D17_integers_beyond_2_53(dtype: str) -> None:
    """Integers beyond 2^53, which no float holds, are refused with their cell in every type."""
    frame = pd.DataFrame({"n": np.array([1, 2**53 + 1], dtype)})
    with pytest.raises(DataError, match=r"column 'n', row 2: is an integer beyond 2\^53"):
        Table().fit(frame)
    assert Table().fit(pd.DataFrame({"n": np.array([1, 2**53], dtype)})).event == (1,)


@pytest.mark.parametrize("raw", [np.zeros((0, 3)), np.zeros((3, 0)), pd.DataFrame(), pd.DataFrame({"a": []})])
def test_D1_no_rows_or_no_columns(raw: Any) -> None:
    """Arrays and frames without rows or columns are refused."""
    with pytest.raises(DataError, match="no data"):
        Table().fit(raw)


def test_D2_one_row_stays_finite() -> None:
    """One row alone is encoded to finite numbers, with its columns told as constant; they stay, for there are no others."""
    table = Table().fit(X[:1])
    assert table.encode(X[:1]).abs().max() == 0
    assert table.notices == {"all_constant": 3}


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (np.zeros(5), "reshape"),
        (np.zeros((2, 2, 2)), "two axes"),
        (np.zeros((2, 2), complex), "complex128"),
        (np.array([["a", "b"]]), "<U1"),
        ([[1, 2], [3]], "list is no table|inhomogeneous|two axes"),
        ("no such file.csv", "no such file"),
        (pd.Series([1.0, 2.0]), "two axes"),
    ],
)
def test_what_is_no_table(raw: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        Table().fit(raw)


def test_sparse_matrices_are_named() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(DataError, match="sparse"):
        Table().fit(sparse.eye(3))


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pd.DataFrame(columns(), index=np.random.default_rng(0).permutation(50)).to_parquet(path)
    table = Table().fit(path)
    assert table.notices == {"dropped_index": 1}
    assert torch.equal(table.encode(path), Table().fit(X).encode(X))
    assert isinstance(table.decode(table.encode(path)), pd.DataFrame)


def test_D26_a_damaged_parquet_file(tmp_path: Path) -> None:
    """A Parquet file cut short or with any byte changed gives a table or an error that names it."""
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table(columns()), path)
    whole = path.read_bytes()
    for cut in (0, 3, 4, 8, len(whole) // 2, len(whole) - 9, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError, match=r"t\.parquet"):
            Table().fit(path)
    for place in range(4, len(whole), 29):
        broken = bytearray(whole)
        broken[place] ^= 0xFF
        path.write_bytes(broken)
        fault = ""
        try:
            Table().fit(path)
        except DataError as error:
            fault = str(error)
        assert not fault or "t.parquet" in fault


def test_state_is_json_and_comes_back() -> None:
    frame = pd.DataFrame(columns()).assign(kind=["no", "yes"] * 25, flat=1.0)
    table = Table(label="kind", scale="robust").fit(frame)
    state = json.loads(json.dumps(table.state(), allow_nan=False))
    twin = Modality.from_spec(json.loads(json.dumps(table.spec()))).restore(state)
    assert torch.equal(twin.encode(frame), table.encode(frame))
    assert twin.state() == table.state()
    assert isinstance(twin.decode(twin.encode(frame)), pd.DataFrame)


@pytest.mark.parametrize(
    "change",
    [
        {"columns": []},
        {"columns": [{"kind": "categorical", "name": "a"}]},
        {"columns": [{"kind": "numeric", "name": "a", "scale": 0.0}]},
        {"columns": [{"kind": "numeric", "name": "a", "centre": float("nan")}]},
        {"columns": [{"kind": "numeric", "name": "a", "surplus": 1}]},
        {"columns": [{"kind": "numeric", "name": "a"}] * 2},
        {"columns": 3},
        {"notices": None},
    ],
)
def test_a_damaged_state_is_refused(change: dict[str, Any]) -> None:
    state = Table().fit(X).state() | change
    with pytest.raises(ArtifactError, match="Table"):
        Table().restore(state)


def test_before_fit_nothing_is_known() -> None:
    for use in (lambda: Table().event, lambda: Table().encode(X), lambda: Table().state()):
        with pytest.raises(UsageError, match="fit"):
            use()


@settings(max_examples=60, deadline=None)
@given(
    any_array(np.float64, (6, 2), elements=st.floats(-1e30, 1e30, allow_subnormal=False)),
    st.sampled_from(["standard", "robust", "none"]),
)
def test_round_trip_within_float32(x: np.ndarray, scale: str) -> None:
    table = Table(scale=scale).fit(x)
    encoded = table.encode(x)
    assert bool(torch.isfinite(encoded).all())
    spread = np.abs(x - x.mean(0)).max(0) + np.abs(x).max(0)
    assert (np.abs(table.decode(encoded) - x) <= 1e-6 * spread + 1e-30).all()


def test_real_tables(real: Path) -> None:
    fraud = Table(label="Class").fit(real / "anomaly" / "fraud-sample.csv")
    read = fraud.read(real / "anomaly" / "fraud-sample.csv")
    assert read.x.shape == (1722, 30)
    assert read.labels is not None
    assert int(read.labels.sum()) == 492
    assert fraud.notices == {"dropped_index": 1}
    assert Table().fit(real / "tables" / "adult.csv").event == (15,)
    with pytest.raises(DataError, match=r"adult\.csv: column 'workclass', row 1 \(line 2\): ' State-gov'"):
        Table(scale="standard").fit(real / "tables" / "adult.csv")
    text = ("workclass", "education", "marital-status", "occupation", "relationship", "race", "sex", "native-country")
    assert Table(drop=text, label="income").fit(real / "tables" / "adult.csv").event == (6,)
