"""Ticks, frames and numbers as words."""

import math

import pytest

from lambent.report import numerals
from lambent.report.charts import scales


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-0.4, 10.3, [0, 2, 4, 6, 8, 10]),
        (-252, -228, [-250, -245, -240, -235, -230]),
        (0, 0.001, [0, 0.0002, 0.0004, 0.0006, 0.0008, 0.001]),
        (0, 1e6, [0, 2e5, 4e5, 6e5, 8e5, 1e6]),
    ],
)
def test_ticks_are_round_and_inside(low: float, high: float, expected: list[float]) -> None:
    values, step = scales.ticks(low, high)
    assert values == pytest.approx(expected)
    assert step == pytest.approx(expected[1] - expected[0])


@pytest.mark.parametrize("span", [3e-9, 0.07, 1.0, 1.7, 42.0, 999.0, 8e8])
@pytest.mark.parametrize("low", [-1.0, 0.0, 0.3])
def test_ticks_are_few_for_any_span(low: float, span: float) -> None:
    values, _ = scales.ticks(low * span, low * span + span)
    assert 3 <= len(values) <= 9
    assert all(low * span - 1e-6 * span <= v <= low * span + 1.000001 * span for v in values)


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (math.nan, 1), (0, math.inf), (-1.7e308, 1.7e308)])
def test_ticks_of_no_range_do_not_crash(low: float, high: float) -> None:
    values, _ = scales.ticks(low, high)
    assert len(values) <= 1


def test_whole_ticks_stay_whole() -> None:
    assert scales.whole_ticks(1, 3)[0] == [1, 2, 3]
    assert scales.whole_ticks(1, 60)[0] == [10, 20, 30, 40, 50, 60]
    assert all(v == int(v) for v in scales.whole_ticks(1, 9)[0])


def test_frame_leaves_outliers_out() -> None:
    bulk = [float(i % 7) for i in range(50)]
    scale = scales.frame([*bulk, 1e6])
    assert scale.high < 10
    assert scales.outside(scale, [1e6, 3.0, None]) == [1e6]
    assert scales.frame([0.0, 10.0]).holds(10.0)


@pytest.mark.parametrize("values", [[], [None], [3.0], [0.0], [5.0] * 4, [1e308, -1e308]])
def test_frame_is_never_empty(values: list[float | None]) -> None:
    scale = scales.frame(values)
    assert math.isfinite(scale.low)
    assert scale.low < scale.high


def test_thinned_keeps_both_ends() -> None:
    kept = scales.thinned(10_000, 600)
    assert len(kept) == 600
    assert (kept[0], kept[-1]) == (0, 9_999)
    assert scales.thinned(3, 600) == [0, 1, 2]
    assert scales.thinned(0, 600) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (math.nan, "–"), (math.inf, "–"), ("x", "–"), (0, "0"), (-235.6123, "−235.6"),
        (1284352, "1,284,352"), (0.001, "0.001"), (1.23e-7, "1.23e−7"), (3.0, "3"), (12345.678, "12,346"),
    ],
)  # fmt: skip
def test_show(value: object, text: str) -> None:
    assert numerals.show(value) == text


def test_error_decides_the_decimals() -> None:
    assert numerals.show_with_error(-235.6149, 0.8217) == ("−235.61", "0.82")
    assert numerals.show_with_error(1234.5, 31.0) == ("1,234", "31")
    assert numerals.show_with_error(13, None) == ("13", "")
    assert numerals.show_with_error(math.nan, 1.0) == ("–", "")


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [(0.30000000000000004, 0.1, "0.3"), (2.5, 2.5, "2.5"), (-0.0, 1, "0"), (5e-4, 2.5e-4, "5e−4"), (2e7, 1e7, "2e7")],
)
def test_tick_labels(value: float, step: float, text: str) -> None:
    assert numerals.show_fixed(value, step) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.25, "0.25 s"), (9.6, "9.6 s"), (42, "42 s"), (412.3, "6 min 52 s"), (7260, "2 h 1 min"), (None, "–")],
)
def test_durations(value: float | None, text: str) -> None:
    assert numerals.show_seconds(value) == text


def test_moments() -> None:
    assert numerals.show_moment("2025-11-23T10:12:00+00:00") == "23 November 2025, 10:12 UTC"
    assert numerals.show_moment("yesterday") == "yesterday"
