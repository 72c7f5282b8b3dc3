"""Callbacks: what they are told and when, and the ones that come with the library."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from lambent.errors import InterruptedRun, MachineError
from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import Gaussian
from lambent.model.networks import Mlp
from lambent.objectives import Elbo
from lambent.training.callbacks import Callback, Journal, Quiet, TensorBoard
from lambent.training.checkpoint import Checkpoint
from lambent.training.fitting import fit
from lambent.training.run import Run

FAST: dict[str, Any] = {"device": "cpu", "precision": "fp32"}
EVENTS = ("on_start", "on_step", "on_epoch", "on_end", "on_interrupt")


def train(*callbacks: Any, **given: Any) -> tuple[LatentModel, dict[str, Any]]:
    model = LatentModel(latent=Flat(2), likelihood=Gaussian(), network=Mlp(4, 1))
    x = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
    return model, fit(model, Elbo(), x, **{"epochs": 2, "batch": 4, "callbacks": callbacks, **FAST, **given})


class Diary:
    """Writes down each event, with the step."""

    def __init__(self, name: str = "") -> None:
        self.name, self.events = name, []

    def __getattr__(self, event: str) -> Any:
        if event not in EVENTS:
            raise AttributeError(event)
        return lambda run: self.events.append((event, run.step))


def test_events_come_in_order() -> None:
    diary = Diary()
    train(diary)
    first = [("on_step", 1), ("on_step", 2), ("on_step", 3), ("on_epoch", 3)]
    second = [("on_step", 4), ("on_step", 5), ("on_step", 6), ("on_epoch", 6)]
    assert diary.events == [("on_start", 0), *first, *second, ("on_end", 6)]


def test_an_interrupted_run_says_so_and_has_no_end() -> None:
    class Stop:
        def on_step(self, run: Run) -> None:
            if run.step == 4:
                raise InterruptedRun("enough")

    diary = Diary()
    with pytest.raises(InterruptedRun):
        train(diary, Stop())
    assert diary.events[-2:] == [("on_step", 4), ("on_interrupt", 4)]


def test_callbacks_are_called_in_the_order_given() -> None:
    order: list[str] = []

    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

        def on_epoch(self, run: Run) -> None:
            order.append(self.name)

    train(Named("a"), Named("b"), epochs=1)
    assert order == ["a", "b"]


@pytest.mark.parametrize("event", EVENTS[:-1])
def test_an_object_with_one_method_will_do(event: str) -> None:
    called = []
    train(type("One", (), {event: lambda self, run: called.append(run)})())
    assert called
    assert all(isinstance(run, Run) for run in called)


def test_the_history_is_complete_when_an_epoch_is_told() -> None:
    lengths = []

    class Look:
        def on_epoch(self, run: Run) -> None:
            lengths.append([len(values) for values in run.history.values()])
            assert run.position == 0
            assert run.history["step"][-1] == run.step
            assert run.history["epoch"][-1] == run.epoch

    train(Look(), validation=0.3)
    assert [set(each) for each in lengths] == [{1}, {2}]


def test_the_weights_are_the_final_ones_at_the_end() -> None:
    held = []

    class Look:
        def on_end(self, run: Run) -> None:
            held.append(torch.cat([p.detach().flatten().clone() for p in run.model.parameters()]))
            assert not run.model.training

    model, _ = train(Look(), epochs=6, average=0.5)
    assert torch.equal(held[0], torch.cat([p.detach().flatten() for p in model.parameters()]))


def test_what_a_callback_raises_comes_out() -> None:
    class Broken:
        def on_epoch(self, run: Run) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train(Broken())


def test_the_ones_of_the_library_keep_the_protocol(tmp_path: Path) -> None:
    for callback in (Quiet(), Journal(tmp_path / "a"), Checkpoint(tmp_path / "b")):
        assert isinstance(callback, Callback)


def test_the_journal_has_a_line_an_epoch(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    _, history = train(Journal(path), epochs=3, validation=0.3)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 3
    assert {name: [line[name] for line in lines] for name in history} == history


def test_progress_goes_to_standard_error_alone(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lambent.progress.SILENCE", 0.0)
    train(progress=True, validation=0.3)
    out, error = capfd.readouterr()
    assert out == ""
    assert error.startswith("epoch 1/2 …")


def test_progress_ends_with_an_interrupted_run(capfd: pytest.CaptureFixture[str]) -> None:
    class Stop:
        def on_step(self, run: Run) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(Stop(), progress=True)
    train(progress=True)  # a display still alive would refuse a second one


def test_silence_without_progress(capfd: pytest.CaptureFixture[str]) -> None:
    train()
    assert capfd.readouterr() == ("", "")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_gets_every_column(tmp_path: Path) -> None:
    try:
        watcher = TensorBoard(tmp_path)
    except MachineError as absent:
        assert "pip install" in str(absent)  # noqa: PT017
        pytest.skip("TensorBoard is not installed")
    noted: list[tuple[str, float, int]] = []
    watcher.writer.add_scalar = lambda name, value, step: noted.append((name, value, step))
    _, history = train(watcher, validation=0.3)
    assert {name for name, _, _ in noted} == set(history) - {"epoch"}
    assert all(math.isfinite(value) for _, value, _ in noted)
    assert [step for name, _, step in noted if name == "loss"] == [1, 2]
