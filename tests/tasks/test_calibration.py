"""Intervals corrected by held-out cells: they cover as often as they say, however sure of itself the model is."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

import lambent
from lambent import VAE, ArtifactError, Fitted, Imputer, Table, impute, predict
from lambent.tasks.calibration import calibrated
from lambent.tasks.estimates import NumberEstimate

LOADINGS = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [1.0, -1.0]])


def rows(count: int, seed: int, share: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 2)) @ LOADINGS.T + 0.5 * rng.normal(size=(count, 4))
    return np.where(rng.random(x.shape) < share, np.nan, x)


@pytest.fixture(scope="module")
def plain() -> Fitted:
    settings = {"likelihood": "Gaussian", "prior": "Standard", "epochs": 30, "learning_rate": 3e-3, "validation": 0}
    return VAE(2, modality=Table(missing="yes", hidden=0.5), **settings).fit(rows(2000, 0, 0.1)).fitted_


def coverage(fitted: Fitted, share: float) -> float:
    whole = rows(500, 5)
    gone = np.random.default_rng(6).random(whole.shape) < 0.3
    found = impute(fitted, np.where(gone, np.nan, whole), interval=share, samples=20)
    low, high = found[:, 4::2], found[:, 5::2]
    return float(((low <= whole) & (whole <= high))[gone].mean())


@pytest.mark.parametrize("times", [0.3, 3.0])
def test_a_model_that_is_too_sure_or_not_sure_enough_is_corrected(plain: Fitted, times: float) -> None:
    fitted = copy.deepcopy(plain)
    with torch.no_grad():
        fitted.model.likelihood.width.log_scale += np.log(times)
    before = coverage(fitted, 0.9)
    assert before < 0.8 if times < 1 else before > 0.95
    fitted.calibration = calibrated(fitted, fitted.modality.read(rows(400, 7)), samples=20)
    assert set(fitted.calibration) == {"", "x0", "x1", "x2", "x3"}
    for share in (0.5, 0.9):
        assert coverage(fitted, share) == pytest.approx(share, abs=0.04)


def estimate(scores: list[float] | None) -> NumberEstimate:
    values = stats.norm.ppf((np.arange(10_000) + 0.5) / 10_000)
    weights = np.full((10_000, 1), 1e-4)
    column = None
    return NumberEstimate(column, values[:, None], weights, np.zeros(1), True, scores and np.array(scores))  # type: ignore[arg-type]


def test_the_interval_reaches_to_the_score_of_its_rank() -> None:
    scores = [*np.linspace(0.01, 9.99, 999).tolist(), 10.0]
    found = estimate(scores)
    # Of 1,000 scores that of rank ⌈1001 · 0.9⌉ = 901.
    assert found.quantile(0.95)[0] == pytest.approx(scores[900], rel=0.01)
    assert found.quantile(0.05)[0] == pytest.approx(-scores[900], rel=0.01)
    assert found.quantile(0.5)[0] == pytest.approx(0, abs=1e-3)
    assert found.quantile(0.9999)[0] == pytest.approx(10.0, rel=0.01)
    few = estimate([0.1] * 50)
    assert few.quantile(0.95)[0] == pytest.approx(1.645, rel=0.01), "few scores do not narrow what the model has"


def test_scores_are_deviations_of_the_normal() -> None:
    found = estimate(None)
    for truth in (-6.0, -1.2, 0.4, 1.7, 30.0):
        assert found.score(np.array([truth]))[0] == pytest.approx(abs(truth), rel=0.01)


def test_it_is_kept_in_the_file(plain: Fitted, tmp_path: Path) -> None:
    imputer = Imputer(2, epochs=4, random_state=0).fit(rows(400, 1, 0.2))
    assert len(imputer.fitted_.calibration[""]) > 100
    imputer.vae_.save(tmp_path / "model.safetensors")
    again = lambent.load(tmp_path / "model.safetensors").fitted_
    assert again.calibration == imputer.fitted_.calibration
    x = rows(20, 2, 0.3)
    np.testing.assert_array_equal(impute(again, x, interval=0.9), impute(imputer, x, interval=0.9))
    there, without = predict(again, rows(20, 2), "x1"), predict(plain, rows(20, 2), "x1")
    assert type(there) is type(without)
    assert plain.calibration == {}


def test_scores_below_nought_are_refused(plain: Fitted, tmp_path: Path) -> None:
    fitted = copy.deepcopy(plain)
    fitted.calibration = {"": [-1.0]}
    fitted.save(tmp_path / "model.safetensors")
    with pytest.raises(ArtifactError, match="intervals"):
        lambent.load(tmp_path / "model.safetensors")
