"""A linear-Gaussian model, whose evidence is known: log N(x; b, W Wᵀ + σ²I). Tipping & Bishop, 1999."""

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import Gaussian
from lambent.model.networks import Network
from lambent.model.networks.base import Half
from lambent.model.posteriors import Diagonal, Full
from lambent.model.trace import Draw, from_posterior
from lambent.objectives import Elbo
from lambent.part import Part, Shape
from lambent.training.fitting import fit

OBSERVED, HIDDEN, SCALE = 5, 2, 0.3
Build = Callable[..., LatentModel]


@pytest.fixture
def linear() -> Iterator[Network]:
    """An encoder that hands on the row and a linear decoder; known to the registry for the length of a test."""

    class Linear(Network):
        """Features are the row itself; the raw output is linear in the code."""

        def encoder(self, event: Shape) -> Half:
            return Half(nn.Flatten(), shape=event)

        def decoder(self, hidden: Shape, raw: Shape) -> Half:
            return Half(nn.Linear(hidden[0], raw[0]), shape=raw)

    yield Linear()
    Part._classes.remove(Linear)


@pytest.fixture
def parameters(device: torch.device) -> tuple[Tensor, Tensor]:
    """W and b, in float64."""
    generator = torch.Generator().manual_seed(3)
    loadings = torch.randn(OBSERVED, HIDDEN, generator=generator, dtype=torch.float64)
    return loadings.to(device), torch.randn(OBSERVED, generator=generator, dtype=torch.float64).to(device)


@pytest.fixture
def built(linear: Network, parameters: tuple[Tensor, Tensor], device: torch.device) -> Build:
    """built(posterior): the model with W, b and σ in place, in float64; the posterior is left to the test."""

    def made(posterior: Full | Diagonal) -> LatentModel:
        latent = Flat(HIDDEN, posterior=posterior)
        model = LatentModel(latent=latent, likelihood=Gaussian(scale="fixed", value=SCALE), network=linear)
        model.setup((OBSERVED,)).double().to(device)
        loadings, offset = parameters
        with torch.no_grad():
            model.decoder[0].weight.copy_(loadings)
            model.decoder[0].bias.copy_(offset)
            model.likelihood.width.log_scale.fill_(math.log(SCALE))  # set up in float32, which is not 0.3 to 1e-9
        return model

    return made


@pytest.fixture
def exact(built: Build, parameters: tuple[Tensor, Tensor]) -> LatentModel:
    """The model with its exact posterior, N(M⁻¹Wᵀ(x − b), σ²M⁻¹), M = WᵀW + σ²I."""
    model = built(Full())
    loadings, offset = parameters
    precision = loadings.T @ loadings + SCALE**2 * torch.eye(HIDDEN, dtype=torch.float64, device=loadings.device)
    gain = torch.linalg.solve(precision, loadings.T)
    factor = torch.linalg.cholesky(SCALE**2 * torch.linalg.inv(precision))
    with torch.no_grad():
        head = model.latent.posterior.head
        head.weight.zero_()
        head.weight[:HIDDEN] = gain
        head.bias[:HIDDEN] = -gain @ offset
        head.bias[HIDDEN : 2 * HIDDEN] = factor.diagonal().log()
        row, column = torch.tril_indices(HIDDEN, HIDDEN, -1)
        head.bias[2 * HIDDEN :] = factor[row, column]
    return model


