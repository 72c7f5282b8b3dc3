"""Tables of columns of every kind: through CSV and frames and back, gaps, levels, conditions, state."""

import json
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from lambent.data import load, load_parted
from lambent.data.kinds.columns import learning
from lambent.data.kinds.columns import tally as tallying
from lambent.data.kinds.columns.restriction import Restriction, parsed
from lambent.data.kinds.columns.tally import Tally
from lambent.data.kinds.modality import Modality
from lambent.data.kinds.table import Table
from lambent.data.readers.frames import from_frame
from lambent.errors import ArtifactError, DataError, UsageError

RNG = np.random.default_rng(1)
N = 600


def gappy(values: Any, share: float = 0.1) -> list[Any]:
    gone = np.random.default_rng(len(values)).random(len(values)) < share
    return [None if lost else v for v, lost in zip(values, gone, strict=True)]


def every_kind() -> dict[str, list[Any]]:
    """Columns of every kind that is modelled, some with gaps, and of those that are left out."""
    return {
        "age": RNG.integers(17, 91, N).tolist(),
        "visits": gappy((RNG.poisson(2, N) ** 2).tolist()),
        "paid": np.where(RNG.random(N) < 0.5, 0, RNG.lognormal(3, 1, N)).round(2).tolist(),
        "height": gappy(RNG.normal(1.7, 0.1, N).tolist()),
        "sex": RNG.choice([" F", " M"], N).tolist(),
        "town": gappy(RNG.choice(["Ulm", "Bonn, am Rhein", 'the "Ruhr"', "Köln"], N, p=[0.7, 0.1, 0.1, 0.1]).tolist()),
        "born": [date(1980, 1, 1) + timedelta(int(d)) for d in RNG.integers(0, 9000, N)],
        "seen": gappy([datetime(2024, 1, 1) + timedelta(minutes=int(m)) for m in RNG.integers(0, 9**6, N)]),
        "member": RNG.integers(0, 2, N).astype(bool).tolist(),
        "always": ["v1.0"] * N,
        "id": [f"P-{i:05d}" for i in RNG.permutation(N)],
        "note": [" ".join(RNG.choice(["the", "patient", "is", "well", "not", "again", "seen"], 9)) for _ in range(N)],
    }


EXACT = ["age", "visits", "paid", "sex", "town", "born", "seen", "member", "always"]


@pytest.mark.parametrize("form", ["pandas", "polars", "csv"])
def test_every_kind_comes_back(form: str, tmp_path: Path) -> None:
    """Through encoding and back: types, decimals, categories, dates, order of columns; left-out ones are made up or empty."""
    columns = every_kind()
    raw: Any = pd.DataFrame(columns) if form == "pandas" else pl.DataFrame(columns)
    if form == "csv":
        pl.DataFrame(columns).write_csv(tmp_path / "t.csv")
        raw = tmp_path / "t.csv"
    table = Table().fit(raw)
    x = table.encode(raw)
    assert x.shape == (N, 9 - 1 + 1 + 4 - 0)  # nine that are modelled, four of which have gaps
    back = table.decode(x)
    shown = pd.read_csv(raw, keep_default_na=True) if form == "csv" else raw
    assert list(back.columns) == list(columns)
    again, first = (f.to_pandas() if form == "polars" else f for f in (back, shown))
    if form != "csv":
        assert [str(t) for t in back.dtypes] == [str(t) for t in raw.dtypes]
    for name in EXACT:
        there = first[name].notna()
        assert (again[name].isna() == ~there).all(), name
        own, other = again[name][there].astype(str), first[name][there].astype(str)
        if name in ("visits", "paid"):
            own, other = again[name][there].astype(float), first[name][there].astype(float)
        if name == "seen":
            own, other = pd.to_datetime(again[name][there]), pd.to_datetime(first[name][there])
        assert own.tolist() == other.tolist(), name
    there = first["height"].notna()
    assert np.abs(again["height"][there].astype(float) - first["height"][there]).max() < 1e-4
    assert again["id"].tolist()[:2] == ["P-00600", "P-00601"]
    assert again["note"].isna().all()


