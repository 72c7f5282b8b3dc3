"""Distributions over unit vectors, against their integrals, scipy's distributions, and each other."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

from lambent.distributions import PowerSpherical, UniformSphere, sample
from lambent.distributions.divergences import closed_kl
from lambent.distributions.sphere import _gamma_quantile, log_area
from lambent.errors import UsageError
from lambent.metrics.bound import bounds
from lambent.metrics.collapse import levels
from lambent.metrics.directions import summed_covariance
from lambent.model import LatentModel
from lambent.model.latents import Flat, Ladder
from lambent.model.likelihoods import Gaussian
from lambent.model.networks import Mlp
from lambent.model.posteriors import MisesFisher
from lambent.model.priors import Sphere, Vamp
from lambent.model.trace import from_prior
from lambent.objectives import Elbo, Iwae
from lambent.tasks.explore import traverse
from lambent.training.fitting import fit

Seed = Callable[[int], torch.Generator]


def direction(size: int, device: torch.device, number: int = 0) -> Tensor:
    made = torch.randn(size, generator=torch.Generator().manual_seed(number), dtype=torch.float64)
    return torch.nn.functional.normalize(made, dim=0).to(device)


def spherical(size: int, concentration: float, device: torch.device) -> PowerSpherical:
    log_concentration = torch.tensor(math.log(concentration), dtype=torch.float64, device=device)
    return PowerSpherical(direction(size, device), log_concentration)


def test_areas_are_those_of_the_circle_and_the_sphere() -> None:
    assert [math.exp(log_area(d)) for d in (1, 2, 3, 4)] == pytest.approx([2, 2 * math.pi, 4 * math.pi, 2 * math.pi**2])
    assert float(UniformSphere(3, torch.zeros(0)).log_prob(torch.eye(3))[0]) == pytest.approx(-math.log(4 * math.pi))


@pytest.mark.parametrize("size", [2, 3, 11, 40])
@pytest.mark.parametrize("concentration", [0.2, 3.0, 50.0, 4000.0])
def test_the_density_integrates_to_one(size: int, concentration: float, device: torch.device) -> None:
    """∫ p(t) |S^(d−2)| (1 − t²)^((d−3)/2) dt = 1 over the cosine t = μᵀz: by the angle, t = cos φ."""
    d = spherical(size, concentration, device)
    across = direction(size, device, 1)
    across = torch.nn.functional.normalize(across - d.location * (across @ d.location), dim=0)

    def at(angle: float) -> float:
        z = math.cos(angle) * d.location + math.sin(angle) * across
        return math.exp(float(d.log_prob(z)) + log_area(size - 1)) * math.sin(angle) ** (size - 2)

    narrow = min(math.pi, 40 / math.sqrt(concentration))
    whole = integrate.quad(at, 0, narrow, limit=400)[0] + integrate.quad(at, narrow, math.pi)[0]
    assert whole == pytest.approx(1, rel=1e-6)


def test_of_the_circle_a_power_of_one_is_the_cardioid(device: torch.device) -> None:
    """κ = 1 in two dimensions: (1 + cos φ) / 2π."""
    d = PowerSpherical(torch.tensor([1.0, 0.0], dtype=torch.float64, device=device), torch.zeros((), device=device))
    for angle in (0.0, 1.0, -2.5):
        z = torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64, device=device)
        assert float(d.log_prob(z)) == pytest.approx(math.log((1 + math.cos(angle)) / (2 * math.pi)))


@pytest.mark.parametrize("size", [2, 5, 40])
@pytest.mark.parametrize("concentration", [0.5, 10.0, 1000.0])
def test_draws_are_of_length_one_with_the_cosine_of_the_beta_distribution(
    size: int, concentration: float, device: torch.device, seed: Seed
) -> None:
    d = spherical(size, concentration, device)
    z = sample(d, (20_000,), seed(0))
    torch.testing.assert_close(z.norm(dim=-1), torch.ones(20_000, dtype=torch.float64, device=device))
    half = 0.5 * (size - 1)
    cosine = ((1 + z @ d.location) / 2).cpu().numpy()
    assert stats.kstest(cosine, stats.beta(half + concentration, half).cdf).pvalue > 1e-3
    error = d.variance.sqrt() / math.sqrt(20_000)
    assert ((z.mean(0) - d.mean).abs() < 5 * error).all()
    across = z - (z @ d.location).unsqueeze(-1) * d.location  # even about the axis
    assert (across.mean(0).abs() < 5 * error).all()


@pytest.mark.parametrize("size", [2, 5, 40])
@pytest.mark.parametrize("concentration", [1e-3, 2.0, 300.0])
def test_the_kl_to_the_uniform_one_in_closed_form(
    size: int, concentration: float, device: torch.device, seed: Seed
) -> None:
    q, p = spherical(size, concentration, device), UniformSphere(size, torch.zeros(0, device=device))
    z = sample(q, (40_000,), seed(1))
    ratio = q.log_prob(z) - p.log_prob(z)
    kl = closed_kl(q, p)
    assert kl is not None
    assert float((kl - ratio.mean()).abs()) < 5 * float(ratio.std()) / 200 + 1e-9
    assert float(kl) >= -1e-12
    if concentration < 0.01:  # nearly uniform: nearly nothing
        assert float(kl) < 1e-5


def test_the_kl_by_hand(device: torch.device) -> None:
    """Of the cardioid (1 + cos φ)/2π on the circle: ∫ p log(2π p) = 1 − log 2."""
    q = PowerSpherical(torch.tensor([0.0, 1.0], dtype=torch.float64, device=device), torch.zeros((), device=device))
    kl = closed_kl(q, UniformSphere(2, torch.zeros(0, device=device)))
    assert kl is not None
    assert float(kl) == pytest.approx(1 - math.log(2), rel=1e-6)


def test_float32_keeps_the_digits_of_narrow_bumps(device: torch.device, seed: Seed) -> None:
    wide = spherical(40, 1e5, device)
    z = sample(wide, (1000,), seed(0))
    narrow = PowerSpherical(wide.location.float(), wide.log_concentration.float())
    error = (narrow.log_prob(z.float()).double() - wide.log_prob(z)).abs().max()
    assert float(error) < 0.02  # of a log density of some 180 nats
    assert float((narrow.entropy().double() - wide.entropy()).abs()) < 1e-3


@pytest.mark.parametrize("shape", [0.5, 0.7, 1.0, 3.0, 40.0, 1e4, 1e6])
def test_gamma_numbers_are_the_quantiles(shape: float) -> None:
    normal = torch.linspace(-6.5, 6.5, 53, dtype=torch.float64)
    found = _gamma_quantile(torch.full_like(normal, shape), normal).numpy()
    lower = stats.gamma.ppf(stats.norm.cdf(normal), shape)
    upper = stats.gamma.isf(stats.norm.sf(normal), shape)
    np.testing.assert_allclose(found, np.where(normal < 0, lower, upper), rtol=1e-9)


def test_the_gradient_of_a_draw_is_the_slope_of_the_quantile(device: torch.device) -> None:
    normal = torch.linspace(-3, 3, 13, dtype=torch.float64, device=device)
    for shape in (0.8, 5.0, 200.0):
        leaf = torch.full_like(normal, shape).requires_grad_()
        slope = torch.autograd.grad(_gamma_quantile(leaf, normal).sum(), leaf)[0]
        step = 1e-4 * shape
        up, down = (_gamma_quantile(torch.full_like(normal, shape + s), normal) for s in (step, -step))
        torch.testing.assert_close(slope, (up - down) / (2 * step), rtol=2e-3, atol=1e-5)


def test_the_mean_of_a_linear_function_has_the_known_gradient(device: torch.device, seed: Seed) -> None:
    """E[aᵀz] = κ / (d − 1 + κ) aᵀμ: its derivative for log κ is κ (d − 1) / (d − 1 + κ)² aᵀμ."""
    size, log_concentration = 6, torch.tensor(1.0, dtype=torch.float64, device=device, requires_grad=True)
    location, along = direction(size, device), direction(size, device, 1)
    z = PowerSpherical(location, log_concentration).rsample((200_000,), seed(0))
    found = torch.autograd.grad((z @ along).mean(), log_concentration)[0]
    kappa = math.e
    expected = kappa * (size - 1) / (size - 1 + kappa) ** 2 * float(location @ along)
    assert float(found) == pytest.approx(expected, abs=4e-3)


def test_covariances_are_those_of_the_draws(device: torch.device, seed: Seed) -> None:
    d = spherical(4, 5.0, device)
    batch = PowerSpherical(d.location.unsqueeze(0), d.log_concentration.unsqueeze(0))
    z = sample(d, (200_000,), seed(2))
    torch.testing.assert_close(summed_covariance(batch, 3) / 3, torch.cov(z.T).cpu(), rtol=0, atol=2e-3)
    torch.testing.assert_close(summed_covariance(batch, 1).diagonal(), d.variance.cpu())


# ---- in a model --------------------------------------------------------------------------------------------------


def on_the_circle(device: torch.device, seed: Seed, rows: int = 512) -> Tensor:
    angles = 2 * math.pi * torch.rand(rows, generator=seed(0), device=device)
    clean = torch.stack((angles.cos(), angles.sin()), -1)
    return 3 * clean + 0.1 * torch.randn(rows, 2, generator=seed(1), device=device)


def test_a_circle_is_learned_and_its_evidence_reached(device: torch.device, seed: Seed) -> None:
    """Rows on a circle of radius 3 with noise 0.1: log p(x) of that process is known, and no bound of ours lies above it."""
    x = on_the_circle(device, seed)
    model = LatentModel(Flat(2, Sphere(), MisesFisher()), Gaussian(), Mlp(32, 2)).setup((2,), x).to(device)
    fit(model, Elbo(anneal="linear"), x, epochs=200, batch=64, learning_rate=5e-3, precision="fp32", device=device.type)
    test = on_the_circle(device, lambda number: seed(number + 50))
    radius = test.double().norm(dim=-1).cpu()
    angles = torch.linspace(0, 2 * math.pi, 4001, dtype=torch.float64)[:-1]
    squares = radius.unsqueeze(-1).square() + 9 - 6 * radius.unsqueeze(-1) * angles.cos()
    evidence = torch.logsumexp(-squares / 0.02, -1) - math.log(4000) - math.log(2 * math.pi * 0.01)
    found = bounds(model, test, 200)
    assert float(found.elbo.mean()) <= float(evidence.mean()) + 0.02
    assert float(found.bound.mean()) <= float(evidence.mean()) + 0.02
    assert float(found.bound.mean()) > float(evidence.mean()) - 0.3
    assert float(found.kl.mean()) > 1.5  # that the circle is 2π long and its noise 0.033 wide
    usage = levels(model, test)[0]
    assert usage.measure == "direction"
    assert int(usage.active.sum()) == 2
    drawn = model.generate(500, from_prior(seed(3))).mean.detach()
    assert float((drawn.norm(dim=-1) - 3).abs().mean()) < 0.2
    along, values = [usage.directions], torch.linspace(-3, 3, 7, device=device)
    walked = traverse(model, test[:1], [(0, 0), (0, 1)], values, along=along)
    assert float((walked.norm(dim=-1) - 3).abs().max()) < 0.5


def test_a_vamp_prior_mixes_bumps(device: torch.device, seed: Seed) -> None:
    x = on_the_circle(device, seed, 64)
    model = LatentModel(Flat(3, Vamp(4), MisesFisher()), Gaussian(), Mlp(8, 1)).setup((2,), x).to(device)
    fit(model, Iwae(4), x, epochs=2, batch=32, precision="fp32", device=device.type)
    node = model.imagine(5000, from_prior(seed(0)))[0]
    torch.testing.assert_close(node.z.norm(dim=-1), torch.ones(1, 5000, device=device))
    z = sample(UniformSphere(3, torch.zeros(0, device=device)), (100_000,), seed(1))
    with torch.no_grad():
        whole = node.p.log_prob(z).exp().mean() * math.exp(log_area(3))
    assert float(whole) == pytest.approx(1, abs=0.03)


def test_what_goes_together_is_said() -> None:
    x = torch.randn(20, 3)
    for latent, words in (
        (
            Flat(2, "Standard", "MisesFisher"),
            "lie in all of space, and those of a MisesFisher posterior on the unit sphere: use the Diagonal or Constant or "
            "Uniform or Full or Flow posterior, or the Sphere or Vamp prior$",
        ),
        (
            Flat(2, "Sphere"),
            "use the MisesFisher posterior, or the Standard or Diffusion or Factorized or Flow or Mixture or Vamp prior$",
        ),
        (Flat(2, "Uniform"), "use Standard or Diffusion or Factorized or Flow or Mixture or Vamp$"),
        (Ladder((2, 2), prior="Sphere", posterior="MisesFisher"), "below the top are Gaussian.*use Flat"),
        (Flat(1, "Sphere", "MisesFisher"), "use at least 2 units"),
    ):
        with pytest.raises(UsageError, match=words):
            LatentModel(latent, Gaussian(), Mlp(4, 1)).setup((3,), x)


def test_rows_without_features_have_a_direction(device: torch.device, seed: Seed) -> None:
    posterior = MisesFisher()
    posterior.setup((4,), (3,))
    q = posterior.to(device)(torch.zeros(2, 4, device=device))
    z = sample(q, (5,), seed(0))
    torch.testing.assert_close(z.norm(dim=-1), torch.ones(5, 2, device=device))
    assert torch.isfinite(q.log_prob(z)).all()
