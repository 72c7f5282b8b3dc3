"""Passes replayed from a CUDA graph are those that are computed one by one."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import Bernoulli
from lambent.model.networks import Conv, Mlp, Network
from lambent.objectives import Elbo, Objective
from lambent.objectives.bounds import Iwae
from lambent.objectives.spread import BetaTc
from lambent.training import graphed
from lambent.training.fitting import fit
from lambent.training.graphed import Graphed

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
SETTINGS: dict[str, Any] = {"epochs": 4, "batch": 32, "precision": "fp32", "device": "cuda", "seed": 3}


def pictures() -> Tensor:
    return (torch.rand(32 * 6 + 5, 1, 8, 8, generator=torch.Generator().manual_seed(0)) > 0.6).to(torch.uint8)


def model(network: Network | None = None, context: int = 0) -> LatentModel:
    return LatentModel(Flat(3), Bernoulli(), network or Mlp(16, 1), context=context)


@pytest.mark.parametrize(
    ("objective", "steady_at"),
    [
        (Elbo(), 0.0),
        (Elbo(free_bits=0.1, beta=2.0), 0.0),
        (Elbo(anneal="linear", warmup=0.5), 0.5),
        (Elbo(anneal="cyclical", cycles=2, warmup=0.5), 0.75),
        (Elbo(capacity=3.0, warmup=0.4), 0.4),
        (Elbo(trim=0.1), 0.11),
        (Elbo(settle=0.9), 0.95),
        (Iwae(4), 0.0),
        (BetaTc(), None),
    ],
)
def test_an_objective_says_from_when_on_its_steps_are_alike(objective: Objective, steady_at: float | None) -> None:
    for progress in (0.0, 0.2, 0.5, 0.76, 0.95, 1.0):
        objective.progress = progress
        assert objective.steady == (steady_at is not None and progress >= steady_at), progress


def test_a_processor_computes_each_step_as_it_comes() -> None:
    made, x = model().setup((1, 8, 8)), pictures()[:32]
    objective = Elbo()
    calls: list[Tensor] = []

    def passes(x: Tensor, context: Tensor | None) -> tuple[Any, Tensor]:
        calls.append(x)
        loss = objective(made, x, torch.Generator().manual_seed(0))
        return loss, loss.rows.detach().mean()

    steps = Graphed(made, objective, torch.Generator(), passes, torch.device("cpu"))
    for _ in range(graphed.UNTRIED + 3):
        steps.step(x, None)
    assert len(calls) == graphed.UNTRIED + 3
    assert steps.graph is None


@on_gpu
@pytest.mark.parametrize("network", [lambda: Mlp(16, 1), lambda: Conv((4, 8), 16)])
@pytest.mark.parametrize("objective", [Elbo, lambda: Elbo(free_bits=0.1), lambda: Iwae(4)])
def test_a_training_with_a_graph_ends_where_one_without_does(
    network: Callable[[], Network], objective: Callable[[], Objective], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Graphed] = []
    start = Graphed.__init__

    def noted(self: Graphed, *args: Any) -> None:
        start(self, *args)
        made.append(self)

    monkeypatch.setattr(Graphed, "__init__", noted)
    found = []
    for untried in (graphed.UNTRIED, 10**9):
        monkeypatch.setattr(graphed, "UNTRIED", untried)
        trained = model(network())
        history = fit(trained, objective(), pictures(), **SETTINGS)
        found.append((history["loss"], [p.detach().cpu() for p in trained.parameters()]))
    assert made[0].graph is not None, made[0].refused
    assert made[1].graph is None
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    for with_graph, without in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(with_graph, without, rtol=1e-3, atol=1e-4)


@on_gpu
def test_context_goes_into_the_graph() -> None:
    x = pictures()
    context = torch.randn(len(x), 2)
    with_context = model(context=2)
    history = fit(with_context, Elbo(), x, context=context, **SETTINGS)
    assert history["loss"][-1] < history["loss"][0]


@on_gpu
def test_what_cannot_be_captured_is_computed_as_it_comes() -> None:
    """An objective that asks the GPU for a number in the middle of a step."""

    class _Asking(Elbo):
        def forward(self, model: LatentModel, x: Tensor, generator: Any = None, context: Any = None) -> Any:
            loss = super().forward(model, x, generator, context)
            assert float(loss.rows.detach().sum()) > 0
            return loss

    history = fit(model(), _Asking(), pictures(), **SETTINGS)
    plain = fit(model(), Elbo(), pictures(), **SETTINGS)
    assert history["loss"] == pytest.approx(plain["loss"], rel=1e-5)