def test_written_and_read_again_it_is_the_same_csv(tmp_path: Path) -> None:
    """CSV → Table → decode → CSV: the same text in every cell that the model knows exactly."""
    columns = {name: values for name, values in every_kind().items() if name in EXACT}
    pl.DataFrame(columns).write_csv(tmp_path / "one.csv")
    table = Table().fit(tmp_path / "one.csv")
    back = table.decode(table.encode(tmp_path / "one.csv"))
    pl.DataFrame(pl.from_pandas(back)).write_csv(tmp_path / "two.csv", datetime_format="%Y-%m-%dT%H:%M:%S.000000")
    first, second = (pl.read_csv(tmp_path / name, infer_schema=False) for name in ("one.csv", "two.csv"))
    assert first.columns == second.columns
    for name in EXACT:
        assert first[name].to_list() == second[name].to_list(), name


def test_the_census_comes_back_with_its_blanks(real_data: Path) -> None:
    """Text to the letter, whole numbers but for those in wide bins, whose float32 place is a 2^-15th of them."""
    census = real_data / "tables" / "adult.csv"
    table = Table().fit(census)
    back, first = table.decode(table.encode(census)), pd.read_csv(census)
    assert (back.dtypes == first.dtypes).all()
    for name in first.columns.drop("fnlwgt"):
        assert (back[name] == first[name]).all(), name
    assert back["workclass"][0] == " State-gov"
    assert (np.abs(back["fnlwgt"] - first["fnlwgt"]) <= 20).all()
    assert not table.encoding.gappy
    assert {c.name: c.kind for c in table.columns}["income"] == "binary"


def test_times_come_back_in_their_zone_and_resolution() -> None:
    """Zones, units, midnight and durations; values that training saw and such as it did not."""
    hours = pd.Timestamp("2024-03-30 00:00") + pd.to_timedelta(RNG.integers(0, 1000, N), "h")
    frame = pd.DataFrame(
        {
            "zoned": hours.tz_localize("UTC").tz_convert("Europe/Berlin"),
            "seconds": (pd.Timestamp("2020-01-01") + pd.to_timedelta(RNG.integers(0, 10**8, N), "s")).astype(
                "datetime64[s]"
            ),
            "days": pd.Timestamp("2020-01-01") + pd.to_timedelta(RNG.integers(0, 2000, N), "D"),
            "minutes": pd.Timestamp("2024-05-01") + pd.to_timedelta(RNG.integers(0, 99, N), "min"),
            "lasted": pd.to_timedelta(RNG.integers(0, 500, N), "min"),
        }
    )
    table = Table().fit(frame)
    back = table.decode(table.encode(frame))
    assert back.dtypes.tolist() == frame.dtypes.tolist()
    for name in ("zoned", "days", "minutes", "lasted"):
        assert (back[name] == frame[name]).all(), name
    assert (abs(back["seconds"] - frame["seconds"]) <= pd.Timedelta("5min")).all()
    units = {c.name: (c.unit, c.step) for c in table.columns}  # type: ignore[attr-defined]
    assert units == {"zoned": (1, 3600), "seconds": (1, 1), "days": (86400, 1), "minutes": (1, 60), "lasted": (1, 60)}
    new = frame.assign(days=frame["days"] + pd.Timedelta("3000D"))
    assert (table.decode(table.encode(new))["days"] == new["days"]).mean() > 0.9


# ---- levels ------------------------------------------------------------------------------------------------------


def levels(counts: dict[Any, int], **others: Any) -> tuple[Table, pd.DataFrame]:
    values = [level for level, n in counts.items() for _ in range(n)]
    frame = pd.DataFrame({"level": values, "n": np.arange(len(values)) % 7})
    return Table(scale="ranks", **others).fit(frame), frame


