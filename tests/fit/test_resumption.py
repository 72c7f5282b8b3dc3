"""More places and parts than test_resume.py has: what else a resumed run must not depend on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lambent.errors import ArtifactError, InterruptedRun
from lambent.model import LatentModel
from lambent.model.latents import Flat, Grid, Ladder
from lambent.model.likelihoods import Bernoulli, Gaussian, Laplace
from lambent.model.networks import Mlp, ResNet
from lambent.model.posteriors import Flow as FlowPosterior
from lambent.model.priors import Flow, Mixture, Vamp
from lambent.objectives import BetaTc, Elbo, Loss
from lambent.objectives.bounds import Iwae
from lambent.objectives.factor import Factor
from lambent.training.callbacks import Journal
from lambent.training.checkpoint import Checkpoint
from lambent.training.fitting import fit
from lambent.training.run import History, Run

Build = Callable[[], dict[str, Any]]  # fresh arguments of fit, the same each time
Finished = tuple[dict[str, Tensor], History]


def rows(n: int = 40) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, 2, generator=generator) @ torch.randn(2, 4, generator=generator)


def images() -> Tensor:
    return (torch.rand(24, 1, 7, 5, generator=torch.Generator().manual_seed(0)) > 0.5).to(torch.uint8)


def context(seed: int = 3) -> Tensor:
    return torch.randn(40, 2, generator=torch.Generator().manual_seed(seed))


def model(**parts: Any) -> LatentModel:
    return LatentModel(**{"latent": Flat(2), "likelihood": Gaussian(), "network": Mlp(6, 1), **parts})


def given(**changes: Any) -> dict[str, Any]:
    """Four epochs of five steps, the last batch smaller."""
    base = {"model": model(), "objective": Elbo(), "data": rows(), "epochs": 4, "batch": 9, "learning_rate": 0.01}
    return base | {"device": "cpu", "precision": "fp32"} | changes


def jolted(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """A twentieth of the batches are spoilt, by the run's own generator."""
    return x * 1000 if float(torch.rand((), generator=generator)) < 0.05 else x


CASES: dict[str, Build] = {
    "target": lambda: given(objective=Elbo(beta="auto", target=3.0), model=model(likelihood=Laplace())),
    "flow prior, three samples": lambda: given(model=model(latent=Flat(2, prior=Flow(1, 4))), objective=Iwae(3)),
    "flow posterior": lambda: given(model=model(latent=Flat(2, posterior=FlowPosterior(1, 4)))),
    "pseudo-inputs": lambda: given(model=model(latent=Flat(2, prior=Vamp(3)))),
    "ladder": lambda: given(model=model(latent=Ladder((2, 2), 4, prior=Mixture(3)))),
    "batch estimates": lambda: given(objective=BetaTc()),
    "residual": lambda: given(
        data=images(), model=model(network=ResNet((3, 4), 1, 4), likelihood=Bernoulli()), batch=5
    ),
    "grid": lambda: given(
        data=images(),
        batch=5,
        objective=Elbo(free_group=0.1),
        model=model(latent=Grid("1x1 /4x1", (2,), (4,)), network=ResNet((3, 4), 1, 4, stem=2), likelihood=Bernoulli()),
    ),
    "context": lambda: given(model=model(context=2), context=context(), validation=0.2),
    "spikes": lambda: given(transform=jolted, batch=4, spike=3.0, model=model(likelihood=Gaussian("fixed"))),
    "validation rows": lambda: given(average=0.0, validation=rows(7), patience=1),
}


class Break:
    """Interrupts the run after a step, or at the end of an epoch."""

    def __init__(self, step: int, at_epoch: bool = False) -> None:
        self.step, self.at_epoch = step, at_epoch

    def on_step(self, run: Run) -> None:
        if run.step == self.step and not self.at_epoch:
            raise InterruptedRun("stopped by the test")

    def on_epoch(self, run: Run) -> None:
        if run.step >= self.step and self.at_epoch:
            raise InterruptedRun("stopped by the test")


def run(build: Build, **more: Any) -> Finished:
    """All that a finished run leaves, but for the seconds it took."""
    arguments = build() | more
    trained, objective, data = (arguments.pop(name) for name in ("model", "objective", "data"))
    history = fit(trained, objective, data, **arguments)
    state = {f"model.{k}": v.clone() for k, v in trained.state_dict().items()}
    state |= {f"objective.{k}": v.clone() for k, v in objective.state_dict().items()}
    return state, {name: values for name, values in history.items() if name != "seconds"}


def same(a: Finished, b: Finished) -> None:
    assert a[1] == b[1]
    assert a[0].keys() == b[0].keys()
    for name, value in a[0].items():
        assert torch.equal(value.nan_to_num(-99), b[0][name].nan_to_num(-99)), name


