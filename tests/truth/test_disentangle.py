"""Measures of disentanglement on codes made by hand: a perfect code scores 1, a rotation lowers it, noise scores nothing."""

import functools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import ortho_group

from lambent.errors import DataError, UsageError
from lambent.metrics.disentangle.dci import dci
from lambent.metrics.disentangle.factors import Factors
from lambent.metrics.disentangle.fixed import beta_vae, factor_vae
from lambent.metrics.disentangle.gaps import mig, mig_sup, robust
from lambent.metrics.disentangle.information import (
    by_bins,
    by_neighbours,
    entropies,
    mutual_information,
    shuffled_floor,
)
from lambent.metrics.disentangle.irs import irs
from lambent.metrics.disentangle.modularity import explicitness, modularity
from lambent.metrics.disentangle.readers import thirds
from lambent.metrics.disentangle.sap import sap, sap_svm
from lambent.metrics.disentangle.udr import udr
from lambent.metrics.rotation import covariance_axes, varimax

ROWS = 1200
COUNTS = (3, 5, 6)
NOISE = 0.03
Codes = NDArray[np.float64]


@pytest.fixture(scope="module")
def classes() -> NDArray[np.int64]:
    rng = np.random.default_rng(0)
    return np.stack([rng.integers(0, count, ROWS) for count in COUNTS], axis=1)


@pytest.fixture(scope="module")
def factors(classes: NDArray[np.int64]) -> Factors:
    shape = np.array(["disc", "heart", "star"])[classes[:, 0]]
    return Factors.of({"shape": shape, "x": classes[:, 1] / 4, "y": 10.0 * classes[:, 2]})


def _noise(units: int, seed: int = 1) -> Codes:
    return np.random.default_rng(seed).normal(size=(ROWS, units))


@pytest.fixture(scope="module")
def perfect(classes: NDArray[np.int64]) -> Codes:
    """A unit for each factor, in another order, with the noise of a posterior; and one of a collapsed unit."""
    plain = (classes - classes.mean(0)) / classes.std(0)
    return np.concatenate([plain[:, [2, 0, 1]], np.zeros((ROWS, 1))], axis=1) + NOISE * _noise(4)


@pytest.fixture(scope="module")
def rotated(perfect: Codes) -> Codes:
    """Turned by 45° in two planes: no unit is of one factor."""
    half = math.sqrt(0.5)
    first = np.array([[half, -half, 0], [half, half, 0], [0, 0, 1]])
    second = np.array([[1, 0, 0], [0, half, -half], [0, half, half]])
    return np.concatenate([perfect[:, :3] @ first @ second, perfect[:, 3:]], axis=1)


@pytest.fixture(scope="module")
def score(perfect: Codes, rotated: Codes, factors: Factors) -> Callable[[str, str], float]:
    """A score of one of three codes, computed once."""
    codes = {"perfect": perfect, "rotated": rotated, "noise": _noise(4, 5)}

    @functools.cache
    def scored(name: str, code: str) -> float:
        return SCORES[name](codes[code], factors)

    return scored


def _mig(codes: Codes, factors: Factors) -> float:
    return float(mig(by_neighbours(codes, factors), entropies(factors)).mean())


def _mig_of_bins(codes: Codes, factors: Factors) -> float:
    return float(mig(by_bins(codes, factors), entropies(factors)).mean())


def _mig_sup(codes: Codes, factors: Factors) -> float:
    information = by_neighbours(codes, factors)
    kept = information.max(1) > shuffled_floor(codes, factors)
    return float(np.nanmean(mig_sup(information, entropies(factors), kept))) if kept.any() else 0.0


def _modularity(codes: Codes, factors: Factors) -> float:
    of_units = modularity(by_neighbours(codes, factors), shuffled_floor(codes, factors))
    return float(np.nanmean(of_units)) if np.isfinite(of_units).any() else 0.0


def _factor_vae(codes: Codes, factors: Factors) -> float:
    found = factor_vae(codes, factors, codes.std(0) > 0.1, learned=600, held=600)
    return (found.value - found.chance) / (1 - found.chance)


def _beta_vae(codes: Codes, factors: Factors) -> float:
    found = beta_vae(codes, factors, learned=600, held=600)
    return (found.value - found.chance) / (1 - found.chance)


