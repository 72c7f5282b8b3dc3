"""Trainings with two optimizers: whose spikes are left out, what ends them, and what their epochs tell."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lambent.errors import DivergedError
from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import Gaussian
from lambent.model.networks import Mlp
from lambent.model.posteriors import Absent, Diagonal
from lambent.objectives import Aae, Adversarial, Elbo, Factor, Gan, Objective, VaeGan
from lambent.objectives.tally import Tally
from lambent.training.checkpoint import Checkpoint
from lambent.training.fitting import fit
from lambent.training.run import Run
from lambent.training.spikes import CONTESTED, Spikes

FAST: dict[str, Any] = {"epochs": 3, "batch": 8, "device": "cpu", "precision": "fp32", "average": 0.0}
Weights = Mapping[str, Tensor]


@pytest.fixture
def x() -> Tensor:
    return torch.randn(80, 4, generator=torch.Generator().manual_seed(0))


def model_for(objective: Objective) -> LatentModel:
    posterior = Diagonal() if objective.encodes else Absent()
    return LatentModel(Flat(2, posterior=posterior), Gaussian(), Mlp(8, 1))


class After:
    """The weights of model and opponent after every step."""

    def __init__(self) -> None:
        self.models: list[list[Tensor]] = []
        self.opponents: list[list[Tensor]] = []

    def on_step(self, run: Run) -> None:
        assert run.objective.opponent is not None
        self.models.append([p.detach().clone() for p in run.model.parameters()])
        self.opponents.append([p.detach().clone() for p in run.objective.opponent.parameters()])


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def absurd_at(*steps: int, factor: float = 1e4) -> Callable[[Tensor, Any], Tensor]:
    counter = iter(range(1, 10**6))
    return lambda rows, generator: rows * factor if next(counter) in steps else rows


def test_M18_a_spike_of_the_rivals_own_is_skipped_and_counted(x: Tensor) -> None:
    """Where the rival's loss leaps and the model's does not, the rival's step is skipped and counted."""

    class Leaping(Gan):
        def contest(self, *given: Any) -> Tensor:
            return super().contest(*given) * (1e4 if abs(self.progress - 14 / 30) < 1e-6 else 1.0)

    objective, after = Leaping(), After()
    history = fit(model_for(objective), objective, x, **FAST, callbacks=[after])
    assert same(after.opponents[12], after.opponents[13]), "the spike moved the rival"
    assert not same(after.models[12], after.models[13])
    for before, now in ((11, 12), (13, 14)):
        assert not same(after.opponents[before], after.opponents[now])
    assert history["skipped"] == [0, 1, 1]
    assert max(history["rival_loss"]) < 3.0  # type: ignore[type-var]  # not in the means either
    assert max(history["rival_gradient"]) < 100.0  # type: ignore[type-var]


@pytest.mark.parametrize(
    "objective",
    [VaeGan(start=0.0), Adversarial(of=Factor(width=8, depth=1), start=0.0), Aae(width=8, depth=1)],
    ids=["VaeGan", "two opponents", "Aae"],
)
def test_M18_a_spike_moves_neither_of_two(objective: Objective, x: Tensor) -> None:
    """A step whose loss leaps far above the last epoch's moves neither the model nor any opponent, and is counted once."""
    after = After()
    history = fit(model_for(objective), objective, x, **FAST, augment=absurd_at(14), callbacks=[after])
    assert same(after.opponents[12], after.opponents[13])
    assert same(after.models[12], after.models[13])
    assert not same(after.opponents[13], after.opponents[14])
    assert history["skipped"] == [0, 1, 1]
    assert all(math.isfinite(value) for value in history["rival_loss"])  # type: ignore[arg-type]


def test_M18_a_rival_without_numbers_ends_the_run_by_name(x: Tensor, tmp_path: Path) -> None:
    """A rival whose weights stopped being numbers is named, and no checkpoint is written over the last good one."""

    class Spoil:
        def on_step(self, run: Run) -> None:
            if run.step == 12:
                next(run.objective.opponent.parameters()).data[0] = torch.nan

    path, objective = tmp_path / "state", Factor(gamma=0.0, width=8, depth=1)
    with pytest.raises(DivergedError, match=r"step 13 .*The rival's weights had already stopped being finite: lower"):
        fit(
            model_for(objective), objective, x, **FAST, callbacks=[Checkpoint(path, seconds=0.0), Spoil()],
        )  # fmt: skip
    fit(model_for(objective), again := Factor(gamma=0.0, width=8, depth=1), x, **FAST, checkpoint=path, resume=True)
    assert all(torch.isfinite(p).all() for p in again.opponent.parameters())


