"""evaluate and explore on models whose answers are known."""

import math
from typing import Any, Literal

import pytest
import torch
from torch.distributions import MultivariateNormal
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lambent import (
    DataError,
    Elbo,
    Flat,
    Gaussian,
    Ladder,
    LatentModel,
    Mixture,
    Mlp,
    UsageError,
    Vamp,
    evaluate,
    fit,
    fit_prior,
)
from lambent.metrics.bound import bounds
from lambent.metrics.collapse import levels, mutual_information
from lambent.model.latents import Latent
from lambent.model.likelihoods import Bernoulli
from lambent.model.posteriors import Point
from lambent.model.priors import Flow
from lambent.tasks.explore import decode, encode, generate, interpolate, plane, prior_moments, reconstruct, traverse


@pytest.fixture(scope="module")
def x() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(400, 2, generator=generator)
    return (z @ torch.randn(2, 8, generator=generator) + 0.3 * torch.randn(400, 8, generator=generator)).float()


@pytest.fixture(scope="module")
def model(x: torch.Tensor) -> LatentModel:
    model = LatentModel(Flat(5), Gaussian(), Mlp(32))
    fit(model, Elbo(), x, epochs=60, average=0.0)
    return model


def test_the_parts_add_up(model: LatentModel, x: torch.Tensor) -> None:
    found = evaluate(model, x, samples=50)
    metrics = found.metrics
    assert metrics["elbo"].value == pytest.approx(-metrics["reconstruction"].value - metrics["kl"].value)
    assert metrics["bound"].value >= metrics["elbo"].value
    assert sum(found.levels[0].nats or []) == pytest.approx(metrics["kl"].value, rel=1e-4)
    assert metrics["active_units"].value == sum(found.levels[0].active)
    assert "bits_per_dim" not in metrics  # a density has no bits
    assert all(m.unit and m.meaning for m in metrics.values())
    assert metrics["elbo"].standard_error > 0


def test_bits_are_for_probabilities() -> None:
    model = LatentModel(Flat(2), Bernoulli(), Mlp(8)).setup((6,))
    x = (torch.rand(50, 6) > 0.5).to(torch.uint8)
    metrics = evaluate(model, x, 10).metrics
    assert metrics["bits_per_dim"].value == pytest.approx(-metrics["bound"].value / (6 * math.log(2)))


