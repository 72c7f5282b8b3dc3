"""Every way a training ends: killed, interrupted, refused, out of patience; and that nothing else is changed by it."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lambent.errors import DivergedError, InterruptedRun
from lambent.model import LatentModel
from lambent.model.likelihoods import Gaussian
from lambent.model.networks import Conv
from lambent.objectives import Elbo
from lambent.objectives.factor import Factor
from lambent.training.fitting import fit
from lambent.training.run import Run
from lambent.training.validating import validated

HERE = Path(__file__).parent
Small = Callable[..., LatentModel]
FAST: dict[str, Any] = {"epochs": 2, "batch": 8, "device": "cpu", "precision": "fp32"}


class At:
    """Does something after one step."""

    def __init__(self, step: int, act: Callable[[Run], object]) -> None:
        self.step, self.act = step, act

    def on_step(self, run: Run) -> None:
        if run.step == self.step:
            self.act(run)


# ---- from outside ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What became of a training in processes of its own that was killed and interrupted; see drill.py."""
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "drill.py"), str(tmp_path_factory.mktemp("drill"))]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def test_K11_K13_killed_at_random_moments_and_resumed_to_the_bit(drill: dict[str, Any]) -> None:
    """Killed at random moments again and again, and resumed, a run ends in the same bits."""
    statuses = drill["kill"]["statuses"]
    assert statuses[:-1] == [-signal.SIGKILL] * (len(statuses) - 1), "no attempt may find the file damaged"
    assert len(statuses) > 3, "hardly killed at all"
    assert statuses[-1] == 0
    assert drill["kill"]["same"]


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_L6_L7_a_signal_keeps_the_state_and_ends_the_run(name: str, status: int, drill: dict[str, Any]) -> None:
    """Ctrl-C and SIGTERM keep the state and end the run with 130 and 143; resumed, it ends in the same bits."""
    assert drill[name]["statuses"] == [status, 0]
    assert drill[name]["same"]


@pytest.mark.parametrize(("number", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])
def test_L6_the_step_is_finished_first_and_the_model_stays_usable(
    number: int, name: str, x: Tensor, small_model: Small, tmp_path: Path
) -> None:
    """A signal in the middle of a step lets it finish; the state is kept and the model can be used."""
    model, path = small_model(), tmp_path / "state"
    steps: list[int] = []

    def augment(rows: Tensor, generator: torch.Generator | None) -> Tensor:
        steps.append(len(steps) + 1)
        if len(steps) == 7:
            os.kill(os.getpid(), number)  # in the middle of the seventh step
        return rows

    with pytest.raises(InterruptedRun, match=rf"stopped by {name} in epoch 2, after step 7") as caught:
        fit(model, Elbo(), x, **FAST, augment=augment, checkpoint=path)
    assert steps == list(range(1, 8))
    assert caught.value.exit_status == 128 + number
    assert isinstance(caught.value, KeyboardInterrupt)  # a program that knows nothing of Lambent ends as it should
    assert path.exists()
    assert not model.training
    assert all(p.grad is None and torch.isfinite(p).all() for p in model.parameters())
    assert model.trace(x).log_px.shape == (1, 40)
    fit(model, Elbo(), x, **FAST)


def test_L6_a_second_signal_ends_at_once_and_the_last_state_stays(
    x: Tensor, small_model: Small, tmp_path: Path
) -> None:
    """A second Ctrl-C ends the run at once, and the last checkpoint stays as it was."""
    path, kept = tmp_path / "state", []

    def augment(rows: Tensor, generator: torch.Generator | None) -> Tensor:
        if path.exists() and not kept:
            kept.append(path.read_bytes())
            for _ in range(2):
                signal.raise_signal(signal.SIGINT)
        return rows

    with pytest.raises(KeyboardInterrupt) as caught:
        fit(small_model(), Elbo(), x, **FAST, augment=augment, checkpoint=path)
    assert not isinstance(caught.value, InterruptedRun)
    assert path.read_bytes() == kept[0], "a state from the middle of a step was kept"


def test_signals_are_left_alone_outside_the_main_thread(x: Tensor, small_model: Small) -> None:
    model, histories = small_model(), []
    thread = threading.Thread(target=lambda: histories.append(fit(model, Elbo(), x, **FAST)))
    thread.start()
    thread.join()
    assert len(histories[0]["epoch"]) == 2


# ---- nothing else is changed -------------------------------------------------------------------------------------


