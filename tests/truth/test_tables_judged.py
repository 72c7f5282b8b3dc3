"""Measures of synthetic tables on cases whose values are known, and beside sdmetrics where it is installed."""

import math
from typing import Any

import numpy as np
import pytest

from lambent.data import Table
from lambent.errors import DataError
from lambent.metrics.tables import baselines, detection, fidelity, privacy
from lambent.metrics.tables.coded import coded
from lambent.metrics.tables.privacy import Ruler

NUMBERS = np.array([False, False])
CATEGORIES = np.array([True, True])


def opened(**columns: Any) -> Any:
    import pandas as pd

    return Table().open(pd.DataFrame(columns))


def column(*values: float) -> np.ndarray:
    return np.array(values, float)[:, None]


# ---- coding ----------------------------------------------------------------------------------------------------------


def test_one_coding_for_all_tables() -> None:
    first = opened(n=[1, 2, 3, 4], c=["b", "b", "a", None], flag=[True, False, True, True])
    second = opened(c=["a", "z", "b", "b"], n=[9.5, np.nan, 1, 2], flag=[False, False, False, True])
    found = coded([first, second])
    assert [one.name for one in found.columns] == ["n", "c", "flag"]
    assert [one.kind for one in found.columns] == ["number", "category", "category"]
    assert found.columns[1].levels == ("b", "a", "z")
    np.testing.assert_array_equal(found.tables[0][:, 1], [0, 0, 1, np.nan])
    np.testing.assert_array_equal(found.tables[1][:, 1], [1, 2, 0, 0])
    np.testing.assert_array_equal(found.tables[1][:, 0], [9.5, np.nan, 1, 2])


def test_dates_are_seconds_and_names_are_left_out() -> None:
    import pandas as pd

    days = [f"2026-01-{1 + i % 28:02d}" for i in range(60)]
    names = [f"person {i}" for i in range(60)]
    found = coded([opened(day=days, name=names), opened(day=pd.to_datetime(days), name=names)])
    assert [one.kind for one in found.columns] == ["time"]
    assert found.left_out == ("name",)
    np.testing.assert_array_equal(found.tables[0], found.tables[1])
    assert found.tables[0][1, 0] - found.tables[0][0, 0] == 86_400


def test_a_cell_of_another_kind_is_refused() -> None:
    with pytest.raises(DataError, match="column 'n' holds what is no number"):
        coded([opened(n=[1.5, 2, 3]), opened(n=["1", "two", "3"])])
    with pytest.raises(DataError, match="share no column"):
        coded([opened(n=[1.5, 2, 3]), opened(m=[1.5, 2, 3])])


# ---- fidelity --------------------------------------------------------------------------------------------------------


def test_shape_of_numbers_is_one_less_the_largest_gap_of_the_distributions() -> None:
    real, other = column(1, 2, 3, 4), column(3, 4, 5, np.nan)
    # At 2 the first has one half below it and the second nothing: the gap is 1/2; of 4 values {1, 2, 3, 4} and 3 {3, 4, 5}.
    assert fidelity.shape(real, other, np.array([False]))[0] == pytest.approx(0.5)


def test_shape_of_categories_is_one_less_the_total_variation() -> None:
    real, other = column(0, 0, 0, 1), column(0, 1, 2, 2)
    assert fidelity.shape(real, other, np.array([True]))[0] == pytest.approx(1 - 0.5 * (0.5 + 0 + 0.5))


def test_trend_of_numbers_is_one_less_half_the_difference_of_correlations() -> None:
    real = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
    other = np.array([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]])
    assert fidelity.trend(real, other, NUMBERS)[0, 1] == pytest.approx(0.0)
    assert fidelity.mean_of_pairs(fidelity.trend(real, real, NUMBERS)) == pytest.approx(1.0)
    assert math.isnan(fidelity.trend(real, np.ones((3, 2)), NUMBERS)[0, 1])


