"""Priors one unit at a time: p(z₁) p(z₂|z₁) … is the joint density, and draws unit by unit are draws of it."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lambent.distributions import (
    DiagonalNormal,
    FullNormal,
    NormalMixture,
    StandardNormal,
    UnitMixture,
    sample,
    shaped,
)
from lambent.errors import UsageError
from lambent.model.posteriors import Posterior
from lambent.model.priors import Prior
from lambent.part import Spec

SIZE = 4
WHOLE = ("Flow", "Diffusion", "Sphere", "Factorized")  # priors that give no distribution of one unit
Seed = Callable[[int], torch.Generator]
Build = Callable[[Spec], torch.distributions.Distribution]


@pytest.fixture
def prior(device: torch.device) -> Build:
    """A prior with weights far from where they start, in float64; Vamp's posteriors have full covariances."""

    def built(spec: Spec) -> torch.distributions.Distribution:
        generator = torch.Generator().manual_seed(1)
        part = Prior.from_spec(spec)
        part.setup((SIZE,), torch.randn(6, 5, generator=generator))
        posterior = Posterior.from_spec("Full")
        posterior.setup((5,), (SIZE,))
        whole = nn.ModuleList([part, posterior]).double().to(device)
        with torch.no_grad():
            for parameter in whole.parameters():
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.add_(0.5 * noise.to(device))
        p: torch.distributions.Distribution = part(posterior)
        return p

    return built


@torch.no_grad()
def test_conditionals_multiply_to_the_joint_density(any_vector_prior_spec: Spec, prior: Build, seed: Seed) -> None:
    p = prior(any_vector_prior_spec)
    z = sample(p, (2, 50), seed(0))
    if any_vector_prior_spec["type"] in WHOLE:
        with pytest.raises(UsageError, match="no distribution of one unit at a time: use a Standard, Mixture"):
            p.conditional(0, z[..., :0])  # type: ignore[attr-defined]
        return
    each = [p.conditional(unit, z[..., :unit]).log_prob(z[..., unit]) for unit in range(SIZE)]  # type: ignore[attr-defined]
    assert all(term.shape == (2, 50) for term in each)
    torch.testing.assert_close(torch.stack(each).sum(0), p.log_prob(z), rtol=0, atol=1e-9)


@torch.no_grad()
def test_draws_unit_by_unit_have_the_moments_of_the_joint(
    any_vector_prior_spec: Spec, prior: Build, seed: Seed
) -> None:
    if any_vector_prior_spec["type"] in WHOLE:
        pytest.skip("it has no conditionals of single units")
    p, count = prior(any_vector_prior_spec), 40_000
    whole = sample(p, (count,), seed(5))
    z, generator = whole[:, :0], seed(0)
    for unit in range(SIZE):
        own = p.conditional(unit, z)  # type: ignore[attr-defined]
        # Half of them by the quantile function, as a coder would
        uniform = torch.rand(count, generator=generator, dtype=torch.float64, device=z.device)
        drawn = torch.where(
            torch.arange(count, device=z.device) % 2 == 0, own.icdf(uniform), sample(own, (), generator)
        )
        z = torch.cat((z, drawn.unsqueeze(-1)), -1)
    error = p.variance.sqrt() / math.sqrt(count)
    assert ((z.mean(0) - p.mean).abs() < 5 * error).all()
    spread = torch.cov(whole.T)
    size = torch.outer(spread.diagonal(), spread.diagonal()).sqrt()
    assert ((torch.cov(z.T) - spread).abs() < 0.05 * size).all()


@torch.no_grad()
@pytest.mark.parametrize("kind", ["standard", "diagonal", "full", "mixture"])
def test_of_a_batch_and_in_float32(kind: str) -> None:
    location, log_scale = torch.randn(3, SIZE), 0.5 * torch.randn(3, SIZE)
    factor = torch.randn(3, SIZE, SIZE).tril(-1) + torch.diag_embed(log_scale.exp())
    two = FullNormal(location[:2].expand(3, 2, SIZE), factor[:2].expand(3, 2, SIZE, SIZE))
    made: dict[str, torch.distributions.Distribution] = {
        "standard": StandardNormal(SIZE, location),
        "diagonal": DiagonalNormal(location, log_scale),
        "full": FullNormal(location, factor),
        "mixture": NormalMixture(torch.randn(2), two),
    }
    d = made[kind]
    z = torch.randn(7, 3, SIZE)
    total = sum(d.conditional(unit, z[..., :unit]).log_prob(z[..., unit]) for unit in range(SIZE))  # type: ignore[attr-defined]
    torch.testing.assert_close(total, d.log_prob(z), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_units_of_a_map_are_those_of_the_vector_behind_it() -> None:
    location, log_scale, logits = torch.randn(2, 12), 0.3 * torch.randn(2, 12), torch.randn(2)
    for base in (DiagonalNormal(location[0], log_scale[0]), NormalMixture(logits, DiagonalNormal(location, log_scale))):
        d = shaped(base, (3, 2, 2))
        z = torch.randn(5, 3, 2, 2)
        flat = z.flatten(1)
        total = sum(d.conditional(unit, flat[:, :unit]).log_prob(flat[:, unit]) for unit in range(12))
        torch.testing.assert_close(total, d.log_prob(z), rtol=1e-5, atol=1e-5)


def test_quantiles_of_a_mixture_are_the_inverse_of_its_distribution_function() -> None:
    d = UnitMixture(torch.tensor([0.0, 1.0, -2.0]), torch.tensor([-30.0, 0.1, 5.0]), torch.tensor([0.01, 1.0, 3.0]))
    d = UnitMixture(d.log_weights.double(), d.components.loc.double(), d.components.scale.double())
    share = torch.linspace(0.001, 0.999, 97, dtype=torch.float64)
    x = d.icdf(share)
    torch.testing.assert_close(d.cdf(x), share, rtol=0, atol=1e-12)
    grid = torch.linspace(-31, 30, 400_001, dtype=torch.float64)
    mass: Tensor = torch.trapezoid(d.log_prob(grid).exp(), grid)
    torch.testing.assert_close(mass, torch.ones((), dtype=torch.float64), rtol=0, atol=1e-6)
    drawn = sample(d, (100_000,), torch.Generator().manual_seed(0))
    assert abs(float(drawn.mean() - d.mean)) < 5 * float(d.variance.sqrt()) / math.sqrt(100_000)
    torch.testing.assert_close(drawn.var(), d.variance, rtol=0.03, atol=0)
