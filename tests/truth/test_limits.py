"""What has crossed a limit comes back: limits keep the gradient that leads back, and floors are smooth."""

import math
from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor

from lambent.distributions import SCALE_RANGE, DiagonalNormal, StandardNormal, limited
from lambent.distributions.divergences import closed_kl
from lambent.model import LatentModel
from lambent.model.latents import Ladder
from lambent.model.likelihoods import Gaussian, JohnsonSU, Laplace, Likelihood, NegativeBinomial, Poisson, StudentT
from lambent.model.posteriors import Diagonal, Flow, Full, Posterior
from lambent.model.priors import Mixture
from lambent.objectives import Elbo
from lambent.part import Spec
from lambent.training.fitting import fit

FLOORED: tuple[type[Likelihood], ...] = (Gaussian, StudentT, Laplace, JohnsonSU)


def test_the_gradient_passes_inside_and_outside_where_it_leads_back() -> None:
    x = torch.tensor([-3.0, -3.0, -1.0, 0.5, 0.5, 2.0, 7.0, 7.0], requires_grad=True)
    gradient = torch.tensor([-2.0, 2.0, 2.0, -3.0, 3.0, -2.0, 4.0, -4.0])
    within = limited(x, -1.0, 2.0)
    within.backward(gradient)
    torch.testing.assert_close(within, torch.tensor([-1.0, -1.0, -1.0, 0.5, 0.5, 2.0, 2.0, 2.0]))
    torch.testing.assert_close(x.grad, torch.tensor([-2.0, 0.0, 2.0, -3.0, 3.0, -2.0, 4.0, 0.0]))


def test_the_gradient_is_no_steeper_than_asked() -> None:
    x = torch.zeros(4, requires_grad=True)
    limited(x, -1.0, 1.0, steepest=5.0).backward(torch.tensor([-1e6, -5.0, 0.1, 7.0]))
    torch.testing.assert_close(x.grad, torch.tensor([-5.0, -5.0, 0.1, 5.0]))


@pytest.mark.parametrize("kind", FLOORED)
@pytest.mark.parametrize("log_scale", [-30.0, -7.0, -1.0, 0.0, 3.0])
def test_a_floor_is_smooth(kind: type[Likelihood], log_scale: float) -> None:
    """σ = √(floor² + e²ˢ), s no lower than log floor − 1, and eˢ itself far above the floor."""
    likelihood = kind(scale="one", floor=0.001)
    likelihood.setup((3,))
    with torch.no_grad():
        likelihood.width.log_scale.fill_(log_scale)
    scale = likelihood.width.floored(torch.zeros(3), 0.001)[1]
    expected = math.hypot(0.001, math.exp(max(log_scale, math.log(0.001) - 1)))
    torch.testing.assert_close(scale.detach(), torch.tensor(expected))
    if log_scale == 3.0:
        assert float(scale.detach()) == float(torch.tensor(log_scale).exp())


@pytest.mark.parametrize("how", ["one", "each"])
@pytest.mark.parametrize("kind", FLOORED)
def test_a_scale_that_sank_to_its_floor_comes_back(kind: type[Likelihood], how: str) -> None:
    """After constant rows, rows of N(0, 1) bring the scale to what fits them best."""
    likelihood = kind(scale=how)
    likelihood.setup((3,))
    constant, spread = torch.zeros(256, 3), torch.randn(256, 3, generator=torch.Generator().manual_seed(0))
    learned(likelihood, constant, 1000)
    sunk = likelihood.width.floored(torch.zeros(3), likelihood.floor)[1]
    assert float(sunk.detach().max()) < 0.0015
    learned(likelihood, spread, 2500)
    scale = likelihood.width.floored(torch.zeros(3), likelihood.floor)[1].detach()
    torch.testing.assert_close(scale, best(likelihood, spread), rtol=0.02, atol=0)


def learned(likelihood: Likelihood, x: Tensor, steps: int) -> None:
    """As the loop does it: the scale at ten times the pace of the rest."""
    width = list(likelihood.width.parameters())
    rest = [p for p in likelihood.parameters() if p is not width[0]]
    groups = [{"params": width, "lr": 1e-2}, *([{"params": rest}] if rest else [])]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, weight_decay=0.0)
    for _ in range(steps):
        optimizer.zero_grad()
        (-likelihood(torch.zeros(len(x), 3)).log_prob(x)).mean().backward()
        optimizer.step()


def best(likelihood: Likelihood, x: Tensor) -> Tensor:
    """The scale of highest likelihood about nought."""
    columns = [x.flatten()] if likelihood.scale == "one" else list(x.T)
    if isinstance(likelihood, Gaussian):
        found = [column.square().mean().sqrt() for column in columns]
    elif isinstance(likelihood, JohnsonSU):
        found = [column.asinh().square().mean().sqrt() for column in columns]
    elif isinstance(likelihood, Laplace):
        found = [column.abs().mean() for column in columns]
    else:
        degrees = 2 + torch.nn.functional.softplus(likelihood.log_degrees.detach())
        if likelihood.scale == "one":  # degrees of its own for each column: look along a line
            scales = torch.linspace(0.5, 1.5, 2001)
            each = torch.distributions.StudentT(degrees, 0.0, scales[:, None, None]).log_prob(x).sum((-2, -1))
            return scales[each.argmax()]
        found = [
            torch.tensor(stats.t.fit(column.numpy(), fix_df=float(d), floc=0)[2])
            for column, d in zip(columns, degrees, strict=True)
        ]
    return torch.stack([f.float() for f in found]).squeeze()