def test_trend_of_categories_is_one_less_the_total_variation_of_pairs() -> None:
    real = np.array([[0.0, 0.0], [1.0, 1.0]])
    other = np.array([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    assert fidelity.trend(real, other, CATEGORIES)[0, 1] == pytest.approx(0.5)


def test_association_of_a_gaussian_pair_is_its_correlation() -> None:
    random = np.random.default_rng(0)
    a = random.normal(size=200_000)
    b = 0.6 * a + 0.8 * random.normal(size=len(a))
    found = fidelity.association(np.stack([a, b, random.permutation(a)], 1), np.zeros(3, bool))
    assert found[0, 1] == pytest.approx(0.6, abs=0.02)
    assert found[0, 2] < 0.02


def test_association_knows_a_spike() -> None:
    random = np.random.default_rng(0)
    spiked = np.where(random.random(20_000) < 0.97, 0.0, random.exponential(size=20_000))
    found = fidelity.association(np.stack([spiked, (spiked > 0).astype(float)], 1), np.array([False, True]))
    entropy = -(0.97 * math.log(0.97) + 0.03 * math.log(0.03))
    assert found[0, 1] == pytest.approx(math.sqrt(1 - math.exp(-2 * entropy)), abs=0.02)


def test_as_sdmetrics_has_them() -> None:
    pytest.importorskip("sdmetrics", reason="only where rivals are installed")
    import pandas as pd
    from sdmetrics.reports.single_table import QualityReport

    random = np.random.default_rng(0)

    def made(rows: int, turn: float) -> Any:
        a = random.normal(size=rows)
        b = turn * a + random.normal(size=rows)
        c = np.where(a + random.normal(size=rows) > 0, "x", np.where(random.random(rows) < 0.3, "y", "z"))
        d = random.choice(["p", "q"], rows)
        return pd.DataFrame({"a": a, "b": np.where(random.random(rows) < 0.1, np.nan, b), "c": c, "d": d})

    real, other = made(500, 1.0), made(400, -0.5)
    kinds = {"a": "numerical", "b": "numerical", "c": "categorical", "d": "categorical"}
    report = QualityReport()
    report.real_correlation_threshold = report.real_association_threshold = (
        0  # every pair counts, as in published figures
    )
    report.generate(real, other, {"columns": {n: {"sdtype": k} for n, k in kinds.items()}}, verbose=False)
    shapes = report.get_details("Column Shapes").set_index("Column")["Score"]
    pairs = report.get_details("Column Pair Trends")
    found = coded([Table().open(real), Table().open(other)])
    ours = fidelity.shape(*found.tables, found.categories)
    trends = fidelity.trend(*found.tables, found.categories)
    for place, one in enumerate(found.columns):
        assert ours[place] == pytest.approx(shapes[one.name], abs=1e-6)
    for _, pair in pairs.iterrows():
        place = found.index(pair["Column 1"]), found.index(pair["Column 2"])
        assert trends[place] == pytest.approx(pair["Score"], abs=1e-9), tuple(pair)


# ---- detection and use -----------------------------------------------------------------------------------------------


def test_the_same_distribution_cannot_be_told_apart_and_another_is() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 600, 3))
    b[:, 2], a[:, 2] = np.abs(random.integers(0, 5, (2, 600)))
    categories = np.array([False, False, True])
    alike = detection.told_apart(a, b, categories)
    assert abs(alike.auc - 0.5) < 4 * alike.error
    other = b.copy()
    other[:, 1] = 0.99 * other[:, 0]  # each column by itself is as before
    told = detection.told_apart(a, other, categories)
    assert told.auc > 0.95
    assert told.c2st == pytest.approx(2 - 2 * told.auc)
    assert told.drops.argmax() in (0, 1)
    assert told.drops[2] < 0.02


def test_use_is_one_for_what_can_be_known_and_a_half_for_what_cannot() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(800, 2))
    known = np.c_[x, x[:, 0] > 0]
    categories = np.array([False, False, True])
    assert detection.predicted(known[:400], known[400:], 2, categories) > 0.99
    by_chance = np.c_[x, random.integers(0, 2, 800)]
    assert abs(detection.predicted(by_chance[:400], by_chance[400:], 2, categories) - 0.5) < 0.12
    numbers = np.c_[x, 3 * x[:, 0]]
    assert detection.predicted(numbers[:400], numbers[400:], 2, np.zeros(3, bool)) > 0.98
    assert math.isnan(detection.predicted(np.c_[x, np.ones(800)], known, 2, categories))


