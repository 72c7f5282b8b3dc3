"""The perceptual distance: its scale, its parts by hand, and that nothing which claims a bound takes it for a probability."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from lambent import Conv, Elbo, Fitted, Flat, Grid, LatentModel, Mlp, Tiles, evaluate, fit
from lambent.errors import UsageError
from lambent.estimators.vae import VAE
from lambent.fitted import load
from lambent.metrics.samples.learning import learned
from lambent.model.likelihoods import Likelihood, Perceptual
from lambent.model.trace import mean
from lambent.report.run.findings import Findings
from lambent.report.run.verdict import verdict
from lambent.tasks.detection.drift import _unlearned
from lambent.tasks.detection.scores.base import Score
from lambent.tasks.detection.scores.bounds import Evidence, Reconstruction


def stripes(count: int, side: int = 12, seed: int = 0) -> Tensor:
    """Bytes [count, 1, side, side]: a bright bar somewhere, upright or not, on noise."""
    random = np.random.default_rng(seed)
    x = random.normal(90, 12, (count, side, side))
    for picture, place, upright in zip(x, random.integers(1, side - 2, count), random.random(count) < 0.5, strict=True):
        (picture.T if upright else picture)[place : place + 2] += 110
    return torch.from_numpy(x.clip(0, 255).astype(np.uint8)).unsqueeze(1)


def studied(x: Tensor, **fields: object) -> Perceptual:
    """The likelihood set up for pictures, its features learned from them."""
    likelihood = Perceptual(**{"steps": 20, **fields})  # type: ignore[arg-type]
    likelihood.setup(tuple(x.shape[1:]))
    likelihood.study(likelihood.observe(x), torch.Generator().manual_seed(0))
    return likelihood


def raw_of(picture: Tensor) -> Tensor:
    return picture.clamp(1e-6, 1 - 1e-6).logit()


@pytest.mark.parametrize("fields", [{}, {"pixels": 0.0}, {"pixels": 1.0}, {"weight": 3.0, "steps": 0}])
def test_two_pictures_drawn_at_random_are_one_apart(fields: dict[str, float]) -> None:
    """By the very pairs that the scale is told by: λ nats for each number of a picture."""
    x = stripes(40)
    likelihood = studied(x, **fields)
    value = likelihood.observe(x)
    away = -likelihood(raw_of(value.roll(1, 0))).log_prob(value) / (likelihood.weight * 144)
    assert float(away.mean()) == pytest.approx(1, rel=1e-3)
    assert float(likelihood(raw_of(value)).log_prob(value).abs().max()) < 1e-3, "no picture is away from itself"


def test_pixels_alone_are_a_gaussian_without_its_constant() -> None:
    """λ n MSE / c: −log N(x; x̂, σ² = c / 2λ) but for what does not depend on either."""
    x = stripes(30)
    likelihood = studied(x, pixels=1.0, weight=2.0)
    value = likelihood.observe(x)
    picture = torch.rand(3, 30, 1, 12, 12, generator=torch.Generator().manual_seed(1))
    apart = (value - value.roll(1, 0)).square().mean()
    expected = -2.0 * (picture - value).square().sum((-3, -2, -1)) / apart
    torch.testing.assert_close(likelihood(raw_of(picture)).log_prob(value), expected, rtol=1e-4, atol=1e-3)


def test_every_level_of_features_has_an_equal_share() -> None:
    """By hand, layer by layer, through the network that it holds."""
    x = stripes(30)
    likelihood = studied(x, pixels=0.25, weight=1.0)
    value = likelihood.observe(x)
    picture = value.flip(-1)
    network, levels = likelihood.space.network, []

    def layered(y: Tensor) -> list[Tensor]:
        found, y = [], 2 * y - 1
        for place in range(0, len(network.layers), 3):
            y = functional.silu(network.layers[place + 1](network.layers[place](y)))
            found.append(y)
        flat = network.last(functional.adaptive_avg_pool2d(y, 2).flatten(1))
        return [*found, (flat - likelihood.space.mean) / likelihood.space.scale]

    for one, other, rolled in zip(layered(value), layered(picture), layered(value.roll(1, 0)), strict=True):
        levels.append((one - other).square().flatten(1).mean(1) / (one - rolled).square().flatten(1).mean())
    pixel = (value - picture).square().flatten(1).mean(1) / (value - value.roll(1, 0)).square().flatten(1).mean()
    expected = -144 * (0.25 * pixel + 0.75 * torch.stack(levels).mean(0))
    torch.testing.assert_close(likelihood(raw_of(picture)).log_prob(value), expected, rtol=1e-3, atol=1e-2)


def test_what_is_blurred_is_further_off_than_what_is_darker_by_as_much() -> None:
    """Of equal squared error in the pixels."""
    x = stripes(60, 16)
    likelihood = studied(x, pixels=0.0, steps=60)
    value = likelihood.observe(x)
    blurred = functional.avg_pool2d(functional.pad(value, (1, 1, 1, 1), mode="reflect"), 3, 1)
    error = (blurred - value).square().mean((1, 2, 3), keepdim=True)
    darker = value - error.sqrt()
    far = [-likelihood(raw_of(picture)).log_prob(value).mean() for picture in (blurred, darker)]
    assert float(far[0]) > float(far[1])


def test_training_leaves_the_features_alone_and_the_file_keeps_them(tmp_path: Path) -> None:
    x = stripes(64)
    model = LatentModel(Flat(3), Perceptual(steps=10), Mlp(16, 1))
    model.setup((1, 12, 12), x, 0)
    before = model.likelihood.space.sha256
    assert not list(model.likelihood.parameters()), "nothing for an optimizer"
    history = fit(model, Elbo(), x, epochs=3, batch=16, learning_rate=0.01, validation=0.25)
    assert model.likelihood.space.sha256 == before
    assert history["reconstruction"][-1] < history["reconstruction"][0]  # type: ignore[operator]
    again = load(Fitted(model).save(tmp_path / "model.safetensors"))
    assert again.provenance["features"] == {"sha256": before, "pictures": 64}
    value, raw = model.likelihood.observe(x), torch.zeros(64, 1, 12, 12)
    torch.testing.assert_close(again.model.likelihood(raw).log_prob(value), model.likelihood(raw).log_prob(value))


def test_runs_share_features_by_their_file(tmp_path: Path) -> None:
    kept = tmp_path / "kept.safetensors"
    first = studied(stripes(30), features=str(kept))
    assert kept.exists(), "what is not there is written"
    assert studied(stripes(30, seed=5), features=str(kept)).space.sha256 == first.space.sha256
    other = learned(stripes(30)[:, 0].numpy(), steps=5)
    other.save(tmp_path / "features.safetensors")  # as `lambent evaluate RUN --generated` keeps them
    assert studied(stripes(30), features=str(tmp_path / "features.safetensors")).space.sha256 == other.sha256
    with pytest.raises(UsageError, match=r"of pictures \[1, 12, 12\].*these are \[1, 16, 16\]"):
        studied(stripes(30, 16), features=str(kept))
    with pytest.raises(UsageError, match="safetensors"):
        studied(stripes(30), features="features.onnx")


def test_few_pictures_teach_nothing_and_do_not_fail() -> None:
    for count in (1, 2, 15):
        likelihood = studied(stripes(count))
        assert likelihood.described()["features"]["pictures"] == 0
        value = likelihood.observe(stripes(4))
        assert torch.isfinite(likelihood(torch.zeros(4, 1, 12, 12)).log_prob(value)).all()


@pytest.fixture(scope="module")
def trained() -> tuple[VAE, np.ndarray]:
    x = stripes(80)[:, 0].numpy()
    return VAE(3, likelihood=Perceptual(steps=5), network=Mlp(16, 1), epochs=3, validation=0.2).fit(x), x


def test_no_elbo_is_reported(trained: tuple[VAE, np.ndarray]) -> None:
    vae, x = trained
    history = vae.history_
    assert all(value is None for name in ("elbo", "validation_elbo") for value in history[name])
    assert all(
        value is not None for name in ("kl", "validation_kl", "loss", "validation_loss") for value in history[name]
    )
    found = evaluate(vae.fitted_, x, samples=4)
    assert {"elbo", "bound", "bits_per_dim"}.isdisjoint(found.metrics)
    assert {"reconstruction", "kl"} <= set(found.metrics)
    assert "log p" in found.metrics["reconstruction"].meaning
    assert found.metrics["reconstruction"].unit != "nats per row"
    assert set(found.by_row) == {"reconstruction"}
    findings = Findings("run", spec=vae.model_.spec(), history=history)
    titles = [remark.title for remark in verdict(findings)]
    assert "There is no ELBO here" in titles
    assert not any("ELBO" in remark.text for remark in verdict(findings))


def test_what_needs_a_probability_refuses(trained: tuple[VAE, np.ndarray]) -> None:
    vae, x = trained
    with pytest.raises(
        UsageError, match=r"Perceptual is a distance and no log p\(x\|z\), so rows have no score: use the Gauss"
    ):
        vae.score_samples(x)
    with pytest.raises(UsageError, match="use the Reconstruction score"):
        Evidence().refuse(vae.fitted_)
    assert isinstance(_unlearned(vae.fitted_), Reconstruction)
    rows = vae.fitted_.rows(x)
    scores = Score.default(vae.fitted_).learn(vae.fitted_, rows)(vae.fitted_, rows)
    assert torch.isfinite(scores).all(), "what looks at pictures, and not at probabilities, works"
    for objective in ("Iwae", "Miwae", "Ciwae", "Piwae"):
        model = LatentModel(Flat(2), Perceptual(steps=0), Mlp(8, 1))
        with pytest.raises(UsageError, match="is a distance and no log-probability: use the Elbo objective"):
            fit(model, objective, stripes(32), epochs=1)


def test_what_is_no_picture_is_refused() -> None:
    for event in ((4,), (3, 8)):
        with pytest.raises(UsageError, match="Perceptual takes images"):
            Perceptual().setup(event)
    assert json.dumps(Likelihood.from_spec("Perceptual").spec())


def test_a_rival_is_shown_the_picture_as_the_encoder_reads_rows() -> None:
    likelihood = studied(stripes(20))
    raw = torch.randn(5, 1, 12, 12, requires_grad=True)
    shown = likelihood.forged(likelihood(raw))
    torch.testing.assert_close(shown, 2 * raw.sigmoid() - 1)
    shown.sum().backward()
    assert (raw.grad != 0).all()


def test_photographs_are_taken_whole_by_a_model_of_small_pictures() -> None:
    """In tiles, to the bits of the whole at once, whatever depth a network for that size would have."""
    x = stripes(40, 16)
    model = LatentModel(Grid("/4x1", channels=(3,), width=(5,), blocks=0), Perceptual(steps=3), Conv((5, 7), 8))
    fit(model, Elbo(), x, epochs=1, batch=16)
    photograph = stripes(1, 128, 3)
    whole = model.eval().resized((1, 128, 128))
    assert whole.likelihood.space.sha256 == model.likelihood.space.sha256
    again = Tiles.of(model, 64).reconstruct(photograph)
    with torch.no_grad():
        expected = whole.trace(photograph, draw=mean).px.mean[0]
    torch.testing.assert_close(again, expected, atol=1e-5, rtol=1e-5)