def test_D14_rare_and_unseen_levels_are_other() -> None:
    """Levels seen once share the last place, each a stretch of it; unseen ones have its beginning."""
    table, frame = levels({"a": 300, "b": 100, "rare": 1, "rarer": 1})
    column = table.column("level")
    assert column.tokens == 3
    x = table.encode(frame)[:, 0]
    assert x.unique().tolist() == [0, 1, 2.25, 2.75]
    assert table.decode(table.encode(frame))["level"].tolist() == frame["level"].tolist()
    unseen = table.encode(pd.DataFrame({"level": ["new", "a", None], "n": [1, 2, 3]}))[:, 0]
    assert unseen.tolist()[:2] == [2, 0]
    assert unseen[2].isnan()
    made = table.decode(torch.tensor([[2.0, 1.0]]).expand(1000, -1))["level"]
    assert made.value_counts().to_dict() == pytest.approx({"rare": 500, "rarer": 500}, abs=1)
    assert table.noticed["merged_levels"] == ["level"]
    rare = frame["level"].isin(["rare", "rarer"])
    np.testing.assert_allclose(table.log_slope(table.encode(frame))[:, 0], np.where(rare, np.log(0.5), 0))


def test_other_without_rare_levels_is_any_by_frequency() -> None:
    table, _ = levels({"a": 300, "b": 100})
    made = table.decode(torch.tensor([[2.0, 1.0]]).expand(1000, -1))["level"]
    assert made.value_counts().to_dict() == pytest.approx({"a": 750, "b": 250}, abs=1)


def test_D15_many_levels_are_bounded() -> None:
    """Of more than 1,000 levels the most frequent have a place of their own, and as many more are known as rare."""
    counts = {f"v{i:05d}": 2 + (i < 500) * 5 for i in range(3000)}
    table, frame = levels(counts)
    column = table.column("level")
    assert (column.kind, column.tokens) == ("categorical", 1001)
    x = table.encode(frame)[:, 0]
    often = torch.tensor([counts[v] > 2 for v in frame["level"]])
    assert (x[often] < 1000).all()
    assert (x >= 1000).float().mean() == pytest.approx(2000 * 2 / len(frame))
    assert len(json.dumps(table.state())) < 300_000


def test_levels_keep_the_order_that_is_declared() -> None:
    sizes = pd.Categorical(["M", "S", "L"] * 20, ["S", "M", "L", "XL"], ordered=True)
    frame = pd.DataFrame({"size": sizes, "n": range(60)})
    table = Table().fit(frame)
    assert table.encode(frame)[:3, 0].tolist() == [1, 0, 2]
    assert table.column("size").tokens == 5
    back = table.decode(table.encode(frame))
    assert back["size"].dtype == frame["size"].dtype
    assert table.intervals(table.restriction("size>S")) == (0, [(1.0, 4.0)])


def test_truth_is_no_number_and_text_of_truth_is_text() -> None:
    frame = pd.DataFrame({"b": [True, False] * 30, "t": ["True", "False"] * 30, "n": range(60)})
    table = Table().fit(frame)
    assert [c.kind for c in table.columns] == ["boolean", "binary", "identifier"]
    back = table.decode(table.encode(frame))
    assert back["b"].dtype == bool
    assert back["t"].tolist() == frame["t"].tolist()
    gaps = pd.DataFrame({"b": [True, None, False] * 20, "t": ["x", "y", "x"] * 20})
    assert table.fit(gaps).decode(table.encode(gaps))["b"].tolist() == gaps["b"].tolist()


def test_codes_that_are_names_come_from_text_and_numbers_alike() -> None:
    frame = pd.DataFrame({"zip": [10115, 20095, 80331] * 20, "t": ["a", "b"] * 30})
    table = Table(kinds=("zip=categorical",)).fit(frame)
    text = frame.assign(zip=frame["zip"].astype(str))
    assert torch.equal(table.encode(text), table.encode(frame))
    assert table.decode(table.encode(frame))["zip"].tolist() == frame["zip"].tolist()
    other = Table().fit(text)
    assert torch.equal(other.encode(frame), other.encode(text))


def test_codes_that_are_close_are_not_the_same() -> None:
    frame = pd.DataFrame({"code": [123456789, 123456791] * 30, "rate": [0.1, 0.25] * 30, "t": ["a", "b"] * 30})
    table = Table().fit(frame)
    assert [c.tokens for c in table.columns] == [3, 3, 3]
    near = table.encode(frame.assign(code=123456790, rate=frame["rate"].astype(np.float32)))
    assert near[:2].tolist() == [[2, 0, 0], [2, 1, 1]]


