"""Tails of known distributions, extrapolated beyond what the rows at hand show."""

import math

import numpy as np
import pytest
from scipy.stats import genpareto

from lambent import DataError
from lambent.tasks.detection.tails import tail_of


@pytest.mark.slow
def test_an_exponential_tail_is_extrapolated() -> None:
    """P(score > t) = e^−t = 1e-4 at t = 9.21, told from 2,000 rows: within its interval in about nine of ten cases."""
    truth, covered, found = math.log(1e4), 0, []
    for seed in range(30):
        tail = tail_of(np.random.default_rng(seed).exponential(size=2000), 1e-4)
        assert tail.extrapolated
        assert tail.exceedances == 200
        covered += tail.low <= truth <= tail.high
        found.append(tail.threshold)
    assert np.median(found) == pytest.approx(truth, rel=0.1)
    assert 22 <= covered <= 30


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.4])
def test_a_pareto_tail_is_found_again(shape: float) -> None:
    scores = 5 + 2 * genpareto.rvs(shape, size=20_000, random_state=1)
    tail = tail_of(scores, 2e-4)
    assert tail.shape == pytest.approx(shape, abs=0.1)
    assert tail.threshold == pytest.approx(5 + 2 * genpareto.isf(2e-4, shape), rel=0.15)
    assert tail_of(10 * scores + 3, 2e-4).threshold == pytest.approx(10 * tail.threshold + 3, rel=1e-3)


def test_what_rows_can_show_is_their_own_quantile() -> None:
    tail = tail_of(np.arange(1000.0), 0.02)
    assert not tail.extrapolated
    assert (np.arange(1000) > tail.threshold).sum() == 20
    assert tail.low < tail.threshold < tail.high


def test_too_few_rows_and_equal_ones_are_refused() -> None:
    with pytest.raises(DataError, match="40 held-out rows at least, and there are 39"):
        tail_of(np.arange(39.0), 1e-3)
    with pytest.raises(DataError, match="are equal"):
        tail_of(np.r_[np.arange(50.0), np.full(50, 99.0)], 1e-3)
