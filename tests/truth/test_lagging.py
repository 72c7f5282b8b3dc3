"""Lagging inference: who learns when, where the encoder comes to, and when both learn together."""

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import Gaussian
from lambent.model.networks import Mlp
from lambent.model.posteriors import Full
from lambent.model.trace import Node, from_posterior, information
from lambent.objectives import Elbo, Lagging
from lambent.training.fitting import fit
from lambent.training.run import Run

Seed = Callable[[int], torch.Generator]
Build = Callable[..., LatentModel]


class Watch:
    """What moved in each step: the encoder, or the decoder."""

    def __init__(self) -> None:
        self.moved: list[str] = []

    def on_start(self, run: Run) -> None:
        self.before = copy.deepcopy(run.model.state_dict())

    def on_step(self, run: Run) -> None:
        now = run.model.state_dict()
        changed = {name for name, value in now.items() if not torch.equal(value, self.before[name])}
        inner = {name for name in changed if name.startswith(("encoder.", "latent.posterior."))}
        self.moved.append(
            {(True, False): "encoder", (False, True): "decoder"}.get((bool(inner), inner != changed), "both")
        )
        self.before = copy.deepcopy(now)


def test_the_encoder_takes_many_steps_for_one_of_the_decoder(small_model: Build, device: torch.device) -> None:
    watch = Watch()
    x = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    settings = {"batch": 4, "epochs": 4, "average": 0.0, "precision": "fp32", "device": device.type}
    fit(small_model(), Lagging(window=100, most=3, longest=0.5), x, callbacks=[watch], **settings)
    assert watch.moved[:19] == [*["encoder"] * 3, "decoder"] * 4 + ["encoder"] * 3
    assert watch.moved[20:] == ["both"] * 20


def test_a_window_that_brings_nothing_passes_the_turn(small_model: Build, x: Tensor, seed: Seed) -> None:
    model, objective = small_model(), Lagging(window=2, most=100)
    objective.setup(model)
    objective.to(model.device)
    turns = []
    for level in (9.0, 8.0, 7.0, 6.0, 7.0, 8.0, 5.0, 5.0):
        loss = objective(model, x, seed(0))
        loss.rows = torch.full_like(loss.rows, level)
        objective.after(model, loss, torch.tensor(True, device=x.device))
        turns.append(int(objective.turn))
    assert turns == [1, 2, 3, 4, 5, -1, 0, 1]  # 8.5, then 6.5, then 7.5: no better
    assert int(objective.learned) == 1


@pytest.fixture
def x(device: torch.device) -> Tensor:
    return torch.randn(9, 4, generator=torch.Generator().manual_seed(0)).to(device)


def test_both_learn_together_once_the_codes_tell_less(small_model: Build, x: Tensor, seed: Seed) -> None:
    model, objective = small_model(), Lagging(apart=3)
    objective.setup(model)
    objective.to(model.device)
    for scale, learned, ahead in ((1.0, 2, True), (1.0, 3, True), (3.0, 3, True), (0.1, 2, True), (0.1, 3, False)):
        objective.learned.fill_(learned)
        objective.examine(model, scale * x, None, seed(0))
        assert objective.ahead == ahead
    objective.progress = 0.4
    assert not objective.ahead
    fresh = Lagging()
    fresh.setup(model)
    fresh.progress = 0.5
    assert not fresh.ahead


def test_information_of_separate_and_of_equal_posteriors(device: torch.device) -> None:
    """log n where every row has a place of its own, nought where all have one; that of a Gaussian channel between."""
    from lambent.distributions import DiagonalNormal, StandardNormal

    def told(location: Tensor, scale: float) -> float:
        q = DiagonalNormal(location, torch.full_like(location, math.log(scale)))
        node = Node(StandardNormal(location.shape[1], location), q, (1, len(location)))
        node.z = from_posterior(torch.Generator(device).manual_seed(0))(node, 0)
        return float(information(node).mean())

    location = torch.randn(2000, 1, generator=torch.Generator().manual_seed(1)).to(device)
    assert told(100 * torch.arange(50.0, device=device).unsqueeze(1), 0.1) == pytest.approx(math.log(50))
    assert told(torch.zeros(50, 2, device=device), 1.0) == pytest.approx(0.0, abs=1e-5)
    assert told(location, 0.5) == pytest.approx(0.5 * math.log(1 + 1 / 0.25), abs=0.06)


def test_an_encoder_ahead_for_good_reaches_the_posterior_of_a_decoder_that_stands(device: torch.device) -> None:
    """z ~ N(0, 1), x | z ~ N(2 z, ½²) in one unit: the ELBO comes to log N(x; 0, 2² + ½²)."""
    x = 4 * torch.randn(400, 1, generator=torch.Generator().manual_seed(0))
    model = (
        LatentModel(Flat(1, posterior=Full()), Gaussian("fixed", value=0.5), Mlp(8, 1, linear=True))
        .setup((1,))
        .to(device)
    )
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.zero_()
        assert model.decoder.linear is not None
        model.decoder.linear.weight.fill_(2.0)
    kept = copy.deepcopy(model.decoder.state_dict())
    objective = Lagging(window=10**6, most=10**6, longest=1.0)
    settings = {"batch": 50, "epochs": 60, "learning_rate": 0.02, "schedule": "cosine", "average": 0.0}
    fit(model, objective, x, precision="fp32", device=device.type, **settings)
    # The last step is that of progress 1, in which both learn.
    assert all(torch.allclose(value, kept[name], atol=0.03) for name, value in model.decoder.state_dict().items())
    log_weight = model.trace(x.to(device), 500, from_posterior(torch.Generator(device).manual_seed(0))).log_weight
    evidence = torch.distributions.Normal(0.0, math.sqrt(4.25)).log_prob(x.to(device)).sum(-1)
    assert float((evidence - log_weight.detach().mean(0)).mean()) == pytest.approx(0.0, abs=0.03)


def test_a_code_that_the_elbo_lets_collapse_stays_in_use(device: torch.device) -> None:
    """Rows on a circle, a learned scale and large steps: the ELBO gives the code up within ten epochs."""
    generator = torch.Generator().manual_seed(0)
    angles = 2 * math.pi * torch.rand(512, generator=generator)
    x = 3 * torch.stack((angles.cos(), angles.sin()), -1) + 0.1 * torch.randn(512, 2, generator=generator)
    found = {}
    for objective in (Elbo(), Lagging()):
        settings = {"epochs": 150, "batch": 64, "learning_rate": 5e-3, "precision": "fp32", "device": device.type}
        history = fit(LatentModel(Flat(2), Gaussian(), Mlp(32, 2)), objective, x, **settings)
        found[type(objective).__name__] = (history["kl"][-1], history["elbo"][-1])
    assert found["Elbo"][0] < 0.1
    assert found["Lagging"][0] > 2
    assert found["Lagging"][1] > found["Elbo"][1] + 0.4


def test_information_is_the_same_however_many_codes_are_looked_at_together(
    small_model: Build, x: Tensor, seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = small_model().infer(x, 1, from_posterior(seed(0)))[0]
    together = information(node)
    monkeypatch.setattr("lambent.model.trace.PAIRED", 1)
    torch.testing.assert_close(information(node), together)
