"""Distributions over codes: closed divergences against Monte Carlo, densities against their integral and their samples."""

import math
from collections.abc import Callable

import pytest
import torch
import zuko
from scipy import stats
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal
from torch.distributions.kl import _KL_REGISTRY

from lambent.distributions import (
    Delta,
    DiagonalNormal,
    FromNoise,
    FullNormal,
    NormalMixture,
    PowerSpherical,
    QuantizedMap,
    StandardNormal,
    UniformSphere,
    sample,
)
from lambent.distributions.divergences import closed_kl, unit_kl
from lambent.distributions.flows import FlowNormal
from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import Gaussian
from lambent.model.networks import Mlp
from lambent.model.posteriors import Flow as FlowPosterior
from lambent.model.posteriors import Posterior
from lambent.model.priors import Prior
from lambent.objectives import Elbo, Objective
from lambent.objectives.bounds import Iwae
from lambent.part import Spec

Seed = Callable[[int], torch.Generator]


def gaussian(kind: type[Distribution], number: int, size: int, device: torch.device, batch: int = 2) -> Distribution:
    """A random distribution of that class over vectors, in float64; a new class must be added here."""
    generator = torch.Generator().manual_seed(number)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(device)

    location, log_scale = noise(batch, size), 0.5 * noise(batch, size)
    if kind is StandardNormal:
        return StandardNormal(size, location)
    if kind is DiagonalNormal:
        return DiagonalNormal(location, log_scale)
    if kind is FullNormal:
        return FullNormal(location, noise(batch, size, size).tril(-1) + torch.diag_embed(log_scale.exp()))
    if kind is UniformSphere:
        return UniformSphere(size, location)
    if kind is PowerSpherical:
        return PowerSpherical(torch.nn.functional.normalize(location, dim=-1), 1 + log_scale[:, 0])
    if kind is Delta:
        return Delta(location)
    if kind is NormalMixture:
        return NormalMixture(noise(batch), DiagonalNormal(location, log_scale))
    raise AssertionError(f"{kind.__name__} cannot be built in this test: add it")


# Of entries of a codebook: see test_codebook.py.
PAIRS = [(q, p) for q, p in _KL_REGISTRY if q.__module__.startswith("lambent.") and q not in (Delta, QuantizedMap)]


@pytest.mark.parametrize(("q", "p"), PAIRS, ids=[f"{q.__name__}-{p.__name__}" for q, p in PAIRS])
@pytest.mark.parametrize("number", range(3))
def test_closed_kl_is_the_mean_log_ratio(
    q: type[Distribution], p: type[Distribution], number: int, device: torch.device, seed: Seed
) -> None:
    left, right = gaussian(q, number, 3, device), gaussian(p, number + 100, 3, device)
    z = sample(left, (40_000,), seed(number))
    ratio = left.log_prob(z) - right.log_prob(z)
    error = ratio.std(0) / math.sqrt(len(z))
    assert ((closed_kl(left, right) - ratio.mean(0)).abs() < 5 * error).all()


@pytest.mark.parametrize("p", [StandardNormal, DiagonalNormal, NormalMixture])
def test_a_point_pays_no_kl(p: type[Distribution], device: torch.device) -> None:
    kl = closed_kl(gaussian(Delta, 0, 3, device), gaussian(p, 1, 3, device))
    assert torch.equal(kl, torch.zeros(2, dtype=torch.float64, device=device))


@pytest.mark.parametrize("p", [StandardNormal, DiagonalNormal])
def test_kl_of_units_sums_to_the_kl(p: type[Distribution], device: torch.device) -> None:
    left, right = gaussian(DiagonalNormal, 0, 4, device), gaussian(p, 1, 4, device)
    units = unit_kl(left, right)
    assert units.shape == (2, 4)
    assert (units >= 0).all()
    torch.testing.assert_close(units.sum(-1), closed_kl(left, right))
    assert unit_kl(gaussian(FullNormal, 0, 4, device), right) is None


def test_kl_to_itself_is_nought(device: torch.device) -> None:
    for number in range(5):
        q = gaussian(DiagonalNormal, number, 4, device)
        torch.testing.assert_close(closed_kl(q, q), torch.zeros(2, dtype=torch.float64, device=device))
    still = DiagonalNormal(torch.zeros(2, 4), torch.zeros(2, 4))
    assert torch.equal(closed_kl(still, StandardNormal(4, torch.zeros(1))), torch.zeros(2))


