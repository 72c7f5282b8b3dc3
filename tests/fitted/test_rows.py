"""Fitted.rows is the only way from raw data to what a model takes: drawn, checked, conditioned."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lambent import VAE, Bernoulli, Elbo, Flat, Gaussian, LatentModel, Mixture, Mlp, evaluate, fit, fit_prior, load
from lambent.data import Image, Table
from lambent.data import load as encode
from lambent.data.splitting import take
from lambent.errors import DataError, UsageError
from lambent.estimators.stored import dressed
from lambent.fitted import Fitted
from lambent.fitted import load as load_fitted
from lambent.metrics.bound import bounds
from lambent.tasks.explore import encode as codes_of

NETWORK = {"type": "Mlp", "width": 16, "depth": 1}
DYNAMIC = {"type": "Image", "binarize": "dynamic"}


@pytest.fixture(scope="module")
def grey() -> np.ndarray:
    return (np.random.default_rng(0).random((300, 8, 8)) ** 2 * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def drawn_vae(grey: np.ndarray) -> VAE:
    return VAE(latent=2, prior="Standard", network=NETWORK, modality=DYNAMIC, epochs=3, precision="fp32").fit(grey)


def test_drawn_rows_are_scored_as_bits(drawn_vae: VAE, grey: np.ndarray) -> None:
    """Bytes handed to a Bernoulli gave rows a log-probability above 0, and −14,073 nats on average."""
    scores = drawn_vae.score_samples(grey)
    assert scores.max() < 0
    assert scores.mean() == pytest.approx(evaluate(drawn_vae, grey, samples=32).metrics["bound"].value, abs=1.0)
    assert scores.mean() > -64 * np.log(2)
    rows = drawn_vae.fitted_.rows(grey)
    assert set(rows.x.unique().tolist()) == {0, 1}
    torch.testing.assert_close(rows.x.float().mean(), torch.tensor(grey / 255).float().mean(), atol=0.02, rtol=0)


def test_what_is_embedded_is_drawn_too(drawn_vae: VAE, grey: np.ndarray) -> None:
    rows = drawn_vae.fitted_.rows(grey)
    expected = codes_of(drawn_vae._precise(), rows.x)[0].numpy()
    np.testing.assert_allclose(drawn_vae.transform(grey), expected, atol=1e-9)
    assert np.abs(drawn_vae.transform(grey)).max() < 20


def test_a_drawn_row_is_the_same_beside_whatever_others(drawn_vae: VAE, grey: np.ndarray) -> None:
    whole = drawn_vae.fitted_.rows(grey)
    order = np.random.default_rng(1).permutation(len(grey))
    assert torch.equal(drawn_vae.fitted_.rows(grey[order]).x, whole.x[torch.from_numpy(order)])
    assert torch.equal(drawn_vae.fitted_.rows(grey[5:6]).x, whole.x[5:6])
    assert not torch.equal(drawn_vae.fitted_.rows(grey, seed=1).x, whole.x)
    scores = drawn_vae.score_samples(grey)
    np.testing.assert_allclose(drawn_vae.score_samples(grey[order]), scores[order], atol=1e-9)
    np.testing.assert_allclose(drawn_vae.score_samples(grey[5:6]), scores[5:6], atol=1e-9)


def test_a_part_of_encoded_rows_scores_as_the_whole(drawn_vae: VAE, grey: np.ndarray) -> None:
    encoded = encode(grey, modality=DYNAMIC)
    model = drawn_vae._precise().model
    whole = bounds(model, drawn_vae.fitted_.rows(encoded).x, 8).bound
    part = drawn_vae.fitted_.rows(take(encoded, np.arange(5, 40)))
    assert torch.equal(bounds(model, part.x, 8).bound, whole[5:40])


def test_fit_prior_sees_the_codes_of_drawn_rows(grey: np.ndarray) -> None:
    """Fitted to undrawn bytes, the mixture's Gaussians lay tens of units out; codes of bits lie near the prior."""
    encoded = encode(grey, modality=DYNAMIC)
    model = LatentModel(Flat(2), Bernoulli(), Mlp(16, 1))
    fit(model, Elbo(), encoded, epochs=5, batch=50, precision="fp32")
    codes = codes_of(model, Fitted(model, encoded.modality).rows(encoded).x)[0]
    prior = Mixture(components=3)
    fit_prior(model, encoded, prior, epochs=1)
    spread = (prior.location - codes.mean(0)).abs().max()
    assert float(spread.detach()) < 4 * float(codes.std(0).max()) + 3


