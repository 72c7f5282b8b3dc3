"""Any tables, by Hypothesis: the same from CSV, Parquet and every frame, back to what they were, or a typed error."""

import csv
import math
import re
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lambent.data import load, load_parted
from lambent.data.kinds.table import Table
from lambent.data.splitting import cut
from lambent.errors import DataError

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=6)
NUMBERS = {
    "float": st.floats(-1e12, 1e12, allow_subnormal=False),
    "int": st.integers(-(2**53), 2**53),
    "bool": st.booleans(),
}
OTHERS = {
    "missing": st.none() | st.floats(-1e3, 1e3),
    "infinite": st.sampled_from([math.inf, -math.inf, 1e35, 2.0]),
    "category": st.sampled_from(["red", "gréen", "=1+1", "a,b", 'say "x"', "two\nlines"]),
    "date": st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)).map(lambda d: d.replace(microsecond=0)),
    "huge": st.integers(2**53 + 1, 2**62),
}


@st.composite
def frames(draw: st.DrawFn, kinds: dict[str, Any], most: int = 4) -> dict[str, list[Any]]:
    """{name: values} of one kind a column, names all different."""
    names = draw(
        st.lists(
            NAMES.filter(lambda n: n not in ("Unnamed: 0", "__index_level_0__")), min_size=1, max_size=most, unique=True
        )
    )
    rows = draw(st.integers(1, 6))
    return {n: draw(st.lists(kinds[draw(st.sampled_from(sorted(kinds)))], min_size=rows, max_size=rows)) for n in names}


def forms(columns: dict[str, list[Any]], folder: Path) -> dict[str, Any]:
    """The same table as CSV, Parquet and frames of three libraries."""
    frame = pd.DataFrame(columns)
    frame.to_csv(folder / "t.csv", index=False, quoting=csv.QUOTE_NONNUMERIC)  # pandas leaves a bare CR unquoted
    frame.to_parquet(folder / "t.parquet", index=False)
    return {
        "pandas": frame,
        "polars": pl.DataFrame(columns, strict=False),
        "pyarrow": pa.table(columns),
        "csv": folder / "t.csv",
        "parquet": folder / "t.parquet",
    }


@given(frames(NUMBERS), st.sampled_from(["standard", "robust", "none"]))
def test_any_numbers_are_the_same_table_in_every_form(columns: dict[str, list[Any]], scale: str) -> None:
    """Numbers under any names give the same rows from CSV, Parquet, pandas, polars and pyarrow, and come back."""
    expected = np.array([[float(v) for v in values] for values in columns.values()]).T
    spread = np.abs(expected - expected.mean(0)).max(0) + np.abs(expected).max(0)
    with tempfile.TemporaryDirectory() as folder:
        for form, raw in forms(columns, Path(folder)).items():
            table = Table(scale=scale, header="first-row", delimiter=",").fit(raw)
            x = table.encode(raw)
            assert [c["name"] for c in table.state()["columns"]] == list(columns), form
            back = table.decode(x)
            assert list(back.columns if hasattr(back, "columns") and form != "pyarrow" else back.column_names) == list(
                columns
            )
            values = np.stack([np.asarray(back[name], np.float64) for name in columns], axis=1)
            assert (np.abs(values - expected) <= 1e-6 * spread + 1e-30).all(), form
            twin = Table.from_spec(table.spec()).restore(table.state())
            assert torch.equal(twin.encode(raw), x)


@given(frames(NUMBERS, 2), frames(OTHERS, 2))
def test_any_other_column_is_encoded_or_refused_by_its_name_in_every_form(
    good: dict[str, list[Any]], other: dict[str, list[Any]]
) -> None:
    """Gaps, categories and dates are encoded, NaN where cells are missing, and decode to the same columns; infinite and huge
    values are refused with the column and row that hold them."""
    rows = min(len(next(iter(good.values()))), len(next(iter(other.values()))))
    columns = {n: v[:rows] for n, v in good.items()} | {f"bad {n}": v[:rows] for n, v in other.items()}
    there = [v for values in columns.values() for v in values if v is not None and not isinstance(v, (str, datetime))]
    broken = any(isinstance(v, float) and abs(v) > 1e30 for v in there)
    long = any(abs(v) > 2**53 for v in there)  # integers that no float holds: constant, keys, or refused
    with tempfile.TemporaryDirectory() as folder:
        for form, raw in forms(columns, Path(folder)).items():
            table = Table(header="first-row", delimiter=",")
            fault = ""
            try:
                x = table.fit(raw).encode(raw)
            except DataError as error:
                fault = str(error)
            assert bool(fault) >= broken, form
            if fault:
                told = re.search(r"column 'bad .*, row \d+|column \"bad .*, row \d+", fault)
                assert told or (not broken and "no columns are left" in fault), form
                assert not told or broken or long, form
                continue
            gaps = {name: [v is None or v != v for v in columns[name]] for name in table.names if name in columns}
            for place, name in enumerate(table.names):
                if name in columns:
                    assert x[:, place].isnan().tolist() == gaps[name], form
                else:
                    assert x[:, place].isnan().all()
            back = table.decode(x)
            assert list(back.columns if form != "pyarrow" else back.column_names) == list(columns), form


@given(frames(NUMBERS, 2))
def test_any_repeated_name_is_refused(columns: dict[str, list[Any]]) -> None:
    """Two columns of one name are refused by it, in CSV and in frames."""
    name = next(iter(columns))
    frame = pd.DataFrame(columns)
    double = pd.concat([frame, frame[[name]]], axis=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.csv")
        double.to_csv(path, index=False, quoting=csv.QUOTE_NONNUMERIC)
        arrow = pa.Table.from_arrays(
            [pa.array(double.iloc[:, i]) for i in range(double.shape[1])], list(double.columns)
        )
        for raw in (double, arrow, path):
            with pytest.raises(DataError, match="several columns are called") as refused:
                Table(header="first-row", delimiter=",").fit(raw)
            assert repr(name) in str(refused.value)


@given(st.integers(2, 40), st.floats(0.01, 0.99), st.integers(0, 2**31))
def test_any_cut_fits_on_the_kept_rows_alone(rows: int, fraction: float, seed: int) -> None:
    """Whatever the rows that are held out hold, the scale of the table is that of the others."""
    x = np.random.default_rng(seed).normal(size=(rows, 1))
    try:
        kept, held = load_parted(x, fraction, seed)
    except DataError:
        assert round(rows * fraction) >= rows
        return
    assert len(kept) + len(held) == rows
    moved = x.copy()
    moved[cut(rows, fraction, seed)[1].index] += 1e6
    assert kept.modality.state() == load_parted(moved, fraction, seed)[0].modality.state()
    assert kept.modality.state() != load(moved).modality.state()
    assert np.allclose(held.modality.decode(held.x), x[cut(rows, fraction, seed)[1].index], atol=1e-4)
    assert len(load(x)) == rows