def test_unknown_pairs_fall_back_to_monte_carlo(device: torch.device) -> None:
    q = gaussian(DiagonalNormal, 0, 3, device)
    assert closed_kl(q, gaussian(NormalMixture, 1, 3, device)) is None
    assert closed_kl(q, gaussian(NormalMixture, 1, 3, device)) is None  # the second time it is remembered


def test_gaussians_agree_with_torch(device: torch.device) -> None:
    value = torch.randn(7, 2, 3, dtype=torch.float64, device=device)
    diagonal, full = (gaussian(kind, 3, 3, device) for kind in (DiagonalNormal, FullNormal))
    ours_and_theirs = [
        (diagonal, MultivariateNormal(diagonal.location, scale_tril=torch.diag_embed(diagonal.log_scale.exp()))),
        (full, MultivariateNormal(full.location, scale_tril=full.factor)),
    ]
    for ours, theirs in ours_and_theirs:
        torch.testing.assert_close(ours.log_prob(value), theirs.log_prob(value))
        torch.testing.assert_close(ours.entropy(), theirs.entropy())
        torch.testing.assert_close(ours.variance, theirs.variance)
        torch.testing.assert_close(ours.detached().log_prob(value), ours.log_prob(value))


@pytest.mark.parametrize(
    "kind", [StandardNormal, DiagonalNormal, FullNormal, NormalMixture, UniformSphere, PowerSpherical]
)
def test_samples_have_the_moments(kind: type[Distribution], device: torch.device, seed: Seed) -> None:
    d = gaussian(kind, 5, 3, device)
    z = sample(d, (40_000,), seed(0))
    error = d.variance.sqrt() / 200
    assert ((z.mean(0) - d.mean).abs() < 5 * error).all()
    torch.testing.assert_close(z.var(0), d.variance.expand_as(z.var(0)), rtol=0.06, atol=0)


# ---- learned densities -------------------------------------------------------------------------------------------


def learned(spec: Spec, size: int, device: torch.device) -> Distribution:
    """A prior of that description after setup, moved away from its start; Vamp's posteriors are a fixed linear map."""
    torch.manual_seed(4)
    prior = Prior.from_spec(spec)
    prior.setup((size,), torch.randn(20, 2 * size))
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    prior.double().to(device)
    return prior(lambda rows: DiagonalNormal(rows[..., :size], 0.5 * rows[..., size:]))


def bent(spec: Spec, size: int, device: torch.device, moved: float = 0.3) -> Distribution | None:
    """A posterior of that description for one row of features, a flow moved away from its start."""
    torch.manual_seed(4)
    posterior = Posterior.from_spec(spec)
    posterior.setup((6,), (size,))
    with torch.no_grad():
        for name, parameter in posterior.named_parameters():
            parameter.add_(moved * torch.randn_like(parameter) if name.startswith("bend.") else 0.0)
    if not posterior.density:
        return None
    q: Distribution = posterior.double().to(device)(torch.randn(6, dtype=torch.float64).to(device))
    return q


def integral(
    d: Distribution, size: int, device: torch.device, support: str | None = "space", reach: float = 14.0
) -> Tensor:
    """Over a wide grid, by even steps; of what lies on the sphere, over the circle, or its two points."""
    if support == "sphere":
        angles = torch.arange(4000 if size == 2 else 2, dtype=torch.float64, device=device) * math.pi
        angles = angles / 2000 if size == 2 else angles
        circle = torch.stack((angles.cos(), angles.sin()), -1)[:, :size]
        return d.log_prob(circle).detach().exp().sum() * (2 * math.pi / 4000 if size == 2 else 1.0)
    points = 5601 if size == 1 else 561  # 1 is a whole number of steps: the edges of boxes cut none
    axis = torch.linspace(-reach, reach, points, dtype=torch.float64, device=device)
    grid = torch.stack(torch.meshgrid(*[axis] * size, indexing="ij"), -1).reshape(-1, size)
    with torch.no_grad():
        return d.log_prob(grid).exp().sum() * float(axis[1] - axis[0]) ** size


@pytest.mark.parametrize("size", [1, 2])
def test_every_prior_integrates_to_one(any_vector_prior_spec: Spec, size: int, device: torch.device) -> None:
    support = Prior.from_spec(any_vector_prior_spec).support
    reach = 100.0 if any_vector_prior_spec["type"] == "Factorized" else 14.0  # the tails of logistics are long
    total = integral(learned(any_vector_prior_spec, size, device), size, device, support, reach)
    assert abs(float(total) - 1) < 2e-3