def test_rows_outside_the_support_and_of_another_shape_are_refused() -> None:
    model = LatentModel(Flat(2), Bernoulli(), Mlp(8, 1)).setup((4,))
    with pytest.raises(DataError, match="zeros and ones"):
        Fitted(model).rows(torch.full((3, 4), 0.5))
    with pytest.raises(DataError, match=r"rows of shape \[4\]; these have \[5\]"):
        Fitted(model).rows(torch.zeros(3, 5))
    with pytest.raises(UsageError, match="no weights yet"):
        Fitted.of(LatentModel(Flat(2), Bernoulli(), Mlp(8, 1)))
    with pytest.raises(UsageError, match="a trained model is expected"):
        Fitted.of("a name")


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)).numpy()
    encoded = encode(x, modality="Table")
    model = LatentModel(Flat(2), Gaussian(), Mlp(8, 1))
    fit(model, Elbo(), encoded, epochs=1)
    own = Fitted(model, encoded.modality, {"name": "mine"})
    path = own.save(tmp_path / "model.safetensors")
    again = load_fitted(path)
    assert again.provenance["name"] == "mine"
    assert isinstance(again.modality, Table)
    assert torch.equal(again.rows(x).x, own.rows(x).x)
    np.testing.assert_allclose(again.raw(again.rows(x).x), x, atol=1e-5)
    assert load_fitted(tmp_path).provenance["name"] == "mine"  # a run's folder means the model in it
    np.testing.assert_allclose(load(tmp_path).score_samples(x), load(path).score_samples(x))


def test_pictures_come_back_as_they_went_in(grey: np.ndarray) -> None:
    encoded = encode(grey, modality="Image")
    model = LatentModel(Flat(2), "DiscretizedLogistics", Mlp(8, 1)).setup((1, 8, 8))
    fitted = Fitted(model, encoded.modality)
    assert isinstance(fitted.modality, Image)
    assert np.array_equal(fitted.raw(fitted.rows(grey).x), grey)


def test_rows_already_taken_are_cut_but_not_conditioned_again(grey: np.ndarray, drawn_vae: VAE) -> None:
    fitted = drawn_vae.fitted_
    rows = fitted.rows(grey)
    assert torch.equal(fitted.rows(rows, limit=4).x, rows.x[:4])
    assert evaluate(drawn_vae, rows, samples=2, limit=4).rows == 4
    with pytest.raises(UsageError, match="conditioned already"):
        fitted.rows(rows, context=torch.zeros(300, 1))


def test_a_model_in_another_precision_is_not_saved_where_it_could_not_be_loaded(tmp_path: Path) -> None:
    model = LatentModel(Flat(2), Gaussian(), Mlp(8, 1)).setup((3,)).double()
    with pytest.raises(UsageError, match=r"this model is in torch.float64: save model.float\(\)"):
        Fitted(model).save(tmp_path / "model.safetensors")
    Fitted(model.float()).save(tmp_path / "model.safetensors")
    assert load_fitted(tmp_path).model.anchor.dtype == torch.float32


def test_a_loaded_estimator_stays_where_its_model_was_put(tmp_path: Path, drawn_vae: VAE, grey: np.ndarray) -> None:
    stored = load_fitted(drawn_vae.save(tmp_path / "model.safetensors"))
    elsewhere = replace(stored, model=stored.model.to("meta"))
    assert dressed(elsewhere).model_.device.type == "meta"
    assert load(tmp_path).modality_.event == (1, 8, 8)


def test_a_modality_that_is_given_is_left_as_it_was() -> None:
    """Fitted in place, the second call gave the rows of the first other scales."""
    first = encode(np.arange(20.0).reshape(10, 2), modality="Table")
    again = encode(np.arange(20.0).reshape(10, 2) * 100, modality=first.modality)
    assert again.modality is not first.modality
    np.testing.assert_allclose(
        Fitted(LatentModel(Flat(1), Gaussian(), Mlp(4, 1)).setup((2,)), first.modality).raw(first.x)[0],
        [0, 1],
        atol=1e-5,
    )
