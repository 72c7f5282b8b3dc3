"""What one step does: skips spikes, says why it could not go on, follows schedules to the real end, and repeats itself."""

import gc
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lambent.errors import DivergedError
from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import Bernoulli, Gaussian, Laplace, Likelihood
from lambent.model.networks import Mlp
from lambent.model.priors import Mixture
from lambent.objectives import DipVae, Elbo, Objective, Wae
from lambent.objectives.factor import Factor
from lambent.training.fitting import fit
from lambent.training.loop import FLUSH
from lambent.training.run import Run

Small = Callable[..., LatentModel]
FAST: dict[str, Any] = {"epochs": 2, "batch": 8, "device": "cpu", "precision": "fp32"}


@pytest.fixture
def x() -> Tensor:
    return torch.randn(80, 4, generator=torch.Generator().manual_seed(0))


class Snapshots:
    """All weights and buffers of model and objective after every step, and what else a test asks for."""

    def __init__(self, ask: Callable[[Run], Any] = lambda run: None) -> None:
        self.ask = ask
        self.states: list[dict[str, Tensor]] = []
        self.answers: list[Any] = []

    def on_step(self, run: Run) -> None:
        parts = {"model": run.model, "objective": run.objective}
        self.states.append({f"{p}.{n}": t.clone() for p, part in parts.items() for n, t in part.state_dict().items()})
        self.answers.append(self.ask(run))


def same(a: dict[str, Tensor], b: dict[str, Tensor], part: str = "") -> bool:
    return all(torch.equal(t.nan_to_num(-9), b[name].nan_to_num(-9)) for name, t in a.items() if name.startswith(part))


def absurd_at(*steps: int, factor: float = 1e4) -> Callable[[Tensor, Any], Tensor]:
    """An augmentation that spoils the rows of these steps, counted from 1."""
    counter = iter(range(1, 10**6))
    return lambda rows, generator: rows * factor if next(counter) in steps else rows


def test_every_parameter_at_its_pace(small_model: Small, x: Tensor) -> None:
    """Adam's first step is the learning rate times the pace, whatever the gradient."""
    prior = Mixture(3, covariance="full")
    model = small_model(latent=Flat(2, prior=prior), likelihood=Gaussian(scale="one"), context=2)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    shots = Snapshots()
    fit(model, Elbo(), x, **FAST, context=torch.ones(len(x), 2), learning_rate=1e-3, average=0.0, callbacks=[shots])
    moved = {name: (shots.states[0][f"model.{name}"] - p).abs().max() for name, p in before.items()}
    paces = {f"latent.prior.{name}": pace for name, pace in prior.pace.items()}
    for name, pace in {"encoder.1.weight": 1.0, "likelihood.width.log_scale": 10.0, **paces}.items():
        assert float(moved[name]) == pytest.approx(1e-3 * pace, rel=0.01), name


# ---- spikes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize(
    ("objective", "likelihood"),
    [
        (Elbo(), Gaussian()),
        (Factor(width=8, depth=1), Gaussian()),
        (Elbo(beta="auto"), Laplace("fixed")),
        (Elbo(beta="auto"), Gaussian()),
        (Wae(), Gaussian()),
    ],
    ids=["Elbo", "Factor", "GECO", "Gaussian auto", "Wae"],
)
def test_M18_a_spike_is_skipped_and_counted(
    objective: Objective, likelihood: Likelihood, average: float, x: Tensor, small_model: Small
) -> None:
    """A step whose loss leaps far above the last epoch's is skipped and counted, and the weights stay."""
    watch = Snapshots(lambda run: (len(run.optimizer.state), run.optimizer.state_dict()["state"][0]["step"].item()))
    model = small_model(likelihood=likelihood)
    history = fit(
        model,
        objective,
        x,
        **FAST | {"epochs": 3},
        average=average,
        augment=absurd_at(14),
        callbacks=[watch],
    )
    assert same(watch.states[12], watch.states[13]), "the spike moved something"
    learning = ["model"] + ["objective"] * (type(likelihood) is Laplace or isinstance(objective, Factor))
    for part in learning:
        for before, after in ((11, 12), (13, 14)):
            assert not same(watch.states[before], watch.states[after], part), f"the {part} stands still"
    assert [counts[1] for counts in watch.answers[11:15]] == [12, 13, 13, 14]
    assert history["skipped"] == [0, 1, 1]
    assert history["loss"][1] < 10 * history["loss"][0] + 100  # type: ignore[operator]  # not in the means either


def test_M18_no_spike_is_skipped_where_none_is_to_be(x: Tensor, small_model: Small) -> None:
    """With spike=0 no step is skipped."""
    watch = Snapshots()
    history = fit(small_model(), Elbo(), x, **FAST, spike=0, augment=absurd_at(14), callbacks=[watch])
    assert history["skipped"] == [0, 0]
    assert not same(watch.states[12], watch.states[13])