# ---- gaps --------------------------------------------------------------------------------------------------------


def test_indicators_say_what_is_missing_in_training() -> None:
    frame = pd.DataFrame({"a": ["x", None, "y", "x"] * 25, "b": [1.5, 2.5, np.nan, 4.0] * 25, "c": ["u", "v"] * 50})
    table = Table(hidden=0.0).fit(frame)
    assert table.gaps
    assert table.names == ["a", "b", "c", "a is missing", "b is missing"]
    x = table.encode(frame)
    assert x[:, 3:].isnan().all()
    seen = table.augment(x, torch.Generator().manual_seed(0))
    assert seen[:4, 3:].tolist() == [[0, 0], [1, 0], [0, 1], [0, 0]]
    assert torch.equal(seen[:, :3].nan_to_num(-1), x[:, :3].nan_to_num(-1))
    assert x[:, 3:].isnan().all(), "augment makes new rows"
    whole = torch.cat([torch.tensor([[0.0, 1.0, 0.0]]).expand(2, -1), torch.tensor([[0.0, 1.0], [1.0, 0.0]])], 1)
    back = table.decode(whole)
    assert back["b"].isna().tolist() == [True, False]
    assert back["a"].isna().tolist() == [False, True]
    own = table.defaults()["likelihood"]
    assert own["indicates"] == [0, 1]
    assert len(own["tokens"]) == 5


def test_hidden_cells_are_a_share_of_a_share_of_the_rows() -> None:
    """Of `hidden` of the rows each cell goes with a probability uniform on (0, 1): half of theirs on average, spread widely."""
    frame = pd.DataFrame({f"c{i}": RNG.choice(["x", "y"], 4000) for i in range(10)})
    table = Table(hidden=0.4).fit(frame)
    x = table.augment(table.encode(frame), torch.Generator().manual_seed(0))
    gone = x.isnan().float()
    assert gone.mean() == pytest.approx(0.2, abs=0.02)
    assert (gone.sum(1) == 0).float().mean() == pytest.approx(0.6 + 0.4 / 11, abs=0.03)
    counts = torch.bincount(gone.sum(1).long(), minlength=11)[1:] / 4000  # uniform: every number of cells alike
    assert counts.tolist() == pytest.approx([0.4 / 11] * 10, abs=0.012)
    assert torch.equal(
        x.nan_to_num(-1), table.augment(table.encode(frame), torch.Generator().manual_seed(0)).nan_to_num(-1)
    )


def test_plain_tables_are_not_changed_by_augment() -> None:
    x = np.array([[1.0, 2.0], [np.nan, 3.0], [4.0, 5.0]])
    table = Table().fit(x)
    assert table.names == ["x0", "x1"]
    assert torch.equal(table.augment(table.encode(x)).isnan(), torch.tensor(np.isnan(x)))


def test_log_slope_of_a_plain_table() -> None:
    x = np.array([[1.0, 10.0], [3.0, 30.0], [np.nan, 50.0]])
    table = Table().fit(x)
    slopes = table.log_slope(table.encode(x))
    assert slopes.dtype == torch.float64
    assert slopes[0].tolist() == pytest.approx([-np.log(1.0), -np.log(np.std([10, 30, 50]))])
    assert slopes[2, 0] == 0
    assert Modality.log_slope(table, torch.zeros(1)) is None


