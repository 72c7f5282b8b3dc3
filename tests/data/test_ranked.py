"""Columns by their rank: tokens, densities, and values that come back."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambent.data.kinds.columns.binning import TOKENS, grid, tokens
from lambent.data.kinds.columns.ranked import Ranked
from lambent.data.kinds.columns.restriction import Restriction
from lambent.data.kinds.columns.tally import Tally
from lambent.data.readers.frames import from_frame

RNG = np.random.default_rng(0)
CASES = {
    "normal": RNG.normal(3, 2, 5000),
    "few rows": RNG.normal(size=60),
    "ages": RNG.integers(17, 91, 3000),
    "whole, many": np.rint(RNG.lognormal(11, 0.6, 5000)),
    "cents": RNG.lognormal(3, 1, 4000).round(2),
    "spike at 0": np.where(RNG.random(4000) < 0.5, 0.0, RNG.lognormal(0, 1, 4000)),
    "spikes at both ends": np.clip(RNG.normal(size=4000), -1, 1),
    "two values": np.array([0.5, 2.5] * 40),
    "thousands": RNG.integers(1, 3000, 4000) * 1000.0,
    "tiny": RNG.normal(1e-9, 1e-10, 500),
    "huge": RNG.normal(1e15, 1e9, 500).round(),
    "cauchy": RNG.standard_cauchy(3000),
    "large, close": 10**9 + RNG.integers(0, 50, 3000),
    "large, many": 10**9 + RNG.integers(0, 5000, 3000),
    "single precision": RNG.normal(size=3000).astype(np.float32),
}


def ranked(values: np.ndarray) -> Ranked:
    tally = Tally("v")
    tally.add(from_frame(pd.DataFrame({"v": values})))
    return Ranked.learned(tally, "real", "because")


@pytest.mark.parametrize("case", CASES)
def test_what_was_seen_comes_back(case: str) -> None:
    """Atoms to the bit, and at whole codes; what lies in a bin to a 2^-15th of its width; all in the order of values."""
    values = CASES[case].astype(np.float64)
    column = ranked(CASES[case])
    x = column.placed(values)
    token = np.floor(x).astype(int)
    assert token.max() < len(column.low) < TOKENS
    assert (np.diff(x[np.argsort(values, kind="stable")]) >= 0).all()
    low, high = np.array(column.low)[token], np.array(column.high)[token]
    back = column.values(x.astype(np.float64))
    assert (back[low == high] == values[low == high]).all()
    assert (x[low == high] == token[low == high]).all()
    wide = np.maximum((high - low) * 2.0**-14, column.step / 2)
    assert (np.abs(back - values)[low < high] <= wide[low < high] + 1e-9 * np.abs(values[low < high])).all()
    if column.step:
        assert np.allclose(back / column.step, np.rint(back / column.step), atol=1e-6)
    assert (back >= values.min()).all()
    assert (back <= values.max()).all()


@pytest.mark.parametrize("case", CASES)
def test_densities_integrate_to_one(case: str) -> None:
    """Of each token: width · exp(log slope) = 1; of "elsewhere" the integral over all that no token covers."""
    column = ranked(CASES[case])
    middles = np.arange(len(column.low)) + np.where(np.array(column.low) == column.high, 0.0, 0.5)
    widths = np.array(column.high) - column.low
    widths = np.where(widths == 0, column.step or 1.0, widths)
    assert np.exp(column.log_slope(middles)) * widths == pytest.approx(1)
    # Elsewhere: over a fine grid of its own share of the Cauchy, dv · exp(log slope) where no token lies.
    v = column._middle + column._scale * np.tan(math.pi * np.linspace(-0.4995, 0.4995, 200_001))
    half = column.step / 2
    covered = np.zeros(len(v), bool)
    for low, high in zip(column.low, column.high, strict=True):
        edge = half if low == high else 0.0
        covered |= (v >= low - edge) & (v <= high + edge) & (low - edge < high + edge)
    share = np.interp(column._share(v), column._ends, column._filled)
    density = np.exp(column.log_slope(len(column.low) + share))
    mass = np.where(covered[1:] | covered[:-1], 0.0, np.diff(v) * (density[1:] + density[:-1]) / 2).sum()
    assert mass == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("case", ["normal", "few rows", "spike at 0", "spikes at both ends", "cauchy", "tiny"])
def test_the_slope_is_that_of_the_encoding(case: str) -> None:
    """log |dx / dv| against differences of the encoding, within bins and elsewhere."""
    column = ranked(CASES[case])
    edges = np.array([*column.low, *column.high])
    span = column.high[-1] - column.low[0]
    near = np.linspace(column.low[0] - 2 * span, column.high[-1] + 2 * span, 1501)
    apart = np.abs(near[:, None] - edges[None]).min(1)
    step = np.minimum(apart / 4, 1e-2 * span)
    fine = np.float64(column.placed(near + step)) - np.float64(column.placed(near - step))
    token = np.floor(column.placed(near))
    usable = (fine > 300 * 2.0**-15) & (np.floor(column.placed(near - step)) == np.floor(column.placed(near + step)))
    assert usable.sum() > 20
    x = column.placed(near[usable]).astype(np.float64)
    assert column.log_slope(x) == pytest.approx(np.log(fine[usable] / (2 * step[usable])), abs=0.05)
    assert (token[usable] < len(column.low)).any()


@settings(max_examples=60)
@given(st.sampled_from(sorted(CASES)), st.floats(-1e30, 1e30) | st.floats(-10, 10))
def test_every_number_has_a_place(case: str, value: float) -> None:
    """Any number up to 1e30 is encoded within [0, K), with a finite slope, and comes back finite."""
    column = ranked(CASES[case])
    x = column.placed(np.array([value])).astype(np.float64)
    assert 0 <= x[0] < column.tokens
    assert np.isfinite(column.log_slope(x)).all()
    assert np.isfinite(column.values(x)).all()


def test_what_lies_elsewhere_comes_back_too() -> None:
    column = ranked(CASES["ages"])
    outside = np.array([-20.0, 3, 16, 91, 95, 120, 150])
    x = column.placed(outside).astype(np.float64)
    assert (np.floor(x) == column.tokens - 1).all()
    assert (column.values(x) == outside).all()
    between = ranked(np.array([0.5, 2.5] * 40))
    x = between.placed(np.array([1.0, 1.5, 2.0])).astype(np.float64)
    assert (np.floor(x) == 2).all()
    assert between.values(x) == pytest.approx([1, 1.5, 2], abs=1e-3)


def test_elsewhere_without_a_place_is_drawn_by_the_row() -> None:
    column = ranked(CASES["normal"])
    last = np.full(1000, column.tokens - 1.0)
    drawn = column.values(last)
    assert (drawn == column.values(last)).all()
    assert len(np.unique(drawn)) == 1000
    assert (column.values(last[:10], first=500) == drawn[500:510]).all()
    assert (np.floor(column.placed(drawn)) == column.tokens - 1).all()


def test_missing_stays_missing_and_costs_nothing() -> None:
    column = ranked(CASES["normal"])
    gap = np.array([np.nan])
    assert np.isnan(column.placed(gap)).all()
    assert np.isnan(column.values(gap)).all()
    assert column.log_slope(gap).tolist() == [0]


@pytest.mark.parametrize(
    ("values", "step"),
    [([1, 2, 5], 1), ([1000, 25000], 1000), ([0.1, 0.25], 0.01), ([0.30000000000000004, 0.1], 0.1), ([math.pi, 1], 0),
     ([0, 0], 1), ([1e20, 2e20], 0), ([1e15, 3], 1), ([-1.5, 2], 0.1)],
)  # fmt: skip
def test_grids(values: list[float], step: float) -> None:
    assert grid(np.array(values, np.float64)) == step


def test_grids_of_single_precision() -> None:
    cents = (RNG.integers(0, 10**4, 500) / 100).astype(np.float32)
    assert grid(cents.astype(np.float64)) == 0
    assert grid(cents.astype(np.float64), single=True) == 0.01
    assert ranked(cents).step == 0.01


def test_tokens_hold_about_as_many_rows_each() -> None:
    values, counts = np.unique(RNG.normal(size=20_000), return_counts=True)
    made = tokens(values, counts, 0.0)
    held = np.histogram(values, [*made.low, made.high[-1]])[0]
    assert (made.low[0], made.high[-1]) == (values[0], values[-1])
    inner = held[10:-10]
    assert inner.max() <= 1.2 * 20_000 / 256
    assert inner.min() >= 0.8 * 20_000 / 256
    assert held[0] < 20  # the ends are finer
    assert held[-1] < 20


def test_a_gap_in_the_values_is_no_part_of_a_bin() -> None:
    values = np.concatenate([RNG.uniform(0, 1, 500), RNG.uniform(100, 101, 500)])
    column = ranked(values)
    assert not any(low < 50 < high for low, high in zip(column.low, column.high, strict=True))
    assert np.floor(column.placed(np.array([50.0]))) == column.tokens - 1


def test_tokens_stay_within_their_bound() -> None:
    """However many spikes and runs there are, tokens stay within their bound."""
    spiky = np.concatenate([np.repeat(np.arange(0, 500, 2), 400), RNG.uniform(0, 500, 50_000)])
    assert len(ranked(spiky).low) < TOKENS


@pytest.mark.parametrize(
    "case", ["ages", "cents", "spike at 0", "normal", "spikes at both ends", "whole, many", "thousands"]
)
@pytest.mark.parametrize("operator", ["<", "<=", ">", ">=", "=", "!=", "in"])
def test_intervals_hold_what_satisfies_a_restriction(case: str, operator: str) -> None:
    """Of every row, and of values never seen: its encoded value lies in an interval just where the value satisfies it."""
    values = CASES[case].astype(np.float64)
    column = ranked(CASES[case])
    span = np.ptp(values)
    near = np.concatenate([values, [values.max() + span, values.min() - span]])
    for bound in (values[0], float(np.median(values)), values.max(), 0.0, 40.0):
        asked = (repr(float(bound)), repr(float(values[1]))) if operator == "in" else (repr(float(bound)),)
        found = column.intervals(Restriction("v", operator, asked))  # type: ignore[arg-type]
        x = column.placed(near).astype(np.float64)
        inside = np.zeros(len(x), bool)
        for low, high in found:
            assert low < high
            inside |= (x >= low) & (x < high)
        wanted = {
            "<": near < bound, "<=": near <= bound, ">": near > bound, ">=": near >= bound, "=": near == bound,
            "!=": near != bound, "in": np.isin(near, [bound, values[1]]),
        }[operator]  # fmt: skip
        # Within a bin, values nearer to the bound than a 2^-13th of it cannot be told apart; the bound itself is on its side.
        token = np.minimum(np.floor(x).astype(int), len(column.low) - 1)
        wide = (np.array(column.high) - column.low)[token] * 2.0**-13
        clear = np.abs(near - bound) >= np.minimum(wide, np.inf if not column.step else wide)
        clear |= (near == bound) & (wide < (column.step or np.inf))
        if operator == "in":
            clear &= (np.abs(near - values[1]) >= wide) | ((near == values[1]) & (wide < (column.step or np.inf)))
        assert clear.mean() > 0.98
        assert (inside[clear] == wanted[clear]).all(), bound