def test_the_same_in_training(small_model: Callable[..., LatentModel]) -> None:
    model = small_model((3,))
    settings = {"average": 0.0, "precision": "fp32", "device": model.device.type}
    fit(model, Elbo(), torch.zeros(256, 3), epochs=400, **settings)
    assert float(model.likelihood.width.log_scale.detach()) < math.log(0.001)
    x = torch.randn(256, 3, generator=torch.Generator().manual_seed(0))
    fit(model, Elbo(), x, epochs=500, spike=0, **settings)
    history = fit(model, Elbo(), x, epochs=100, spike=0, **settings)
    assert abs(float(model.likelihood.width.log_scale.detach().exp()) - 1) < 0.1
    assert (
        abs(history["loss"][-1] - 1.5 * (1 + math.log(2 * math.pi))) < 0.5
    )  # the entropy of such rows; it was a million


@pytest.mark.parametrize("posterior", [Diagonal(), Full(), Flow(1, 4)])
@pytest.mark.parametrize("beyond", [-50.0, 50.0])
def test_a_posterior_comes_back_from_both_ends(posterior: Posterior, beyond: float) -> None:
    """∂ KL(q ‖ N(0, 1)) / ∂ log σ = σ² − 1: negative at the low end, positive at the high one."""
    posterior.setup((3,), (1,))
    with torch.no_grad():
        posterior.head.weight.zero_()
        posterior.head.bias.copy_(torch.tensor([0.0, beyond]))
    q = posterior(torch.zeros(1, 3))
    straight = getattr(q, "base", q)
    closed_kl(straight, StandardNormal(1, torch.zeros(0))).backward()
    edge = SCALE_RANGE[0] if beyond < 0 else SCALE_RANGE[1]
    torch.testing.assert_close(posterior.head.bias.grad[1], torch.tensor(math.exp(2 * edge) - 1))


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_a_mixture_comes_back_from_both_ends(covariance: str) -> None:
    """−log N(z; 0, σ²) by log σ: 1 − z²/σ²."""
    for beyond, z in ((-50.0, 0.01), (50.0, 1.0)):
        prior = Mixture(1, covariance)
        prior.setup((1,), torch.zeros(1, 1))
        with torch.no_grad():
            prior.location.zero_()
            prior.log_scale.fill_(beyond)
        (-prior(None).log_prob(torch.tensor([z]))).backward()
        edge = SCALE_RANGE[0] if beyond < 0 else SCALE_RANGE[1]
        expected = torch.tensor([[1 - z**2 * math.exp(-2 * edge)]])
        torch.testing.assert_close(prior.log_scale.grad, expected, rtol=1e-4, atol=1e-6)


def test_the_priors_of_a_ladder_come_back() -> None:
    ladder = Ladder((1, 1), width=4)
    ladder.setup((3,), torch.zeros(1, 3))
    head = ladder.priors[0]
    with torch.no_grad():
        head.bias.copy_(torch.tensor([0.0, -50.0]))
    _, nodes = ladder(None, lambda node, level: torch.ones(1, 1, 1), 1, lambda x: x)
    assert isinstance(nodes[1].p, DiagonalNormal)
    (-nodes[1].p.log_prob(nodes[1].z)).sum().backward()
    torch.testing.assert_close(head.bias.grad[1], torch.tensor(1 - math.exp(-2 * SCALE_RANGE[0])))


@pytest.mark.parametrize(
    ("spec", "raw", "value", "sign"),
    [
        ({"type": "Poisson"}, [-40.0], 3.0, -1),  # the rate must grow
        ({"type": "Poisson"}, [40.0], 3.0, 1),
        ({"type": "NegativeBinomial", "dispersion": "predicted"}, [-40.0, 0.0], 3.0, -1),
        ({"type": "NegativeBinomial", "dispersion": "predicted"}, [40.0, 0.0], 3.0, 1),
        ({"type": "Gaussian", "scale": "predicted"}, [0.0, -40.0], 3.0, -1),
        ({"type": "Gaussian", "scale": "predicted"}, [0.0, 40.0], 3.0, 1),
    ],
)
def test_predicted_numbers_come_back(spec: Spec, raw: list[float], value: float, sign: int) -> None:
    likelihood = Likelihood.from_spec(spec)
    likelihood.setup((1,))
    given = torch.tensor([raw], requires_grad=True)
    (-likelihood(given).log_prob(torch.tensor([[value]]))).sum().backward()
    place = max(range(len(raw)), key=lambda i: abs(raw[i]))
    assert sign * float(given.grad[0, place]) > 0
    assert isinstance(likelihood, (Poisson, NegativeBinomial, Gaussian))
