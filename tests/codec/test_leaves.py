"""The leaves of the codec: each an exact share of 2^24 quanta for every value, and a cost that is the float distribution's."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_expit, log_softmax
from scipy.stats import norm

from lambent.codec.leaves import STEP, Codes, coder
from lambent.codec.leaves.families import LOGISTIC, NORMAL, inverse
from lambent.codec.leaves.finite import finite, ordered, shares, two
from lambent.codec.leaves.located import Located
from lambent.codec.stack import WHOLE, Numbers, Stack
from lambent.codec.symbols import Symbols, Variables
from lambent.distributions import DiagonalNormal, FullNormal, shaped
from lambent.errors import UsageError

UNIT = 1 << 12
EDGE = 64 << STEP


def whole(x: np.ndarray) -> Numbers:
    return np.floor(x * UNIT + 0.5).astype(np.int64)


def located(rng: np.random.Generator, count: int, wild: float = 1.0) -> Located:
    location, log_scale = whole(rng.normal(0, wild, count)), whole(rng.normal(-3, 2 * wild, count))
    high = int(rng.choice([1, 255, 4095, 65535]))
    family = LOGISTIC if rng.random() < 0.5 else NORMAL
    return Located(family, (location + UNIT) * high, inverse(log_scale, 2 / high), 0, high)


def mixed(rng: np.random.Generator, count: int, wild: float = 1.0) -> Located:
    high, components = int(rng.choice([1, 255, 65535])), int(rng.integers(1, 6))
    shape = (components, count)
    location, log_scale = whole(rng.normal(0, wild, shape)), whole(rng.normal(-3, 2 * wild, shape))
    weights = shares(whole(rng.normal(0, 2 * wild, shape)))
    return Located(LOGISTIC, (location + UNIT) * high, inverse(log_scale, 2 / high), 0, high, weights)


def codes(rng: np.random.Generator, count: int, wild: float = 1.0) -> Codes:
    location, log_scale = whole(rng.normal(0, wild, count)), whole(rng.normal(-1, wild, count))
    return Codes(location, log_scale, bool(rng.random() < 0.5), rng.integers(0, STEP + 1, count))


def posterior(rng: np.random.Generator, count: int, wild: float = 1.0) -> Located:
    return Codes(whole(rng.normal(0, wild, count)), whole(rng.normal(-1, wild, count)), window=True).near


def tokens(rng: np.random.Generator, count: int, wild: float = 1.0) -> Symbols:
    return finite(whole(rng.normal(0, 3 * wild, (count, int(rng.integers(1, 300))))))


def levels(rng: np.random.Generator, count: int, wild: float = 1.0) -> Symbols:
    return ordered(np.sort(whole(rng.normal(0, 3 * wild, (count, int(rng.integers(1, 30))))), 1))


def bits(rng: np.random.Generator, count: int, wild: float = 1.0) -> Symbols:
    return two(whole(rng.normal(0, 3 * wild, count)))


LEAVES: list[Callable[..., Variables]] = [located, mixed, codes, tokens, levels, bits]


@pytest.mark.parametrize("leaf", LEAVES)
@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 70), st.integers(0, 200), st.sampled_from([1.0, 1e3, 1e5]))
def test_pop_is_the_inverse_of_push_and_push_of_pop(leaf, seed: int, lanes: int, count: int, wild: float) -> None:
    symbols = leaf(np.random.default_rng(seed), count, wild)
    stack = Stack(lanes, seed)
    drawn = symbols.pop(stack)  # from below the bottom: a draw of any values
    symbols.push(stack, drawn)
    assert stack.is_empty
    symbols.push(stack, drawn)
    assert (symbols.pop(stack) == drawn).all()
    assert stack.is_empty


@pytest.mark.parametrize("wild", [1.0, 1e3, 1e5])
@pytest.mark.parametrize("leaf", [located, mixed, posterior])
@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6))
def test_every_value_has_quanta_and_all_together_have_2_to_the_24(leaf, wild: float, seed: int) -> None:
    symbols = leaf(np.random.default_rng(seed), 20, wild)
    one = slice(seed % 20, seed % 20 + 1)
    low, high = int(symbols.low[one][0]), int(symbols.high[one][0])
    rows = np.full(high - low + 2, one.start)
    below = symbols.below(np.arange(low, high + 2), rows)
    assert below[0] == 0
    assert below[-1] == WHOLE
    assert (np.diff(below) >= 1).all()


@pytest.mark.parametrize("leaf", [located, mixed, posterior])
def test_the_edges_of_every_interval_are_found(leaf) -> None:
    symbols = leaf(np.random.default_rng(4), 500)
    values = np.random.default_rng(5).integers(symbols.low, symbols.high + 1)
    start, frequency = symbols.intervals(values)
    for slots in (start, start + frequency - 1):
        assert (symbols.find(slots, slice(0, 500))[0] == values).all()


def test_locations_and_scales_beyond_all_bounds_are_valid() -> None:
    extremes = np.array([-(2**42), -(2**30), -1, 0, 1, 2**30, 2**42])
    location, log_scale = (grid.reshape(-1) for grid in np.meshgrid(extremes, extremes))
    every = slice(0, len(location))
    leaves = [Codes(location, log_scale, window).near for window in (False, True)]
    leaves += [Located(LOGISTIC, location, inverse(log_scale, 2 / high), 0, high) for high in (1, 255, 65535)]
    for symbols in leaves:
        for ends in (symbols.low, symbols.high):
            start, frequency = symbols.intervals(ends)
            assert (frequency >= 1).all()
            assert (start + frequency <= WHOLE).all()
        assert (symbols.below(symbols.low, every) == 0).all()
        for share in (1, 7, 13, 20):  # no product has passed what 64 bits hold
            between = symbols.low + (symbols.high - symbols.low) * share // 21
            assert (symbols.intervals(between)[1] >= 1).all()
            left = symbols.location[0] >> 13 < between - 100
            steep = symbols.inverse[0] == 1 << 32
            assert (symbols.below(between, every)[left & steep & (between > symbols.low)] > WHOLE - (1 << 16) - 1).all()
        assert (symbols.below(symbols.high + 1, every) == WHOLE).all()
        drawn = symbols.pop(stack := Stack(5))
        symbols.push(stack, drawn)
        assert stack.is_empty


# ---- what they cost, beside the float distributions --------------------------------------------------------------


def cost(symbols: Variables, values: Numbers) -> float:
    """Bits of a value on the stack, on average."""
    stack = Stack(64)
    before = stack.bits
    symbols.push(stack, values)
    return (stack.bits - before) / len(values)


def logistic_nats(x: np.ndarray, location: np.ndarray, scale: np.ndarray, white: int) -> np.ndarray:
    upper, lower = (x + 0.5 - location) / scale, (x - 0.5 - location) / scale
    step = np.log(-np.expm1(-1 / scale))
    inside = np.where((x > 0) & (x < white), step, 0.0)
    return np.where(x == white, 0.0, log_expit(upper)) + np.where(x == 0, 0.0, log_expit(-lower)) + inside


@pytest.mark.parametrize("white", [1, 15, 255, 4095, 65535])
def test_a_level_costs_what_the_logistic_says(white: int) -> None:
    rng = np.random.default_rng(0)
    least = max(-4.5, -7 - math.log(white / 255))  # the likelihood goes no further
    location, log_scale = rng.uniform(-1.1, 1.1, 100_000), rng.uniform(least, 0, 100_000)
    location, log_scale = whole(location) / UNIT, whole(log_scale) / UNIT
    middle, scale = (location + 1) * white / 2, np.exp(log_scale) * white / 2
    x = np.clip(np.rint(middle + scale * rng.logistic(size=len(scale))), 0, white).astype(np.int64)
    symbols = Located(LOGISTIC, (whole(location) + UNIT) * white, inverse(whole(log_scale), 2 / white), 0, white)
    expected = -logistic_nats(x, middle, scale, white).mean() / math.log(2)
    assert cost(symbols, x) == pytest.approx(expected, rel=5e-4)


@pytest.mark.parametrize("components", [2, 5])
def test_a_level_costs_what_the_mixture_says(components: int) -> None:
    rng = np.random.default_rng(0)
    shape = (components, 50_000)
    location, log_scale = whole(rng.uniform(-1.1, 1.1, shape)), whole(rng.uniform(-4.5, 0, shape))
    logits = whole(rng.normal(0, 1.5, shape))
    weights = shares(logits)
    symbols = Located(LOGISTIC, (location + UNIT) * 255, inverse(log_scale, 2 / 255), 0, 255, weights)
    x = symbols.pop(Stack(64, 1))
    each = logistic_nats(x, (location / UNIT + 1) * 127.5, np.exp(log_scale / UNIT) * 127.5, 255)
    expected = -np.logaddexp.reduce(log_softmax(logits / UNIT, 0) + each).mean() / math.log(2)
    assert cost(symbols, x) == pytest.approx(expected, rel=5e-4)


@pytest.mark.parametrize("window", [False, True])
def test_a_code_costs_what_the_normal_says(window: bool) -> None:
    rng = np.random.default_rng(0)
    location, log_scale = whole(rng.normal(0, 1, 100_000)), whole(rng.uniform(-4, 0.5, 100_000))
    z = location / UNIT + np.exp(log_scale / UNIT) * rng.normal(size=len(location))
    k = np.rint(z * 2**STEP).astype(np.int64)
    edges = (np.stack((k - 0.5, k + 0.5)) / 2**STEP - location / UNIT) / np.exp(log_scale / UNIT)
    expected = -np.log2(norm.cdf(edges[1]) - norm.cdf(edges[0])).mean()
    assert cost(Codes(location, log_scale, window), k) == pytest.approx(expected, rel=5e-4)


def test_a_token_costs_what_the_softmax_says() -> None:
    rng = np.random.default_rng(0)
    logits = whole(rng.normal(0, 2, (50_000, 40)))
    symbols = finite(logits)
    values = symbols.pop(Stack(64, 1))
    expected = -np.take_along_axis(log_softmax(logits / UNIT, 1), values[:, None], 1).mean() / math.log(2)
    assert cost(symbols, values) == pytest.approx(expected, rel=5e-4)


def test_a_bit_costs_what_the_logit_says() -> None:
    logits = whole(np.random.default_rng(0).normal(0, 3, 200_000))
    symbols = two(logits)
    values = symbols.pop(Stack(64, 1))
    expected = -log_expit(np.where(values > 0, logits, -logits) / UNIT).mean() / math.log(2)
    assert cost(symbols, values) == pytest.approx(expected, rel=5e-4)


def test_C10_a_posterior_reaches_six_deviations_and_a_prior_all_codes() -> None:
    """A prior of any location and scale codes every code there is, however far off; a posterior draws none so far off."""
    posterior = Codes(np.array([UNIT]), np.array([0]), window=True)
    assert (int(posterior.near.low[0]), int(posterior.near.high[0])) == (-5 * 256 - 1, 7 * 256 + 2)
    everywhere = np.arange(-EDGE, EDGE)
    zeros = np.zeros(len(everywhere), np.int64)
    for location, log_scale in ((0, 0), (5 * UNIT, 0), (-63 * UNIT, UNIT), (0, 7 * UNIT), (10**9, -9 * UNIT)):
        prior = Codes(zeros + location, zeros + log_scale, window=False)
        prior.push(stack := Stack(16), everywhere)
        assert (prior.pop(stack) == everywhere).all()
        assert stack.is_empty
        drawn = prior.pop(stack)
        prior.push(stack, drawn)
        assert stack.is_empty


def test_a_unit_that_tells_nothing_costs_next_to_nothing() -> None:
    zeros = np.zeros(200_000, np.int64)
    posterior, prior = (Codes(zeros, zeros, window) for window in (True, False))
    stack = Stack(64)
    before = stack.bits
    prior.push(stack, posterior.pop(stack))
    assert abs(stack.bits - before) / len(zeros) < 2e-4


def test_a_code_in_the_tail_of_a_prior_costs_its_tail_and_its_place() -> None:
    codes = Codes(np.zeros(1000, np.int64), np.zeros(1000, np.int64), window=False)
    near = np.arange(1000) % 64 + 1000
    quanta = norm.pdf(near / 256) / 256 * WHOLE + 1
    assert cost(codes, near) == pytest.approx(24 - np.log2(quanta).mean(), rel=0.01)
    assert cost(codes, np.full(1000, 40 * 256)) == pytest.approx(24 + math.log2(EDGE - 6 * 256), abs=1.1)


# ---- of the model's own distributions ----------------------------------------------------------------------------


def test_codes_of_maps_go_row_by_row() -> None:
    location = torch.arange(24.0, dtype=torch.float64).reshape(2, 12)
    q = shaped(DiagonalNormal(location, torch.full_like(location, -6.0)), (3, 2, 2))
    values = coder(q, window=True).pop(Stack(4))
    assert (np.abs(values / 256 - np.arange(24)) < 0.05).all()


def test_what_has_no_coder_is_refused() -> None:
    with pytest.raises(UsageError, match="Diagonal or a Constant posterior"):
        coder(FullNormal(torch.zeros(3), torch.eye(3)), window=True)
