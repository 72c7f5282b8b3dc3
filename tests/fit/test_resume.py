"""Exact resumption: a run stopped at any step and resumed ends in the same bits as one that was left alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import lambent.training.loop
from lambent.errors import ArtifactError, InterruptedRun, UsageError
from lambent.model import LatentModel
from lambent.model.latents import Flat, Styled
from lambent.model.likelihoods import Autoregressive, Bernoulli, Gaussian, Laplace, Likelihood
from lambent.model.networks import Conv, Mlp, Network
from lambent.model.posteriors import Absent, Diagonal, MisesFisher, Point, Posterior
from lambent.model.priors import Flow, Mixture, Prior, Sphere, Standard
from lambent.objectives import Aae, Adversarial, Elbo, Gan, Invariant, Lagging, Matched, Objective, VaeGan, Wae
from lambent.objectives.factor import Factor
from lambent.training.checkpoint import Checkpoint
from lambent.training.fitting import fit
from lambent.training.run import Run

ROWS, BATCH, EPOCHS = 76, 8, 3  # ten steps an epoch, the last of four rows
STEPS = 10


class StopAt:
    """Interrupts the run after the given steps."""

    def __init__(self, *steps: int) -> None:
        self.steps = steps

    def on_step(self, run: Run) -> None:
        if run.step in self.steps:
            raise InterruptedRun(f"stopped after step {run.step}")


class Case:
    """One configuration: makes its parts afresh, trains them, and says what is left."""

    def __init__(
        self,
        objective: Callable[[], Objective] = Elbo,
        likelihood: Callable[[], Likelihood] = Gaussian,
        network: Callable[[], Network] = lambda: Mlp(width=8, depth=1),
        prior: Callable[[], Prior] = Standard,
        data: Callable[[], Any] = lambda: gaussian_rows(),
        posterior: Callable[[], Posterior] = Diagonal,
        **settings: Any,
    ) -> None:
        self.parts = (objective, likelihood, network, prior, data, posterior)
        self.settings = {
            "epochs": EPOCHS,
            "batch": BATCH,
            "average": 0.0,
            "precision": "fp32",
            "device": "cpu",
            **settings,
        }

    def run(self, **more: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The weights of model and objective, and the history without its seconds."""
        objective, likelihood, network, prior, data, posterior = (make() for make in self.parts)
        model = LatentModel(Flat(2, prior=prior, posterior=posterior), likelihood, network)
        history = fit(model, objective, data, **self.settings | more)
        weights = {**model.state_dict(prefix="model."), **objective.state_dict(prefix="objective.")}
        return weights, {name: values for name, values in history.items() if name != "seconds"}

    def stopped(self, path: Path, step: int, **more: Any) -> None:
        with pytest.raises(InterruptedRun):
            self.run(checkpoint=path, callbacks=[StopAt(step)], **more)


def gaussian_rows(n: int = ROWS, seed: int = 0) -> Tensor:
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))


def token_rows() -> Tensor:
    return torch.randint(3, (ROWS, 4), generator=torch.Generator().manual_seed(0)).float()


def grey_rows() -> Tensor:
    return torch.rand(ROWS, 5, generator=torch.Generator().manual_seed(0))


