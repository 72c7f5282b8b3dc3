"""A model without an encoder: what it is, what it refuses, and what can be said of it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lambent
from lambent import VAE, Absent, Flat, Gan, Gaussian, LatentModel, Mlp
from lambent.data.kinds.image import Image
from lambent.errors import UsageError
from lambent.fitted import Fitted, Rows
from lambent.model import ask_encoder, check
from lambent.model.latents import Codebook, Grid, Ladder
from lambent.model.networks import Conv
from lambent.model.posteriors import WITHOUT_ENCODER
from lambent.model.priors import Sphere
from lambent.model.trace import from_prior
from lambent.objectives import Elbo, Objective, suggested_latent
from lambent.report.run.gather import gather
from lambent.tasks import explore
from lambent.tasks.samples.without_encoder import evaluated, liveliest, looked_at
from lambent.training.fitting import fit
from lambent.training.run import Run


def generator_of(shape: tuple[int, ...] = (5,), **parts: object) -> LatentModel:
    parts = {"latent": Flat(3, posterior=Absent()), "likelihood": Gaussian(), "network": Mlp(width=8, depth=1), **parts}
    return LatentModel(**parts).setup(shape).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("latent", "network", "shape"),
    [
        (lambda **how: Flat(3, **how), Mlp(width=8, depth=1), (5,)),
        (lambda **how: Ladder((2, 3), width=8, **how), Mlp(width=8, depth=1), (5,)),
        (lambda **how: Grid("1x1 /2x2", **how), Conv(channels=(3, 4), width=5), (1, 8, 8)),
    ],
    ids=["Flat", "Ladder", "Grid"],
)
def test_it_has_the_weights_of_the_way_down_and_no_others(
    latent: Callable[..., lambent.Latent], network: lambent.Network, shape: tuple[int, ...]
) -> None:
    """Those of the same model with an encoder, less all that q(z|x) alone goes through."""
    alone = LatentModel(latent(posterior=Absent()), Gaussian(), network).setup(shape)
    whole = LatentModel(latent(), Gaussian(), network).setup(shape)
    read = {id(p) for p in whole._inference()}
    names = {name for name, p in whole.named_parameters() if id(p) not in read}
    assert {name for name, _ in alone.named_parameters()} == names
    assert not hasattr(alone, "encoder")
    with pytest.raises(UsageError, match="has no encoder"):
        ask_encoder(alone)
    ask_encoder(whole)


def test_the_model_file_holds_it(tmp_path: Path) -> None:
    model = generator_of()
    again = lambent.fitted.load(lambent.save(tmp_path / "generator.safetensors", model)).model
    drawn = [m.generate(4, from_prior(torch.Generator().manual_seed(0))).mean for m in (model, again)]
    assert torch.equal(*drawn)
    assert not again.latent.encodes


PASSES: dict[str, Callable[[LatentModel, Tensor], object]] = {
    "trace": lambda model, x: model.trace(x),
    "infer": lambda model, x: model.infer(x),
    "passed": lambda model, x: model.passed(x, from_prior()),
    "encode": explore.encode,
    "reconstruct": explore.reconstruct,
    "interpolate": lambda model, x: explore.interpolate(model, x, x),
    "traverse": lambda model, x: explore.traverse(model, x[:1], [(0, 0)], torch.zeros(1)),
    "evaluate": lambda model, x: lambent.evaluate(model, x),
    "fit_prior": lambda model, x: lambent.fit_prior(model, x, "Mixture"),
    "refine": lambda model, x: lambent.refine(model, x),
    "detect": lambda model, x: lambent.detect(model, x, reference=x, fdr=0.1),
    "predict": lambda model, x: lambent.predict(model, x, "x0"),
}


@pytest.mark.parametrize("name", PASSES)
def test_what_needs_codes_of_rows_says_what_to_do(name: str) -> None:
    with pytest.raises(UsageError) as refusal:
        PASSES[name](generator_of(), torch.zeros(30, 5))
    assert str(refusal.value) == WITHOUT_ENCODER


def test_photographs_do_not_go_through_it_in_tiles() -> None:
    model = generator_of((1, 8, 8), latent=Grid("/2x1", posterior=Absent()), network=Conv(channels=(3, 4), width=5))
    with pytest.raises(UsageError, match="has no encoder"):
        lambent.Tiles.of(model)


def test_each_goes_with_the_other_alone() -> None:
    check(generator_of(), Gan())
    with pytest.raises(
        UsageError, match="Gan teaches no encoder, and a Flat with a Diagonal posterior has one: use the Absent"
    ):
        check(LatentModel(Flat(3), Gaussian()), Gan())
    with pytest.raises(UsageError, match="Elbo trains an encoder, and with the Absent posterior there is none"):
        check(generator_of(), Elbo())
    with pytest.raises(UsageError, match="VaeGan trains an encoder, and with the Absent posterior"):
        check(generator_of(), lambent.VaeGan())
    with pytest.raises(UsageError, match="codes with noise"):
        check(LatentModel(Codebook(), Gaussian(), Conv(channels=(3, 4))), Gan())


def test_the_data_suggest_it_where_the_objective_teaches_no_encoder() -> None:
    data = {"type": "Flat", "size": 32, "prior": {"type": "Mixture"}, "posterior": {"type": "Full"}}
    absent = {"type": "Absent"}
    assert suggested_latent(data, {"type": "Flat"}, Gan()) == {"type": "Flat", "size": 32, "posterior": absent}
    assert suggested_latent(data, {"type": "Grid"}, Gan()) == {"type": "Grid", "posterior": absent}
    assert suggested_latent(data, {"type": "Codebook"}, Gan()) == {"type": "Codebook"}
    assert suggested_latent(data, {"type": "Flat", "posterior": absent}, Elbo()).get("prior") is None


def test_a_vae_with_that_objective_is_a_generator() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 3)) @ rng.normal(size=(3, 3)) + 5.0
    for latent in (2, "Flat", {"type": "Flat", "size": 2}, None):
        vae = VAE(latent, objective="Gan", likelihood="Gaussian", epochs=2, batch=32, network=Mlp(width=8)).fit(x)
        assert vae.model_.latent.inference == "Absent"
    assert np.asarray(vae.sample(5)).shape == (5, 3)
    assert vae.history_["rival_loss"][-1] is not None
    assert "validation_loss" not in vae.history_
    for verb in (vae.transform, vae.reconstruct, vae.score_samples):
        with pytest.raises(UsageError, match="has no encoder"):
            verb(x)
    with pytest.raises(UsageError, match="use the Absent posterior"):
        VAE(2, posterior="Diagonal", objective="Gan", likelihood="Gaussian", epochs=1).fit(x)
    with pytest.raises(UsageError, match="patience waits for a better validation loss, and Gan has none"):
        VAE(2, objective="Gan", likelihood="Gaussian", epochs=1, patience=3).fit(x)


def test_a_detector_is_not_trained_without_one() -> None:
    with pytest.raises(UsageError, match="odd rows are told by their codes, and Gan teaches no encoder"):
        VAE(objective="Gan", purpose="outliers").fit(np.random.default_rng(0).normal(size=(60, 3)))


def test_a_run_over_held_out_rows_has_no_loss_of_them() -> None:
    model = LatentModel(Flat(3, posterior=Absent()), Gaussian(), Mlp(width=8, depth=1))
    history = fit(model, Gan(), torch.randn(64, 5), epochs=2, batch=16, validation=0.25, device="cpu")
    assert not any(name.startswith("validation") for name in history)
    assert history["elbo"] == [None, None]
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def test_it_goes_on_to_the_bit(tmp_path: Path) -> None:
    """Stopped after seven of twelve steps, and gone on with: the weights of a run that was never stopped."""

    class Stop:
        def on_step(self, run: Run) -> None:
            if run.step == 7:
                raise KeyboardInterrupt

    def trained(**how: object) -> Tensor:
        model = LatentModel(Flat(3, posterior=Absent()), Gaussian(), Mlp(width=8, depth=1))
        fit(model, Gan(), x, epochs=3, batch=16, device="cpu", **how)  # type: ignore[arg-type]
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    x = torch.randn(64, 5, generator=torch.Generator().manual_seed(0))
    whole, path = trained(), tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        trained(checkpoint=path, callbacks=[Stop()])
    assert torch.equal(trained(checkpoint=path, resume=True), whole)


# ---- codes in the place of rows ----------------------------------------------------------------------------------


def test_walks_between_codes_are_those_between_their_rows(small_model: Callable[..., LatentModel]) -> None:
    model = small_model((4,)).eval()
    x = torch.randn(6, 4, device=model.device)
    codes = [explore.encode(model, rows) for rows in (x[:3], x[3:])]
    assert torch.equal(explore.walk(model, *codes, 5), explore.interpolate(model, x[:3], x[3:], 5))
    values = torch.linspace(-2, 2, 3)
    code = explore.encode(model, x[:1])
    assert torch.equal(explore.moved(model, code, [(0, 1)], values), explore.traverse(model, x[:1], [(0, 1)], values))
    with pytest.raises(UsageError, match="at least 2 steps"):
        explore.walk(model, *codes, 1)


def test_codes_of_the_prior_are_draws_of_it() -> None:
    """A standard normal's: mean 0 and variance 1 of 4,000 × 3 numbers; on the sphere, of length 1."""
    codes = explore.prior_codes(generator_of(), 4000)[0]
    assert codes.shape == (4000, 3)
    assert abs(float(codes.mean())) < 0.05
    assert abs(float(codes.var()) - 1) < 0.06
    assert torch.equal(codes, explore.prior_codes(generator_of(), 4000)[0])
    assert not torch.equal(codes, explore.prior_codes(generator_of(), 4000, seed=1)[0])
    round_ = explore.prior_codes(generator_of(latent=Flat(3, prior=Sphere(), posterior=Absent())), 50)[0]
    torch.testing.assert_close(round_.norm(dim=1), torch.ones(50), rtol=0, atol=1e-5)
    several = LatentModel(Flat(2), Gaussian(), Mlp(width=4, depth=1), members=3).setup((5,)).eval()
    assert explore.prior_codes(several, 7)[0].shape == (7, 6)


