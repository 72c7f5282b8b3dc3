"""Columns for likelihoods of their own values: the map, its slope in nats, spikes, grids; and a table of them."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

import lambent
from lambent.data.kinds.columns.restriction import parsed
from lambent.data.kinds.columns.settling import restored
from lambent.data.kinds.columns.tally import Tally
from lambent.data.kinds.columns.warped import Warped
from lambent.data.kinds.columns.warps import made
from lambent.data.kinds.table import Table
from lambent.data.readers.frames import Columns, from_frame
from lambent.errors import ArtifactError, DataError, UsageError
from lambent.model.likelihoods import Likelihood, Mixed

N = 3000
RANDOM = np.random.default_rng(0)
VALUES: dict[str, Callable[[], np.ndarray]] = {
    "normal": lambda: RANDOM.normal(5, 2, N),
    "skewed": lambda: np.exp(RANDOM.normal(3, 1, N)),
    "two humps": lambda: np.where(RANDOM.random(N) < 0.5, RANDOM.normal(-3, 0.3, N), RANDOM.normal(3, 0.5, N)),
    "whole": lambda: np.round(RANDOM.normal(-4, 12, N)),
    "rare events": lambda: RANDOM.poisson(3, N).astype(float),
    "many nothings": lambda: np.where(RANDOM.random(N) < 0.7, 0.0, np.exp(RANDOM.normal(8, 1, N))),
    "money": lambda: np.round(np.exp(RANDOM.normal(3, 1, N)), 2),
}


def learned(values: np.ndarray, kind: str = "real") -> tuple[Warped, Columns]:
    table = from_frame(pd.DataFrame({"x": values}))
    tally = Tally("x")
    tally.add(table)
    return Warped.learned(tally, kind, "told"), table


@pytest.mark.parametrize(
    ("name", "kind", "leaf", "warp"),
    [
        ("normal", "real", "density", "none"),
        ("skewed", "positive", "density", "log"),
        ("two humps", "real", "density", "quantile"),
        ("whole", "integer", "whole", "none"),
        ("rare events", "count", "counts", "none"),
        ("many nothings", "real", "density", "log"),
        ("money", "positive", "density", "log"),
    ],
)
def test_the_map_is_the_one_that_made_the_values(name: str, kind: str, leaf: str, warp: str) -> None:
    column, table = learned(VALUES[name](), kind)
    assert (column.leaf, column.warp) == (leaf, warp)
    assert column.spikes == ([0.0] if name == "many nothings" else [])
    assert "for values held out" in column.why
    values = table.values("x")
    x = column.encode(table)[:, 0]
    np.testing.assert_allclose(column.values(x.astype(float)), values, rtol=1e-6, atol=1e-6)
    if column.step:
        assert (column.values(x.astype(float)) == values).all()
    if leaf == "density":
        rest = ~np.isin(values, column.spikes)
        assert abs(x[rest].mean()) < 1e-3
        assert x[rest].std() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "knots"),
    [("none", []), ("log", [0.5]), ("quantile", [-1.0, 0.0, 0.2, 5.0, -2.0, -0.5, 0.1, 3.0])],
)
def test_a_map_rises_and_its_slope_is_its_derivative(name: Any, knots: list[float]) -> None:
    warp = made(name, knots)
    values = np.concatenate([np.linspace(-30, 30, 601) + 0.013, [1e6, -1e6]])
    mapped = warp.forward(values)
    order = np.argsort(values)
    assert (np.diff(mapped[order]) > 0).all()
    np.testing.assert_allclose(warp.inverse(mapped), values, rtol=1e-9, atol=1e-9)
    apart = 1e-5 * np.maximum(1, np.abs(values))
    change = (warp.forward(values + apart) - warp.forward(values - apart)) / (2 * apart)
    np.testing.assert_allclose(warp.slope(values), change, rtol=1e-4)


def test_a_log_density_with_the_slope_is_that_of_the_values() -> None:
    """log N(x; 0, 1) + log |dx/dv| is the log-normal's own, v = exp(centre + scale · x)."""
    column, table = learned(VALUES["skewed"](), "positive")
    values = table.values("x")
    x = column.encode(table)[:, 0]
    found = stats.norm.logpdf(x.astype(float)) + column.log_slope(x)
    expected = stats.lognorm.logpdf(values, column.scale, scale=math.exp(column.centre))
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("name", ["two humps", "money"])
def test_mass_in_the_units_of_the_values_is_one(name: str) -> None:
    """∫ p(x(v)) |dx/dv| dv, whatever the density of x."""
    column, _ = learned(VALUES[name]())
    v = np.sinh(np.linspace(-14, 14, 400_001))
    x = (column._warp.forward(v) - column.centre) / column.scale
    density = np.exp(stats.t.logpdf(x, 4) + column.log_slope(x))
    assert float(np.trapezoid(density, v)) == pytest.approx(1, abs=1e-3)