@pytest.fixture
def x(parameters: tuple[Tensor, Tensor]) -> Tensor:
    """Forty rows, wider spread than the model expects, so that no term is small by chance."""
    _loadings, offset = parameters
    noise = torch.randn(40, OBSERVED, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return offset + 1.5 * noise.to(offset.device)


def evidence(parameters: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
    loadings, offset = parameters
    noise = SCALE**2 * torch.eye(OBSERVED, dtype=torch.float64, device=x.device)
    return MultivariateNormal(offset, loadings @ loadings.T + noise).log_prob(x)


def test_every_weight_is_the_evidence_under_the_exact_posterior(
    exact: LatentModel,
    x: Tensor,
    parameters: tuple[Tensor, Tensor],
    seed: Callable[[int], torch.Generator],
    keyed: Callable[..., Draw],
) -> None:
    for draw in (from_posterior(seed(0)), keyed(exact, x)):
        log_weight = exact.trace(x, 7, draw).log_weight
        assert log_weight.shape == (7, len(x))
        torch.testing.assert_close(log_weight, evidence(parameters, x).expand(7, -1), rtol=0, atol=1e-9)


def test_reconstruction_less_closed_kl_is_the_evidence_on_average(
    exact: LatentModel, x: Tensor, parameters: tuple[Tensor, Tensor], seed: Callable[[int], torch.Generator]
) -> None:
    _loadings, _ = parameters
    trace = exact.trace(x, 4000, from_posterior(seed(0)))
    elbo = trace.log_px - trace.kl
    error = elbo.std(0) / math.sqrt(4000)
    assert ((elbo.mean(0) - evidence(parameters, x)).abs() < 5 * error).all()


def test_wrong_posterior_bounds_from_below_and_more_samples_tighten(
    built: Build, x: Tensor, parameters: tuple[Tensor, Tensor], seed: Callable[[int], torch.Generator]
) -> None:
    model = built(Diagonal())
    loadings, offset = parameters
    with torch.no_grad():  # the least squares code, much too wide
        head = model.latent.posterior.head
        head.weight[:HIDDEN] = torch.linalg.pinv(loadings)
        head.weight[HIDDEN:] = 0
        head.bias[:HIDDEN] = -torch.linalg.pinv(loadings) @ offset
        head.bias[HIDDEN:] = math.log(0.6)
        log_weight = model.trace(x, 40_000, from_posterior(seed(1))).log_weight
    truth = evidence(parameters, x)
    bounds = []
    for samples in (1, 10, 100, 1000):
        each = torch.logsumexp(log_weight.unflatten(0, (-1, samples)), 1) - math.log(samples)
        assert (each.mean(0) - truth < 5 * each.std(0) / math.sqrt(len(each))).all(), "a bound above the evidence"
        bounds.append(float(each.mean()))
    assert bounds == sorted(bounds)
    assert bounds[1] - bounds[0] > 0.5
    assert float(truth.mean()) - bounds[-1] < 0.01
    # The ELBO itself has a closed form: log N(x; W m + b, σ²I) − tr(W S Wᵀ)/2σ² − KL
    node = model.infer(x)[0]
    q = node.q
    centre = MultivariateNormal(
        q.mean @ loadings.T + offset, SCALE**2 * torch.eye(OBSERVED, dtype=x.dtype, device=x.device)
    )
    spread = (loadings.square() @ q.variance.unsqueeze(-1)).sum((-2, -1)) / (2 * SCALE**2)
    elbo = (centre.log_prob(x) - spread - node.kl).detach()
    error = log_weight.var(0).mean().sqrt() / math.sqrt(log_weight.numel())
    assert abs(elbo.mean() - bounds[0]) < 5 * error


@pytest.mark.parametrize("beta", [1.0, "auto"])
def test_training_reaches_the_optimum_of_probabilistic_pca(
    linear: Network, parameters: tuple[Tensor, Tensor], device: torch.device, beta: float | str
) -> None:
    """The scale learned by gradients, and the one set to its optimum (σ-VAE), end at the same maximum."""
    loadings, offset = (p.cpu() for p in parameters)
    generator = torch.Generator().manual_seed(1)
    codes = torch.randn(1000, HIDDEN, generator=generator, dtype=torch.float64)
    noise = torch.randn(1000, OBSERVED, generator=generator, dtype=torch.float64)
    x = (codes @ loadings.T + offset + SCALE * noise).float()
    model = LatentModel(latent=Flat(HIDDEN), likelihood=Gaussian(), network=linear)
    settings = {"epochs": 100, "batch": 125, "learning_rate": 0.03, "schedule": "cosine", "precision": "fp32"}
    fit(model, Elbo(beta=beta), x, device=device.type, average=0.0, **settings)
    best = highest_evidence(x.double())
    with torch.no_grad():
        trace = model.trace(x.to(device), 200, from_posterior(torch.Generator(device).manual_seed(0)))
        elbo = float((trace.log_px.mean(0) - trace.kl).mean())
    assert best - 0.03 < elbo < best + 0.005, (elbo, best)
    assert abs(float(model.likelihood.width.log_scale.detach().exp()) - SCALE) < 0.02


def highest_evidence(x: Tensor) -> float:
    """The mean log-likelihood at the maximum: leading eigenvectors kept, the rest of the spectrum averaged."""
    spectrum = torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).flip(0)
    left = spectrum[HIDDEN:].mean()
    logarithms = spectrum[:HIDDEN].log().sum() + (OBSERVED - HIDDEN) * left.log()
    return float(-0.5 * (OBSERVED * math.log(2 * math.pi) + logarithms + OBSERVED))