def test_M18_a_rivals_loss_that_is_no_number_ends_the_run(x: Tensor) -> None:
    """A rival's loss that is no number, where the model's is one, ends the run and says so."""

    class Broken(Aae):
        def contest(self, *given: Any) -> Tensor:
            return super().contest(*given) * (torch.nan if self.progress > 0.5 else 1.0)

    objective = Broken(width=8, depth=1)
    with pytest.raises(DivergedError, match=r"step 16 \(epoch 2\): the rival's loss was not finite"):
        fit(model_for(objective), objective, x, **FAST)


def test_M18_a_contest_is_not_taken_for_spikes() -> None:
    """The loss of an easy contest is nearly constant, and rises as the rival learns: by less than two nats it is no spike."""
    spikes, sums = Spikes(20.0, torch.device("cpu"), least=CONTESTED), dict[str, float]()
    means = torch.full((10,), 0.02, dtype=torch.float64)
    spikes.count(sums, means, ~spikes.passes(means))
    assert not spikes.judge_level(sums)
    spikes.follow(sums)
    assert float(spikes.limit) == pytest.approx(0.02 + 20 * CONTESTED)
    assert spikes.passes(torch.tensor(1.9))
    assert not spikes.passes(torch.tensor(2.1))
    assert not spikes.passes(torch.tensor(torch.nan))


def test_gradients_of_both_are_told_as_they_were(x: Tensor) -> None:
    """The mean over the steps of an epoch of the norms of all gradients, before they are clipped."""
    norms: dict[str, dict[Tensor, float]] = {"gradient": {}, "rival_gradient": {}}
    seen: dict[str, list[float]] = {"gradient": [], "rival_gradient": []}

    class Noting:
        def on_start(self, run: Run) -> None:
            for name, optimizer in (("gradient", run.optimizer), ("rival_gradient", run.opponent)):
                for parameter in (p for group in optimizer.param_groups for p in group["params"]):
                    parameter.register_post_accumulate_grad_hook(lambda p, name=name: self.note(name, p))

        def note(self, name: str, parameter: Tensor) -> None:
            norms[name][parameter] = float(
                parameter.grad.norm()
            )  # the rival's last, of its own loss, replaces that of the first

        def on_step(self, run: Run) -> None:
            for name, parts in norms.items():
                seen[name].append(math.hypot(*parts.values()))

    objective = Factor(width=8, depth=1)
    history = fit(model_for(objective), objective, x, **FAST | {"epochs": 1}, clip=1e-3, callbacks=[Noting()])
    for name, values in seen.items():
        assert len(values) == 10
        assert history[name][0] == pytest.approx(sum(values) / 10, rel=1e-4), name
        assert history[name][0] > 0.01  # type: ignore[operator]


def test_a_run_without_an_opponent_tells_of_no_contest(x: Tensor) -> None:
    history = fit(model_for(Elbo()), Elbo(), x, **FAST)
    assert not {"gradient", "rival_gradient", "rival_loss", "rival_accuracy", "spread"} & set(history)


def test_a_rival_that_begins_later_leaves_gaps_before(x: Tensor) -> None:
    objective = VaeGan(start=0.5)
    history = fit(model_for(objective), objective, x, **FAST | {"epochs": 4})
    for name in ("rival_loss", "rival_accuracy", "spread", "gradient", "rival_gradient"):
        assert history[name][:2] == [None, None], name
        assert all(value is not None and math.isfinite(value) for value in history[name][2:]), name


def test_a_tally_is_the_mean_of_the_steps_that_counted() -> None:
    tally = Tally("one", "other")
    for one, taken in ((1.0, True), (5.0, False), (math.nan, True), (2.0, True)):
        tally.note(torch.tensor(one), torch.tensor(10 * one))
        tally.count(torch.tensor(taken))
    tally.count(torch.tensor(True))  # nothing was noted
    assert tally.told() == {"one": 1.5, "other": 15.0}
    assert tally.told() == {"one": None, "other": None}