# ---- what is measured of samples ---------------------------------------------------------------------------------


class Scaled(nn.Module):
    """x̂_j = scale_j z_j in the decoder's place."""

    def __init__(self, scale: list[float]) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, z: Tensor) -> Tensor:
        return z * self.scale


def scaled(scale: list[float]) -> LatentModel:
    model = generator_of((len(scale),), latent=Flat(len(scale), posterior=Absent()))
    model.decoder = Scaled(scale)
    return model


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.0])
def test_spread_is_the_ratio_of_mean_distances(scale: float) -> None:
    """Of N(0, s² I) beside N(0, I): s; in rows that stand in order of their size, too."""
    real = torch.randn(3000, 4, generator=torch.Generator().manual_seed(0))
    real = real[real.norm(dim=1).argsort()]
    found = looked_at(Fitted(scaled([scale] * 4)), Rows(real))["spread"]
    assert found.value == pytest.approx(scale, abs=0.03)
    assert found.standard_error is not None
    assert abs(found.value - scale) < 4 * found.standard_error + 1e-9
    assert found.unit == "of the real rows'"


def test_the_liveliest_units_are_those_that_change_most() -> None:
    """By one deviation either way x̂_j moves by 2 |scale_j|."""
    assert liveliest(Fitted(scaled([0.1, 3.0, 0.0, -2.0])), 3) == [(0, 1), (0, 3), (0, 0)]


