"""Conformal p-values, e-values and what is flagged by them: exact over all orders, by hand, and beside scipy."""

import itertools

import numpy as np
import pytest
from scipy.stats import false_discovery_control, kstest

from lambent import UsageError
from lambent.metrics.conformal import averaged, benjamini_hochberg, e_benjamini_hochberg, e_values, p_values


def test_p_values_count_ties_against_a_row() -> None:
    held_out = np.array([3.0, 1.0, 2.0, 2.0])
    assert p_values(held_out, np.array([0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 9.0])) == pytest.approx(
        [1, 1, 4 / 5, 4 / 5, 2 / 5, 2 / 5, 1 / 5]
    )


@pytest.mark.parametrize("scores", [(1, 2, 3, 4, 5, 6), (1, 1, 2, 2, 2, 6), (1, 1, 1, 1, 1, 1)])
def test_p_is_at_most_alpha_with_a_chance_of_at_most_alpha(scores: tuple[int, ...]) -> None:
    """Over all orders of n + 1 exchangeable scores, of which the last is the new row's; without ties as near as can be."""
    found = np.array(
        [p_values(np.array(order[:-1]), np.array(order[-1:]))[0] for order in itertools.permutations(scores)]
    )
    for alpha in np.linspace(0.01, 1, 100):
        chance = np.mean(found <= alpha + 1e-12)
        assert chance <= alpha + 1e-12
        if len(set(scores)) == len(scores):
            assert chance == pytest.approx(np.floor(6 * alpha + 1e-9) / 6)


def test_p_values_of_normal_rows_are_uniform() -> None:
    rng = np.random.default_rng(0)
    found = np.concatenate([p_values(rng.gumbel(size=199), rng.gumbel(size=1)) for _ in range(2000)])
    assert kstest(found - rng.random(2000) / 200, "uniform").pvalue > 0.01


def test_benjamini_hochberg_by_hand() -> None:
    """Thresholds of ten p-values at 0.05 are .005, .010, … .05: the fourth (.019 ≤ .020) is the last that passes."""
    p = np.array([0.205, 0.001, 0.039, 0.012, 0.9, 0.019, 0.042, 0.008, 0.06, 0.3])
    assert np.flatnonzero(benjamini_hochberg(p, 0.05)).tolist() == [1, 3, 5, 7]
    assert not benjamini_hochberg(np.array([0.2, 0.9]), 0.05).any()
    assert benjamini_hochberg(np.array([0.04, 0.05]), 0.05).all(), "the first passes because the second does"


def test_benjamini_hochberg_agrees_with_scipy() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        p = np.concatenate([rng.random(40), rng.random(20) ** 6, np.repeat(rng.random(3), 4)])
        for alpha in (0.01, 0.1, 0.3):
            assert np.array_equal(benjamini_hochberg(p, alpha), false_discovery_control(p) <= alpha)


@pytest.mark.parametrize("alpha", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("odd", [0, 1, 2])
def test_e_values_of_normal_rows_sum_to_at_most_their_number(alpha: float, odd: int) -> None:
    """Over all orders of the scores of 4 held-out and 2 normal rows, beside some that are always the oddest."""
    sums = []
    for order in itertools.permutations(range(6)):
        p = p_values(np.array(order[:4], float), np.array([*order[4:], *range(90, 90 + odd)]))
        sums.append(e_values(p, 4, alpha)[:2].sum())
    assert 0.3 < np.mean(sums) <= 2 + 1e-12


def test_of_one_split_e_values_flag_what_p_values_do() -> None:
    rng = np.random.default_rng(2)
    for shift in (0, 2, 4):
        p = p_values(rng.normal(size=300), np.r_[rng.normal(size=90), rng.normal(size=30) + shift])
        e = e_values(p, 300, 0.1)
        assert np.array_equal(e_benjamini_hochberg(e, 0.1), benjamini_hochberg(p, 0.1))
        assert len(np.unique(e)) <= 2
    assert (e > 0).sum() > 20


def test_averages_over_splits_flip_less() -> None:
    """Two analyses of the same rows, each with its own noise in the scores and its own held-out rows."""
    rng = np.random.default_rng(3)
    own = np.r_[rng.normal(size=180), rng.normal(size=20) + 3.2]

    def analysed(splits: int) -> np.ndarray:
        p = [p_values(rng.normal(size=400), own + 0.4 * rng.normal(size=200)) for _ in range(splits)]
        return e_benjamini_hochberg(averaged([e_values(one, 400, 0.1 if splits == 1 else 0.05) for one in p]), 0.1)

    def flips(splits: int) -> float:
        return float(np.mean([(analysed(splits) != analysed(splits)).sum() for _ in range(30)]))

    assert flips(20) < 0.6 * flips(1)
    assert np.mean([analysed(20)[180:].mean() for _ in range(10)]) > 0.3


@pytest.mark.parametrize("bad", [0, 1, -0.1, 2, float("nan"), True, "0.1"])
def test_rates_are_shares(bad: object) -> None:
    with pytest.raises(UsageError, match="share between 0 and 1"):
        benjamini_hochberg(np.array([0.1]), bad)  # type: ignore[arg-type]


def test_what_is_no_score_is_refused() -> None:
    with pytest.raises(UsageError, match="none of them NaN"):
        p_values(np.array([1.0, np.nan]), np.array([1.0]))
    with pytest.raises(UsageError, match="there are none"):
        p_values(np.array([]), np.array([1.0]))