def pictures() -> Tensor:
    return torch.randint(0, 256, (28, 1, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def binarized(x: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.bernoulli(x, generator=generator)


def jittered(x: Tensor, generator: torch.Generator | None) -> Tensor:
    return x + 0.1 * torch.randn(x.shape, generator=generator)


CASES = {
    "plain": Case(),
    "average": Case(average=0.9),
    "average, validation and patience": Case(
        average=0.9, validation=0.2, patience=1, learning_rate=0.05, epochs=15, likelihood=lambda: Gaussian("fixed")
    ),
    "validation and patience": Case(
        validation=0.2, patience=1, learning_rate=0.1, epochs=15, likelihood=lambda: Gaussian("fixed")
    ),
    "opponent": Case(lambda: Factor(width=8, depth=2), average=0.9, clip=1.0, validation=0.2),
    "codes judged": Case(lambda: Aae(width=8, depth=1, pace=2.0), average=0.9, validation=0.2, posterior=Point),
    "codes judged, prior that learns": Case(lambda: Wae(by="rival", width=8, depth=1), prior=lambda: Flow(1, 4), clip=1.0),
    "GAN": Case(Gan, average=0.9, posterior=Absent, weight_decay=0.1),
    "GAN of pictures, seen through changes": Case(
        lambda: Gan(loss="non-saturating", r2=0.0, augment="color,translation,cutout", rival=Mlp(8, 1), pace=2.0),
        network=lambda: Conv(channels=(4,)), data=pictures, batch=3, posterior=Absent,
    ),
    "VAE-GAN": Case(lambda: VaeGan(start=0.2, rise=0.5), average=0.9, validation=0.2, patience=2, schedule="cosine"),
    "VAE-GAN of pictures": Case(VaeGan, network=lambda: Conv(channels=(4,)), data=pictures, batch=3),
    "rival around GECO": Case(lambda: Adversarial(of=Elbo(beta="auto")), Laplace, average=0.9, validation=0.1),
    "two opponents": Case(
        lambda: Adversarial(of=Factor(width=8, depth=1), start=0.3, pace=2.0), average=0.9, clip=1.0, validation=0.2
    ),
    "two opponents, low limits": Case(lambda: Adversarial(of=Aae(width=8, depth=1), start=0.0), spike=0.1, average=0.9),
    "dynamic binarization": Case(likelihood=Bernoulli, data=grey_rows, transform=binarized, validation=0.2),
    "augmentation": Case(augment=jittered),
    "GECO": Case(lambda: Elbo(beta="auto"), Bernoulli, data=grey_rows, transform=binarized),
    "Gaussian auto": Case(lambda: Elbo(beta="auto"), validation=0.1, average=0.9),
    "annealing, clip, cosine": Case(
        lambda: Elbo(anneal="linear", warmup=0.5), clip=0.5, schedule="cosine", warmup=0.2, validation=0.2, patience=2
    ),
    "cyclical, linear, decay": Case(lambda: Elbo(anneal="cyclical"), schedule="linear", weight_decay=0.1),
    "encoder ahead": Case(
        lambda: Lagging(window=2, most=3, apart=2, longest=0.8), validation=0.2, average=0.9, patience=2
    ),
    "encoder ahead, training rows": Case(lambda: Lagging(window=1, most=2, apart=1, longest=1.0)),
    "sphere": Case(prior=Sphere, posterior=MisesFisher),
    "capacity": Case(lambda: Elbo(capacity=2.0)),
    "mixture prior": Case(prior=lambda: Mixture(components=3)),
    "columns that see columns": Case(
        lambda: Elbo(floor=1.0, settle=0.5), lambda: Autoregressive(tokens=(3,), width=8, dropout=0.25, agnostic=0.5),
        prior=lambda: Mixture(components=3), data=token_rows, average=0.9, validation=0.2,
    ),
    "low limit": Case(spike=0.5, average=0.9),  # many steps are skipped
    "stream": Case(data=lambda: list(gaussian_rows().split(BATCH)), average=0.9, validation=gaussian_rows(9, 1)),
    "bf16": Case(precision="bf16"),
    "convolutions": Case(network=lambda: Conv(channels=(4,)), data=pictures, batch=3, average=0.9),
    "convolutions in bf16": Case(network=lambda: Conv(channels=(4,)), data=pictures, batch=3, precision="bf16"),
}  # fmt: skip


def assert_same(one: tuple[dict[str, Tensor], dict[str, Any]], other: tuple[dict[str, Tensor], dict[str, Any]]) -> None:
    """The same bits in all weights, and the same history."""
    assert one[1] == other[1]
    assert one[0].keys() == other[0].keys()
    different = [
        name for name, t in one[0].items() if not torch.equal(t.nan_to_num(-9.5), other[0][name].nan_to_num(-9.5))
    ]
    assert not different


@pytest.fixture(autouse=True)
def frequent_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records are summed, and levels judged, within an epoch too; as they are after 256 steps."""
    monkeypatch.setattr(lambent.training.loop, "FLUSH", 4)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_K13_stopped_at_any_step_and_resumed_to_the_bit(case: Case, tmp_path: Path) -> None:
    """Stopped at the first step, in mid-epoch, at an epoch's end or at the last, and resumed: the same bits."""
    whole = case.run()
    last = int(whole[1]["step"][-1])
    # The first step, the middle of an epoch, a multiple of the sums' stride, the end of an epoch, its start, the last step.
    for step in (1, 7, 8, STEPS, STEPS + 1, last - 1, last):
        path = tmp_path / f"{step}.safetensors"
        case.stopped(path, step)
        assert_same(case.run(checkpoint=path, resume=True), whole)


def test_K13_patience_runs_out_in_its_case() -> None:
    """The case above is worth its name only if the run does end early."""
    for name in ("average, validation and patience", "validation and patience"):
        assert len(CASES[name].run()[1]["epoch"]) < 15, name


def test_K13_skipped_steps_occur_in_their_case() -> None:
    """The cases with skipped steps do skip some, so that resuming them is tried; but not all."""
    for name in ("low limit", "two opponents, low limits"):
        history = CASES[name].run()[1]
        assert 0 < history["skipped"][-1] < history["step"][-1], name


@pytest.mark.parametrize("name", ["opponent", "annealing, clip, cosine", "low limit", "two opponents", "GAN"])
def test_K13_stopped_after_every_single_step(name: str, tmp_path: Path) -> None:
    """Stopped after every step and resumed each time, a run ends in the same bits as one left alone."""
    case, path = CASES[name], tmp_path / "state.safetensors"
    whole = case.run()
    case.stopped(path, 1)
    for step in range(2, int(whole[1]["step"][-1]) + 1):
        case.stopped(path, step, resume=True)
    assert_same(case.run(checkpoint=path, resume=True), whole)


def test_K13_killed_between_two_writes_goes_back_to_the_last(tmp_path: Path) -> None:
    """A crash leaves no last word: the file is some steps old, and those steps are made again."""
    case, path = CASES["opponent"], tmp_path / "state.safetensors"
    whole = case.run()

    class Crash(Checkpoint):
        def on_step(self, run: Run) -> None:
            if run.step in (3, 13):
                self.write_now(run)
            if run.step == 16:
                raise InterruptedRun("power cut")

        def write_now(self, run: Run) -> None:
            run.flush()
            self.write(run)

        def on_interrupt(self, run: Run) -> None: ...

    with pytest.raises(InterruptedRun):
        case.run(callbacks=[Crash(path)])
    assert_same(case.run(checkpoint=path, resume=True), whole)


def test_K13_resumed_after_the_end_changes_nothing(tmp_path: Path) -> None:
    """Resuming a run that is over changes nothing."""
    case, path = CASES["average, validation and patience"], tmp_path / "state.safetensors"
    whole = case.run(checkpoint=path)
    assert_same(case.run(checkpoint=path, resume=True), whole)


def test_K13_watching_and_keeping_change_no_bit(tmp_path: Path) -> None:
    """Writing a checkpoint after each step changes no bit of the result."""
    case = CASES["opponent"]
    every_step = Checkpoint(tmp_path / "state.safetensors", seconds=0.0)
    assert_same(case.run(callbacks=[every_step]), case.run())


def test_K14_each_epoch_has_its_own_order_also_after_resumption(tmp_path: Path) -> None:
    """Resumed at an epoch's end, a run takes the next epoch's order of rows, not the first one's again."""
    orders: list[list[Tensor]] = [[], []]
    for index, stop in enumerate((None, STEPS)):

        def noted(x: Tensor, generator: torch.Generator | None, index: int = index) -> Tensor:
            orders[index].append(x.clone())
            return x

        path = tmp_path / "state.safetensors"
        if stop:
            CASES["plain"].stopped(path, stop, augment=noted)
            CASES["plain"].run(checkpoint=path, resume=True, augment=noted)
        else:
            CASES["plain"].run(augment=noted)
    whole, resumed = (torch.cat(batches) for batches in orders)
    assert torch.equal(whole, resumed)
    assert not torch.equal(whole[:ROWS], whole[ROWS : 2 * ROWS])
    assert torch.equal(whole[:ROWS].sort(0).values, whole[ROWS : 2 * ROWS].sort(0).values)


def test_K13_a_new_level_is_found_at_the_same_steps(tmp_path: Path) -> None:
    """Losses that rise for good within an epoch are skipped until that is judged, wherever the run was cut."""

    class Level:
        def on_start(self, run: Run) -> None:
            self.step = run.step

        on_step = on_start

        def __call__(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
            return x * 1e3 if self.step > 11 else x

    def run(*others: Any, **more: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
        level = Level()
        return CASES["plain"].run(augment=level, callbacks=[level, *others], **more)

    whole = run()
    assert 0 < whole[1]["skipped"][1] < 8
    for step in range(9, 21):
        with pytest.raises(InterruptedRun):
            run(StopAt(step), checkpoint=tmp_path / "state")
        assert_same(run(checkpoint=tmp_path / "state", resume=True), whole)


# ---- refusals ----------------------------------------------------------------------------------------------------

CHANGES: dict[str, tuple[Case, str]] = {
    "rows": (Case(data=lambda: gaussian_rows(seed=5)), "data"),
    "one number": (Case(data=lambda: gaussian_rows().index_put((torch.tensor(3), torch.tensor(2)), torch.tensor(0.5))), "data"),
    "batch": (Case(batch=9), "batch"),
    "network": (Case(network=lambda: Mlp(width=9, depth=1)), "model"),
    "objective": (Case(lambda: Elbo(beta=2.0)), "objective"),
    "seed": (Case(seed=1), "seed"),
    "epochs": (Case(epochs=EPOCHS + 1), "epochs"),
    "learning rate": (Case(learning_rate=2e-3), "learning_rate"),
    "average": (Case(average=0.5), "average"),
    "validation": (Case(validation=0.1), "validation"),
    "precision": (Case(precision="bf16"), "precision"),
    "clip": (Case(clip=1.0), "clip"),
    "schedule": (Case(schedule="cosine"), "schedule"),
}  # fmt: skip


@pytest.mark.parametrize("changed", CHANGES.values(), ids=CHANGES)
def test_K16_a_changed_run_is_not_resumed(changed: tuple[Case, str], tmp_path: Path) -> None:
    """With other data, batch, model, objective or settings a run is not resumed; both values are named."""
    case, word = changed
    CASES["plain"].stopped(tmp_path / "state", 5)
    with pytest.raises(ArtifactError, match=rf"belongs to another run.*\b{word}: .* then, .* now"):
        case.run(checkpoint=tmp_path / "state", resume=True)


def test_K16_all_differences_are_listed(tmp_path: Path) -> None:
    """All that differs from the run in the checkpoint is listed in one message."""
    CASES["plain"].stopped(tmp_path / "state", 5)
    other = Case(lambda: Elbo(beta=2.0), data=lambda: gaussian_rows(seed=1), batch=16, seed=7, learning_rate=0.5)
    with pytest.raises(ArtifactError) as caught:
        other.run(checkpoint=tmp_path / "state", resume=True)
    named = {part.split(":")[0].strip() for part in str(caught.value).split("resumed exactly:")[1].split(";")}
    assert {"objective", "data", "batch", "seed", "learning_rate"} <= named
    assert "epochs" not in named


def test_K16_resuming_needs_a_checkpoint_that_is_there(tmp_path: Path) -> None:
    """Resuming without a checkpoint, or from one that is not there, is refused and says what to do."""
    with pytest.raises(UsageError, match="name the checkpoint"):
        CASES["plain"].run(resume=True)
    with pytest.raises(ArtifactError, match=r"no checkpoint at .*without resume"):
        CASES["plain"].run(checkpoint=tmp_path / "none", resume=True)


def test_a_style_its_rival_and_partners_go_on_to_the_bit(tmp_path: Path) -> None:
    """The moments of styles, the rival, the sizes of groups and the rows that were matched are as if nothing had happened."""
    x, context = gaussian_rows(), torch.eye(2)[torch.arange(ROWS) % 2]

    def trained(**more: Any) -> tuple[dict[str, Tensor], Any]:
        model = LatentModel(Styled(content=Flat(2), style=2, group=4), Gaussian(), Mlp(width=8, depth=1), context=2)
        objective = Matched(of=Invariant(width=8, depth=1), start=0.2)
        settings = {"epochs": EPOCHS, "batch": BATCH, "average": 0.9, "precision": "fp32", "device": "cpu"}
        history = fit(model, objective, x, context=context, **settings | more)
        return {**model.state_dict(), **objective.state_dict()}, (
            history["loss"],
            history["leakage"],
            history["partnered"],
        )

    whole, told = trained()
    path = tmp_path / "checkpoint"
    with pytest.raises(InterruptedRun):
        trained(checkpoint=path, callbacks=[StopAt(STEPS + 4)])
    resumed, told_again = trained(checkpoint=path, resume=True)
    assert told == told_again
    assert all(torch.equal(whole[name].nan_to_num(9.5), resumed[name].nan_to_num(9.5)) for name in whole)
