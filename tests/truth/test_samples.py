"""Measures of drawn pictures where the answer is known: Gaussians, copies, sinusoids, filters, one centre."""

from math import log, pi

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import sqrtm

from lambent.errors import UsageError
from lambent.metrics.samples import neighbours
from lambent.metrics.samples.distance import Distance
from lambent.metrics.samples.frechet import Moments, frechet, measured
from lambent.metrics.samples.kernel import kernel
from lambent.metrics.samples.manifold import manifold
from lambent.metrics.samples.spectrum import relative, sharpness, spectrum

Numbers = NDArray[np.float64]


def drawn(number: int, *shape: int) -> Numbers:
    return np.random.default_rng(number).normal(size=shape)


def exact(rows: Numbers, mean: Numbers, root: Numbers) -> Numbers:
    """The rows moved and turned so that their mean and covariance (over n − 1) are exactly `mean` and root rootᵀ."""
    off = rows - rows.mean(0)
    white = off @ np.linalg.inv(np.linalg.cholesky(np.cov(off.T))).T
    return np.asarray(mean + white @ root.T)


# ---- the Fréchet distance ------------------------------------------------------------------------------------------


def test_frechet_of_gaussians_with_known_moments() -> None:
    d, s, shift = 5, 1.7, np.array([1.0, -2.0, 0.0, 0.5, 0.0])
    first = exact(drawn(0, 200, d), np.zeros(d), np.eye(d))
    second = exact(drawn(1, 300, d), shift, s * np.eye(d))
    # ‖m‖² + d (s − 1)²
    assert frechet(first, second) == pytest.approx(5.25 + d * 0.7**2, rel=1e-9)
    assert frechet(second, first) == pytest.approx(5.25 + d * 0.7**2, rel=1e-9)


def test_frechet_of_covariances_that_do_not_commute() -> None:
    roots = [np.linalg.cholesky(np.eye(4) + a @ a.T) for a in (drawn(2, 4, 4), drawn(3, 4, 4))]
    first, second = (exact(drawn(i, 100, 4), np.zeros(4), root) for i, root in enumerate(roots))
    one, two = (root @ root.T for root in roots)
    wanted = np.trace(one + two - 2 * np.real(sqrtm(one @ two)))
    assert frechet(first, second) == pytest.approx(wanted, rel=1e-8)


def test_frechet_of_equal_sets_is_nought_and_rows_may_be_fewer_than_features() -> None:
    rows = drawn(0, 20, 30)
    assert frechet(rows, rows) == pytest.approx(0, abs=1e-8)
    assert frechet(rows, rows + 1) == pytest.approx(30, rel=1e-8)


def test_the_limit_of_the_frechet_distance_has_no_bias_of_few_rows() -> None:
    d, n = 16, 120
    real = Moments(np.zeros(d), np.eye(d), np.eye(d))
    found = [measured(real, drawn(i, n, d), np.random.default_rng(i)) for i in range(30)]
    plain, limits = ([getattr(one, name) for one in found] for name in ("value", "limit"))
    # d/n for the mean; for the covariance E tr(I + C − 2 C^½) = ¼ E‖C − I‖² + … = d (d + 1) / 4n
    bias = d / n + d * (d + 1) / (4 * n)
    assert np.mean(plain) == pytest.approx(bias, rel=0.1)
    assert abs(np.mean(limits)) < 0.15 * bias
    assert np.mean([one.error for one in found]) > np.std(plain)  # near nought the bootstrap errs on the safe side


def test_the_errors_of_the_frechet_distance_are_those_of_other_rows() -> None:
    real = Moments(np.zeros(8), np.eye(8), np.eye(8))
    found = [measured(real, 1 + 1.5 * drawn(i, 150, 8), np.random.default_rng(i)) for i in range(120)]
    for value, error in (("value", "error"), ("limit", "limit_error")):
        spread = np.std([getattr(one, value) for one in found])
        assert np.mean([getattr(one, error) for one in found]) == pytest.approx(spread, rel=0.2)
    assert np.mean([one.limit for one in found]) == pytest.approx(8 * (1 + 0.5**2), rel=0.02)


# ---- the kernel distance -------------------------------------------------------------------------------------------


