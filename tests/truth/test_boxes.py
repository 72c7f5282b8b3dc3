"""Codes uniform over boxes, and priors seen through one: masses that add to one, and rates that are those of whole numbers."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_ndtr
from scipy.stats import logistic, norm
from torch import Tensor

from lambent.distributions import Boxed, DiagonalNormal, LogisticMixture, StandardNormal, UnitBox, boxed, shaped, vector
from lambent.distributions.boxes import normal_log_mass
from lambent.model import LatentModel
from lambent.model.latents import Flat, Grid, Ladder
from lambent.model.likelihoods import Gaussian
from lambent.model.networks import Conv, Mlp, ResNet
from lambent.model.posteriors import Diagonal, Uniform
from lambent.model.priors import Factorized, Mixture, Standard
from lambent.model.trace import from_posterior, from_prior, mean
from lambent.objectives import Elbo


def wide(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_the_mass_of_a_normal_cell_is_that_of_the_cumulative_distribution() -> None:
    for location, scale in ((0.0, 1.0), (0.3, 0.105), (-7.25, 40.0)):
        p = Boxed(DiagonalNormal(wide([location]), wide([math.log(scale)])))
        values = torch.linspace(-9, 9, 101).double()[:, None]
        known = norm.cdf(values.numpy() + 0.5, location, scale) - norm.cdf(values.numpy() - 0.5, location, scale)
        np.testing.assert_allclose(p.log_prob(values).exp().numpy(), known[:, 0], rtol=1e-9, atol=1e-15)


def test_far_cells_keep_their_digits_and_their_gradient() -> None:
    """−log P 60 deviations out, where the mass itself is no float32 number."""
    distance = torch.tensor([60.0], requires_grad=True)
    found = normal_log_mass(distance, torch.ones(1))
    known = log_ndtr(-59.5) + math.log1p(-math.exp(log_ndtr(-60.5) - log_ndtr(-59.5)))
    assert float(found.detach()) == pytest.approx(known, rel=1e-6)
    found.backward()
    assert distance.grad is not None
    assert float(distance.grad) == pytest.approx(-59.52, rel=1e-3)


@pytest.mark.parametrize("p", ["standard", "normal", "logistics"])
def test_masses_of_whole_numbers_add_to_one(p: str) -> None:
    location, log_scale = wide([[0.3, -2.0], [1.0, 4.0]]), wide([[0.5, -1.5], [-1.0, 1.0]])
    base = {
        "standard": StandardNormal(2, location),
        "normal": DiagonalNormal(location[0], log_scale[0]),
        "logistics": LogisticMixture(wide([[0.0, 1.0], [0.5, -1.0]]), location, log_scale),
    }[p]
    values = torch.arange(-400, 401).double()[:, None].expand(-1, 2)
    assert torch.allclose(Boxed(base).log_mass(values).exp().sum(0), torch.ones(2).double(), atol=1e-12)


def test_logistics_have_their_density_mass_and_moments() -> None:
    logits, location = wide([[0.2], [-0.4]]), wide([[0.5], [-3.0]])
    log_scale = wide([[-1.0], [0.6]])
    p, weights = LogisticMixture(logits, location, log_scale), torch.softmax(logits, 0)[:, 0].numpy()
    value = np.array([-6.0, -0.4, 0.0, 2.5])
    parts = [(w, float(m), math.exp(float(s))) for w, m, s in zip(weights, location, log_scale, strict=True)]
    density = sum(w * logistic.pdf(value, m, s) for w, m, s in parts)
    mass = sum(w * (logistic.cdf(value + 0.5, m, s) - logistic.cdf(value - 0.5, m, s)) for w, m, s in parts)
    given = torch.from_numpy(value)[:, None]
    np.testing.assert_allclose(p.log_prob(given).exp().numpy(), density, rtol=1e-10)
    np.testing.assert_allclose(p.log_mass(given).exp()[:, 0].numpy(), mass, rtol=1e-10)
    drawn = p.rsample((200_000,), torch.Generator().manual_seed(0))
    assert float(drawn.mean()) == pytest.approx(float(p.mean), abs=0.03)
    assert float(drawn.var()) == pytest.approx(float(p.variance), rel=0.02)


def test_a_box_is_uniform_and_its_centre_whole_steps_from_its_middle() -> None:
    location, around = torch.tensor([0.2, 3.49, -1.6, 7.5]), torch.tensor([0.5, 0.0, 0.25, 0.0])
    q = UnitBox(location, around)
    z = q.rsample((100_000,), torch.Generator().manual_seed(0))
    assert float((z - location).abs().max()) <= 0.5
    torch.testing.assert_close(z.var(0), torch.full((4,), 1 / 12), rtol=0.02, atol=0)
    assert bool((q.log_prob(z) == 0).all())
    assert float(q.log_prob(location + 0.51)) == -math.inf
    assert q.centre.tolist() == [0.5, 3.0, -1.75, 8.0]
    assert q.whole.tolist() == [0.0, 3.0, -2.0, 8.0]


def test_draws_through_a_box_are_those_of_its_density() -> None:
    p = Boxed(DiagonalNormal(torch.tensor([0.7]), torch.tensor([0.0])))
    drawn = p.rsample((200_000,), torch.Generator().manual_seed(1))
    assert float(drawn.var()) == pytest.approx(float(p.variance), rel=0.02) == pytest.approx(1 + 1 / 12, rel=0.02)
    inside = float(((drawn > 0.2) & (drawn < 1.2)).float().mean())
    grid = torch.linspace(0.2, 1.2, 1001)[:, None]
    assert inside == pytest.approx(float(p.log_prob(grid).exp().mean()), abs=0.005)


MODELS = {
    "Flat": (lambda **how: Flat(3, **how), Mlp(8, 1), (5,)),
    "Ladder": (lambda **how: Ladder((2, 3), 8, **how), Mlp(8, 1), (5,)),
    "Grid": (lambda **how: Grid("/4x1 /2x2", (2,), (6,), **how), Conv((3, 4)), (1, 8, 8)),
}


@pytest.mark.parametrize("latent", MODELS)
@pytest.mark.parametrize("prior", [Standard, Factorized])
def test_the_kl_is_the_nats_of_whole_numbers_at_every_level(latent: str, prior: type) -> None:
    """log q is nought and p̃ the mass of a cell, at the top and below it."""
    make, network, event = MODELS[latent]
    model = LatentModel(make(posterior=Uniform(), prior=prior()), Gaussian(), network).setup(event).double().eval()
    x = torch.rand(4, *event, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        trace = model.trace(x, 2, from_posterior(torch.Generator().manual_seed(0)))
        rounded = model.infer(x, 1, mean)
    assert len(trace.nodes) == len(model.latent.shapes_of_levels)
    for node, still in zip(trace.nodes, rounded, strict=True):
        q, p = vector(node.q), vector(node.p)
        assert isinstance(q, UnitBox)
        assert isinstance(p, Boxed)
        torch.testing.assert_close(node.kl, -node.p.log_prob(node.z))
        assert float((node.z.flatten(2) - q.location).abs().max()) <= 0.5
        beyond = vector(still.q).centre if vector(still.q).around is None else vector(still.q).whole
        assert bool((beyond == beyond.round()).all())
        middle = still.z.flatten(2) - (vector(still.q).around if vector(still.q).around is not None else 0)
        torch.testing.assert_close(middle, middle.round(), atol=1e-12, rtol=0)


def test_rate_and_distortion_are_the_elbo_of_a_gaussian_of_fixed_scale() -> None:
    """−ELBO = squared error / 2σ² + nats of the code + a constant: σ is the trade, and nothing else is needed."""
    make, network, event = MODELS["Grid"]
    sigma = 0.05
    model = LatentModel(make(posterior=Uniform(), prior=Factorized()), Gaussian("fixed", sigma), network).setup(event)
    x = torch.rand(6, *event, generator=torch.Generator().manual_seed(0))
    loss = Elbo()(model, x, torch.Generator().manual_seed(1))
    assert loss.trace is not None
    error = (loss.trace.px.mean - x).square().flatten(2).sum(-1)
    constant = math.prod(event) * (math.log(sigma) + 0.5 * math.log(2 * math.pi))
    rate = sum(-node.p.log_prob(node.z) for node in loss.trace.nodes)
    torch.testing.assert_close(loss.rows, (error / (2 * sigma**2) + rate)[0] + constant, rtol=1e-4, atol=1e-2)


def test_a_factorized_prior_over_maps_has_one_density_for_each_channel() -> None:
    small, large = Factorized(), Factorized()
    small.setup((2, 3, 3), torch.zeros(1, 1))
    large.setup((2, 4, 6), torch.zeros(1, 1))
    large.load_state_dict(small.state_dict())
    code = torch.tensor([0.5, -2.0])[:, None, None]
    with torch.no_grad():
        of_small = small(lambda x: x).log_prob(code.expand(2, 3, 3))  # type: ignore[arg-type, return-value]
        of_large = boxed(large(lambda x: x)).log_prob(code.expand(2, 4, 6))  # type: ignore[arg-type, return-value]
        one = LogisticMixture(small.logits, small.location, small.log_scale)
        torch.testing.assert_close(of_small, 9 * one.log_prob(code.flatten()))
        torch.testing.assert_close(of_large, 24 * one.log_mass(code.flatten()).sum())


def test_a_shaped_prior_is_seen_through_a_box_in_its_own_shape() -> None:
    p = boxed(shaped(DiagonalNormal(torch.zeros(6), torch.zeros(6)), (2, 3)))
    assert tuple(p.event_shape) == (2, 3)
    assert float(p.log_prob(torch.zeros(2, 3))) == pytest.approx(6 * math.log(norm.cdf(0.5) - norm.cdf(-0.5)), rel=1e-6)


def test_a_prior_without_masses_is_refused() -> None:
    model = LatentModel(Flat(3, posterior=Uniform(), prior=Mixture()), Gaussian(), Mlp(8, 1))
    with pytest.raises(Exception, match="use the Factorized or Standard prior"):
        model.setup((5,))


def test_draws_from_the_prior_know_its_levels() -> None:
    make, network, event = MODELS["Grid"]
    model = LatentModel(make(posterior=Uniform(), prior=Factorized()), Gaussian(), network).setup(event)
    with torch.no_grad():
        nodes = model.imagine(2000, from_prior(torch.Generator().manual_seed(0)))
    assert float(nodes[1].z.var()) == pytest.approx(1 + 1 / 12, rel=0.05)  # levels below begin as standard normals


def test_a_model_of_blocks_begins_as_their_principal_components() -> None:
    """With all of them, noise of a step of σ√12 leaves a squared error of σ², and the code of what is flat is nought."""
    sigma = 0.02
    generator = torch.Generator().manual_seed(0)
    rough = torch.randn(40, 3, 64, 64, generator=generator)
    x = (0.5 + 0.15 * rough.cumsum(-1).cumsum(-2).div(64)).clamp(0, 1)
    grid = Grid("/16x1 /4x1", (4, 48), (8, 50), posterior=Uniform(), prior=Factorized())
    model = LatentModel(grid, Gaussian("fixed", sigma), ResNet((96,), 1, 8, stem=4)).setup((3, 64, 64), x).eval()
    with torch.no_grad():
        trace = model.trace(x, 1, from_posterior(torch.Generator().manual_seed(1)))
        error = (trace.px.mean[0] - x)[..., 8:-8, 8:-8].square().mean().sqrt()
        flat = model.infer(x.mean((0, 2, 3), keepdim=True).expand(1, 3, 64, 64), 1, mean)
    assert float(error) == pytest.approx(sigma, rel=0.02)
    assert float(flat[1].z.abs().max()) <= 2
    own, told = vector(trace.nodes[1].p).base.log_scale.exp(), trace.nodes[1].z.unflatten(2, (48,)).std((0, 1, 3, 4))
    wide = told > 1
    given = own.unflatten(-1, (48, 16, 16))[0, 0, :, 0, 0]
    torch.testing.assert_close(given[wide], told[wide], rtol=0.2, atol=0.2)


def test_other_models_begin_as_they_did() -> None:
    x = torch.rand(10, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    models = [
        LatentModel(
            Grid("/8x1 /4x1", (2, 4), (6,), posterior=Diagonal()), Gaussian("fixed"), ResNet((8,), 1, 8, stem=4)
        ),
        LatentModel(
            Grid("/8x1 /4x1", (2, 4), (6,), posterior=Uniform(), prior=Factorized()), Gaussian("fixed"), Conv((8, 8))
        ),
    ]
    for model in models:
        shown, hidden = (
            model.setup((1, 16, 16), examples).state_dict()["encoder.stages.0.0.weight"].clone()
            for examples in (x, None)
        )
        assert torch.equal(shown, hidden)