@pytest.mark.parametrize("size", [1, 2])
def test_every_posterior_integrates_to_one(any_posterior_spec: Spec, size: int, device: torch.device) -> None:
    support = Posterior.from_spec(any_posterior_spec).support
    if support == "sphere" and size == 1:
        pytest.skip("one unit has two directions, and no density between them")
    q = bent(any_posterior_spec, size, device)
    if q is None:
        pytest.skip("a point has no density")
    assert abs(float(integral(q, size, device, support)) - 1) < 2e-3


def test_draws_of_every_prior_follow_its_density(any_vector_prior_spec: Spec, device: torch.device, seed: Seed) -> None:
    """In one dimension: the share of draws below each point against the integral up to it."""
    if Prior.from_spec(any_vector_prior_spec).support == "sphere":
        pytest.skip("one dimension holds two points of it: see test_sphere.py")
    p = learned(any_vector_prior_spec, 1, device)
    axis = torch.linspace(-20, 20, 200_001, dtype=torch.float64, device=device)
    with torch.no_grad():
        below = torch.cumsum(p.log_prob(axis.unsqueeze(-1)).exp(), 0) * float(axis[1] - axis[0])
        z = sample(p, (5000,), seed(0)).flatten()
    place = torch.searchsorted(axis, z).clamp_max(len(axis) - 1)
    assert stats.kstest(below[place].cpu().numpy(), "uniform").pvalue > 1e-4


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("coupling", ["affine", "spline"])
def test_density_of_a_flow_draw_is_the_same_remembered_and_recomputed(
    size: int, coupling: str, device: torch.device, seed: Seed
) -> None:
    spec = {"type": "Flow", "transforms": 2, "width": 8, "coupling": coupling}
    for d, shape in ((learned(spec, size, device), (3, 7)), (bent(spec, size, device), (4,))):
        assert isinstance(d, FlowNormal)
        z = sample(d, shape, seed(1))
        torch.testing.assert_close(d.log_prob(z), d.log_prob(z.clone()), rtol=0, atol=1e-9)
        other = sample(d, shape, seed(2))
        torch.testing.assert_close(d.log_prob(z), d.log_prob(z.clone()), rtol=0, atol=1e-9)
        assert not torch.allclose(d.log_prob(other), d.log_prob(z))


@pytest.mark.parametrize("objective", [Elbo(), Iwae(3), Iwae(1)], ids=["Elbo", "Iwae 3", "Iwae 1"])
def test_a_training_step_never_takes_a_flow_back(
    objective: Objective, monkeypatch: pytest.MonkeyPatch, device: torch.device, seed: Seed
) -> None:
    posterior = FlowPosterior(1, 4)
    model = LatentModel(Flat(3, posterior=posterior), Gaussian(), Mlp(4, 1)).setup((2,)).to(device)
    x = torch.randn(5, 2, device=device)
    back = zuko.transforms.AutoregressiveTransform
    whole = objective(model, x, seed(0)).rows
    monkeypatch.delattr(back, "_inverse")
    torch.testing.assert_close(objective(model, x, seed(0)).rows, whole)


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("coupling", ["affine", "spline"])
def test_a_flow_posterior_starts_straight(coupling: str, size: int, device: torch.device) -> None:
    q = bent({"type": "Flow", "coupling": coupling}, size, device, moved=0.0)
    assert isinstance(q, FlowNormal)
    value = torch.randn(6, size, dtype=torch.float64, device=device)
    torch.testing.assert_close(q.log_prob(value), q.base.log_prob(value))


@pytest.mark.parametrize("components", ["diagonal", "full"])
def test_mixture_density_is_the_weighted_sum(components: str, device: torch.device) -> None:
    kind = DiagonalNormal if components == "diagonal" else FullNormal
    parts = gaussian(kind, 8, 3, device, batch=4)
    logits = torch.tensor([0.1, -1.0, 2.0, 0.0], dtype=torch.float64, device=device)
    value = torch.randn(5, 6, 3, dtype=torch.float64, device=device)
    each = parts.log_prob(value.unsqueeze(-2)).exp()
    expected = (each * torch.softmax(logits, 0)).sum(-1).log()
    torch.testing.assert_close(NormalMixture(logits, parts).log_prob(value), expected)


def components(kind: type[Distribution], batch: tuple[int, ...], device: torch.device) -> FromNoise:
    """Eight Gaussians over three units, in batches of `batch`."""
    flat = gaussian(kind, 8, 3, device, batch=8)
    parts = type(flat)(*(t.unflatten(0, (*batch, -1)) for t in vars(flat).values() if isinstance(t, torch.Tensor)))
    assert isinstance(parts, FromNoise)
    return parts


