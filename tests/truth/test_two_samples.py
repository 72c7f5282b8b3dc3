"""Two-sample tests: known values, uniform p-values under no change, power under one."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from lambent.errors import UsageError
from lambent.metrics.two_samples import chi_squared, energy, holm, kolmogorov_smirnov


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def test_kolmogorov_smirnov_of_few_numbers() -> None:
    found = kolmogorov_smirnov(np.array([1.0, 2.0, 3.0]), np.array([10.0, 11.0, 12.0, np.nan]))
    assert found.distance == 1.0
    assert found.p == pytest.approx(2 / 20)  # of 6 over 3 ways two are so far apart
    half = kolmogorov_smirnov(np.array([1.0, 2.0]), np.array([1.0, 9.0]))
    assert half.distance == 0.5
    assert kolmogorov_smirnov(np.array([np.nan]), np.array([1.0])).p == 1.0


def test_chi_squared_of_large_counts_is_pearsons() -> None:
    first, second = np.array([30, 20, 50]), np.array([60, 90, 50])
    found = chi_squared(first, second, generator())
    expected = stats.chi2_contingency(np.stack([first, second]), correction=False)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.distance == pytest.approx(0.25)  # of the shares .3 .2 .5 and .3 .45 .25


def test_chi_squared_of_few_counts_is_exact() -> None:
    found = chi_squared(np.array([4, 0]), np.array([0, 4]), generator())
    assert found.p == pytest.approx(2 / 70, abs=0.006)  # of 8 over 4 tables two are so extreme
    assert found.distance == 1.0
    assert chi_squared(np.array([5, 0]), np.array([9, 0]), generator()).p == 1.0
    assert chi_squared(np.array([0, 0]), np.array([3, 4]), generator()).p == 1.0


def test_energy_distance_of_two_points_and_of_one_more() -> None:
    # E‖X − Y‖ = (0 + 1)/2, the rows of each side are alike: E = 2 · ½ − 0 − ½ with y in {0, 1}
    found = energy(np.zeros((1, 1)), np.array([[0.0], [1.0]]), 99, generator())
    assert found.distance == pytest.approx((2 * 0.5 - 0.5) / (2 * 0.5))
    apart = energy(np.zeros((30, 2)), np.ones((30, 2)), 199, generator())
    assert apart.distance == pytest.approx(1.0)
    assert apart.p == pytest.approx(1 / 200)
    with pytest.raises(UsageError, match="needs rows in both"):
        energy(np.zeros((0, 2)), np.ones((3, 2)), 9, generator())


def test_holm_by_hand() -> None:
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    assert len(holm(np.array([]))) == 0


def numbers(random: np.random.Generator, shift: float) -> float:
    return kolmogorov_smirnov(random.normal(shift, 1, 60), random.normal(0, 1, 80)).p


def levels(random: np.random.Generator, shift: float) -> float:
    shares = np.array([0.6, 0.3 - 0.29 * (shift > 0), 0.1 + 0.29 * (shift > 0)])
    counts = [
        np.bincount(random.choice(3, size, p=p), minlength=3) for size, p in ((40, shares), (50, [0.6, 0.3, 0.1]))
    ]
    return chi_squared(counts[0], counts[1], random).p


def vectors(random: np.random.Generator, shift: float) -> float:
    return energy(random.normal(shift / 2, 1, (30, 3)), random.normal(0, 1, (40, 3)), 99, random).p


@pytest.mark.parametrize("test", [numbers, levels, vectors])
def test_p_values_hold_their_level_and_have_power(test: Callable[[np.random.Generator, float], float]) -> None:
    random = generator(5)
    p = np.array([test(random, 0.0) for _ in range(300)])
    for level in (0.05, 0.2, 0.5):
        share = (p <= level).mean()
        error = np.sqrt(level * (1 - level) / len(p))
        assert share <= level + 3 * error  # never too small
        assert share >= 0.6 * level - 3 * error  # nor far too large: discrete tests stay below
    assert np.mean([test(random, 1.0) <= 0.05 for _ in range(40)]) > 0.8