def test_use_of_several_classes_counts_each_against_the_rest() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(900, 1))
    target = np.digitize(x[:, 0], [-0.5, 0.5]).astype(float)
    rows = np.c_[x, target]
    categories = np.array([False, True])
    assert detection.predicted(rows[:500], rows[500:], 1, categories) > 0.99
    learned = rows[:500][rows[:500, 1] != 1]  # the middle class is never seen: it counts as a half
    assert detection.predicted(learned, rows[500:], 1, categories) < 0.9


# ---- privacy ---------------------------------------------------------------------------------------------------------


def test_copies_are_counted_cell_for_cell() -> None:
    real = np.array([[1.0, np.nan], [2.0, 0.0], [3.0, 1.0]])
    rows = np.array([[1.0, np.nan], [2.0, -0.0], [3.0, 2.0], [np.nan, 1.0]])
    assert privacy.copies(rows, real) == 0.5


def test_distances_are_mean_ranks_and_mismatches() -> None:
    real = np.array([[0.0, 0.0], [10.0, 0.0], [20.0, 1.0], [1000.0, 1.0]])
    ruler = Ruler.of(real, np.array([False, True]))
    rows = np.array([[0.0, 1.0], [1000.0, 1.0], [np.nan, 0.0]])
    # Mid-ranks of the numbers: 1/8, 3/8, 5/8, 7/8. Row 0: from (20, 1) a half in the first column and nothing in the second.
    found = ruler.nearest(rows, real, 2)
    np.testing.assert_allclose(found[0], [0.25, 0.375], rtol=1e-6)  # from (20, 1) and from (1000, 1)
    np.testing.assert_allclose(found[1], [0.0, 0.125], rtol=1e-6)
    np.testing.assert_allclose(found[2], [0.5, 0.5], rtol=1e-6)  # a gap is 1 from any number


def test_distances_do_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    real, rows = random.normal(size=(50, 3)), random.normal(size=(23, 3))
    real[::7, 1] = np.nan
    ruler = Ruler.of(real, np.array([False, False, False]))
    whole = ruler.nearest(rows, real, 3)
    monkeypatch.setattr(privacy, "QUERIES", 5)
    monkeypatch.setattr(privacy, "REFERENCES", 7)
    np.testing.assert_array_equal(ruler.nearest(rows, real, 3), whole)


def test_copies_leak_and_fresh_rows_do_not() -> None:
    random = np.random.default_rng(0)
    training, unseen, fresh = random.normal(size=(3, 400, 3))
    ruler = Ruler.of(training, np.zeros(3, bool))
    copied = baselines.bootstrap(training, 400, random)
    assert privacy.nearer(ruler, training, training, unseen, random) == 1.0
    assert abs(privacy.nearer(ruler, fresh, training, unseen, random) - 0.5) < 0.1
    caught = privacy.attacked(ruler, training, training, unseen)
    assert caught.auc == 1.0
    assert caught.advantage == pytest.approx(1.0, abs=0.01)
    honest = privacy.attacked(ruler, fresh, training, unseen)
    assert abs(honest.auc - 0.5) < 4 * honest.error
    assert privacy.closeness(ruler, copied, training).median == 0
    assert privacy.closeness(ruler, fresh, training).median == pytest.approx(
        privacy.closeness(ruler, unseen, training).median, rel=0.2
    )


def test_coverage_of_the_same_and_of_one_mode_of_two() -> None:
    random = np.random.default_rng(0)
    real = random.normal(size=(400, 2)) + 20 * random.integers(0, 2, (400, 1))
    ruler = Ruler.of(real, np.zeros(2, bool))
    fresh = random.normal(size=(400, 2)) + 20 * random.integers(0, 2, (400, 1))
    assert privacy.coverage(ruler, real, fresh) > 0.9
    assert privacy.coverage(ruler, real, fresh[fresh[:, 0] > 10]) == pytest.approx(0.5, abs=0.1)


def test_baselines_keep_marginals_and_rows() -> None:
    random = np.random.default_rng(0)
    a = random.normal(size=5000)
    real = np.stack([a, a], 1)
    apart = baselines.independent(real, 5000, random)
    assert abs(np.corrcoef(apart.T)[0, 1]) < 0.05
    assert set(apart[:, 0]) <= set(a)
    assert privacy.copies(baselines.bootstrap(real, 100, random), real) == 1.0
