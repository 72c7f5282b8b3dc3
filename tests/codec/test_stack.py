"""The stack: push and pop are inverse to each other, whatever the lanes, and what is pushed costs its information."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambent.codec.stack import WHOLE, Stack
from lambent.codec.symbols import Uniform
from lambent.errors import ArtifactError


def some(seed: int, count: int) -> tuple[Uniform, np.ndarray]:
    rng = np.random.default_rng(seed)
    low = rng.integers(-5, 5, count)
    symbols = Uniform(low, low + rng.integers(0, 1000, count))
    return symbols, rng.integers(symbols.low, symbols.high + 1)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 70), st.integers(0, 300))
def test_pop_is_the_inverse_of_push_and_push_of_pop(seed: int, lanes: int, count: int) -> None:
    symbols, values = some(seed, count)
    stack = Stack(lanes, seed)
    drawn = symbols.pop(stack)  # from below the bottom, where nothing was pushed
    symbols.push(stack, drawn)
    assert stack.is_empty
    symbols.push(stack, values)
    again = Stack.from_bytes(stack.to_bytes(), lanes, seed, stack.borrowed)
    assert (symbols.pop(again) == values).all()
    assert again.is_empty


def test_a_symbol_costs_its_information() -> None:
    symbols, values = some(3, 50_000)
    stack = Stack(16)
    before = stack.bits
    symbols.push(stack, values)
    information = -np.log2(symbols.intervals(values)[1] / WHOLE).sum()
    assert stack.bits - before == pytest.approx(information, rel=1e-3)


def test_what_is_popped_is_a_draw() -> None:
    symbols = Uniform(np.zeros(100_000, np.int64), np.full(100_000, 7))
    counts = np.bincount(symbols.pop(Stack(8, 1)))
    assert abs(counts / 100_000 - 1 / 8).max() < 0.005


@pytest.mark.parametrize("data", [b"", b"1234567", bytes(8), bytes(range(200, 210))])
def test_C15_bytes_that_are_no_stack_are_refused(data: bytes) -> None:
    """Bytes that are no stack of so many lanes, or whose heads are out of range, are refused."""
    with pytest.raises(ArtifactError, match=r"stack|lane"):
        Stack.from_bytes(data, 1, 0, 0)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(0, 6), st.integers(0, 300))
def test_widen_is_the_inverse_of_narrow_and_narrow_of_widen(seed: int, doublings: int, count: int) -> None:
    symbols, values = some(seed, count)
    stack = Stack(1, seed)
    stack.widen(1 << doublings)
    assert stack.lanes == 1 << doublings
    symbols.push(stack, values)
    stack.narrow(1)
    again = Stack.from_bytes(stack.to_bytes(), 1, seed, stack.borrowed)
    again.widen(1 << doublings)
    assert (symbols.pop(again) == values).all()
    again.narrow(1)
    assert again.is_empty


def test_many_lanes_cost_no_more_than_one_once_they_are_narrowed() -> None:
    symbols, values = some(5, 100_000)
    sizes = []
    for lanes in (1, 256):
        stack = Stack(1)
        symbols.push(stack, values)
        stack.widen(lanes)
        symbols.push(stack, values)
        stack.narrow(1)
        sizes.append(len(stack.to_bytes()))
    assert abs(sizes[1] - sizes[0]) <= 64  # of about 200,000


def test_C11_a_symbol_of_no_frequency_is_refused() -> None:
    """It would take no room at all, and could not be popped."""
    with pytest.raises(ArtifactError, match="cannot be"):
        Stack(2).push(np.array([0, 5]), np.array([1, 0]))