@pytest.mark.parametrize("batch", [(), (2,)])
@pytest.mark.parametrize("kind", [DiagonalNormal, FullNormal])
def test_density_under_each_component_is_the_generic_one(
    kind: type[Distribution], batch: tuple[int, ...], device: torch.device
) -> None:
    parts = components(kind, batch, device)
    value = torch.randn(5, 6, *batch, 3, dtype=torch.float64, device=device)
    torch.testing.assert_close(parts.log_prob_each(value), FromNoise.log_prob_each(parts, value))


@pytest.mark.parametrize("batch", [(), (2,)])
@pytest.mark.parametrize("kind", [DiagonalNormal, FullNormal])
def test_draw_of_a_chosen_component_is_the_generic_one(
    kind: type[Distribution], batch: tuple[int, ...], device: torch.device
) -> None:
    parts = components(kind, batch, device)
    chosen = torch.randint(parts.batch_shape[-1], (5, 6, *batch), device=device)
    noise = parts.noise((5, 6, *batch, 3))
    found = parts.from_noise_of(chosen, noise)
    every = parts.from_noise(noise.unsqueeze(-2).expand(5, 6, *parts.batch_shape, 3))
    torch.testing.assert_close(found, FromNoise.from_noise_of(parts, chosen, noise))
    where = (2, 3, *(1 for _ in batch))
    torch.testing.assert_close(found[where], every[where][chosen[where]])


def test_sharp_components_far_from_nought_keep_their_density(device: torch.device) -> None:
    # Multiplied out, z²/σ² and μ²/σ² are 10⁵ times their difference: float32 alone would lose it.
    location = 3 + torch.randn(7, 40, device=device, dtype=torch.float64)
    exact = DiagonalNormal(location, torch.full_like(location, -4.0))
    value = exact.location + exact.scale * torch.randn(9, 7, 40, device=device, dtype=torch.float64)
    single = DiagonalNormal(exact.location.float(), exact.log_scale.float())
    expected = DiagonalNormal(single.location.double(), exact.log_scale).log_prob_each(value.float().double())
    found = single.log_prob_each(value.float())
    torch.testing.assert_close(found, expected.float(), rtol=1e-6, atol=0)


def test_sharp_correlated_components_far_from_nought_keep_their_density(device: torch.device) -> None:
    location = 3 + torch.randn(7, 40, device=device, dtype=torch.float64)
    shape = torch.eye(40, device=device, dtype=torch.float64) + 0.1 * torch.randn(
        7, 40, 40, device=device
    ).double().tril(-1)
    exact = FullNormal(location, math.exp(-4) * shape)
    value = exact.from_noise(torch.randn(9, 7, 40, device=device, dtype=torch.float64))
    single = FullNormal(exact.location.float(), exact.factor.float())
    expected = FullNormal(single.location.double(), single.factor.double()).log_prob_each(value.float().double())
    torch.testing.assert_close(single.log_prob_each(value.float()), expected.float(), rtol=1e-5, atol=0)


def test_mixture_chooses_components_by_weight(device: torch.device, seed: Seed) -> None:
    location = torch.tensor([[-50.0], [0.0], [50.0]], device=device)
    logits = torch.tensor([0.2, 0.7, 0.1], device=device).log()
    z = sample(NormalMixture(logits, DiagonalNormal(location, torch.zeros_like(location))), (20_000,), seed(0))
    shares = torch.stack([(z < -25).float().mean(), ((z > -25) & (z < 25)).float().mean(), (z > 25).float().mean()])
    assert ((shares - logits.exp()).abs() < 5 * (logits.exp() / 20_000).sqrt()).all()


# ---- temperature -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0, 2.0])
def test_temperature_multiplies_the_noise(temperature: float, device: torch.device, seed: Seed) -> None:
    for kind in (StandardNormal, DiagonalNormal, FullNormal):
        d = gaussian(kind, 1, 3, device)
        assert isinstance(d, FromNoise)
        noise = d.noise((9, *d.batch_shape, 3), seed(0))
        torch.testing.assert_close(sample(d, (9,), seed(0), temperature), d.from_noise(temperature * noise))


def test_temperature_of_a_mixture_leaves_the_choice_alone(device: torch.device, seed: Seed) -> None:
    d = gaussian(NormalMixture, 1, 3, device)
    cold = sample(d, (50,), seed(0), 0.0)
    away = (cold.unsqueeze(1) - d.components.location).abs().sum(-1).amin(1)
    assert float(away.max()) == 0.0
    assert len(cold.unique(dim=0)) == 2
    warm = sample(d, (50,), seed(0), 1.0)
    torch.testing.assert_close(sample(d, (50,), seed(0), 0.5), cold + 0.5 * (warm - cold))