# ---- conditions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "column", "operator", "values"),
    [
        ("age>40", "age", ">", ("40",)),
        ("age >= 40", "age", ">=", (" 40",)),
        ("education-num<=3", "education-num", "<=", ("3",)),
        ("education=Masters", "education", "=", ("Masters",)),
        ("education == Masters", "education", "=", (" Masters",)),
        ("work class in {Private,State-gov}", "work class", "in", ("Private", "State-gov")),
        ('work class not in {"a,b", c}', "work class", "not in", ("a,b", " c")),
        ("age=missing", "age", "=", ("missing",)),
        ("age != Missing", "age", "!=", ("missing",)),
        ("a<=x", "a", "<=", ("x",)),
        ("a<=b=3", "a<=b", "=", ("3",)),
        ("information>1", "information", ">", ("1",)),
    ],
)
def test_restrictions_are_read(text: str, column: str, operator: str, values: tuple[str, ...]) -> None:
    names = ["age", "a", "a<=b", "education", "education-num", "work class", "information", "x"]
    assert parsed(text, names) == Restriction(column, operator, values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "words"),
    [("aeg>3", "no column is called 'aeg'; did you mean 'age'"), ("age", "asks nothing of a column"),
     ("age>", "a value is lacking"), ("age in {}", "a list of values is expected"), (">3", "asks nothing")],
)  # fmt: skip
def test_restrictions_that_cannot_be_read(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parsed(text, ["age", "sex"])


def test_restrictions_of_every_kind_of_column() -> None:
    """The rows whose encoded value lies in the intervals are those that satisfy the restriction."""
    frame = pd.DataFrame(every_kind())
    table = Table().fit(frame)
    x = table.encode(frame)
    filled = Table(hidden=0.0).fit(frame).augment(x)
    born = pd.to_datetime(frame["born"])
    wanted = {
        "age>40": frame["age"] > 40,
        "sex=F": frame["sex"] == " F",
        "town in {Ulm,Köln}": frame["town"].isin(["Ulm", "Köln"]),
        "town != Ulm": frame["town"].notna() & (frame["town"] != "Ulm"),
        "town=missing": frame["town"].isna(),
        "visits!=missing": frame["visits"].notna(),
        "born<1990-01-01": born < "1990-01-01",
        "seen>=2024-06-01 12:00": pd.to_datetime(frame["seen"]) >= "2024-06-01 12:00",
        "paid=0": frame["paid"] == 0,
        "member=true": frame["member"],
    }
    for text, rows in wanted.items():
        place, intervals = table.intervals(table.restriction(text))
        value = filled[:, place].double().numpy()
        inside = np.any([(value >= low) & (value < high) for low, high in intervals], axis=0)
        assert (inside == rows.to_numpy()).all(), text
    for text, words in {
        "sex=X": "column 'sex' has no level 'X'",
        "age=old": "'old' cannot be compared",
        "age=missing": "no cell of it was missing in training",
        "town>Ulm": "its levels have no order",
        "note=x": "no part of the model",
    }.items():
        with pytest.raises(UsageError, match=words):
            table.intervals(table.restriction(text))


# ---- learning in pieces, state -----------------------------------------------------------------------------------


def test_learned_in_pieces_it_is_the_same() -> None:
    frame = pd.DataFrame(every_kind())
    pieces = [frame.iloc[start : start + 100].reset_index(drop=True) for start in range(0, N, 100)]
    whole, parts = Table().fit(frame), Table().learn(pieces)
    assert parts.state() == whole.state()
    twin = Modality.from_spec(whole.spec()).restore(json.loads(json.dumps(whole.state())))
    assert twin.state() == whole.state()
    assert torch.equal(twin.encode(frame).nan_to_num(-1), whole.encode(frame).nan_to_num(-1))
    assert (twin.gaps, twin.names) == (True, whole.names)


def test_many_different_values_are_sampled_in_bounded_room() -> None:
    """Of 200,000 values at most 1,000 are held; ends and gaps stay exact, shares of frequent ones and quantiles nearly so."""
    tally, words = Tally("v", 1000), Tally("w", 1000)
    values, texts = [], []
    for _ in range(20):
        part = np.where(RNG.random(10_000) < 0.3, 7.0, RNG.normal(size=10_000))
        part[:5] = np.nan
        text = [f"w{int(n)}" for n in RNG.zipf(1.3, 10_000) % 10**6]
        piece = from_frame(pd.DataFrame({"v": part, "w": text}))
        tally.add(piece)
        words.add(piece)
        values.append(part)
        texts += text
    every = np.concatenate(values)
    there = every[~np.isnan(every)]
    assert tally.different <= 1000
    assert words.different <= 1000
    assert (tally.rows, tally.gaps) == (200_000, 100)
    assert (tally.least, tally.greatest) == (there.min(), there.max())
    assert tally.counts[tally.values == 7][0] / tally.kept == pytest.approx(0.3, abs=0.03)
    median = tally.values[np.searchsorted(np.cumsum(tally.counts), tally.kept / 2)]
    assert (there < median).mean() == pytest.approx(0.5, abs=0.04)
    common = words.counts[words.words.index("w1")] / words.kept
    assert common == pytest.approx(np.mean([t == "w1" for t in texts]), abs=0.03)


def test_what_comes_from_a_sample_is_told_and_new_keys_are_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "DIFFERENT", 500)
    rows = 4000
    frame = pd.DataFrame({"k": [f"K{i:04d}" for i in range(rows)], "v": RNG.normal(size=rows), "t": ["u", "v"] * 2000})
    table = Table().learn([frame.iloc[i : i + 500].reset_index(drop=True) for i in range(0, rows, 500)])
    assert table.notices["quartiles_from_a_sample"] == 2
    assert [c.kind for c in table.columns] == ["identifier", "real", "binary"]
    made = table.decode(table.encode(frame))
    assert not set(made["k"]) & set(frame["k"])
    share = [(frame["v"] < edge).mean() for edge in np.quantile(table.column("v").low, [0.25, 0.5, 0.75])]  # type: ignore[attr-defined]
    assert share == pytest.approx([0.25, 0.5, 0.75], abs=0.12)
    assert np.abs(made["v"] - frame["v"]).max() < 3