def test_a_spike_is_itself_to_the_bit_and_costs_no_slope() -> None:
    column, table = learned(VALUES["many nothings"]())
    spec = column.likelihood
    assert spec["type"] == "Hurdle"
    x = column.encode(table)
    at = table.values("x") == 0
    assert (x[at, 0] == np.float32(spec["spikes"][0])).all()
    assert (column.log_slope(x[:, 0])[at] == 0).all()
    hurdle = Likelihood.from_spec(spec)
    hurdle.setup((1,))
    start = hurdle.start(torch.from_numpy(x))
    px = hurdle(start.unsqueeze(0))
    assert float(px.base_dist.log_weights[0].exp()) == pytest.approx(at.mean(), abs=0.01)
    drawn = px.sample((5000,))[:, 0, 0]
    assert float((column.values(drawn.double().numpy()) == 0).mean()) == pytest.approx(at.mean(), abs=0.03)


@pytest.mark.parametrize("name", list(VALUES))
def test_what_is_missing_stays_so_and_what_was_never_seen_has_a_place(name: str) -> None:
    column, _ = learned(VALUES[name]())
    seen = from_frame(pd.DataFrame({"x": [math.nan, 0.0, 1e7, 3.0]}))
    x = column.encode(seen)[:, 0]
    assert np.isnan(x[0])
    assert np.isfinite(x[1:]).all()
    assert column.log_slope(x)[0] == 0
    assert np.isfinite(column.log_slope(x)).all()
    back = column.values(x.astype(float))
    np.testing.assert_allclose(back[1:], [0, 1e7, 3], rtol=1e-5, atol=1e-5)
    assert np.isnan(back[0])


def test_a_negative_count_is_refused_with_its_cell() -> None:
    column, _ = learned(VALUES["rare events"](), "count")
    with pytest.raises(DataError, match=r"column 'x', row 2: -1 is no count"):
        column.encode(from_frame(pd.DataFrame({"x": [1.0, -1.0]})))


def test_probabilities_of_whole_numbers_sum_to_one_in_their_own_units() -> None:
    """Of a grid of hundreds a cell is a hundred wide: log P − log 100 is a density per unit."""
    column, _ = learned(100 * np.round(RANDOM.normal(50, 9, N)), "integer")
    assert column.leaf == "whole"
    assert column.step == 100
    rounded = Likelihood.from_spec(column.likelihood)
    rounded.setup((1,))
    values = 100 * np.arange(-500, 600)
    x = column._encoded(values.astype(float))
    with torch.no_grad():
        log_p = rounded(torch.tensor([[0.3, -1.0]])).log_prob(torch.from_numpy(x)[:, None]).numpy()
    rounded.check(torch.from_numpy(x)[:, None])
    assert np.exp(log_p).sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(column.log_slope(x), -math.log(100))


def test_intervals_hold_what_was_asked_for_and_nothing_else() -> None:
    for name in ("skewed", "whole", "many nothings", "two humps"):
        column, table = learned(np.round(VALUES[name](), 2))
        values = table.values("x")
        x = column.encode(table)[:, 0].astype(float)
        middle = float(np.median(values))
        for text, inside in (
            (f"x>{middle}", values > middle),
            (f"x>={middle}", values >= middle),
            (f"x<{middle}", values < middle),
            (f"x<={middle}", values <= middle),
            (f"x={middle}", values == middle),
            (f"x!={middle}", values != middle),
            (f"x in {{{middle}, {values[0]}}}", np.isin(values, (middle, values[0]))),
            (f"x not in {{{middle}, {values[0]}}}", ~np.isin(values, (middle, values[0]))),
        ):
            found = np.zeros(len(x), bool)
            for low, high in column.intervals(parsed(text, ["x"])):
                found |= (x >= low) & (x < high)
            assert (found == inside).all(), (name, text)
    with pytest.raises(UsageError, match="compares it with what is no number"):
        column.intervals(parsed("x>many", ["x"]))


