"""Priors under a context: their densities, their draws, and what they learn."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal

from lambent.distributions import centre, sample
from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import Gaussian
from lambent.model.networks import Mlp
from lambent.model.priors import Flow, Mixture, Prior, Standard
from lambent.model.trace import from_prior
from lambent.objectives import Elbo
from lambent.part import Spec
from lambent.training.fitting import fit

Seed = Callable[[int], torch.Generator]


def conditional(prior: Prior, size: int, width: int, device: torch.device) -> Prior:
    """A prior of codes [size] under a context of so many numbers, away from its start."""
    torch.manual_seed(4)
    prior.setup((size,), torch.zeros(1, 5), width)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.25 * torch.randn_like(parameter))
    return prior.double().to(device)


def none(x: Tensor) -> MultivariateNormal:
    raise AssertionError("this prior is not made of posteriors")


def written_out(prior: Mixture, context: Tensor) -> MixtureSameFamily:
    """Σ_c softmax(a + W context)_c N(μ_c, Σ_c), for every row."""
    assert prior.weigh is not None
    weights = Categorical(logits=prior.logits + context @ prior.weigh.weight.T)
    rows, location = len(context), prior.location
    if prior.covariance == "diagonal":
        each: torch.distributions.Distribution = Independent(Normal(location, prior.log_scale.exp()), 1)
    else:
        factor = prior.below.tril(-1) + torch.diag_embed(prior.log_scale.exp())
        each = MultivariateNormal(location, scale_tril=factor)
    return MixtureSameFamily(weights, each.expand((rows, prior.components)))


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_density_of_a_mixture_under_a_context(covariance: str, device: torch.device, seed: Seed) -> None:
    prior = conditional(Mixture(4, covariance=covariance), 2, 3, device)
    context = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(device)
    p, expected = prior(none, context), written_out(prior, context)
    assert tuple(p.batch_shape) == (6,)
    z = sample(p, (5,), seed(0))
    assert z.shape == (5, 6, 2)
    torch.testing.assert_close(p.log_prob(z), expected.log_prob(z))
    torch.testing.assert_close(centre(p), expected.mean)
    torch.testing.assert_close(p.variance, expected.variance)


def test_draws_of_a_row_follow_its_own_weights(device: torch.device, seed: Seed) -> None:
    prior = conditional(Mixture(3), 1, 3, device)
    with torch.no_grad():
        prior.location.copy_(torch.tensor([[-50.0], [0.0], [50.0]]))  # far apart: a draw says where it comes from
        prior.log_scale.zero_()
        prior.weigh.weight.mul_(4.0)
    context = torch.eye(3, dtype=torch.float64, device=device)
    draws = 20_000
    z = sample(prior(none, context), (draws,), seed(0))
    counts = torch.stack([((z - centre_of).abs() < 20).squeeze(-1).double().mean(0) for centre_of in (-50, 0, 50)], -1)
    expected = torch.softmax(prior.logits + prior.weigh.weight.T, -1).detach()
    assert float((expected.max(0).values - expected.min(0).values).max()) > 0.3, "the rows' weights should differ"
    assert ((counts - expected).abs() < 5 * (expected * (1 - expected) / draws).sqrt() + 1e-9).all()


def test_a_mixture_learns_which_cluster_belongs_to_which_label(device: torch.device) -> None:
    """Three clusters, each of one label: the weights under a label go to the clusters of its rows."""
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(600) % 3
    places = torch.tensor([[-4.0, 0.0], [4.0, 0.0], [0.0, 6.0]])
    x = (places[label] + 0.3 * torch.randn(600, 2, generator=generator)).to(device)
    context = torch.eye(3)[label].to(device)
    model = LatentModel(Flat(2, prior=Mixture(3)), Gaussian("fixed", 0.3), Mlp(16, 1), context=3)
    torch.manual_seed(0)
    settings = {"epochs": 60, "batch": 50, "learning_rate": 0.01, "precision": "fp32", "average": 0.0, "seed": 1}
    fit(model, Elbo(), x, context=context, device=device.type, **settings)
    prior = model.latent.prior
    with torch.no_grad():
        weights = torch.softmax(prior.logits + prior.weigh.weight.T, -1)
        assert float((weights[0] - weights[1]).abs().max()) > 0.2
        given = torch.eye(3, device=device).repeat_interleave(200, 0)
        shown = centre(model.generate(600, from_prior(torch.Generator(device).manual_seed(0)), given))
    nearest = torch.cdist(shown, places.to(device)).argmin(1).reshape(3, 200)
    right = (nearest == torch.arange(3, device=device)[:, None]).double().mean()
    assert float(right) > 0.95, right


def test_weights_learn_the_labels_of_codes_that_are_given(device: torch.device) -> None:
    """By maximum likelihood on codes whose cluster is their label: the weight of a label's own cluster goes to one."""
    torch.manual_seed(0)
    prior = Mixture(3)
    prior.setup((2,), torch.zeros(1, 2), 3)
    prior.to(device)
    with torch.no_grad():
        prior.location.copy_(torch.tensor([[-4.0, 0.0], [4.0, 0.0], [0.0, 6.0]]))
    context = torch.eye(3, device=device)[torch.arange(300, device=device) % 3]
    codes = prior.location.detach()[context.argmax(-1)] + torch.randn(300, 2, device=device)
    before = torch.softmax(prior.logits + prior.weigh.weight.T, -1)
    torch.testing.assert_close(before, torch.full((3, 3), 1 / 3, device=device))
    optimizer = torch.optim.Adam(prior.parameters(), 0.05)
    for _ in range(400):
        optimizer.zero_grad()
        (-prior(none, context).log_prob(codes).mean()).backward()
        optimizer.step()
    after = torch.softmax(prior.logits + prior.weigh.weight.T, -1)
    assert float(after.detach().diagonal().min()) > 0.95, after