def test_sharpness_of_a_generator_of_noise_beside_noise_is_one() -> None:
    """White noise of the real pictures' own variance: as much energy in each band; half the amplitude, a quarter of it."""
    modality = Image()
    real = torch.from_numpy(np.random.default_rng(0).integers(88, 168, (800, 1, 8, 8), dtype=np.uint8))
    modality.fit(modality.open(real.numpy()[:, 0]))
    deviation = float((real.float() / 255).std())
    for share in (1.0, 0.5):
        model = generator_of((1, 8, 8), latent=Flat(64, posterior=Absent()))
        model.decoder = _Noise(share * deviation)
        found = looked_at(Fitted(model, modality), Rows(real))
        assert found["sharpness"].value == pytest.approx(share**2, rel=0.1)
        assert found["spread"].value == pytest.approx(share, rel=0.05)


class _Noise(nn.Module):
    """64 units as the pixels of a picture about the middle grey."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation = deviation

    def forward(self, z: Tensor) -> Tensor:
        return (0.5 + self.deviation * z).reshape(-1, 1, 8, 8)


def test_an_evaluation_is_that_of_samples_and_the_report_shows_them() -> None:
    x = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    encoded = lambent.data.load(x)
    model = LatentModel(Flat(3, posterior=Absent()), Gaussian(), Mlp(width=8, depth=1)).setup((1, 8, 8)).eval()
    fitted = Fitted(model, encoded.modality, {"objective": Gan().spec(), "history": {"epoch": [1], "loss": [0.7]}})
    found = evaluated(fitted, encoded, samples=4)
    assert set(found.metrics) == {"spread", "sharpness"}
    assert not found.levels
    assert not found.by_row
    findings = gather(fitted, encoded, found)
    assert findings.generator
    assert findings.latent_map is None
    assert findings.chance is None
    assert findings.pictures is not None
    assert findings.pictures.reconstructions is None
    assert findings.pictures.samples is not None
    assert findings.pictures.samples.shape == (60, 8, 8)
    assert findings.pictures.interpolation is not None
    assert findings.pictures.traversals is not None
    assert len(findings.pictures.traversal_units) == 3
    page = lambent.report.page.render(findings)
    assert "Samples" in page
    assert "one draw of the prior to another" in page
    assert "Reconstructions" not in page
    assert "Latent units" not in page
    assert "ELBO</" not in page


def test_a_model_with_an_encoder_is_evaluated_as_ever(small_model: Callable[..., LatentModel]) -> None:
    model = small_model().eval()
    x = torch.randn(20, 4, device=model.device)
    assert evaluated(Fitted(model), x, samples=2).metrics == lambent.evaluate(model, x, samples=2).metrics


def test_objectives_say_whether_they_teach_an_encoder() -> None:
    ours = {
        name: cls for name, cls in lambent.part.registered(Objective).items() if cls.__module__.startswith("lambent.")
    }
    names = [name for name, cls in ours.items() if not cls.encodes]
    assert names == ["Gan"]