def test_long_texts_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallying, "MOST_LETTERS", 10_000)
    tally = Tally("w", 10**6)
    tally.add(from_frame(pd.DataFrame({"w": [f"{i:01000d}" for i in range(200)]})))
    assert sum(map(len, tally.words)) <= 10_000


def test_a_column_that_changes_its_type_between_pieces_is_refused() -> None:
    with pytest.raises(DataError, match=r"column 'a', row 1: text, after 3 cells of numbers"):
        Table(scale="ranks").learn([pd.DataFrame({"a": [1, 2, 3]}), pd.DataFrame({"a": ["x", "y", "z"]})])


def test_what_is_stored_holds_no_identifiers_and_no_texts() -> None:
    """Levels, also those of a single row, and edges of bins are stored; whose rows they were is not."""
    keys, names = [f"K{n * 7919 % 100_000:06d}" for n in range(500)], [f"Person number {n:03d}" for n in range(500)]
    job = [["cook", "nurse"][n % 2] for n in range(499)] + ["astronaut"]
    stored = json.dumps(Table().fit(pd.DataFrame({"key": keys, "name": names, "job": job})).state())
    assert [word for word in (*keys, *names) if word in stored] == []
    assert "astronaut" in stored


@pytest.mark.parametrize(
    "damage",
    [
        lambda c: c.update(column="matrix"), lambda c: c.update(levels=[]), lambda c: c.update(levels=["a", "a"]),
        lambda c: c.update(counts=[1]), lambda c: c.update(form="tensor"), lambda c: c.update(shares=[2.0]),
        lambda c: c.update(levels=["x"] * 5000), lambda c: c.pop("levels"), lambda c: c.update(declared=None),
        lambda c: c.update(levels=[1.0, 2.0]), lambda c: c.update(more=1),
    ],
)  # fmt: skip
def test_damaged_levels_are_refused(damage: Any) -> None:
    state = levels({"a": 30, "b": 10})[0].state()
    damage(state["columns"][0])
    with pytest.raises(ArtifactError, match="Table"):
        Table().restore(state)