SCORES: dict[str, Callable[[Codes, Factors], float]] = {
    "MIG": _mig,
    "MIG of 20 bins": _mig_of_bins,
    "MIG-sup": _mig_sup,
    "RMIG": lambda codes, factors: float(robust(codes, factors).rmig.mean()),
    "D by forest": lambda codes, factors: dci(codes, factors).disentanglement,
    "C by forest": lambda codes, factors: dci(codes, factors).completeness,
    "D by lasso": lambda codes, factors: dci(codes, factors, "lasso").disentanglement,
    "C by lasso": lambda codes, factors: dci(codes, factors, "lasso").completeness,
    "SAP": lambda codes, factors: float(sap(codes, factors).mean()),
    "FactorVAE": _factor_vae,
    "beta-VAE": _beta_vae,
    "modularity": _modularity,
    "IRS": lambda codes, factors: irs(codes, factors).value,
}
# What bins and a quantile of twelve hundred rows leave.
OFF = {"MIG of 20 bins": 0.05, "RMIG": 0.05, "D by lasso": 0.06, "C by lasso": 0.06, "IRS": 0.12}
# Lines through a code of noise find something to hold on to, and forests of few rows too.
LEFT = {"D by lasso": 0.25, "C by lasso": 0.4, "FactorVAE": 0.1, "beta-VAE": 0.1, "IRS": 0.06}


@pytest.mark.parametrize("name", SCORES)
def test_a_perfect_code_scores_one(name: str, score: Callable[[str, str], float]) -> None:
    assert score(name, "perfect") == pytest.approx(1, abs=OFF.get(name, 0.03))


@pytest.mark.parametrize("name", SCORES)
def test_a_rotation_lowers_it(name: str, score: Callable[[str, str], float]) -> None:
    assert score(name, "rotated") < score(name, "perfect") - 0.15


@pytest.mark.parametrize("name", SCORES)
def test_noise_scores_nothing(name: str, score: Callable[[str, str], float]) -> None:
    assert abs(score(name, "noise")) < LEFT.get(name, 0.05)


def test_the_score_of_beta_vae_hardly_minds_an_uneven_rotation(perfect: Codes, factors: Factors) -> None:
    """A classifier of all units still knows which factor stood still: why a high one proves little."""
    turned = perfect[:, :3] @ ortho_group.rvs(3, random_state=2)
    assert _beta_vae(turned, factors) > 0.9
    assert _mig(turned, factors) < 0.4


def test_informed_readers_do_not_mind_a_rotation(perfect: Codes, rotated: Codes, factors: Factors) -> None:
    for codes in (perfect, rotated):
        assert dci(codes, factors, "lasso").informativeness > 0.9
        assert explicitness(codes, factors).min() > 0.95
    assert dci(_noise(4, 5), factors).informativeness < 0.1
    assert abs(explicitness(_noise(4, 5), factors).mean()) < 0.1


def test_a_factor_held_twice_is_not_complete(perfect: Codes, factors: Factors) -> None:
    """Two units for each factor: MIG, SAP and C fall, D and modularity and MIG-sup do not."""
    twice = np.concatenate([perfect[:, :3], perfect[:, :3] + 0.02 * _noise(3, 7)], axis=1)
    assert max(_mig(twice, factors), SCORES["SAP"](twice, factors)) < 0.05
    found = dci(twice, factors)
    assert found.disentanglement > 0.97
    assert found.completeness < 0.75  # 1 − log 2 / log 6 = 0.61 where both are looked at alike
    assert _modularity(twice, factors) > 0.97
    assert _mig_sup(twice, factors) > 0.97


def test_two_factors_in_one_unit_are_not_kept_apart(
    perfect: Codes, classes: NDArray[np.int64], factors: Factors
) -> None:
    """x and y are both read off one unit, y as its coarse place and x as its fine one: MIG sees no fault, MIG-sup and D do."""
    both = (classes[:, 1] + 10.0 * classes[:, 2])[:, None] / 60 + 0.0003 * _noise(1, 8)
    codes = np.concatenate([perfect[:, [1]], both], axis=1)
    assert _mig(codes, factors) > 0.95
    assert _mig_sup(codes, factors) < 0.6
    assert dci(codes, factors).disentanglement < 0.75
    assert _modularity(codes, factors) < 0.85
    # A bin of twenty holds three values of x or less: what is told within one is lost.
    assert _mig_of_bins(codes, factors) < 0.9


