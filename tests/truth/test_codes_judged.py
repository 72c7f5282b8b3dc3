"""A rival that judges codes: what it learns is a divergence, and what the encoder learns from it brings codes to the prior."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from lambent.model import LatentModel
from lambent.model.latents import Flat, Ladder
from lambent.model.networks import Mlp
from lambent.model.posteriors import Diagonal, Point
from lambent.model.priors import Flow
from lambent.model.trace import from_posterior, from_prior
from lambent.objectives import Aae, Factor, Objective, Wae
from lambent.objectives.judges_of_codes import JudgeOfPrior, share_right, told_apart
from lambent.training.fitting import fit

Seed = Callable[[int], torch.Generator]
Build = Callable[..., LatentModel]


@pytest.fixture
def x(device: torch.device) -> Tensor:
    return torch.randn(9, 4, generator=torch.Generator().manual_seed(0)).to(device)


def jensen_shannon(shift: float) -> float:
    """JSD(N(0, 1), N(shift, 1)) in nats, by quadrature."""
    z = np.linspace(-12, 12 + shift, 200_001)
    p, q = (np.exp(-0.5 * (z - m) ** 2) / math.sqrt(2 * math.pi) for m in (0.0, shift))
    middle = 0.5 * (p + q)
    terms = 0.5 * (p * np.log((p + 1e-300) / (middle + 1e-300)) + q * np.log((q + 1e-300) / (middle + 1e-300)))
    return float(np.trapezoid(terms, z))


def exact(model: LatentModel, shift: float) -> JudgeOfPrior:
    """The best judge of N(0, 1) against N(shift, 1): log p(z)/q(z) = −shift z + shift²/2, which a single layer holds."""
    judge = JudgeOfPrior(model, 1, 0, 0)
    with torch.no_grad():
        judge.network[0].weight.fill_(-shift)
        judge.network[0].bias.fill_(shift**2 / 2)
    return judge


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
def test_the_best_rivals_loss_is_log_2_less_the_jensen_shannon_divergence(
    shift: float, small_model: Build, seed: Seed, device: torch.device
) -> None:
    judge = exact(small_model(latent=Flat(1)), shift)
    drawn, codes = torch.randn(2, 200_000, 1, generator=seed(0), device=device)
    loss = judge.contest((drawn, codes + shift), None)
    assert loss.shape == (200_000,)
    loss = loss.detach()
    error = 4 * float(loss.std()) / math.sqrt(len(loss)) + 1e-6
    assert abs(float(loss.mean()) - (math.log(2) - jensen_shannon(shift))) < error
    judge.tally.count(torch.tensor(True, device=device))
    means = judge.tally.told()
    assert means["rival_loss"] == pytest.approx(float(loss.mean()), rel=1e-5)
    # The best judge is right in Φ(shift/2) of the cases; logits of nought are no judgement.
    right = 0.5 * (1 + math.erf(shift / 2 / math.sqrt(2))) if shift else 0.0
    assert means["rival_accuracy"] == pytest.approx(right, abs=0.005)


def test_a_rival_learns_that_loss(small_model: Build, seed: Seed, device: torch.device) -> None:
    judge = JudgeOfPrior(small_model(latent=Flat(1)), 16, 1, 0)
    optimizer, generator = torch.optim.Adam(judge.parameters(), 0.01), seed(0)
    means = []
    for _ in range(600):
        drawn, codes = torch.randn(2, 500, 1, generator=generator, device=device)
        loss = judge.contest((drawn, codes + 1.5), None).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        means.append(float(loss.detach()))
    assert sum(means[-200:]) / 200 == pytest.approx(math.log(2) - jensen_shannon(1.5), abs=0.01)


@pytest.mark.parametrize("make", [Aae, lambda **given: Wae(by="rival", **given)], ids=["Aae", "Wae"])
@pytest.mark.parametrize("latent", [lambda: Flat(2), lambda: Flat(2, posterior=Point()), lambda: Ladder((2, 3), 4)])
def test_a_code_pays_what_fooling_the_rival_costs(
    make: Callable[..., Objective], latent: Callable[[], Flat], small_model: Build, x: Tensor, seed: Seed
) -> None:
    """λ times −log σ(D(z)) beside −log p(x|z); at levels whose prior learns, draws pay −log(1 − σ(D(z)))."""
    model = small_model(latent=latent())
    objective = make(weight=3.0, width=8, depth=1)
    objective.setup(model)
    generator = seed(1)
    trace = model.trace(x, 1, from_posterior(generator))
    logits = objective.opponent(trace.z[0])
    expected = 3.0 * functional.softplus(-logits) - trace.log_px[0]
    if isinstance(model.latent, Ladder):
        drawn = torch.cat([node.z for node in model.imagine(len(x), from_prior(generator))], -1)[0]
        expected = expected + 3.0 * functional.softplus(objective.opponent(drawn))
    torch.testing.assert_close(objective(model, x, seed(1)).rows, expected)
    assert objective.weighed(5.0, 2.0) == 5.0


def test_a_prior_that_learns_is_taken_for_the_codes(small_model: Build, x: Tensor, seed: Seed) -> None:
    """One step against the gradient of a prior's draws moves them to where the rival expects codes."""
    model = small_model(latent=Flat(1, prior=Flow(1, 4)))
    objective = Aae(width=1, depth=0)
    objective.setup(model)
    objective.opponent.network[0].weight.data.fill_(-1.0)  # codes lie above, draws below
    before = float(model.imagine(500, from_prior(seed(0)))[0].z.mean().detach())
    objective(model, x, seed(1)).rows.mean().backward()
    with torch.no_grad():
        for parameter in model.latent.prior.parameters():
            parameter.sub_(0.01 * parameter.grad)
    assert float(model.imagine(500, from_prior(seed(0)))[0].z.mean().detach()) > before


