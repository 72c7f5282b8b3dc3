"""Measures of style where the answer is known: a shift of all pixels, partners in another order, Gaussians told apart."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from lambent.errors import UsageError
from lambent.metrics.probe import Probe
from lambent.metrics.style import CONES, OPPONENTS, Content, apart, colour_transfer, retrieved

Numbers = NDArray[np.float64]


def drawn(number: int, *shape: int) -> Numbers:
    return np.random.default_rng(number).normal(size=shape)


def test_distance_to_the_partner_is_that_of_a_known_shift() -> None:
    pictures = np.full((3, 4, 4, 3), 100, np.uint8)
    moved = pictures + np.array([0, 51, 102], np.uint8)[:, None, None, None]  # by 0, 1/5 and 2/5 of white
    found = apart(moved, pictures)
    assert found.value == pytest.approx(0.2)
    assert found.error == pytest.approx(0.2 / 3**0.5)  # deviation of 0, .2, .4 over √3
    features = drawn(0, 50, 8)
    assert apart(features + 3, features).value == pytest.approx(3)
    with pytest.raises(UsageError, match=r"own partner, and these are \[50, 8\] and \[49, 8\]"):
        apart(features, features[1:])


def test_partners_are_found_as_often_as_they_are_the_nearest() -> None:
    partners = 100 * drawn(1, 40, 6)
    near = partners + drawn(2, 40, 6)
    assert retrieved(near, partners).value == 1
    swapped = near.copy()
    swapped[:10] = near[:10][::-1]  # ten rows have the partner of another
    assert retrieved(swapped, partners) == (pytest.approx(0.75), pytest.approx(np.sqrt(0.75 * 0.25 / 39)))


def test_a_probe_is_right_as_often_as_two_gaussians_allow() -> None:
    shift = 1.0
    labels = np.repeat([0, 1], 4000)
    first, second = (drawn(seed, 8000, 3) + shift * labels[:, None] * [1, 0, 0] for seed in (3, 4))
    found = Probe(first, labels).right(second, labels)
    best = norm.cdf(shift / 2)  # by the plane half-way
    assert abs(found.value - best) < 3 * found.error
    none = Probe(drawn(5, 8000, 3), labels).right(drawn(6, 8000, 3), labels)
    assert abs(none.value - 0.5) < 3 * none.error


def test_chance_is_a_half_whatever_the_shares_of_the_labels() -> None:
    labels = np.repeat([0, 1], [900, 100])
    constant = Probe(drawn(7, 1000, 2), labels)  # always the commoner
    found = constant.right(drawn(8, 1000, 2), labels)
    assert found.value == pytest.approx(0.5, abs=0.03)


def test_a_hidden_layer_sees_what_a_plane_does_not() -> None:
    x = np.sign(drawn(9, 3000, 2)) + 0.1 * drawn(10, 3000, 2)
    labels = (x.prod(1) > 0).astype(int)  # exclusive or
    assert Probe(x[:2000], labels[:2000]).right(x[2000:], labels[2000:]).value < 0.6
    assert Probe(x[:2000], labels[:2000], hidden=16).right(x[2000:], labels[2000:]).value > 0.98


def test_a_probe_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="20 rows at least, of two labels"):
        Probe(drawn(0, 30, 2), np.zeros(30))


def test_content_is_found_beneath_what_the_styles_differ_by() -> None:
    content, style = drawn(11, 400, 4), 5 * drawn(12, 400, 3)
    moved = 5 * drawn(13, 400, 3) + 5  # another style of each, and a shift of all
    first = np.concatenate((content, style), 1)
    second = np.concatenate((content + 0.01 * drawn(14, 400, 4), moved), 1)
    assert retrieved(first[300:], second[300:]).value < 0.1
    seen = Content(first[:300], second[:300])
    assert retrieved(seen(first[300:]), seen(second[300:])).value > 0.95
    with pytest.raises(UsageError, match=r"not from \[400, 7\] and \[399, 7\]"):
        Content(first, second[1:])


def test_the_differences_of_partners_have_variance_one_in_every_direction() -> None:
    first, second = drawn(15, 5000, 3), drawn(16, 5000, 3) * [1, 5, 20]
    seen = Content(first, second)
    off = seen(first) - seen(second)
    assert np.allclose(off.T @ off / len(off), np.eye(3), atol=0.15)  # but for the floor under small variances


def opponent(pictures: NDArray[np.uint8]) -> Numbers:
    return np.asarray(np.log10(pictures / 255 @ CONES.T) @ OPPONENTS.T).reshape(-1, 3)


def test_colours_take_on_the_mean_and_the_deviation_of_the_other_style() -> None:
    random = np.random.default_rng(0)
    own = random.integers(90, 160, (20, 8, 8, 3), np.uint8)
    other = np.clip(own * [0.9, 1.1, 0.6] + 20, 0, 255).astype(np.uint8)
    found = opponent(colour_transfer(own, own, other))
    wanted = opponent(other)
    assert np.allclose(found.mean(0), wanted.mean(0), atol=2e-3)
    assert np.allclose(found.std(0), wanted.std(0), rtol=0.03)


def test_colours_stay_where_both_styles_have_the_same() -> None:
    own = np.random.default_rng(1).integers(1, 256, (5, 8, 8, 3), np.uint8)
    assert np.array_equal(colour_transfer(own, own, own), own)
    grey = own[..., 0]
    assert np.array_equal(colour_transfer(grey, grey, grey), grey)
    darker = colour_transfer(grey, grey, np.full_like(grey, 40))  # of one level there is no deviation
    assert np.array_equal(darker, np.full_like(grey, 40))
    with pytest.raises(UsageError, match="all grey, or all in colour"):
        colour_transfer(grey, own, own)


def test_the_opponent_axes_are_those_of_the_paper() -> None:
    grey = np.full((1, 1, 1, 3), 128, np.uint8)
    light, blue, red = opponent(grey)[0]
    # The rows of the cones' matrix sum to 1 within a fraction of a percent, so grey has hardly any colour.
    assert light == pytest.approx(3**0.5 * np.log10(128 / 255), abs=2e-3)
    assert abs(blue) < 2e-3
    assert abs(red) < 2e-3
    assert np.allclose(OPPONENTS @ OPPONENTS.T, np.eye(3))
