"""Clusters beside labels, and numbers with their intervals: cases whose answer is known."""

import numpy as np
import pytest

from lambent import UsageError
from lambent.metrics.clusters import agreement
from lambent.metrics.intervals import difference, explained, of_draws, share


def test_the_same_partition_under_other_numbers_agrees_wholly() -> None:
    labels = np.repeat([0, 1, 2], 50)
    found = agreement(labels, np.array([2, 0, 1])[labels])
    assert (found.accuracy, found.information, found.rand) == pytest.approx((1, 1, 1))
    assert found.names == (1, 2, 0)


def test_clusters_by_chance_agree_by_chance() -> None:
    random = np.random.default_rng(0)
    found = agreement(random.integers(0, 10, 20_000), random.integers(0, 10, 20_000))
    assert found.accuracy == pytest.approx(0.1, abs=0.02)
    assert found.rand == pytest.approx(0, abs=0.002)
    assert found.information < 0.01


def test_a_label_is_given_one_cluster_at_most() -> None:
    labels, clusters = np.array([0] * 60 + [1] * 40), np.array([0] * 30 + [1] * 30 + [2] * 40)
    found = agreement(labels, clusters)
    assert found.accuracy == pytest.approx(0.7)  # half of the first label stands for none
    assert sorted(found.names) == [-1, 0, 1]
    half = agreement(np.array([0, 0, 1, 1]), np.zeros(4, int))
    assert (half.accuracy, half.information, half.rand) == pytest.approx((0.5, 0, 0))


def test_clusters_and_labels_are_of_the_same_rows() -> None:
    with pytest.raises(UsageError, match="row by row"):
        agreement(np.zeros(3, int), np.zeros(4, int))


def test_intervals_of_shares_cover_what_they_should() -> None:
    random, covered = np.random.default_rng(0), 0
    for _ in range(400):
        found = share(random.random(200) < 0.9)
        covered += found.low <= 0.9 <= found.high
    assert covered / 400 == pytest.approx(0.95, abs=0.03)
    sure = share(np.ones(100, bool))
    assert sure.value == 1
    assert 0.95 < sure.low < 1  # a hundred rows do not show that none is ever wrong


def test_r_squared_is_one_for_the_truth_and_nought_for_the_mean() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=2000)
    assert explained(truth, truth) == (1, 1, 1)
    assert explained(truth, np.full(2000, truth.mean())).value == pytest.approx(0)
    noisy = explained(truth + random.normal(size=2000), truth)
    assert noisy.low < 0.5 < noisy.high
    assert noisy.high - noisy.low < 0.12
    with pytest.raises(UsageError, match="all alike"):
        explained(np.ones(5), truth[:5])


def test_differences_are_of_the_same_rows() -> None:
    random = np.random.default_rng(0)
    first = random.random(1000) < 0.6
    assert difference(first, first) == (0, 0, 0)
    found = difference(np.ones(1000), random.random(1000) < 0.9)
    assert found.low < 0.1 < found.high


def test_draws_and_rows_both_make_a_share_uncertain() -> None:
    assert of_draws(np.array([0.5, 0.5]), 100).high == pytest.approx(0.5 + 1.96 * 0.05, abs=1e-3)
    assert of_draws(np.array([0.4, 0.6]), 10**9).high == pytest.approx(0.5 + 1.96 * 0.1, abs=1e-3)