def test_wae_with_a_rival_is_aae(small_model: Build, x: Tensor, seed: Seed) -> None:
    model = small_model()
    one, other = Aae(width=8, depth=1), Wae(by="rival", width=8, depth=1)
    for objective in (one, other):
        objective.setup(model)
    first, second = one(model, x, seed(1)), other(model, x, seed(1))
    torch.testing.assert_close(first.rows, second.rows)
    torch.testing.assert_close(one.contest(model, first), other.contest(model, second))
    assert Wae().scale == 100.0
    assert Wae(weight=7.0, by="rival").scale == 7.0


def test_the_rival_sees_the_context(small_model: Build, seed: Seed, device: torch.device) -> None:
    model = small_model(context=2)
    judge = JudgeOfPrior(model, 8, 1, 0)
    codes = torch.randn(5, 2, generator=seed(0), device=device)
    given = torch.zeros(5, 2, device=device)
    assert not torch.equal(judge(codes, given), judge(codes, given + 1))


@pytest.mark.parametrize(
    ("posterior", "objective"),
    [
        (Point, Aae(weight=1.0, width=32, depth=2)),
        (Diagonal, Wae(by="rival", weight=1.0, width=32, depth=2)),
    ],
    ids=["Aae", "Wae"],
)
def test_codes_are_drawn_to_the_prior(
    posterior: type, objective: Objective, small_model: Build, device: torch.device
) -> None:
    """Rows far from nought whose code has two units: all codes together have the moments of N(0, I)."""
    generator = torch.Generator().manual_seed(0)
    x = 3.0 + torch.randn(800, 2, generator=generator) @ torch.randn(2, 4, generator=generator)
    x = (x + 0.3 * torch.randn(800, 4, generator=generator)).to(device)
    model = small_model(latent=Flat(2, posterior=posterior()), network=Mlp(32, 1))
    settings = {"batch": 100, "learning_rate": 3e-3, "precision": "fp32", "average": 0.99, "device": device.type}
    history = fit(model, objective, x, epochs=160, **settings)
    with torch.no_grad():
        codes = model.infer(x, 1, from_posterior(torch.Generator(device).manual_seed(0)))[0].z[0]
    assert float(codes.mean(0).abs().max()) < 0.2
    torch.testing.assert_close(codes.std(0), torch.ones(2, device=device), rtol=0.2, atol=0)
    assert abs(float(torch.corrcoef(codes.T)[0, 1])) < 0.2
    assert history["rival_accuracy"][-1] < 0.65
    assert history["rival_loss"][-1] == pytest.approx(math.log(2), abs=0.08)


def test_logits_of_nought_are_chance(device: torch.device) -> None:
    nought = torch.zeros(4, device=device)
    assert float(told_apart(nought, nought)[0]) == pytest.approx(math.log(2))
    logits = torch.tensor([1.0, 1.0, -1.0, 1.0], device=device)
    assert float(share_right(logits, logits)) == 0.5
    assert float(share_right(logits, -logits)) == 0.75


@pytest.mark.parametrize(
    "objective", [Aae(width=4, depth=1), Wae(by="rival", width=4, depth=1), Factor(width=4, depth=1)]
)
def test_an_epoch_tells_of_its_rival(objective: Objective, small_model: Build, device: torch.device) -> None:
    x = torch.randn(40, 4, generator=torch.Generator().manual_seed(0)).to(device)
    history = fit(small_model(), objective, x, epochs=2, batch=10, precision="fp32", device=device.type)
    assert all(0.0 < value < 3.0 for value in history["rival_loss"])  # type: ignore[operator]
    assert all(0.0 <= value <= 1.0 for value in history["rival_accuracy"])  # type: ignore[operator]


def test_wae_by_a_kernel_has_no_rival(small_model: Build) -> None:
    objective = Wae()
    objective.setup(small_model())
    assert objective.opponent is None
    assert objective.told() == {}