def world() -> dict[str, Any]:
    """All that a training could change in a program that goes on after it."""
    numpy_state = np.random.get_state()  # noqa: NPY002
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": [numpy_state[1].tolist(), *numpy_state[2:]],
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "matmul": torch.get_float32_matmul_precision(),
        "threads": torch.get_num_threads(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "dtype": torch.get_default_dtype(),
        "grad": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


def ends_well(model: LatentModel, x: Tensor, **settings: Any) -> None:
    fit(model, Factor(width=8, depth=1), x, **FAST | settings, validation=0.2)


def ends_by_error(model: LatentModel, x: Tensor, **settings: Any) -> None:
    def broken(run: Run) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit(model, Elbo(), x, **FAST | settings, callbacks=[At(3, broken)])


def ends_by_divergence(model: LatentModel, x: Tensor, **settings: Any) -> None:
    with pytest.raises(DivergedError):
        fit(model, Elbo(), x, **FAST | settings, augment=lambda rows, generator: rows * float("nan"))


def ends_by_interruption(model: LatentModel, x: Tensor, **settings: Any) -> None:
    with pytest.raises(InterruptedRun):
        fit(model, Elbo(), x, **FAST | settings, callbacks=[At(3, lambda run: signal.raise_signal(signal.SIGINT))])


@pytest.mark.parametrize("end", [ends_well, ends_by_error, ends_by_divergence, ends_by_interruption])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("convolutional", [False, True])
def test_M17_nothing_global_stays_changed(
    end: Callable[..., None], precision: str, convolutional: bool, x: Tensor, small_model: Small
) -> None:
    """However a run ends, generators, signals, threads, precision and modes of the program are as before."""
    model = small_model((1, 8, 8), network=Conv(channels=(4,))) if convolutional else small_model()
    rows = torch.randn(20, 1, 8, 8) if convolutional else x
    before, threads = world(), set(threading.enumerate())
    end(model, rows, precision=precision, progress=True)
    now = world()
    for thread in set(threading.enumerate()) - threads:
        thread.join(2)  # the progress bar's has been told to end, and may take a moment
        assert not thread.is_alive()
    assert {name for name in before if before[name] != now[name]} == set()
    assert model.low_precision is None
    assert not model.training


# ---- out of patience ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("average", [0.0, 0.8])
def test_early_stopping_keeps_the_best_weights(average: float, x: Tensor, small_model: Small) -> None:
    candidates: list[dict[str, Tensor]] = []

    class Keep:
        def on_epoch(self, run: Run) -> None:
            state = {name: t.clone() for name, t in run.model.state_dict().items()}
            if run.average is not None:
                with run.average.applied():
                    state = {name: t.clone() for name, t in run.model.state_dict().items()}
            candidates.append(state)

    model = small_model(likelihood=Gaussian("fixed"))
    held_out = torch.randn(30, 4, generator=torch.Generator().manual_seed(1))
    history = fit(
        model, Elbo(), x, epochs=200, batch=8, learning_rate=0.02, average=average, validation=held_out, patience=3,
        callbacks=[Keep()], device="cpu", precision="fp32", spike=0,
    )  # fmt: skip
    losses = history["validation_loss"]
    best = losses.index(min(losses))  # type: ignore[type-var]
    assert best > 0
    assert len(losses) == best + 1 + 3 * 20 // 5 < 200  # three times twenty steps, of which an epoch has five
    assert all(torch.equal(t, candidates[best][name]) for name, t in model.state_dict().items())
    assert not all(torch.equal(t, candidates[-1][name]) for name, t in model.state_dict().items())


@pytest.mark.parametrize("objective", [Elbo(anneal="linear", warmup=0.6), Elbo(capacity=3.0, warmup=0.6)])
def test_patience_does_not_run_while_the_objective_still_changes(
    objective: Elbo, x: Tensor, small_model: Small
) -> None:
    history = fit(
        small_model(), objective, x, **FAST | {"epochs": 20, "learning_rate": 0.0}, validation=0.25, patience=1,
    )  # fmt: skip
    # With a rate of nought no epoch betters the first that counts, which is the twelfth; twenty steps are five epochs.
    assert len(history["epoch"]) == 12 + 5


@pytest.mark.parametrize(("batch", "waited"), [(30, 20), (3, 2), (1, 1)])
def test_an_epoch_of_patience_has_twenty_steps_at_least(batch: int, waited: int, x: Tensor, small_model: Small) -> None:
    settings = FAST | {"epochs": 60, "learning_rate": 0.0, "batch": batch}
    history = fit(small_model(), Elbo(), x[:30], **settings, validation=x[30:], patience=1)
    assert len(history["epoch"]) == 1 + waited


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_validation_uses_the_weights_that_are_left_in_the_model(average: float, x: Tensor, small_model: Small) -> None:
    again: list[dict[str, float | None]] = []
    live: list[Tensor] = []

    class Again:
        def on_epoch(self, run: Run) -> None:
            live[:] = [p.detach().clone() for p in run.model.parameters()]

        def on_end(self, run: Run) -> None:
            run.average = None  # what counts now are the weights in the model
            again.append(validated(run))

    model = small_model()
    history = fit(model, Elbo(), x, **FAST | {"epochs": 8}, average=average, validation=0.25, callbacks=[Again()])
    assert again == [{name: values[-1] for name, values in history.items() if name.startswith("validation")}]
    kept_live = all(torch.equal(a, b) for a, b in zip(live, model.parameters(), strict=True))
    assert kept_live == (average == 0.0)
