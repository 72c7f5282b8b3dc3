"""Grid: its numbers against a density that is known, and its terms against their formulas."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from lambent.metrics.bound import OF_A_UNIT, bounds, held
from lambent.model import LatentModel
from lambent.model.latents import Grid
from lambent.model.likelihoods import Bernoulli, Gaussian
from lambent.model.networks import Conv, ResNet
from lambent.model.priors import Flow, Mixture
from lambent.model.recomputing import recomputing
from lambent.model.trace import expected, first, fixed, from_posterior, from_prior, mean
from lambent.objectives import Elbo
from lambent.tasks import explore
from lambent.training.fitting import fit

Seed = Callable[[int], torch.Generator]
EVENT = (1, 8, 8)


@pytest.fixture
def pictures(device: torch.device) -> Tensor:
    return torch.rand(8, *EVENT, generator=torch.Generator().manual_seed(0)).round().to(device)


def away(model: LatentModel, size: float = 0.2) -> LatentModel:
    """Moved from its start, where many weights are nought."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.fixture
def grid(pictures: Tensor, device: torch.device) -> Callable[..., LatentModel]:
    def built(layers: str = "1x1 /4x1 /2x2", context: int = 0, moved: bool = True, **fields: Any) -> LatentModel:
        latent = Grid(layers, **{"channels": (2,), "width": (6, 5, 4), **fields})
        model = LatentModel(latent, Bernoulli(), Conv((4, 5), 8), context=context).setup(EVENT, pictures, 1)
        return (away(model) if moved else model).to(device)

    return built


Built = Callable[..., LatentModel]


# ---- a linear-Gaussian pyramid -----------------------------------------------------------------------------------

A, S, R = 0.8, 0.6, 0.7
ABOVE = 50.0  # added before each relu and taken off behind it, so that all is linear


def pyramid(device: torch.device) -> LatentModel:
    """z₁ [1, 1, 1] ~ N(0, 1), z₂ [1, 2, 2] ~ N(A z₁, S²), x [1, 4, 4] ~ N(z₂ enlarged, R²), and q the exact posterior.

    The state's first channel carries z₁, its second z₂.
    """
    latent = Grid("1x1 /2x1", channels=(1,), width=(2,), blocks=0, activation="relu")
    model = LatentModel(latent, Gaussian(scale="fixed", value=R), ResNet((1,), 1, 4, "relu", stem=2))
    model.setup((1, 4, 4), torch.zeros(4, 1, 4, 4), 0).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        _read(model)
        _infer(model.latent)
        _generate(model)
    return model.to(device)


def _read(model: LatentModel) -> None:
    """Features: the mean of each square of four pixels."""
    convolution = model.encoder.stages[0][0]
    convolution.weight[0, 0, 2:4, 2:4] = 0.25
    convolution.bias.fill_(ABOVE)


def _infer(latent: Grid) -> None:
    """q(z₁|x) from the mean of all pixels, q(z₂|z₁, x) from z₁ and the square's mean."""
    squares = S**2 + R**2 / 4  # the variance of a square's mean given z₁
    precision = 1 + 4 * A**2 / squares
    up, crown = latent.ups[0][0][1], latent.crown[0]
    up.weight[0, 0] = crown.weight[0, 0] = 1.0
    weight = 4 * A / squares / precision
    latent.posterior.head.weight[0, 0] = weight
    latent.posterior.head.bias.copy_(torch.tensor([-weight * ABOVE, -0.5 * math.log(precision)], dtype=torch.float64))
    precision = 1 / S**2 + 4 / R**2
    residue, reader = latent.residues[0], latent.readers[1]
    of_above, of_square = A * (1 / S**2 / precision - 1), 4 / R**2 / precision
    residue.state.weight[0, 0], reader.weight[0, 0] = of_above, of_square
    residue.state.bias.fill_(ABOVE)
    residue.inner.weight[0, 0, 1, 1] = residue.head.weight[0, 0] = 1.0
    residue.head.bias.copy_(
        torch.tensor([-ABOVE * (1 + of_above + of_square), -0.5 * math.log(precision * S**2)], dtype=torch.float64)
    )