def test_the_estimate_of_information_has_the_value_of_a_gaussian() -> None:
    rng = np.random.default_rng(3)
    x, e = rng.normal(size=(2, 4000))
    for rho in (0.0, 0.5, 0.9, 0.99):
        y = rho * x + math.sqrt(1 - rho**2) * e
        assert mutual_information(x, y) == pytest.approx(-0.5 * math.log(1 - rho**2), abs=0.04)
    # No monotone map of either changes it.
    y = 0.8 * x + 0.6 * e
    assert mutual_information(np.exp(x), y**3) == pytest.approx(-math.log(0.6), abs=0.06)


def test_the_estimate_is_consistent_where_bins_are_not() -> None:
    """I(v; z) of two classes and z = ±1 + N(0, s²), by quadrature; and of parity, which no bin of width above 1 sees."""
    rng = np.random.default_rng(4)
    v = rng.integers(0, 2, 4000)
    scale = 0.8
    z = (2.0 * v - 1 + scale * rng.normal(size=4000))[:, None]
    grid = np.linspace(-8, 8, 20001)
    each = [np.exp(-0.5 * ((grid - m) / scale) ** 2) / (scale * math.sqrt(2 * math.pi)) for m in (-1, 1)]
    mixed = np.maximum(0.5 * (each[0] + each[1]), 1e-300)
    truth = sum(0.5 * np.trapezoid(d * np.log(np.maximum(d, 1e-300) / mixed), grid) for d in each)
    two = Factors.of({"v": v})
    assert by_neighbours(z, two)[0, 0] == pytest.approx(truth, abs=0.02)
    assert by_bins(z, two)[0, 0] == pytest.approx(truth, abs=0.02)
    place = rng.integers(0, 100, 4000)
    odd = Factors.of({"odd": place % 2})
    fine = place[:, None] + 0.1 * rng.normal(size=(4000, 1))
    assert by_neighbours(fine, odd)[0, 0] == pytest.approx(math.log(2), abs=0.03)
    assert by_bins(fine, odd)[0, 0] < 0.1


def test_bins_find_information_in_noise() -> None:
    """(bins − 1)(classes − 1) / 2n nats, by the χ² law; nearest neighbours find none."""
    rng = np.random.default_rng(5)
    many = Factors.of({"v": rng.integers(0, 10, 2000)})
    z = rng.uniform(size=(2000, 8))
    assert by_bins(z, many).mean() == pytest.approx(19 * 9 / 4000, rel=0.15)
    assert by_neighbours(z, many).mean() < 0.02


def test_noise_of_the_posterior_lowers_the_robust_gap_alone(perfect: Codes, factors: Factors) -> None:
    wide = np.full(perfect.shape, 0.5)
    assert robust(perfect, factors, wide).rmig.mean() < robust(perfect, factors).rmig.mean() - 0.3
    assert robust(perfect, factors, wide).jemmig.mean() < robust(perfect, factors).jemmig.mean() - 0.3


def test_jemmig_is_one_for_a_unit_that_says_nothing_but_its_factor(
    classes: NDArray[np.int64], factors: Factors
) -> None:
    exact = robust(classes.astype(float), factors)
    assert exact.jemmig == pytest.approx(np.ones(3), abs=0.02)
    # A unit that also moves within a class says more than its factor: RMIG keeps, JEMMIG falls.
    spread = classes + 0.9 * np.random.default_rng(6).uniform(-0.5, 0.5, classes.shape)
    more = robust(spread, factors)
    assert more.jemmig.max() < 0.8
    assert more.rmig.min() > 0.6


def test_svm_scores_of_many_values_are_low_even_where_the_code_is_perfect(perfect: Codes, factors: Factors) -> None:
    """Why SAP here is R² of ordered factors: a line through one unit does not tell the middle of five values."""
    assert 0.1 < sap_svm(perfect, factors).mean() < 0.6
    assert abs(sap_svm(_noise(4, 5), factors).mean()) < 0.08


def test_udr_is_one_for_the_same_units_in_any_order_and_sign(perfect: Codes, rotated: Codes) -> None:
    kept = perfect.std(0) > 0.1
    other = -(perfect[:, [2, 0, 1, 3]] ** 3)
    same = udr([perfect, other], [kept, kept])
    assert same == pytest.approx([1, 1], abs=0.02)
    assert udr([perfect, rotated], [kept, kept]).max() < 0.7
    assert udr([perfect, _noise(4, 9)], [kept, kept]).max() < 0.05
    # The penalty takes a tenth of each coefficient, as in disentanglement_lib.
    assert udr([perfect, perfect], [kept, kept], "lasso") == pytest.approx([0.9, 0.9], abs=0.01)


