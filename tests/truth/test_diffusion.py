"""The Diffusion prior against densities that are known: by the exact velocities of a Gaussian, and learned."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from lambent.distributions import StandardNormal
from lambent.distributions.divergences import closed_kl
from lambent.distributions.transported import Transported, Velocity, at_rest
from lambent.model.posteriors import Constant
from lambent.model.priors import Diffusion, Prior


def gaussian(size: int, device: torch.device) -> tuple[MultivariateNormal, Velocity]:
    """A correlated Gaussian and the velocities that carry N(0, I) to it: E[z − ε | w_t]."""
    generator = torch.Generator().manual_seed(size)
    factor = torch.randn(size, size, generator=generator, dtype=torch.float64) / math.sqrt(size)
    identity = torch.eye(size, dtype=torch.float64, device=device)
    covariance = (factor @ factor.T).to(device) + 0.1 * identity
    mean = torch.randn(size, generator=generator, dtype=torch.float64).to(device)

    def velocity(w: Tensor, time: Tensor) -> Tensor:
        t = time.reshape(*time.shape, 1, 1)
        spread = t.square() * covariance + (1 - t).square() * identity
        slope = (t * covariance - (1 - t) * identity) @ torch.linalg.inv(spread)
        return mean + (slope @ (w - time.unsqueeze(-1) * mean).unsqueeze(-1)).squeeze(-1)

    return MultivariateNormal(mean, covariance), velocity


def carried(size: int, device: torch.device, probes: Tensor | None = None, steps: int = 20) -> Transported:
    nought = torch.zeros(size, dtype=torch.float64, device=device)
    return Transported(gaussian(size, device)[1], nought, nought + 1, steps, probes)


@pytest.mark.parametrize("size", [2, 8, 32])
def test_the_density_of_known_velocities_is_that_of_their_gaussian(size: int, device: torch.device) -> None:
    true, _ = gaussian(size, device)
    z = true.sample((30,))
    torch.testing.assert_close(carried(size, device).log_prob(z), true.log_prob(z), atol=5e-5, rtol=0)


@pytest.mark.parametrize("size", [2, 32])
def test_draws_along_known_velocities_have_their_gaussian_s_moments(size: int, device: torch.device) -> None:
    true, _ = gaussian(size, device)
    drawn = carried(size, device).rsample((20000,), torch.Generator(device).manual_seed(0))
    torch.testing.assert_close(drawn.mean(0), true.mean, atol=0.05, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), true.covariance_matrix, atol=0.1, rtol=0)


def test_a_draw_and_its_density_go_the_same_way(device: torch.device) -> None:
    noise = torch.randn(10, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(device)
    p = carried(8, device)
    back, _ = p._path(p.from_noise(noise), 1.0, 0.0)
    torch.testing.assert_close(back[-1], noise, atol=1e-4, rtol=0)


def test_the_estimated_trace_is_the_exact_one_within_its_error(device: torch.device) -> None:
    true, _ = gaussian(32, device)
    z = true.sample((5,))
    generator = torch.Generator().manual_seed(2)
    probes = (torch.randint(2, (400, 32), generator=generator) * 2.0 - 1).double().to(device)
    estimate, error = carried(32, device, probes).log_prob_with_error(z)
    exact, none = carried(32, device).log_prob_with_error(z)
    assert (none == 0).all()
    assert (error > 0.01).all()
    assert (error < 1).all()
    assert ((estimate - exact).abs() < 4 * error).all()


def test_the_training_bound_is_exact_where_the_velocities_are(device: torch.device) -> None:
    """E[upper] = −log p(z), each z by itself, for a Gaussian and its own velocities."""
    true, _ = gaussian(4, device)
    z = true.sample((6,))
    found = carried(4, device).upper(z.expand(100_000, 6, 4), torch.Generator(device).manual_seed(0))
    error = found.std(0) / math.sqrt(len(found))
    assert ((found.mean(0) + true.log_prob(z)).abs() < 4 * error + 0.01).all()


def test_the_training_bound_starts_without_noise(device: torch.device) -> None:
    nought = torch.zeros(5, dtype=torch.float64, device=device)
    p = Transported(lambda w, t: at_rest(t).unsqueeze(-1) * w, nought + 1, nought + 2, 10)
    z = torch.randn(7, 5, dtype=torch.float64, device=device)
    known = torch.distributions.Normal(1.0, 2.0).log_prob(z).sum(-1)
    torch.testing.assert_close(p.upper(z, torch.Generator(device).manual_seed(0)), -known)
    torch.testing.assert_close(p.log_prob(z), known, atol=1e-4, rtol=0)


def mixture(size: int) -> tuple[MultivariateNormal, Tensor]:
    centres = 2 * torch.randn(2, size, generator=torch.Generator().manual_seed(0))
    parts = MultivariateNormal(centres, 0.36 * torch.eye(size).expand(2, size, size))
    return parts, centres


def learned(prior: Prior, size: int, context: bool, joint: bool, steps: int) -> Prior:
    """The prior after so many steps on draws of a mixture of two Gaussians, which of them is the context."""
    generator = torch.Generator().manual_seed(3)
    _, centres = mixture(size)
    torch.manual_seed(0)
    prior.setup((size,), torch.zeros(1, 1), 2 if context else 0)
    optimizer = torch.optim.AdamW(prior.parameters(), 4e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        which = torch.randint(2, (256,), generator=generator)
        z = centres[which] + 0.6 * torch.randn(256, size, generator=generator)
        p = prior(lambda x: x, torch.nn.functional.one_hot(which, 2).float() if context else None)
        loss = (p.upper(z, generator) if joint else p.loss(z, generator)).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(prior.parameters(), 10.0)
        optimizer.step()
        schedule.step()
    return prior


@pytest.mark.parametrize("joint", [False, True], ids=["matching", "bound"])
@pytest.mark.parametrize("size", [2, 8])
def test_a_mixture_is_learned(size: int, joint: bool) -> None:
    prior = learned(Diffusion(width=48, depth=2), size, False, joint, 500)
    parts, centres = mixture(size)
    generator = torch.Generator().manual_seed(4)
    z = centres[torch.randint(2, (500,), generator=generator)] + 0.6 * torch.randn(500, size, generator=generator)
    true = torch.logsumexp(parts.log_prob(z.unsqueeze(1)), 1) - math.log(2)
    with torch.no_grad():
        found = prior(lambda x: x).log_prob(z)
    lost = (true - found).mean()
    assert -0.02 < lost < 0.05 + 0.03 * size  # nats
    matched = MultivariateNormal(z.mean(0), z.T.cov()).log_prob(z)
    assert lost < 0.25 * (true - matched).mean()
    assert (found - true).abs().median() < 0.2 * math.sqrt(size)


def test_a_context_chooses_the_gaussian() -> None:
    prior = learned(Diffusion(width=48, depth=2), 2, True, False, 500)
    parts, _ = mixture(2)
    context = torch.eye(2)
    with torch.no_grad():
        p = prior(lambda x: x, context)
        z = p.rsample((2000,), torch.Generator().manual_seed(0))
        assert p.batch_shape == (2,)
        torch.testing.assert_close(z.mean(0), parts.mean, atol=0.1, rtol=0)
        torch.testing.assert_close(z.std(0), torch.full((2, 2), 0.6), atol=0.1, rtol=0)
        drawn = parts.sample((200,))
        assert (p.log_prob(drawn) - parts.log_prob(drawn)).mean().abs() < 0.1


@pytest.mark.parametrize("shape", [(2, 3, 3), (2, 1, 1), (3, 5, 4)])
def test_it_begins_as_the_gaussian_of_the_codes_over_maps_too(shape: tuple[int, ...]) -> None:
    """Each channel with its own mean and scale, wherever it stands."""
    generator = torch.Generator().manual_seed(0)
    channels = torch.arange(1.0, shape[0] + 1).reshape(-1, 1, 1)
    codes = 5 * channels + channels * torch.randn(500, *shape, generator=generator)
    prior = Diffusion(8, 1)
    prior.setup(shape, torch.zeros(1, 1))
    prior.begin(codes)
    mean, spread = codes.mean((0, 2, 3)).reshape(-1, 1, 1), codes.std((0, 2, 3)).reshape(-1, 1, 1)
    with torch.no_grad():
        p = prior(lambda x: x)
        known = torch.distributions.Normal(mean, spread).log_prob(codes[:4]).sum((1, 2, 3))
        torch.testing.assert_close(p.log_prob(codes[:4]), known, atol=1e-2, rtol=0)
        assert p.rsample((2,)).shape == (2, *shape)


def test_weights_over_maps_know_no_size() -> None:
    small, large = Diffusion(8, 2), Diffusion(8, 2)
    small.setup((2, 3, 3), torch.zeros(1, 1))
    large.setup((2, 6, 10), torch.zeros(1, 1))
    large.load_state_dict(small.state_dict())


def test_the_constant_posterior_has_the_closed_kl_of_its_width(device: torch.device) -> None:
    posterior = Constant(scale=0.5).to(device)
    posterior.setup((3,), (2,))
    posterior.to(device)
    features = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).to(device)
    q = posterior(features)
    mean = posterior.head(features)
    torch.testing.assert_close(q.variance, torch.full_like(mean, 0.25))
    known = (0.5 * (0.25 + mean.square() - 1) - math.log(0.5)).sum(-1)
    found = closed_kl(q, StandardNormal(2, mean))
    assert found is not None
    torch.testing.assert_close(found, known)
    learned = Constant(learned=True)
    learned.setup((3,), (2,))
    assert learned.log_scale.requires_grad
    assert not posterior.log_scale.requires_grad