def test_M18_a_new_level_is_learned_after_one_epoch(x: Tensor, small_model: Small) -> None:
    """Losses that rise for good are taken for a new level, and learned from."""
    history = fit(small_model(), Elbo(), x, **FAST | {"epochs": 4}, augment=absurd_at(*range(11, 41), factor=1e3))
    assert history["skipped"] == [0, 10, 10, 10]
    assert history["loss"][1] is None or math.isfinite(history["loss"][1])


def test_M18_the_first_epoch_may_fall_from_any_height(x: Tensor, small_model: Small) -> None:
    """In the first epoch, which has none before it, no step is skipped."""
    assert fit(small_model(), Elbo(), 1e3 * x, **FAST)["skipped"] == [0, 0]


# ---- what is not finite ------------------------------------------------------------------------------------------


def test_M18_divergence_names_the_rows_of_the_users_data(small_model: Small) -> None:
    """A loss that is not finite names the rows at fault by their numbers in the user's data."""
    x = torch.randn(60, 4)
    x[:, 0] = torch.arange(60.0) / 60
    spoiled = range(20, 50)

    def augment(rows: Tensor, generator: torch.Generator | None) -> Tensor:
        number = (rows[:, :1] * 60).round()
        return torch.where((number >= spoiled.start) & (number < spoiled.stop), torch.nan, rows)

    for validation in (0.0, 0.5):
        with pytest.raises(DivergedError, match=r"step \d+ \(epoch 1, rows \[.*rows themselves") as caught:
            fit(small_model(), Elbo(), x, **FAST, augment=augment, validation=validation)
        listed = re.search(r"rows \[([\d, ]+)\]", str(caught.value))
        assert listed is not None
        numbers = [int(word) for word in listed[1].split(",")]
        assert numbers
        assert set(numbers) <= set(spoiled), f"validation {validation}"


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_M18_too_high_a_rate_is_named_as_the_cause(average: float, x: Tensor, small_model: Small) -> None:
    """A run that diverges from too high a learning rate says so."""
    model = small_model(network=Mlp(width=32, depth=8))
    with pytest.raises(DivergedError, match=r"(?i)step \d+ \(epoch \d+.*lower the learning rate"):
        fit(model, Elbo(), x, **FAST, learning_rate=100.0, spike=0, average=average)


def test_M18_huge_values_are_named_as_the_cause(x: Tensor, small_model: Small) -> None:
    """A run that diverges from huge values in the data says so."""
    with pytest.raises(DivergedError, match=r"step 1 \(epoch 1, rows \[.*size [2-5]e\+25: scale the data"):
        fit(small_model(), Elbo(), 1e25 * x, **FAST)


def test_D6_the_model_is_left_with_finite_weights(x: Tensor, small_model: Small) -> None:
    """After a run that diverged the model is left with finite weights."""
    model = small_model()
    with pytest.raises(DivergedError):
        fit(model, Elbo(), x, **FAST, augment=absurd_at(15, factor=float("nan")))
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_M17_numbers_too_small_for_single_precision_train(small_model: Small) -> None:
    """Data too small for single precision train to finite numbers."""
    history = fit(small_model(), Elbo(), 1e-42 * torch.randn(40, 4), **FAST)
    assert all(math.isfinite(value) for value in history["elbo"])  # type: ignore[arg-type]


# ---- schedules count from the real number ------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 20, 33])
@pytest.mark.parametrize("anneal", ["linear", "cyclical"])
@pytest.mark.parametrize("warmup", [0.2, 1.0])
def test_annealing_reaches_one_on_the_last_step(steps: int, anneal: Any, warmup: float, small_model: Small) -> None:
    watch = Snapshots(lambda run: run.objective.ramp)
    objective = Elbo(anneal=anneal, warmup=warmup, cycles=2)
    fit(small_model(), objective, torch.randn(steps, 4), **FAST | {"epochs": 1, "batch": 1}, callbacks=[watch])
    assert len(watch.answers) == steps
    assert watch.answers[-1] == 1.0
    assert (
        watch.answers[0] == pytest.approx(min(1.0, 1 / steps / warmup * (1 if anneal == "linear" else 2)) or 1.0)
        or steps <= 2
    )
    if anneal == "linear":
        assert watch.answers == sorted(watch.answers)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("warmup", [0.0, 0.25])