def test_its_state_is_itself_and_a_damaged_one_is_refused() -> None:
    for name in VALUES:
        column, table = learned(VALUES[name]())
        again = restored(column.state())
        assert again == column
        assert (again.encode(table) == column.encode(table)).all()
    for broken in (
        {"scale": 0.0}, {"knots": []}, {"warp": "bent"}, {"leaf": "leaf"}, {"step": -1.0}, {"unit": 0.0},
        {"warp": "quantile", "knots": [0.0, 0.0, 1.0, 2.0]}, {"warp": "log", "knots": [-1.0]}, {"centre": math.inf},
    ):  # fmt: skip
        with pytest.raises(ArtifactError):
            restored(column.state() | broken)


# ---- a table of them -----------------------------------------------------------------------------------------------


@pytest.fixture
def frame() -> pd.DataFrame:
    random = np.random.default_rng(1)
    n = 300
    group = random.integers(0, 3, n)
    whole = pd.DataFrame(
        {
            "height": random.normal(170, 10, n) + 5 * group,
            "income": np.where(random.random(n) < 0.3, 0.0, np.exp(random.normal(8 + group, 0.5, n))),
            "year": random.integers(1950, 2020, n),
            "visits": random.poisson(2 + group),
            "town": np.array(["a", "b", "c"])[group],
            "grade": pd.Categorical(np.array(["low", "mid", "high"])[group], ["low", "mid", "high"], ordered=True),
            "member": random.random(n) < 0.5,
            "born": pd.Timestamp("2000-01-01") + pd.to_timedelta(random.integers(0, 9000, n), "D"),
        }
    )
    whole.loc[::9, "height"] = np.nan
    whole.loc[::11, "town"] = None
    return whole


def test_every_kind_of_column_gets_its_likelihood_and_comes_back(frame: pd.DataFrame) -> None:
    table = Table().suited(Mixed().encoding).fit(frame)
    assert table.scale == "mixed"
    named = {column.name: column.likelihood["type"] for column in table.columns}
    assert named["height"] == "StudentT"
    assert named["income"] == "Hurdle"
    assert named["town"] == "Categorical"
    assert named["grade"] == "Ordinal"
    assert named["member"] == "Bernoulli"
    assert named["visits"] in ("NegativeBinomial", "RoundedLogistic")
    defaults = table.defaults()
    assert defaults["likelihood"] == {"type": "Mixed", "columns": [c.likelihood for c in table.columns]}
    x = table.encode(frame)
    back = table.decode(x)
    for name in frame:
        pd.testing.assert_series_equal(back[name], frame[name], check_dtype=name != "height", rtol=1e-6)
    again = Table.from_spec(table.spec()).restore(table.state())
    assert torch.equal(again.encode(frame).nan_to_num(9e9), x.nan_to_num(9e9))
    likelihood = Mixed().of_columns(table.likelihoods)
    likelihood.gaps = True
    likelihood.setup((len(frame.columns),))
    likelihood.check(x)


def test_names_that_were_never_seen_have_a_place(frame: pd.DataFrame) -> None:
    table = Table(scale="mixed").fit(frame)
    other = frame.head(2).assign(town=["z", "a"])
    place = table.names.index("town")
    assert table.encode(other)[:, place].tolist() == [3.0, 0.0]


def test_rare_names_are_whole_numbers_too() -> None:
    names = ["often"] * 200 + ["seldom"] * 50 + [f"once {n}" for n in range(20)]
    frame = pd.DataFrame({"name": names, "x": np.arange(270.0) + 0.5})
    x = Table(scale="mixed", kinds=("name=categorical",)).fit(frame).encode(frame)[:, 0]
    assert sorted(x.unique().tolist()) == [0.0, 1.0, 2.0]


def test_a_vae_of_columns_from_a_frame_to_a_file(frame: pd.DataFrame, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"epochs": 3, "network": {"type": "Mlp", "width": 16, "depth": 1}}
    vae = lambent.VAE(2, likelihood="Mixed", random_state=0, **settings).fit(frame)
    assert vae.model_.gaps
    assert len(vae.model_.likelihood.columns) == len(frame.columns)
    made = vae.sample(50)
    assert list(made.columns) == list(frame.columns)
    assert made["member"].dtype == bool
    assert set(made["grade"].dropna()) <= {"low", "mid", "high"}
    assert (made["income"] == 0).any()
    again = lambent.load(vae.save(tmp_path / "vae.safetensors"))
    np.testing.assert_array_equal(again.score_samples(frame), vae.score_samples(frame))
    assert np.isfinite(again.score_samples(frame)).all()
