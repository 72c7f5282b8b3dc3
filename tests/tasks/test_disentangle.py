"""disentangle: on models whose codes are the factors themselves, turned or not; where factors come from; what it refuses."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

import lambent
from lambent import Flat, Gaussian, LatentModel, Mixture, Mlp, Standard
from lambent.data.kinds.modality import Encoded
from lambent.errors import DataError, UsageError
from lambent.model.posteriors import Full
from lambent.tasks.disentanglement.codes import coded, prior_covariance
from lambent.tasks.disentanglement.named import factors_of
from lambent.tasks.disentanglement.sections import best_units, disentanglement_sections, traversed
from lambent.tasks.sections import Sheet

ROWS = 900
ANGLE = math.pi / 4
TURN = torch.tensor([[math.cos(ANGLE), -math.sin(ANGLE)], [math.sin(ANGLE), math.cos(ANGLE)]])


@pytest.fixture(scope="module")
def classes() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([rng.integers(0, 4, ROWS), rng.integers(0, 6, ROWS)], axis=1)


@pytest.fixture(scope="module")
def x(classes: np.ndarray) -> Tensor:
    return torch.from_numpy((classes - classes.mean(0)) / classes.std(0)).float()


@torch.no_grad()
def known(turn: Tensor | None = None, prior: Any = None, posterior: Any = None, noise: float = -3.5) -> LatentModel:
    """q(z|x) = N(turn · x, e^(2 · noise)), and a decoder that turns the code back."""
    parts = {} if prior is None else {"prior": prior}
    parts |= {} if posterior is None else {"posterior": posterior}
    model = LatentModel(Flat(2, **parts), Gaussian(), Mlp(8, 1)).setup((2,))
    turn = torch.eye(2) if turn is None else turn
    model.encoder = torch.nn.Sequential(torch.nn.Linear(2, 8))
    model.encoder[0].bias.zero_()
    model.encoder[0].weight.copy_(torch.eye(8)[:, :2])
    head = model.latent.posterior.head
    head.weight.zero_()
    head.bias.zero_()
    head.weight[:2, :2] = turn
    head.bias[2:4] = noise
    return model.eval()


def test_codes_that_are_the_factors_score_one(x: Tensor, classes: np.ndarray) -> None:
    found = lambent.disentangle(known(), x, classes)
    for name in ("mig", "mig_bins20", "mig_sup", "dci_disentanglement", "dci_completeness", "sap", "modularity"):
        assert found[name] == pytest.approx(1, abs=0.05), name
    assert found["factor_vae"] == pytest.approx(1, abs=0.01)
    assert found.scores["factor_vae"].chance == pytest.approx(0.5, abs=0.05)
    assert found.scores["mig"].each == pytest.approx({"factor 0": 1, "factor 1": 1}, abs=0.05)
    assert found.information == pytest.approx(np.diag(found.entropy), abs=0.05)
    assert found.remarks == ()


def test_a_turned_code_scores_less_and_varimax_turns_it_back(x: Tensor, classes: np.ndarray) -> None:
    model = known(TURN)
    plain = lambent.disentangle(model, x, classes)
    assert plain["mig"] < 0.3
    assert plain["dci_disentanglement"] < 0.5
    assert plain["factor_vae"] < 0.7
    assert plain["dci_informativeness"] > 0.9
    with torch.no_grad():  # the decoder reads the factors off the turned code, one for each column
        model.decoder = torch.nn.Linear(2, 2, bias=False)
        model.decoder.weight.copy_(TURN.T)
    back = lambent.disentangle(model, x, classes, rotate="varimax")
    assert back["mig"] == pytest.approx(1, abs=0.05)
    assert back["rmig"] > plain["rmig"] + 0.3
    assert "varimax" in back.remarks[0]


@torch.no_grad()
def test_the_axes_of_a_full_prior_are_those_of_its_covariance(x: Tensor, classes: np.ndarray) -> None:
    """p(z) = N(0, T diag(4, ¼) Tᵀ): its own axes are the columns of T; the code that follows it is found unturned by them."""
    model = known(TURN, Mixture(1, covariance="full"))
    wanted = TURN @ torch.diag(torch.tensor([4.0, 0.25])) @ TURN.T
    lower = torch.linalg.cholesky(wanted)
    prior = model.latent.prior
    prior.location.zero_()
    prior.below.copy_(lower)
    prior.log_scale.copy_(lower.diagonal().log())
    taken = lambent.Fitted.of(model).rows(x)
    assert prior_covariance(lambent.Fitted.of(model), taken) == pytest.approx(wanted.double(), abs=1e-4)
    plain = lambent.disentangle(model, x, classes)
    assert "full covariances" in plain.remarks[0]
    assert plain["mig"] < 0.3
    own = lambent.disentangle(model, x, classes, rotate="prior")
    assert own["mig"] == pytest.approx(1, abs=0.05)
    assert own.codes.names == ("axis 0", "axis 1")


@pytest.mark.parametrize("units", [10, 60])
def test_a_prior_that_is_even_has_no_axes_however_many_its_units(units: int) -> None:
    fitted = lambent.Fitted.of(LatentModel(Flat(units, prior=Standard()), Gaussian(), Mlp(8, 1)).setup((2,)).eval())
    rows = fitted.rows(torch.zeros(60, 2))
    assert prior_covariance(fitted, rows) == pytest.approx(torch.eye(units).double())
    with pytest.raises(UsageError, match="no axes of its own"):
        coded(fitted, rows, "prior")


@torch.no_grad()
def test_the_covariance_of_a_mixture_is_within_and_between() -> None:
    """Two Gaussians of variances 1 and 9, weights alike, at ±(3, 0): 5 + 9 along the first unit, 5 along the second."""
    model = known(prior=Mixture(2, covariance="diagonal"))
    prior = model.latent.prior
    prior.location.copy_(torch.tensor([[3.0, 0.0], [-3.0, 0.0]]))
    prior.log_scale.copy_(torch.tensor([[0.0, 0.0], [math.log(3), math.log(3)]]))
    fitted = lambent.Fitted.of(model)
    found = prior_covariance(fitted, fitted.rows(torch.zeros(60, 2)))
    assert found == pytest.approx(torch.tensor([[14.0, 0.0], [0.0, 5.0]]).double(), abs=1e-4)


def test_turned_codes_turn_back_and_their_spreads_are_turned_too(x: Tensor) -> None:
    model = known(posterior=Full())
    with torch.no_grad():
        model.latent.posterior.head.bias[2:4] = torch.tensor([-1.0, 0.0])
        model.latent.posterior.head.bias[4] = 0.7
    fitted = lambent.Fitted.of(model)
    rows = fitted.rows(x)
    plain, turned = coded(fitted, rows), coded(fitted, rows, "varimax")
    assert plain.turned
    assert turned.levels(torch.from_numpy(turned.means))[0] == pytest.approx(torch.from_numpy(plain.means).float())
    assert turned.axes is not None
    factor = torch.tensor([[math.exp(-1), 0], [0.7, 1.0]], dtype=torch.float64)
    covariance = turned.axes.T @ factor @ factor.T @ turned.axes
    assert turned.scales is not None
    assert turned.scales[0] == pytest.approx(covariance.diagonal().sqrt().numpy())


def test_a_collapsed_unit_is_not_active_and_more_noise_lowers_the_information(x: Tensor, classes: np.ndarray) -> None:
    model = known(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    found = lambent.disentangle(model, x, classes)
    assert found.codes.active.tolist() == [True, False]
    assert "1 of 2 units are active" in found.remarks[0]
    assert found.scores["mig"].each == pytest.approx({"factor 0": 1, "factor 1": 0}, abs=0.06)
    noisy = lambent.disentangle(known(noise=0.0), x, classes)
    assert noisy["mig"] < 0.5  # of draws of q(z|x); the means have not changed
    assert noisy["mig_bins20"] == pytest.approx(1, abs=0.05)


def test_models_that_found_the_same_units_agree(x: Tensor, classes: np.ndarray) -> None:
    swapped = known(torch.tensor([[0.0, -1.0], [1.0, 0.0]]))
    found = lambent.disentangle(known(), x, classes, others=[swapped, known(TURN)])
    assert found["udr"] == pytest.approx((1 + 0.5) / 2, abs=0.12)
    assert set(found.scores["udr"].each or {}) == {"this run", "run 1", "run 2"}


def test_rows_are_drawn_by_the_seed_and_the_same_seed_gives_the_same_bits(x: Tensor, classes: np.ndarray) -> None:
    first, again = (lambent.disentangle(known(), x, classes, rows=300, seed=3).plain() for _ in range(2))
    assert first == again
    assert first["rows"] == 300


def test_factors_that_hang_together_are_told(x: Tensor, classes: np.ndarray) -> None:
    columns = {"a": classes[:, 0], "b": classes[:, 0] // 2, "c": np.ones(ROWS)}
    found = lambent.disentangle(known(), x, columns)
    assert any("a and b" in remark for remark in found.remarks)
    assert any("one value in these rows: c" in remark for remark in found.remarks)


def test_sprites_come_with_their_factors() -> None:
    rows: Encoded = lambent.data.load("sprites?shape=2,scale=2,orientation=1,x=5,y=5,size=16")
    found = factors_of(rows, len(rows))
    assert found.names == ("shape", "scale", "posX", "posY")
    assert found.ordered == (False, True, True, True)
    assert found.left_out == ("color", "orientation")
    assert factors_of(rows, len(rows), ["posX"]).names == ("posX",)
    assert factors_of(rows, len(rows), "label").names == ("label",)


def test_factors_are_taken_in_many_forms() -> None:
    frame = pd.DataFrame({"object": ["cup", "duck"] * 30, "angle": np.arange(60) % 12})
    assert factors_of(None, 60, frame).names == ("object", "angle")
    assert factors_of(None, 60, frame).ordered == (False, True)
    assert factors_of(None, 60, frame["angle"]).names == ("factor 0",)
    assert factors_of(None, 60, {"angle": list(range(60))}).ordered == (True,)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"factors": None}, UsageError, "come with no factors"),
        ({"factors": ["shape"]}, UsageError, "no factor 'shape'"),
        ({"factors": {"a": [1, 2]}}, DataError, "2 values, for 900 rows"),
        ({"factors": np.arange(ROWS) % 3, "rotate": "varimacs"}, UsageError, "did you mean 'varimax'"),
        ({"factors": np.arange(ROWS) % 3, "rotate": "prior"}, UsageError, "no axes of its own"),
        ({"factors": np.arange(ROWS) % 3, "regressor": "trees"}, UsageError, "no regressor"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    x: Tensor, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        lambent.disentangle(known(), x, **arguments)


def test_a_single_factor_has_the_scores_that_one_can_have(x: Tensor, classes: np.ndarray) -> None:
    found = lambent.disentangle(known(), x, classes[:, 0])
    assert found["mig"] == pytest.approx(1, abs=0.05)
    assert not {"mig_sup", "modularity", "factor_vae", "beta_vae"} & set(found.scores)
    with pytest.raises(UsageError, match="no score is called 'migg'"):
        _ = found["migg"]


@pytest.fixture(scope="module")
def painted() -> tuple[lambent.Fitted, Encoded]:
    """Sprites and a model of them as it was set up, whose code and pictures are whatever chance gave."""
    rows = lambent.data.load("sprites?shape=2,scale=2,orientation=1,x=8,y=8,size=16")
    model = LatentModel(Flat(3), lambent.Bernoulli(), Mlp(16, 1)).setup(rows.modality.event, rows.x)
    return lambent.Fitted(model.eval(), rows.modality), rows


def test_pictures_are_moved_along_the_best_unit_of_each_factor(painted: tuple[lambent.Fitted, Encoded]) -> None:
    fitted, rows = painted
    found = lambent.disentangle(fitted, rows)
    sections = disentanglement_sections(fitted, found)
    assert [section.id for section in sections] == ["disentanglement", "units-and-factors", "by-factor"]
    sheet = sections[2].body[0]
    assert isinstance(sheet, Sheet)
    assert sheet.cells.shape == (4, 9, 16, 16)
    assert {name.partition(":")[0] for name in sheet.names} == {"shape", "scale", "posX", "posY"}
    for line, (factor, unit) in zip(traversed(fitted, found), best_units(found), strict=True):
        assert found.information[:, found.factors.names.index(factor)].argmax() == unit
        # Decoded at the ends: those of a code with this unit alone moved by ±2 deviations about its mean.
        assert not torch.equal(line[0], line[-1])


def test_a_line_of_a_traversal_moves_one_coordinate_alone(x: Tensor, classes: np.ndarray) -> None:
    model = known()
    with torch.no_grad():
        model.decoder = torch.nn.Linear(2, 2, bias=False)
        model.decoder.weight.copy_(torch.eye(2))
    found = lambent.disentangle(model, x, classes)
    lines = traversed(lambent.Fitted.of(model), found)
    for line, (_, unit) in zip(lines, best_units(found), strict=True):
        spread = float(found.codes.draws[:, unit].std())
        assert line[:, unit].tolist() == pytest.approx((spread * np.linspace(-2, 2, 9)).tolist(), abs=1e-3)
        assert line[:, 1 - unit].std() == pytest.approx(0, abs=1e-6)