def test_chunks_change_nothing(model: LatentModel, x: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = model.double()
    try:
        whole = bounds(exact, x, 64)
        monkeypatch.setattr("lambent.metrics.bound.BUDGET", 9 * 256 * 16)  # 256 rows, and 16 samples, at once
        pieces = bounds(exact, x, 64)
        monkeypatch.setattr("lambent.metrics.bound.BUDGET", 9)
        singles = bounds(exact, x[:3], 4)
    finally:
        model.float()
    for name in ("elbo", "bound"):
        torch.testing.assert_close(getattr(whole, name), getattr(pieces, name), rtol=1e-9, atol=1e-9)
    assert torch.isfinite(singles.bound).all()


def test_no_layer_of_a_decoder_emits_more_than_a_chunk_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = LatentModel(Flat(2), Bernoulli(), Mlp(40)).setup((6,))
    seen: list[int] = []
    for layer in wide.decoder.modules():
        layer.register_forward_hook(lambda _, __, out: seen.append(out.numel()))
    monkeypatch.setattr("lambent.metrics.bound.BUDGET", 40 * 10)
    assert len(bounds(wide, torch.zeros(5, 6, dtype=torch.uint8), 30).bound) == 5
    assert max(seen) == 400  # ten codes of the hidden layer, not those sixty that the output alone would allow


class Largest(TorchDispatchMode):
    """Remembers the bytes of the largest tensor made."""

    bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self.bytes = max(self.bytes, tensor.numel() * tensor.element_size())
        return made


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_a_mixture_says_how_much_its_density_holds(covariance: Literal["diagonal", "full"]) -> None:
    prior = Mixture(50, covariance=covariance)
    prior.setup((32,), torch.zeros(1, 1))
    codes = torch.randn(2000, 32)
    with torch.no_grad(), Largest() as largest:
        prior(lambda x: MultivariateNormal(x, torch.eye(32))).log_prob(codes)
    told = 4 * prior.held * len(codes)  # bytes
    assert told / 10 < 2 * largest.bytes <= told  # the largest is held beside the one that it is made from


def test_more_samples_tighten_the_bound(model: LatentModel, x: torch.Tensor) -> None:
    values = [float(bounds(model, x[:100], k).bound.mean()) for k in (1, 10, 100, 2000)]
    assert values[0] < values[1] < values[2]
    assert values[3] > values[2] - 0.05  # there is little left to gain, and both are estimates


def test_evaluation_is_deterministic_and_leaves_no_trace(model: LatentModel, x: torch.Tensor) -> None:
    before = torch.get_rng_state()
    model.train()
    assert evaluate(model, x, 5) == evaluate(model, x, 5)
    assert model.training
    assert torch.equal(before, torch.get_rng_state())


def test_a_collapsed_model_is_seen() -> None:
    model = LatentModel(Flat(4), Gaussian(), Mlp(8)).setup((3,))
    with torch.no_grad():
        model.latent.posterior.head.weight.zero_()
    x = torch.randn(300, 3)
    level = levels(model, x)[0]
    assert not level.active.any()
    assert level.nats is not None
    assert level.nats.max() < 1e-6
    value, error = mutual_information(model, x)
    assert abs(value) < 1e-5
    assert error < 1e-5


def test_mutual_information_of_separate_codes() -> None:
    model = LatentModel(Flat(1), Gaussian(), Mlp(8)).setup((1,))
    head = model.latent.posterior.head
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(torch.tensor([0.0, -8.0]))
    model.encoder = torch.nn.Sequential(torch.nn.Linear(1, 8))
    with torch.no_grad():
        model.encoder[0].weight.fill_(1.0)
        model.encoder[0].bias.zero_()
        head.weight[0].fill_(1.0)
    value, _ = mutual_information(model, torch.arange(200.0)[:, None])
    assert value == pytest.approx(math.log(200), abs=1e-3)


def test_an_autoencoder_has_no_bound(x: torch.Tensor) -> None:
    model = LatentModel(Flat(2, posterior=Point()), Gaussian(), Mlp(16))
    fit(model, Elbo(), x, epochs=2)
    assert set(evaluate(model, x).metrics) == {"reconstruction", "active_units"}


def test_levels_are_listed_from_the_top(x: torch.Tensor) -> None:
    model = LatentModel(Ladder((2, 3), width=16), Gaussian(), Mlp(16))
    fit(model, Elbo(), x, epochs=2)
    found = evaluate(model, x, 5)
    assert [len(level.active) for level in found.levels] == [2, 3]
    assert [level.measure for level in found.levels] == ["kl", "kl"]
    assert sum(v for level in found.levels for v in level.nats or []) == pytest.approx(
        found.metrics["kl"].value, rel=0.05
    )


@pytest.mark.parametrize("prior", [Mixture(4), Mixture(4, "full"), Flow(), Vamp(20)], ids=repr)
def test_an_ex_post_prior_tightens_the_bound(x: torch.Tensor, prior) -> None:
    model = LatentModel(Flat(3), Gaussian(), Mlp(32))
    blobs = torch.cat((x[:200] - 6, x[200:] + 6))
    fit(model, Elbo(beta=0.2), blobs, epochs=60, average=0.0)
    before, decoder = evaluate(model, blobs, 20).metrics, [p.clone() for p in model.decoder.parameters()]
    history = fit_prior(model, blobs, prior, epochs=60, learning_rate=0.005)
    after = evaluate(model, blobs, 20).metrics
    assert history["loss"][-1] <= history["loss"][0] + 0.05
    assert after["bound"].value > before["bound"].value
    assert after["reconstruction"].value == pytest.approx(before["reconstruction"].value, rel=1e-3)
    assert all(torch.equal(a, b) for a, b in zip(decoder, model.decoder.parameters(), strict=True))
    assert all(p.requires_grad for p in model.parameters())


def test_an_autoencoder_gains_a_prior(x: torch.Tensor) -> None:
    model = LatentModel(Flat(2, posterior=Point()), Gaussian(), Mlp(32))
    fit(model, Elbo(), x, epochs=60)
    fit_prior(model, x, Mixture(5, "full"), epochs=5)
    samples = generate(model, 2000)
    assert (samples.mean(0) - x.mean(0)).abs().max() < 0.4 * x.std()
    with pytest.raises(UsageError, match="Vamp"):
        fit_prior(model, x, Vamp(5))


def test_exploring_shapes(model: LatentModel, x: torch.Tensor) -> None:
    assert reconstruct(model, x[:300]).shape == (300, 8)
    assert generate(model, 300).shape == (300, 8)
    way = interpolate(model, x[:2], x[2:4], 5)
    assert way.shape == (2, 5, 8)
    torch.testing.assert_close(way[:, 0], reconstruct(model, x[:2]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(way[:, -1], reconstruct(model, x[2:4]), rtol=1e-4, atol=1e-4)
    walk = traverse(model, x[:1], [(0, 1), (0, 4)], torch.linspace(-2, 2, 3))
    assert walk.shape == (2, 3, 8)
    assert plane(encode(model, x)[0]).shape == (400, 2)
    torch.testing.assert_close(decode(model, encode(model, x[:4])), reconstruct(model, x[:4]))


def test_a_traversal_is_measured_by_the_prior(x: torch.Tensor) -> None:
    model = LatentModel(Flat(3, prior=Mixture(2)), Gaussian(), Mlp(8)).setup((8,))
    with torch.no_grad():
        model.latent.prior.location.copy_(torch.tensor([[4.0, -1.0, 0.0], [6.0, -1.0, 0.0]]))
        model.latent.prior.log_scale.copy_(torch.tensor([[-3.0, 0.5, 1.0]] * 2))
    (centre, spread), *_ = prior_moments(model)
    torch.testing.assert_close(centre, torch.tensor([5.0, -1.0, 0.0]))
    torch.testing.assert_close(spread, torch.tensor([math.sqrt(math.exp(-6) + 1), math.exp(0.5), math.exp(1.0)]))
    code = encode(model, x[:1])[0].clone()
    code[0, 0] = 5.0 + 2 * spread[0]
    torch.testing.assert_close(traverse(model, x[:1], [(0, 0)], torch.tensor([2.0]))[0], decode(model, [code]))


@pytest.mark.parametrize("latent", [Flat(3, prior=Flow()), Ladder((2, 3))], ids=["flow", "ladder"])
def test_moments_of_a_prior_without_closed_form_are_those_of_its_draws(latent: Latent, x: torch.Tensor) -> None:
    model = LatentModel(latent, Gaussian(), Mlp(8)).setup((8,))
    found = prior_moments(model)
    draws = [node.z.flatten(0, -2) for node in model.imagine(20_000)]
    assert len(found) == len(draws)
    for (centre, spread), z in zip(found, draws, strict=True):
        torch.testing.assert_close(centre, z.mean(0), atol=0.15, rtol=0)
        torch.testing.assert_close(spread, z.std(0), atol=0, rtol=0.1)


def test_temperature_narrows_samples(model: LatentModel) -> None:
    assert generate(model, 500, temperature=0.1).std(0).mean() < generate(model, 500).std(0).mean()


def test_refusals(model: LatentModel, x: torch.Tensor) -> None:
    for wrong, words in (({"samples": 0}, "1 … 5000"), ({"samples": 5001}, "1 … 5000")):
        with pytest.raises(UsageError, match=words):
            evaluate(model, x, **wrong)
    with pytest.raises(DataError, match=r"shape \[8\]"):
        evaluate(model, x[:, :3])
    with pytest.raises(UsageError, match="no unit 9"):
        traverse(model, x[:1], [(0, 9)], torch.zeros(1))
    with pytest.raises(UsageError, match="at least 2"):
        interpolate(model, x[:1], x[:1], 1)
    with pytest.raises(UsageError, match="above 0"):
        generate(model, 1, temperature=0.0)
    with pytest.raises(UsageError, match="no weights yet: fit it first"):
        fit_prior(LatentModel(), x, Mixture())