def test_the_kernel_distance_is_unbiased() -> None:
    # In one dimension (xy + 1)³ = Σ_k C(3, k) xᵏ yᵏ: MMD² = Σ_k C(3, k) (E xᵏ − E yᵏ)², of N(0, 1) and N(1, 1)
    wanted = 3 * (0 - 1) ** 2 + 3 * (1 - 2) ** 2 + (0 - 4) ** 2
    found = [kernel(drawn(2 * i, 12, 1), 1 + drawn(2 * i + 1, 9, 1)) for i in range(4000)]
    values = np.array([one.value for one in found])
    assert values.mean() == pytest.approx(wanted, abs=4 * values.std() / np.sqrt(len(values)))
    alike = np.array([kernel(drawn(2 * i, 12, 3), drawn(2 * i + 1, 9, 3)).value for i in range(2000)])
    assert alike.mean() == pytest.approx(0, abs=4 * alike.std() / np.sqrt(len(alike)))


def test_the_kernel_distances_error_is_that_of_other_rows() -> None:
    found = [kernel(drawn(2 * i, 200, 2), 0.5 + drawn(2 * i + 1, 150, 2)) for i in range(200)]
    assert np.mean([one.error for one in found]) == pytest.approx(np.std([one.value for one in found]), rel=0.15)


# ---- precision, recall, density, coverage --------------------------------------------------------------------------


def test_two_draws_of_one_distribution_share_their_neighbourhoods() -> None:
    k, n = 5, 400
    found = [manifold(drawn(2 * i, n, 3), drawn(2 * i + 1, n, 3), k) for i in range(40)]
    means = {name: np.mean([getattr(one, name).value for one in found]) for name in found[0]._fields}
    assert means["density"] == pytest.approx(1, abs=0.03)  # Naeem et al.: its expectation, whatever the distribution
    expected = 1 - np.prod([(n - i) / (2 * n - i) for i in range(1, k + 1)])  # and of the coverage, 0.969
    assert means["coverage"] == pytest.approx(expected, abs=0.01)
    assert means["precision"] == pytest.approx(means["recall"], abs=0.03)


def test_what_is_far_away_has_nothing_in_common_and_a_copy_everything() -> None:
    rows = drawn(0, 60, 3)
    apart, same = manifold(rows, rows + 100), manifold(rows, rows)
    assert [one.value for one in apart] == [0, 0, 0, 0]
    assert (same.precision.value, same.recall.value, same.coverage.value) == (1, 1, 1)


def test_half_of_the_modes() -> None:
    real = np.concatenate([drawn(0, 100, 2), 50 + drawn(1, 100, 2)])
    found = manifold(real, drawn(2, 200, 2))
    assert found.recall.value == pytest.approx(0.5, abs=0.03)
    assert found.coverage.value == pytest.approx(0.5, abs=0.03)
    assert found.precision.value > 0.9


# ---- sharpness -----------------------------------------------------------------------------------------------------


def test_a_wave_lies_in_the_band_of_its_frequency() -> None:
    across = np.arange(32)
    wave = 0.5 + 0.3 * np.sin(2 * pi * across * 10 / 32)  # 10 of 16 cycles: 0.625 of the highest frequency
    found = spectrum(np.tile(wave, (3, 32, 1)))
    mean = found.energy.mean(0)
    assert found.frequencies[mean.argmax()] == pytest.approx(10 / 16, abs=1 / 32)
    near = np.abs(found.frequencies - 10 / 16) < 0.1
    assert mean[near].sum() > 0.99 * mean.sum()


def test_noise_has_the_same_energy_everywhere() -> None:
    noise = 0.1 * drawn(0, 400, 24, 24)
    found = spectrum(noise)
    assert found.energy.mean(0)[1:] == pytest.approx(0.01, rel=0.05)  # its variance; the first band lacks the mean


