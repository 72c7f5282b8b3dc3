"""Invariant: what codes tell of the context, by a rival of known answers, by a kernel of known moments, and after training."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lambent.errors import UsageError
from lambent.model import LatentModel, check
from lambent.model.latents import Flat, Styled
from lambent.model.trace import from_posterior
from lambent.objectives import Elbo, Invariant
from lambent.objectives.invariant import dependence
from lambent.objectives.spread import SCALES, kernel
from lambent.training.fitting import fit

Seed = Callable[[int], torch.Generator]
Build = Callable[..., LatentModel]


class Answers(nn.Module):
    """A rival that gives the same numbers f for every code."""

    def __init__(self, numbers: Tensor) -> None:
        super().__init__()
        self.numbers = nn.Parameter(numbers)

    def forward(self, codes: Tensor) -> Tensor:
        return self.numbers.expand(len(codes), -1)


def ready(model: LatentModel, **fields: object) -> Invariant:
    objective = Invariant(**fields)
    objective.setup(model)
    objective.to(model.device)
    objective.progress = 1.0
    return objective


def paid(objective: Invariant, model: LatentModel, x: Tensor, context: Tensor, seed: Seed) -> Tensor:
    """What rows pay beside the loss within, for λ = 1."""
    loss = objective(model, x, seed(0), context)
    assert loss.within is not None
    return loss.rows - loss.within.rows


def test_categories_are_a_classifiers_cross_entropy(small_model: Build, seed: Seed, device: torch.device) -> None:
    """Two of each by turns, and logits that differ by a: the rival says σ(a) of the first, whatever the code."""
    model, x, a = small_model(context=2), torch.randn(8, 4, device=device), 1.5
    context = torch.eye(2, device=device).repeat(4, 1)
    objective = ready(model, weight=1.0, r1=0.0)
    objective.discriminator = Answers(torch.tensor([a / 2, 0.0, a / 2, 0.0], device=device))  # of c and of c²
    first, second = 1 / (1 + math.exp(-a)), 1 / (1 + math.exp(a))
    expected = -(math.log(2 * first) + math.log(2 * second)) / 2
    rows = paid(objective, model, x, context, seed)
    torch.testing.assert_close(rows, torch.full_like(rows, expected), rtol=1e-4, atol=1e-5)
    loss = objective(model, x, seed(0), context)
    lost = objective.contest(model, loss, seed(0), context)
    expected_lost = torch.tensor([-math.log(2 * first), -math.log(2 * second)], device=device).repeat(4)
    torch.testing.assert_close(lost, expected_lost, rtol=1e-4, atol=1e-5)
    objective.after(model, loss, torch.tensor(True, device=device))
    objective.contest(model, loss, seed(0), context)
    objective.after(model, loss, torch.tensor(False, device=device))  # a step that was skipped does not count
    assert objective.told()["leakage"] == pytest.approx(-float(expected_lost.mean()), rel=1e-4)
    assert objective.told()["leakage"] is None, "the next epoch begins anew"


def test_numbers_are_a_gaussians(small_model: Build, seed: Seed, device: torch.device) -> None:
    """f = (m/s², −1/2s²) is N(c; m, s²) up to what all contexts share."""
    model, x, m, s = small_model(context=1), torch.randn(6, 4, device=device), 0.7, 0.5
    context = torch.linspace(-1, 2, 6, device=device).unsqueeze(1)
    objective = ready(model, weight=1.0, r1=0.0)
    objective.discriminator = Answers(torch.tensor([m / s**2, -0.5 / s**2], device=device))
    density = torch.distributions.Normal(m, s).log_prob(context[:, 0])
    share = density - density.logsumexp(0) + math.log(6)
    rows = paid(objective, model, x, context, seed)
    torch.testing.assert_close(rows, (-share.mean()).expand(6), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        objective.contest(model, objective(model, x, seed(0), context), None, context), -share, rtol=1e-4, atol=1e-4
    )


def test_the_penalty_is_the_slope_of_a_linear_rival(small_model: Build, seed: Seed, device: torch.device) -> None:
    """Two contexts and one weight: ∂ log p(own | z)/∂z = ±w (1 − p)."""
    model, x = small_model(context=1, latent=Flat(1)), torch.randn(2, 4, device=device)
    context = torch.tensor([[0.0], [1.0]], device=device)
    objective, w = ready(model, r1=3.0), 0.8
    objective.discriminator = nn.Linear(1, 2, bias=False, device=device)
    objective.discriminator.weight.data = torch.tensor([[w], [0.0]], device=device)
    loss = objective(model, x, seed(0), context)
    z = loss.trace.z[0, :, 0].detach()
    p = torch.stack((torch.sigmoid(-w * z[0]), torch.sigmoid(w * z[1])))
    expected = -(2 * p).log() + 1.5 * (w * (1 - p)).square()
    torch.testing.assert_close(objective.contest(model, loss, None, context).detach(), expected, rtol=1e-4, atol=1e-5)


def test_a_rival_without_skill_costs_nothing(small_model: Build, seed: Seed, device: torch.device) -> None:
    model, x = small_model(context=3), torch.randn(9, 4, device=device)
    context = torch.eye(3, device=device).repeat(3, 1)
    objective = ready(model, weight=50.0)
    nn.init.zeros_(objective.discriminator[-1].weight)
    nn.init.zeros_(objective.discriminator[-1].bias)
    torch.testing.assert_close(
        paid(objective, model, x, context, seed), torch.zeros(9, device=device), atol=1e-4, rtol=0
    )


def test_the_rival_learns_and_the_model_learns_against_it(small_model: Build, seed: Seed, device: torch.device) -> None:
    model, x = small_model(context=2), torch.randn(8, 4, device=device)
    context = torch.eye(2, device=device).repeat(4, 1)
    objective = ready(model)
    lost = objective.contest(model, objective(model, x, seed(0), context), seed(0), context)
    lost.mean().backward()
    assert all(p.grad is None for p in model.parameters()), "the opponent must not teach the model"
    assert all(bool((p.grad != 0).any()) for p in objective.opponent.parameters())
    paid(objective, model, x, context, seed).mean().backward()
    assert bool((model.latent.posterior.head.weight.grad != 0).any())
    assert model.decoder(torch.zeros(1, 4, device=device)).requires_grad
    assert all(p.grad is None or not (p.grad != 0).any() for p in model.decoder.parameters())


# ---- the kernel --------------------------------------------------------------------------------------------------


def test_dependence_is_the_mean_over_all_quadruples() -> None:
    """HSIC as a U-statistic: the mean over i, j, q, r that differ of k_ij l_ij + k_ij l_qr − 2 k_ij l_iq."""
    torch.manual_seed(0)
    codes, context = torch.randn(7, 3, dtype=torch.float64), torch.randn(7, 1, dtype=torch.float64)
    near = kernel(codes, codes)
    alike = (-0.5 * (context - context.T).square()).exp()
    terms = [
        near[i, j] * (alike[i, j] + alike[q, r] - 2 * alike[i, q]) for i, j, q, r in itertools.permutations(range(7), 4)
    ]
    torch.testing.assert_close(dependence(codes, context), torch.stack(terms).mean())


def test_dependence_of_two_categories_is_their_squared_mmd() -> None:
    """Two points: k within is the number of scales; HSIC = (1 − e⁻¹) MMD² / 8, and the estimate is near it."""
    n = 2000
    context = torch.eye(2, dtype=torch.float64).repeat(n // 2, 1)
    codes = context @ torch.tensor([[0.0, 0.0], [2.0, 1.0]], dtype=torch.float64)
    squared = 2 * len(SCALES) - 2 * float(kernel(codes[:1], codes[1:2]))
    expected = (1 - math.exp(-1)) * squared / 8
    assert float(dependence(codes, context)) == pytest.approx(expected, rel=3 / n)


def test_dependence_of_what_is_independent_is_nought_on_average() -> None:
    torch.manual_seed(1)
    found = torch.stack([dependence(torch.randn(12, 2), torch.eye(2)[torch.randint(2, (12,))]) for _ in range(3000)])
    assert abs(float(found.mean())) < 4 * float(found.std()) / 3000**0.5


def test_fewer_than_four_rows_have_no_estimate() -> None:
    assert float(dependence(torch.randn(3, 2), torch.eye(3))) == 0.0


# ---- training ----------------------------------------------------------------------------------------------------


def data(n: int = 800) -> tuple[Tensor, Tensor]:
    """Rows of two kinds that differ in the place of two columns; of what is left, two numbers tell everything."""
    generator = torch.Generator().manual_seed(0)
    context = torch.eye(2)[torch.arange(n) % 2]
    content = torch.randn(n, 2, generator=generator) @ torch.randn(2, 6, generator=generator)
    shift = 2 * context[:, :1] * torch.tensor([1.0, -1.0, 0, 0, 0, 0])
    return content + shift + 0.1 * torch.randn(n, 6, generator=generator), context


def found_by_a_line(model: LatentModel, x: Tensor, context: Tensor) -> float:
    """The share of held-out rows whose kind the best line tells from their codes."""
    with torch.no_grad():
        codes = model.infer(x, 1, from_posterior(torch.Generator().manual_seed(0)), context)[0].z[0]
    codes = torch.cat((codes, torch.ones(len(codes), 1)), 1)
    half, sides = len(x) // 2, 2 * context[:, :1] - 1
    line = torch.linalg.lstsq(codes[:half], sides[:half]).solution
    return float(((codes[half:] @ line).sign() == sides[half:]).float().mean())


@pytest.mark.parametrize("by", ["rival", "kernel"])
def test_codes_of_two_kinds_become_alike(by: str, small_model: Build) -> None:
    x, context = data()
    ends = []
    light = Elbo(beta=0.1)
    for objective in (light, Invariant(of=light, by=by, weight=30.0, width=32, depth=2)):
        model = small_model((6,), context=2, latent=Flat(4))
        fit(model, objective, x, context=context, epochs=40, batch=80, learning_rate=5e-3, device="cpu", average=0.0)
        ends.append(found_by_a_line(model, x, context))
    assert ends[0] > 0.8, ends
    assert ends[1] < 0.65, ends


def test_of_a_styled_latent_the_content_alone_is_judged(small_model: Build, seed: Seed, device: torch.device) -> None:
    model = small_model(context=2, latent=Styled(content=Flat(3), style=5, group=1))
    objective = ready(model, width=7, depth=1)
    assert objective.discriminator[0].in_features == 3
    x, context = torch.randn(8, 4, device=device), torch.eye(2, device=device).repeat(4, 1)
    paid(objective, model, x, context, seed).mean().backward()
    assert model.latent.head.head.weight.grad is None or not bool((model.latent.head.head.weight.grad != 0).any())
    assert bool((model.latent.content.posterior.head.weight.grad != 0).any())


def test_a_model_without_a_context_is_refused(small_model: Build) -> None:
    with pytest.raises(UsageError, match=r"^Invariant is about the context .*such as condition=label"):
        check(small_model(), Invariant())