@pytest.mark.parametrize(
    "damage",
    [
        lambda c: c.update(low=[]), lambda c: c.update(low=c["high"], high=c["low"]), lambda c: c.update(step=-1.0),
        lambda c: c.update(unit=0.0), lambda c: c.update(low=[*c["low"][:-1], float("nan")]),
        lambda c: c.update(low=c["low"][::-1]), lambda c: c.update(inflated=[10**400]),
        lambda c: c.update(low=c["low"][:-1]), lambda c: c.update(form="text"), lambda c: c.update(low="abc"),
    ],
)  # fmt: skip
def test_damaged_tokens_are_refused(damage: Any) -> None:
    state = Table(scale="ranks").fit(np.random.default_rng(0).normal(size=(100, 2))).state()
    damage(state["columns"][1])
    with pytest.raises(ArtifactError, match="Table"):
        Table().restore(state)


# ---- labels, conditions ------------------------------------------------------------------------------------------


def test_labels_and_conditions_are_not_modelled() -> None:
    frame = pd.DataFrame(every_kind())
    table = Table(label="sex", drop=("note", "id"), condition=("member", "town"))
    with pytest.raises(DataError, match=r"condition 'town', row .* has no value"):
        load(frame, modality=table).conditioned()
    encoded = load(frame, modality=Table(label="sex", drop=("note", "id"), condition=("member",)))
    assert {"sex", "note", "id", "member"} & set(encoded.modality.names) == set()
    assert encoded.label_names == [" F", " M"]
    assert encoded.context is not None
    assert encoded.context.shape == (N, 2)


def test_held_out_rows_have_no_say_in_levels() -> None:
    frame = pd.DataFrame({"a": ["x", "y"] * 50, "n": RNG.normal(size=100)})
    kept, held = load_parted(frame.assign(a=["only here", *frame["a"][1:]]), 0.2, 3)
    place = int(np.flatnonzero(held.numbers == 0)[0]) if 0 in held.numbers else None
    seen = kept.modality.column("a").tokens
    assert seen == (3 if place is not None else 4)
    if place is not None:
        assert held.x[place, 0] == 2


def test_new_rows_may_lack_what_is_left_out() -> None:
    frame = pd.DataFrame(every_kind())
    table = Table().fit(frame)
    x = table.encode(frame.drop(columns=["note", "id"]))
    assert torch.equal(x.nan_to_num(-1), table.encode(frame).nan_to_num(-1))
    told = table.read(frame.assign(always=["v1.0"] * (N - 1) + ["v2.0"])).source["noticed"]["changed"][0]
    assert "column 'always' was 'v1.0' in every row" in told
    assert "row 600 is 'v2.0'" in told


def test_made_up_identifiers_have_the_format_and_are_new() -> None:
    rows = 300
    hexes = ["".join(RNG.choice(list("0123456789abcdef"), 12)) for _ in range(rows)]
    plates = [f"{a}-{n:04d}" for a, n in zip(RNG.choice(["AB", "CD"], rows), RNG.permutation(9999)[:rows], strict=True)]
    frame = pd.DataFrame(
        {"hex": hexes, "nr": RNG.permutation(rows) + 1, "plate": plates, "x": RNG.choice(["u", "v"], rows)}
    )
    table = Table().fit(frame)
    assert [c.kind for c in table.columns[:3]] == ["identifier"] * 3
    made = table.decode(table.encode(frame))
    assert not set(made["hex"]) & set(hexes)
    assert made["hex"].str.fullmatch("[0-9a-f]{12}").all()
    assert made["hex"].is_unique
    assert made["nr"].tolist() == list(range(rows + 1, 2 * rows + 1))
    assert made["plate"].str.fullmatch(r"[AC][BD]-[0-9]{4}").all()
    later = table.decode(table.encode(frame), first=rows)
    assert later["nr"].tolist()[0] == 2 * rows + 1
    assert not set(later["hex"]) & set(made["hex"])


def test_rare_levels_have_their_share_of_other() -> None:
    words = ["a"] * 60 + ["b"] * 50 + [f"rare{i}" for i in range(5)]
    table = Table(kinds=("word=categorical",)).fit(pd.DataFrame({"word": words, "beside": ["x", "y"] * 57 + ["x"]}))
    slopes = table.log_slope(table.encode(pd.DataFrame({"word": ["a", "rare3", "unseen"], "beside": ["x"] * 3})))
    np.testing.assert_allclose(slopes[:, 0], [0.0, np.log(1 / 5), 0.0])