def test_a_blur_takes_what_its_filter_takes() -> None:
    noise = drawn(0, 300, 64, 64)
    blurred = (noise + np.roll(noise, 1, 2)) / 2  # |H|² = cos²(ω/2), ω the frequency across
    sharp, soft = spectrum(noise), spectrum(blurred)
    down, along = np.meshgrid(*[np.fft.fftfreq(64) * 2] * 2, indexing="ij")
    radius = np.hypot(down, along)
    wanted = [
        np.log10((np.cos(pi * along / 2) ** 2)[(radius >= f - 1 / 32) & (radius < f + 1 / 32)].mean())
        for f in sharp.frequencies
    ]
    assert relative(soft, sharp) == pytest.approx(np.array(wanted), abs=0.02)
    assert sharpness(sharp, sharp).value == 1
    half = sharpness(spectrum(noise * np.sqrt(0.5)), sharp)
    assert half.value == pytest.approx(0.5, rel=1e-9)
    assert 0 < half.error < 0.02


def test_colours_are_seen_each() -> None:
    grey = drawn(0, 20, 16, 16)
    found, coloured = spectrum(grey), spectrum(np.stack([grey, grey, grey], -1))
    assert coloured.energy == pytest.approx(found.energy)


# ---- neighbours ----------------------------------------------------------------------------------------------------


def test_a_copy_is_nearer_to_what_it_was_copied_from() -> None:
    training, unseen, generator = drawn(0, 300, 4), drawn(1, 100, 4), np.random.default_rng(0)
    new = neighbours.nearer_training(drawn(2, 500, 4), training, unseen, generator)
    assert new.value == pytest.approx(0.5, abs=3 * new.error)
    # A third of the training rows is drawn each time: copies of them are nearer by nothing at all.
    copied = neighbours.nearer_training(training[:100] + 1e-6, training[:100], unseen, generator)
    assert copied.value == 1
    index, apart = neighbours.nearest(training[[7, 3]] + 1e-3, training)
    assert index.tolist() == [7, 3]
    assert apart == pytest.approx(2e-3, rel=1e-6)  # 1e-3 √4


def test_the_likelihood_gap_around_one_centre_is_that_of_its_gaussian() -> None:
    d = 3
    centre, training, unseen = np.ones((2, d)), drawn(0, 50, d), 2 * drawn(1, 40, d)
    far = [((rows - 1) ** 2).sum(1) for rows in (training, unseen)]
    variance = far[0].mean() / d  # what makes the training rows likeliest
    wanted = [(-0.5 * (one / variance + d * log(2 * pi * variance))).mean() / d for one in far]
    found = neighbours.likelihood_gap(centre, training, unseen)
    assert found.value == pytest.approx(wanted[0] - wanted[1], rel=1e-6)


def test_a_copycat_has_a_gap_and_a_draw_of_the_truth_has_none() -> None:
    training, unseen = drawn(0, 400, 6), drawn(1, 400, 6)
    honest = neighbours.likelihood_gap(drawn(2, 400, 6), training, unseen)
    copied = neighbours.likelihood_gap(training[::2], training, unseen)
    assert abs(honest.value) < 0.15
    assert copied.value > 1
    assert copied.value > honest.value + 10 * copied.error


# ---- spaces --------------------------------------------------------------------------------------------------------


def test_numbers_of_different_spaces_are_not_compared() -> None:
    one, two = Distance(3.0, 0.3, "classes 1"), Distance(1.0, 0.4, "classes 1")
    other = Distance(2.0, None, "views 2")
    assert (one - two) == Distance(2.0, 0.5, "classes 1")
    assert one / two == 3.0
    assert two < one
    assert (one - Distance(1.0, None, "classes 1")).error is None
    for wrong in (lambda: one < other, lambda: other > one, lambda: one - other, lambda: one / other):
        with pytest.raises(UsageError, match=r"different feature spaces, .* and .*cannot be compared"):
            wrong()
    with pytest.raises(UsageError, match="not with float"):
        _ = one < 2.0  # type: ignore[operator]


def test_what_cannot_be_measured_is_refused() -> None:
    for wrong in (
        lambda: frechet(drawn(0, 5, 2), drawn(0, 5, 3)),
        lambda: frechet(drawn(0, 1, 2), drawn(0, 5, 2)),
        lambda: kernel(drawn(0, 2, 2), drawn(0, 5, 2)),
        lambda: manifold(drawn(0, 5, 2), drawn(0, 9, 2)),
        lambda: spectrum(drawn(0, 5, 3, 9)),
    ):
        with pytest.raises(UsageError):
            wrong()