def _generate(model: LatentModel) -> None:
    latent, decoder = model.latent, model.decoder
    latent.injections[0].weight[0, 0] = latent.injections[1].weight[1, 0] = 1.0
    latent.injections[0].bias.fill_(ABOVE)
    latent.entries[0][0].weight.copy_(torch.eye(2))
    latent.priors[0].weight[0, 0] = A
    latent.priors[0].bias.copy_(torch.tensor([-A * ABOVE, math.log(S)], dtype=torch.float64))
    decoder[0].weight[0, 1, 1, 1] = 1.0
    decoder[3].weight[0, 0, 1:3, 1:3] = 1.0
    decoder[3].bias.fill_(-ABOVE)


def log_evidence(x: Tensor) -> Tensor:
    """log p(x) of the pyramid: x = B z₂ + noise, z₂ = A z₁ + noise, all in one covariance."""
    enlarged = torch.zeros(16, 4, dtype=torch.float64)
    for pixel in range(16):
        enlarged[pixel, 2 * (pixel // 8) + pixel % 4 // 2] = 1.0
    of_maps = A**2 * torch.ones(4, 4, dtype=torch.float64) + S**2 * torch.eye(4)
    covariance = enlarged @ of_maps @ enlarged.T + R**2 * torch.eye(16)
    return MultivariateNormal(torch.zeros(16, dtype=torch.float64), covariance).log_prob(x.double().cpu().flatten(1))


@pytest.fixture
def measured(device: torch.device) -> Tensor:
    return torch.randn(20, 1, 4, 4, generator=torch.Generator().manual_seed(3)).to(device)


def test_under_the_exact_posterior_every_draw_gives_the_evidence(measured: Tensor, device: torch.device) -> None:
    model = pyramid(device)
    with torch.no_grad():
        trace = model.trace(measured, 7, from_posterior(torch.Generator(device).manual_seed(0)))
    evidence = log_evidence(measured)
    torch.testing.assert_close(trace.log_weight.cpu(), evidence.expand(7, -1), rtol=1e-6, atol=1e-6)
    found = bounds(model, measured, 16)
    torch.testing.assert_close(found.bound, evidence, rtol=1e-6, atol=1e-6)


def test_under_another_posterior_the_bound_is_below_and_rises_to_the_evidence(
    measured: Tensor, device: torch.device
) -> None:
    model = pyramid(device)
    with torch.no_grad():
        model.latent.posterior.head.bias += torch.tensor([0.4, 0.3], device=device)
        model.latent.residues[0].head.bias += torch.tensor([0.2, 0.3], device=device)
    evidence = log_evidence(measured)
    few, many = bounds(model, measured, 1), bounds(model, measured, 4096)
    assert float((evidence - few.elbo).mean()) > 0.3
    assert float((evidence - many.elbo).min()) > 0.3
    assert float((evidence - many.bound).abs().mean()) < 0.02


def test_generated_pictures_have_the_pyramids_own_covariance(device: torch.device) -> None:
    model = pyramid(device)
    with torch.no_grad():
        px = model.generate(40_000, from_prior(torch.Generator(device).manual_seed(1)))
    means = px.mean.flatten(1)
    for left, right, covariance in ((0, 1, A**2 + S**2), (0, 2, A**2), (0, 15, A**2)):
        assert float((means[:, left] * means[:, right]).mean()) == pytest.approx(covariance, abs=0.03)


# ---- its terms ---------------------------------------------------------------------------------------------------


def test_kl_of_a_group_is_that_of_its_elements_and_starts_at_nought(grid: Built, pictures: Tensor, seed: Seed) -> None:
    fresh = grid(moved=False).infer(pictures, 1, from_posterior(seed(0)))
    for node in fresh[1:]:
        torch.testing.assert_close(node.kl, torch.zeros_like(node.kl))
    model = grid()
    trace = model.trace(pictures, 2, from_posterior(seed(0)))
    total = torch.zeros(2, 8, device=pictures.device)
    for node in trace.nodes[1:]:
        q, p = (Normal(d.mean.flatten(2), d.variance.sqrt().flatten(2)) for d in (node.q, node.p))
        each = kl_divergence(q, p)
        torch.testing.assert_close(node.unit_kl, each, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(node.kl, each.sum(-1), rtol=1e-4, atol=1e-5)
        log_ratio = (Independent(p, 1).log_prob(node.z.flatten(2))) - Independent(q, 1).log_prob(node.z.flatten(2))
        torch.testing.assert_close(node.log_ratio, log_ratio, rtol=1e-3, atol=1e-3)
        total = total + each.sum(-1)
    assert float(total.detach().min()) > 0.5
    torch.testing.assert_close(trace.kl, total + trace.nodes[0].kl, rtol=1e-4, atol=1e-4)


def test_the_posterior_is_a_residual_around_the_prior(grid: Built, pictures: Tensor) -> None:
    """Where Δμ and log Δσ are set to (c, d), q = N(μ + c, (e^d σ)²) whatever the state and the features."""
    model = grid()
    with torch.no_grad():
        for residue in model.latent.residues:
            residue.head.weight.zero_()
            residue.head.bias.copy_(torch.tensor([0.5, 0.5, -0.2, -0.2]))
    for node in model.infer(pictures, 1, mean)[1:]:
        torch.testing.assert_close(node.q.mean, node.p.mean + 0.5)
        torch.testing.assert_close(node.q.variance, node.p.variance * math.exp(-0.4))


def test_every_group_below_sees_those_above_and_the_context(grid: Built, pictures: Tensor, seed: Seed) -> None:
    model = grid("1x1 /4x2 /2x1", context=2)
    context = torch.randn(8, 2, device=pictures.device)
    nodes = model.infer(pictures, 1, from_posterior(seed(0)), context)
    codes = [node.z[0] for node in nodes]
    for above in range(len(nodes) - 1):
        other = [code + (level == above) for level, code in enumerate(codes)]
        moved = model.imagine(8, fixed(*other), context)
        for below, (node, base) in enumerate(zip(moved, model.imagine(8, fixed(*codes), context), strict=True)):
            same = torch.equal(node.p.mean, base.p.mean)
            assert same == (below <= above or below == 0)
    for node, base in list(zip(model.imagine(8, fixed(*codes), context + 1), nodes, strict=True))[1:]:
        assert not torch.allclose(node.p.mean, base.p.mean)


def test_first_groups_from_q_and_the_rest_as_expected(grid: Built, pictures: Tensor) -> None:
    model = grid()
    whole = [node.z for node in model.infer(pictures, 1, mean)]
    for count in range(4):
        nodes = model.infer(pictures, 1, first(count, mean, expected))
        for level, (node, all_from_q) in enumerate(zip(nodes, whole, strict=True)):
            wanted = all_from_q if level < count else node.p.mean.expand_as(node.z)
            torch.testing.assert_close(node.z, wanted)


def test_levels_shown_are_decoded_from_so_many_levels(grid: Built, pictures: Tensor) -> None:
    model = grid()
    held = explore.levels_shown(model, pictures)
    assert explore.stages(model) == [1, 2, 3, 4]
    assert held.shape == (8, 4, *EVENT)
    assert torch.equal(held[:, -1], explore.reconstruct(model, pictures))
    top = model.infer(pictures, 1, first(1, mean, expected))
    assert torch.equal(held[:, 0], explore.decode(model, [node.z[0] for node in top]))
    for node in top[1:]:
        torch.testing.assert_close(node.z, node.p.mean.expand_as(node.z))
    alone = explore.levels_shown(model, pictures[3:4], counts=[2])
    torch.testing.assert_close(alone[0, 0], held[3, 1])
    assert explore.stages(model, 2) == [1, 4]


def test_free_nats_of_a_group_cost_the_same_as_none(grid: Built, pictures: Tensor, seed: Seed) -> None:
    model = away(grid(moved=False).cpu(), 0.05).to(pictures.device)
    trace = model.trace(pictures, 1, from_posterior(seed(0)))
    order = sorted(trace.nodes, key=lambda node: float(node.kl.detach().mean()))
    free = float(order[1].kl.detach().mean()) + 1e-4  # two of the four lie below
    rows = Elbo(free_group=free)(model, pictures, seed(0)).rows
    torch.testing.assert_close(rows, (2 * free + order[2].kl + order[3].kl - trace.log_px)[0])
    everything = Elbo(free_group=1e4)(model, pictures, seed(0)).rows
    torch.testing.assert_close(everything, 4e4 - trace.log_px[0])


def test_recomputed_blocks_give_the_same_gradient(grid: Built, pictures: Tensor, seed: Seed) -> None:
    model, found = grid(), []
    for again in (False, True):
        model.zero_grad()
        with recomputing(again):
            Elbo()(model, pictures, seed(0)).rows.sum().backward()
        found.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert len(found[0]) == len(found[1])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


# ---- with other parts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prior", [Mixture(3), Flow(1, 4)], ids=["Mixture", "Flow"])
def test_the_top_takes_any_prior(prior: Any, grid: Built, pictures: Tensor, seed: Seed) -> None:
    model = grid("/4x1 /2x1", prior=prior)
    node = model.infer(pictures, 3, from_posterior(seed(0)))[0]
    assert node.z.shape == (3, 8, 2, 2, 2)
    torch.testing.assert_close(node.kl, -node.log_ratio)
    assert model.imagine(5, from_prior(seed(0)))[0].z.shape == (1, 5, 2, 2, 2)


def test_it_learns_stripes(device: torch.device) -> None:
    """Pictures of one bit each: log 2 nats, and 44 to a model without a code."""
    stripes = torch.zeros(64, *EVENT)
    stripes[:32, :, ::2] = 1.0
    stripes[32:, :, 1::2] = 1.0
    model = LatentModel(Grid("1x1 /2x1", channels=(2,), width=(8,)), Bernoulli(), Conv((8, 8), 8))
    fit(
        model, Elbo(), stripes, epochs=60, batch=32, learning_rate=1e-2, average=0.9, precision="fp32",
        device=device.type,
    )  # fmt: skip
    assert math.log(2) - 0.05 < -float(bounds(model, stripes, 64).bound.mean()) < 4


# ---- memory of its bounds ----------------------------------------------------------------------------------------


def test_memory_of_evaluation_counts_the_widest_map_that_each_code_has() -> None:
    latent = Grid("1x1 /2x1", channels=(2,), width=(4, 48), squeeze=0.5)
    model = LatentModel(latent, Bernoulli(), Conv((4, 5), 8)).setup(EVENT)
    assert held(model) == 48 * 4 * 4  # the state at the finest level; no layer of the decoder has as many numbers
    wide = LatentModel(Grid("/2x9", channels=(8,), width=(4,)), Bernoulli(), Conv((4, 5), 8)).setup(EVENT)
    assert held(wide) == OF_A_UNIT * 9 * 8 * 4 * 4  # what the nodes of all groups keep till the end


def test_a_chunk_of_many_samples_stays_within_its_numbers(pictures: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    latent = Grid("1x1 /2x1", channels=(2,), width=(4, 48))
    model = away(LatentModel(latent, Bernoulli(), Conv((4, 5), 8)).setup(EVENT))
    monkeypatch.setattr("lambent.metrics.bound.BUDGET", 100 * held(model))
    whole = 0

    def look(_: object, __: object, out: object) -> None:
        nonlocal whole
        if isinstance(out, Tensor):
            whole = max(whole, out.numel())

    for layer in model.latent.modules():
        layer.register_forward_hook(look)
    bounds(model, pictures.cpu(), 1000)
    assert whole <= 100 * held(model)
