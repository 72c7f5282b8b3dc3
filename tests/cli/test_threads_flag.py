"""`--threads`: what was measured stands in config.yaml, what stands there is repeated, and nobody else's threads are touched."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from lambent.cli import program
from lambent.cli.reading.strict import read
from lambent.errors import InterruptedRun
from lambent.training import measuring, pace, threads
from lambent.training.callbacks import Journal
from lambent.training.pace import Pace
from lambent.training.run import Run
from lambent.training.threads import Way, put_back

Command = Callable[..., Any]
FLAGS = (
    "--network.width=8",
    "--network.depth=1",
    "--samples=2",
    "--rows=20",
    "--batch=4",
    "--epochs=3",
    "--device=cpu",
)


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two threads to choose from, and units for bfloat16, whatever the machine."""
    for module in (measuring, pace, threads):
        monkeypatch.setattr(module, "choices", lambda: [2, 1])
    monkeypatch.setattr(measuring, "has_bf16_units", lambda device: device.type == "cpu")
    with put_back():
        yield


def weights(folder: str) -> dict[str, Any]:
    return load_file(Path(folder) / "model.safetensors")


def same(one: str, other: str) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def forced(monkeypatch: pytest.MonkeyPatch, change: int | None = None) -> None:
    """Two threads and bfloat16 are the fastest, until steps become slow before step `change`: then one thread is."""

    def choose(timer: measuring.Timer, options: list[Way], usual: Way, steps: int) -> tuple[Way, float]:
        assert timer(options[0], None) > 0
        return (Way(1, "bf16") if len(options) == 2 else Way(2, "bf16")), 1.0

    after = Pace.after_step

    def told(self: Pace, seconds: float) -> None:
        after(self, seconds)
        self.slow = self.run.step + 1 == change

    monkeypatch.setattr(measuring, "fastest", choose)
    monkeypatch.setattr(Pace, "after_step", told)


def test_what_was_measured_is_written_down_and_repeated_to_the_bit(
    lambent: Command, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    with monkeypatch.context() as patch:
        forced(patch)
        assert lambent("train", table, "--data.label=kind", *FLAGS, "--out", "first").status == 0
    written = read("first/config.yaml")["fit"]
    assert (written["threads"], written["precision"]) == (2, "bf16")
    assert torch.get_num_threads() == 1
    assert lambent("train", "--config", "first/config.yaml", "--out", "again").status == 0
    given = lambent(
        "train", table, "--data.label=kind", *FLAGS, "--threads", 2, "--precision", "bf16", "--out", "given"
    )
    assert given.status == 0, given.err
    assert same("first", "again")
    assert same("first", "given")
    assert (Path("first") / "metrics.json").read_text() == (Path("again") / "metrics.json").read_text()
    assert "2, bf16" in lambent("info", "first").out


def test_a_change_is_told_written_down_repeated_and_gone_on_with(
    lambent: Command, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        forced(patch, change=20)
        done = lambent("train", table, "--data.label=kind", *FLAGS, "--out", "first")
        assert done.status == 0, done.err
        assert "steps had become 3 times slower: from step 20 on 1 thread, where there were 2" in done.err
        assert read("first/config.yaml")["fit"]["threads"] == "2,1@20"

        def stop(self: Journal, run: Run) -> None:
            if run.epoch == 2:
                raise InterruptedRun("stopped")

        patch.setattr(Journal, "on_epoch", stop)
        assert lambent("train", table, "--data.label=kind", *FLAGS, "--out", "cut").status == 130
    done = lambent("train", "--resume", "cut")
    assert done.status == 0, done.err
    assert lambent("train", "--config", "first/config.yaml", "--out", "again").status == 0
    assert same("first", "again")
    assert same("first", "cut")


def test_a_number_is_checked_before_data_are_read(lambent: Command, table_run: Path) -> None:
    refused = lambent("train", "no-such-file.csv", "--threads", "two")
    assert refused.status == 2
    assert "fit.threads: threads takes a whole number from 1 to 4,096, auto, or" in refused.complaint
    refused = lambent("score", table_run, "--threads", 0, "--out", "scores.csv")
    assert refused.status == 2
    assert "threads takes a whole number" in refused.complaint


@pytest.mark.parametrize("verb", [("score", "--out", "x.csv"), ("sample", "--out", "x.csv"), ("evaluate",)])
def test_a_trained_model_is_used_by_the_threads_given(
    verb: tuple[str, ...], lambent: Command, table_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what a row scores does not depend on them, as written."""
    torch.set_num_threads(1)
    used: list[int] = []
    product = torch.nn.Linear.forward
    monkeypatch.setattr(torch.nn.Linear, "forward", lambda *g: (used.append(torch.get_num_threads()), product(*g))[1])
    texts = []
    for number in (2, 1, "auto"):
        used.clear()
        done = lambent(verb[0], table_run, *verb[1:], "--threads", number, "--force" if len(verb) > 1 else "-q")
        assert done.status == 0, done.err
        assert number == "auto" or set(used) == {number}
        assert torch.get_num_threads() == 1
        texts.append(Path("x.csv").read_bytes() if len(verb) > 1 else b"")
    assert verb[0] == "sample" or len(set(texts)) == 1


def test_threads_wait_asleep_unless_the_user_has_said_how(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import os, sys; from lambent.cli import main; main(['--version']); assert 'torch' not in sys.modules; "
        "print([os.environ.get(n) for n in ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT', 'KMP_BLOCKTIME')])"
    )
    bare = {name: value for name, value in os.environ.items() if name not in program.WAITING}
    for own, expected in (({}, ["passive", "0", "0"]), ({"GOMP_SPINCOUNT": "9"}, [None, "9", None])):
        done = subprocess.run(
            [sys.executable, "-c", code], env={**bare, **own}, capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == str(expected)
    # A program that has loaded torch already keeps its environment.
    for name in program.WAITING:
        monkeypatch.delenv(name, raising=False)
    program.main(["--version"])
    assert not set(program.WAITING) & set(os.environ)