@pytest.mark.parametrize("case", CASES)
def test_resumed_run_is_the_uninterrupted_one(case: str, tmp_path: Path) -> None:
    """Broken off again and again: early, at the last step of an epoch, mid-epoch, in the last epoch."""
    build, path = CASES[case], tmp_path / "run.safetensors"
    whole = run(build)
    steps = int(whole[1]["step"][-1])
    for count, step in enumerate(sorted({2, 5, 7, steps - 1})):
        with pytest.raises(InterruptedRun):
            run(build, checkpoint=path, resume=count > 0, callbacks=[Break(step)])
    same(run(build, checkpoint=path, resume=True), whole)


@pytest.mark.parametrize("step", [5, 10])
def test_the_end_of_an_epoch_is_a_place_to_stop(step: int, tmp_path: Path) -> None:
    build, path = CASES["validation rows"], tmp_path / "run.safetensors"
    with pytest.raises(InterruptedRun):
        run(build, checkpoint=path, callbacks=[Break(step, at_epoch=True)])
    same(run(build, checkpoint=path, resume=True), run(build))


def test_spikes_do_occur_in_their_case() -> None:
    assert (run(CASES["spikes"])[1]["skipped"][-1] or 0) > 0


def test_how_often_the_state_is_written_changes_nothing(tmp_path: Path) -> None:
    """Each writing sums up the losses so far; where one of them is a spike, it must not be taken for a new level."""
    often = Checkpoint(tmp_path / "often", seconds=-1.0)
    same(run(CASES["spikes"], callbacks=[often]), run(CASES["spikes"]))


def test_resumption_ignores_the_weights_and_the_generators_at_hand(tmp_path: Path) -> None:
    def build() -> dict[str, Any]:
        return given(objective=Factor(width=4, depth=1))

    path = tmp_path / "run.safetensors"
    whole = run(build)
    with pytest.raises(InterruptedRun):
        run(build, checkpoint=path, callbacks=[Break(7)])
    torch.manual_seed(99)
    arguments = build()
    arguments["model"].setup((4,), None, seed=5)
    same(run(lambda: arguments, checkpoint=path, resume=True), whole)


def test_seconds_go_on_counting(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    with pytest.raises(InterruptedRun):
        run(given, checkpoint=path, callbacks=[Break(7)])
    arguments = given(checkpoint=path, resume=True)
    history = fit(arguments.pop("model"), arguments.pop("objective"), arguments.pop("data"), **arguments)
    assert history["seconds"] == sorted(history["seconds"])
    assert len(history["seconds"]) == 4


@pytest.mark.parametrize("moment", ["after", "before"])
def test_an_interrupt_within_a_step_leaves_the_last_good_file(moment: str, tmp_path: Path) -> None:
    """Half a step's state, written over a whole one, could not be resumed to the bit."""

    class Torn(Elbo):
        """Interrupted before the weights move, or after that and before the step is counted."""

        def after(self, model: LatentModel, loss: Loss, taken: Tensor) -> None:
            self._tear("after")

        def forward(self, *given: Any) -> Loss:
            loss = super().forward(*given)
            self._tear("before")
            return loss

        def _tear(self, now: str) -> None:
            if now == moment and round(self.progress * 20) == 8:
                raise KeyboardInterrupt

    class Named(Torn):
        """The same, under the name that the finished run has."""

    Named.__name__ = "Elbo"
    try:
        path = tmp_path / "run.safetensors"
        with pytest.raises(KeyboardInterrupt):
            run(lambda: given(objective=Named()), checkpoint=path, callbacks=[Checkpoint(path, -1.0)])
        same(run(given, checkpoint=path, resume=True), run(given))
    finally:
        for each in (Torn, Named):
            each._classes.remove(each)


def test_the_journal_of_a_resumed_run_is_whole(tmp_path: Path) -> None:
    path, journal = tmp_path / "run.safetensors", tmp_path / "history.jsonl"
    with pytest.raises(InterruptedRun):
        run(given, checkpoint=path, callbacks=[Journal(journal), Break(12)])
    assert len(journal.read_text().splitlines()) == 2
    run(given, checkpoint=path, resume=True, callbacks=[Journal(journal)])
    assert len(journal.read_text().splitlines()) == 4


@pytest.mark.parametrize("changed", ["context", "validation rows"])
def test_changed_companions_of_the_rows_are_refused(changed: str, tmp_path: Path) -> None:
    path, build = tmp_path / "run.safetensors", CASES[changed]
    with pytest.raises(InterruptedRun):
        run(build, checkpoint=path, callbacks=[Break(7)])
    other = {"context": {"context": context(4)}, "validation rows": {"validation": rows(7) + 1e-6}}[changed]
    with pytest.raises(ArtifactError, match=r"data: |validation: "):
        run(build, checkpoint=path, resume=True, **other)


def test_nothing_else_is_left_beside_the_checkpoint(tmp_path: Path) -> None:
    run(given, checkpoint=tmp_path / "deep" / "run.safetensors")
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["run.safetensors"]