def test_rates_follow_their_schedule(schedule: Any, warmup: float, x: Tensor, small_model: Small) -> None:
    watch = Snapshots(lambda run: [o.param_groups[0]["lr"] for o in (run.optimizer, run.opponent)])
    objective = Factor(width=8, depth=1)
    history = fit(
        small_model(), objective, x, **FAST, schedule=schedule, warmup=warmup, learning_rate=0.01, callbacks=[watch]
    )
    for step, (own, opponents) in enumerate(watch.answers):
        after = (step / 20 - warmup) / (1 - warmup)
        factor = {"constant": 1.0, "linear": 1 - after, "cosine": (1 + math.cos(math.pi * after)) / 2}[schedule]
        if step / 20 < warmup:
            factor = max(1e-3, step / 20 / warmup)
        assert own == opponents == pytest.approx(0.01 * factor), step
    assert history["learning_rate"] == [watch.answers[9][0], watch.answers[19][0]]


def test_gradients_are_clipped_as_one(x: Tensor, small_model: Small) -> None:
    """Under a tiny norm Adam's second moment is bounded by it."""
    watch = Snapshots(lambda run: max(s["exp_avg_sq"].sum().item() for s in run.optimizer.state.values()))
    for clip, small in ((1e-6, True), (0.0, False)):
        fit(small_model(), Elbo(), x, **FAST, clip=clip, callbacks=[watch])
        assert (watch.answers[-1] < 1e-12) == small


def test_average_follows_its_formula(x: Tensor, small_model: Small) -> None:
    watch, model = Snapshots(), small_model()
    expected = {name: p.detach().clone() for name, p in model.named_parameters()}
    fit(model, Elbo(), x, **FAST | {"epochs": 3}, average=0.99, callbacks=[watch])
    for step in range(1, 31):
        decay = min(0.99, (step - 1) / (step + 8))
        for name, value in expected.items():
            value.lerp_(watch.states[step - 1][f"model.{name}"], 1 - decay)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter, expected[name], rtol=1e-5, atol=1e-6)


# ---- the same again ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "objective", [Elbo, DipVae, lambda: Factor(width=8, depth=1)], ids=["Elbo", "DipVae", "Factor"]
)
def test_the_same_seed_gives_the_same_bits_and_another_others(objective: Callable[[], Objective], x: Tensor) -> None:
    def trained(seed: int, noise: int) -> tuple[list[Tensor], list[Any]]:
        torch.manual_seed(noise)  # the surrounding program's own numbers play no part
        model = LatentModel(Flat(2), Bernoulli(), Mlp(8, 1))
        history = fit(
            model, objective(), x.sigmoid(), **FAST, seed=seed, validation=0.2,
            transform=lambda rows, generator: torch.bernoulli(rows, generator=generator),
        )  # fmt: skip
        return list(model.state_dict().values()), [values for name, values in history.items() if name != "seconds"]

    first, again, other = trained(3, 1), trained(3, 2), trained(4, 1)
    assert all(torch.equal(a, b) for a, b in zip(first[0], again[0], strict=True))
    assert first[1] == again[1]
    assert not any(torch.equal(a, b) for a, b in zip(first[0], other[0], strict=True) if a.numel() > 1)


def test_orders_noise_and_weights_each_depend_on_the_seed(x: Tensor, small_model: Small) -> None:
    """With equal weights to start from, another seed still gives another order and other noise."""
    orders: dict[int, Tensor] = {}
    noises: dict[int, Tensor] = {}
    for seed in (0, 1):
        batches: list[Tensor] = []
        drawn: list[Tensor] = []

        def augment(
            rows: Tensor, generator: torch.Generator, batches: list[Tensor] = batches, drawn: list[Tensor] = drawn
        ) -> Tensor:
            batches.append(rows.clone())
            drawn.append(torch.rand(3, generator=generator))
            return rows

        fit(small_model(), Elbo(), x, **FAST, seed=seed, augment=augment)
        orders[seed], noises[seed] = torch.cat(batches), torch.cat(drawn)
    assert not torch.equal(orders[0], orders[1])
    assert not torch.equal(noises[0], noises[1])


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("objective", [Elbo(), Factor(width=8, depth=1)], ids=["Elbo", "Factor"])
def test_M19_memory_does_not_grow_with_the_steps(objective: Objective, small_model: Small) -> None:
    """Memory does not grow with the number of steps."""
    sizes: list[int] = []
    tensors: list[int] = []

    class Watch:
        def on_step(self, run: Run) -> None:
            if run.position in (2 * FLUSH, 8 * FLUSH):
                gc.collect()
                tensors.append(sum(issubclass(type(found), Tensor) for found in gc.get_objects()))
                sizes.append(resident() if Path("/proc/self/statm").exists() else 1)

    fit(small_model(), objective, torch.randn(2100 * 4, 4), **FAST | {"epochs": 1, "batch": 4}, callbacks=[Watch()])
    assert len(sizes) == 2
    assert tensors[1] <= tensors[0], "tensors are kept"
    assert sizes[1] < 1.01 * sizes[0]
