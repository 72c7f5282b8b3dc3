"""What the weights of the ELBO's terms are: λ that finds itself, a capacity, and what a code costs beside its KL."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lambent.metrics.bound import bounds
from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import Bernoulli, Gaussian
from lambent.model.networks import Mlp
from lambent.model.trace import Node, from_posterior
from lambent.objectives import Elbo, Objective
from lambent.objectives.bounds import Iwae

Seed = Callable[[int], torch.Generator]
Build = Callable[..., LatentModel]


@pytest.fixture
def bits(device: torch.device) -> Tensor:
    return torch.rand(9, 4, generator=torch.Generator().manual_seed(0)).round().to(device)


def made(objective: Objective, model: LatentModel, progress: float) -> Objective:
    objective.setup(model)
    objective.to(model.device)
    objective.progress = progress
    return objective


@pytest.mark.parametrize(("progress", "ramp"), [(0.0, 0.0), (0.1, 0.5), (0.2, 1.0), (1.0, 1.0)])
def test_auto_grows_as_anneal_says_whatever_the_likelihood(
    progress: float, ramp: float, small_model: Build, bits: Tensor, seed: Seed
) -> None:
    model = small_model(likelihood=Bernoulli())
    trace = model.trace(bits, 1, from_posterior(seed(1)))
    objective = made(Elbo(beta="auto", anneal="linear", target=1.0), model, progress)
    objective.log_beta.fill_(0.7)
    expected = ramp * torch.tensor(0.7).exp() * trace.kl - trace.log_px[0]
    torch.testing.assert_close(objective(model, bits, seed(1)).rows, expected)


@pytest.mark.parametrize(("progress", "ramp"), [(0.0, 0.0), (0.1, 0.5), (1.0, 1.0)])
def test_auto_grows_under_a_calibrated_gaussian_too(
    progress: float, ramp: float, small_model: Build, bits: Tensor, seed: Seed
) -> None:
    model = small_model(likelihood=Gaussian())
    trace = model.trace(bits, 1, from_posterior(seed(1)))
    objective = made(Elbo(beta="auto", anneal="linear"), model, progress)
    best = (trace.x - trace.px.mean).square().mean().sqrt()
    log_px = torch.distributions.Normal(trace.px.mean, best).log_prob(trace.x).sum(-1)[0]
    torch.testing.assert_close(objective(model, bits, seed(1)).rows, ramp * trace.kl - log_px)


def test_trained_capacity_is_the_one_that_judges(small_model: Build, bits: Tensor, seed: Seed) -> None:
    """|mean KL − C|, not the mean of |KL − C|: they differ where rows lie on both sides of C."""
    model = small_model()
    with torch.no_grad():
        model.latent.posterior.head.weight.mul_(6.0)
        trace = model.trace(bits, 1, from_posterior(seed(1)))
    capacity = float(trace.kl.median()) + 0.01
    assert (trace.kl < capacity).any()
    assert (trace.kl > capacity).any()
    objective = made(Elbo(beta=7.0, capacity=capacity), model, 1.0)
    loss = objective(model, bits, seed(1))
    judged = objective.weighed(float(loss.seen["reconstruction"].mean()), float(loss.seen["kl"].mean()))
    assert float(loss.rows.detach().mean()) == pytest.approx(judged, rel=1e-5)
    row_by_row = float((7.0 * (trace.kl - capacity).abs() - trace.log_px[0]).mean())
    assert abs(row_by_row - judged) > 0.01


class _Costly(Flat):
    """One vector, each row of which costs 2.5 nats beside its KL, as a codebook's commitment would."""

    def forward(self, *arguments: object, **named: object) -> tuple[Tensor, list[Node]]:
        hidden, nodes = super().forward(*arguments, **named)
        nodes[0].cost = nodes[0].z.new_full(nodes[0].shape, 2.5)
        return hidden, nodes


@pytest.mark.parametrize("objective", [Elbo(), Elbo(beta=3.0), Elbo(free_bits=0.1)], ids=["plain", "beta", "free"])
def test_a_cost_is_paid_in_training_and_is_in_no_bound(
    objective: Elbo, device: torch.device, bits: Tensor, seed: Seed
) -> None:
    plain, costly = (
        LatentModel(latent, Bernoulli(), Mlp(8, 1)).setup((4,), seed=3).to(device) for latent in (Flat(2), _Costly(2))
    )
    made(objective, plain, 1.0)
    without, paid = objective(plain, bits, seed(1)), objective(costly, bits, seed(1))
    torch.testing.assert_close(paid.rows, without.rows + 2.5)
    for name in ("reconstruction", "kl"):
        assert torch.equal(paid.seen[name], without.seen[name])
    one, other = plain.trace(bits, 2, from_posterior(seed(2))), costly.trace(bits, 2, from_posterior(seed(2)))
    assert one.cost is None
    torch.testing.assert_close(other.cost, torch.full((2, 9), 2.5, device=device))
    assert torch.equal(other.log_weight, one.log_weight)
    for a, b in zip(bounds(plain, bits, 20), bounds(costly, bits, 20), strict=True):
        assert torch.equal(a, b)
    torch.testing.assert_close(Iwae(3)(costly, bits, seed(1)).rows, Iwae(3)(plain, bits, seed(1)).rows)