@pytest.mark.parametrize("coupling", ["affine", "spline"])
@pytest.mark.parametrize("size", [1, 2])
def test_a_flow_integrates_to_one_under_every_context(coupling: str, size: int, device: torch.device) -> None:
    prior = conditional(Flow(2, 8, coupling), size, 3, device)
    points = 6001 if size == 1 else 801
    axis = torch.linspace(-30, 30, points, dtype=torch.float64, device=device)
    grid = torch.stack(torch.meshgrid(*[axis] * size, indexing="ij"), -1).reshape(-1, 1, size)
    context = torch.tensor([[0.0, 0.0, 0.0], [1.0, -1.0, 2.0]], dtype=torch.float64, device=device)
    with torch.no_grad():
        density = prior(none, context).log_prob(grid).exp()
    assert density.shape == (len(grid), 2)
    total = density.sum(0) * float(axis[1] - axis[0]) ** size
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=2e-3)
    assert not torch.allclose(density[:, 0], density[:, 1])


@pytest.mark.slow
@pytest.mark.parametrize("coupling", ["affine", "spline"])
def test_draws_of_a_flow_follow_the_density_of_their_row(coupling: str, device: torch.device, seed: Seed) -> None:
    prior = conditional(Flow(2, 8, coupling), 2, 3, device)
    context = torch.tensor([[0.0, 0.0, 0.0], [1.0, -1.0, 2.0]], dtype=torch.float64, device=device)
    p = prior(none, context)
    with torch.no_grad():
        z = sample(p, (30_000,), seed(0))
        torch.testing.assert_close(p.log_prob(z), p.log_prob(z.clone()), rtol=0, atol=1e-8)
        axis = torch.linspace(-30, 30, 801, dtype=torch.float64, device=device)
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 1, 2)
        mass = p.log_prob(grid).exp() * float(axis[1] - axis[0]) ** 2
        expected = (mass.unsqueeze(-1) * grid).sum(0)
    assert ((z.mean(0) - expected).abs() < 5 * z.std(0) / math.sqrt(len(z)) + 1e-3).all()


@pytest.mark.parametrize("prior", ["Standard", "Mixture", "Flow"])
def test_a_context_of_the_model_reaches_its_prior(prior: str, device: torch.device, seed: Seed) -> None:
    spec: Spec = {"type": prior}
    model = LatentModel(Flat(2, prior=spec), Gaussian(), Mlp(4, 1), context=3).setup((4,)).to(device)
    with torch.no_grad():
        for parameter in model.latent.prior.parameters():
            parameter.add_(torch.randn_like(parameter))
    context = torch.eye(3, device=device)
    nodes = model.imagine(3, from_prior(seed(0)), context)
    assert nodes[0].z.shape == (1, 3, 2)
    z = torch.ones(1, 3, 2, device=device)
    own = nodes[0].p.log_prob(z)[0]
    assert own.shape == (3,)
    assert torch.allclose(own[0], own[1]) == isinstance(model.latent.prior, Standard)


def test_an_unconditional_prior_is_the_same_under_every_context(device: torch.device) -> None:
    for prior in (Mixture(3, conditional=False), Flow(1, 4, conditional=False)):
        torch.manual_seed(0)
        prior.setup((2,), torch.zeros(1, 2), 3)
        prior.to(device)
        z = torch.randn(5, 2, device=device)
        p = prior(none, torch.eye(3, device=device))
        assert tuple(p.batch_shape) == ()
        assert torch.equal(p.log_prob(z), prior(none, None).log_prob(z))
