"""Histograms: exact shares of 2^24, values that come back from the stack, and a cost near the information."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambent.codec.histogram import MOST_BINS, Binned, Histogram
from lambent.codec.stack import WHOLE, Stack
from lambent.errors import ArtifactError


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 2**31), min_size=2, max_size=300).filter(any))
def test_C11_frequencies_are_whole_and_add_to_2_24(counts: list[int]) -> None:
    """Whatever the counts, each bin has at least one of 2^24 quanta and none has all; starts are their sums."""
    histogram = Histogram(np.array(counts, np.int64), 5)
    assert histogram.frequencies.min() >= 1
    assert histogram.frequencies.max() < WHOLE
    assert histogram.frequencies.sum() == WHOLE
    slots = np.array([0, WHOLE - 1, histogram.starts[-1], max(0, histogram.starts[-1] - 1), 77])
    values, start, frequency = histogram.find(slots, slice(0, 5))
    assert ((start <= slots) & (slots < start + frequency)).all()
    assert values[1] == len(counts) - 1


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(-(2**23), 2**23), min_size=1, max_size=200), st.integers(0, 3), st.integers(1, 9))
def test_values_come_back(values: list[int], narrow: int, lanes: int) -> None:
    given = np.array(values, np.int64) >> (7 * narrow)
    binned, stack = Binned.of(given), Stack(lanes)
    assert binned is not None
    binned.push(stack, given)
    again = Binned(binned.low, binned.shift, binned.counts)
    assert (again.pop(stack) == given).all()
    assert stack.is_empty


def test_equal_values_cost_nothing() -> None:
    stack = Stack(4)
    before = stack.bits
    binned = Binned.of(np.full(10_000, 77))
    assert binned is not None
    assert (binned.shift, list(binned.counts)) == (0, [10_000])
    binned.push(stack, np.full(10_000, 77))
    assert stack.bits == before


@pytest.mark.parametrize("deviation", [3.0, 500.0, 40_000.0])
def test_normal_values_cost_their_entropy(deviation: float) -> None:
    """log2(σ √(2πe)) bits a value, within 1 %, counts included: Cover & Thomas, Elements of Information Theory, theorem 8.3.1."""
    values = np.rint(np.random.default_rng(0).normal(0, deviation, 100_000)).astype(np.int64)
    binned, stack = Binned.of(values), Stack(16)
    assert binned is not None
    before = stack.bits
    binned.push(stack, values)
    entropy = np.log2(deviation * np.sqrt(2 * np.pi * np.e))
    told = (stack.bits - before + 12 * len(binned.counts)) / len(values)
    assert told == pytest.approx(entropy, rel=0.01)
    assert len(binned.counts) < 1000


def test_values_too_far_apart_have_no_histogram() -> None:
    assert Binned.of(np.array([0, 1 << 40])) is None


@pytest.mark.parametrize(("shift", "bins"), [(-1, 1), (24, 1), (0, 0), (0, MOST_BINS + 1)])
def test_C11_a_histogram_beyond_its_limits_is_refused(shift: int, bins: int) -> None:
    """A histogram without bins, with more than 2^16, or with bins wider than 2^23 is refused."""
    with pytest.raises(ArtifactError, match="beyond its limits"):
        Binned(0, shift, np.ones(bins, np.int64))