def test_irs_names_the_parent_of_each_unit(perfect: Codes, factors: Factors) -> None:
    assert irs(perfect, factors).parents[:3] == (2, 0, 1)


def test_factors_are_classed_by_what_they_are() -> None:
    found = Factors.of(
        {"name": np.array(["b", "a"] * 50), "still": np.ones(100), "angle": np.linspace(0, 1, 100).repeat(1) ** 2}
    )
    assert found.names == ("name", "angle")
    assert found.ordered == (False, True)
    assert found.left_out == ("still",)
    assert found.classes[:2, 0].tolist() == [1, 0]
    many = Factors.of({"angle": np.linspace(0, 1, 400) ** 2})
    assert many.banded == ("angle",)
    assert np.bincount(many.classes[:, 0]).tolist() == [20] * 20


def test_a_factor_of_one_value_among_the_rows_learned_from_is_not_told() -> None:
    rare = np.zeros(60, int)
    rare[thirds(60, 0)[1][0]] = 1
    codes, factors = np.random.default_rng(0).normal(size=(60, 2)), Factors.of({"rare": rare})
    for regressor in ("forest", "boosting", "lasso"):
        assert dci(codes, factors, regressor)[:3] == (0, 0, 0)
    assert sap_svm(codes, factors).tolist() == [0]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_factor_that_is_nearly_always_nought_keeps_two_bands(sign: int) -> None:
    """3,880 noughts and 120 values above, or below, all of which are in the outermost band."""
    values = sign * np.concatenate([np.zeros(3880), np.arange(1, 121)])
    found = Factors.of({"gain": values})
    assert found.banded == ("gain",)
    assert np.bincount(found.classes[:, 0]).tolist() == [3880, 120][::sign]
    assert entropies(found)[0] == pytest.approx(-0.97 * np.log(0.97) - 0.03 * np.log(0.03))


@pytest.mark.parametrize(
    ("made", "error", "words"),
    [
        (lambda: Factors.of({"a": np.ones(60)}), UsageError, "two values"),
        (lambda: Factors.of({"a": np.array([1.0, np.nan] * 30)}), DataError, "row 1 has no value"),
        (lambda: Factors.of({"a": np.arange(60), "b": np.arange(61)}), DataError, "one length"),
        (lambda: by_bins(np.zeros((20, 2)), Factors.of({"a": np.arange(20)})), UsageError, "50 rows"),
        (lambda: by_bins(np.zeros((61, 2)), Factors.of({"a": np.arange(60)})), UsageError, "60 rows as the factors"),
        (
            lambda: dci(np.zeros((60, 2)), Factors.of({"a": np.arange(60)}), "forrest"),
            UsageError,
            "did you mean 'forest'",
        ),
        (lambda: modularity(np.ones((3, 1))), UsageError, "two factors"),
        (lambda: udr([np.zeros((60, 2))]), UsageError, "two or more"),
    ],
)
def test_what_cannot_be_measured_is_refused(made: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        made()


def test_varimax_finds_loadings_that_are_simple() -> None:
    """Twelve columns, each of one unit; turned, and found again up to order and sign."""
    generator = torch.Generator().manual_seed(0)
    simple = torch.zeros(12, 3, dtype=torch.float64)
    simple[torch.arange(12), torch.arange(12) // 4] = torch.rand(12, generator=generator).double() + 0.5
    turn = torch.from_numpy(ortho_group.rvs(3, random_state=1))
    found = simple @ turn @ varimax(simple @ turn)
    assert torch.allclose((found.abs() > 1e-4).sum(1), torch.ones(12, dtype=torch.long))


def test_varimax_leaves_the_saddle_of_two_columns_at_45_degrees() -> None:
    half = math.sqrt(0.5)
    turned = torch.tensor([[half, -half], [half, half]], dtype=torch.float64)
    assert torch.allclose(
        (turned @ varimax(turned)).abs().sort(1).values, torch.tensor([[0.0, 1.0]]).double(), atol=1e-4
    )


def test_axes_of_a_covariance_are_its_own() -> None:
    turn = torch.from_numpy(ortho_group.rvs(4, random_state=3))
    covariance = turn @ torch.diag(torch.tensor([1.0, 5.0, 2.0, 9.0], dtype=torch.float64)) @ turn.T
    axes = covariance_axes(covariance)
    assert torch.allclose(axes.T @ covariance @ axes, torch.diag(torch.tensor([9.0, 5.0, 2.0, 1.0]).double()))
