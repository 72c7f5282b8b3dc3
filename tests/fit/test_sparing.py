"""Files that are written beside a training take little of its time, and are whole at its end."""

import json
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from lambent import Elbo, fit
from lambent.training import sparing
from lambent.training.callbacks import Journal
from lambent.training.checkpoint import Checkpoint
from lambent.training.run import Run
from lambent.training.sparing import Sparing


class Clock:
    """A clock that work moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_work_takes_at_most_its_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(sparing, "time", clock)
    spare, worked = Sparing(0.03), 0

    def work() -> None:
        nonlocal worked
        worked += 1
        clock.now += 0.03

    for _ in range(1000):
        spare.do(work)
        clock.now += 0.01
    assert worked == 10, "30 ms of work, one second without, ten times in ten seconds"
    assert worked * 0.03 <= 0.03 * clock.now + 0.03


def test_the_journal_and_the_checkpoint_are_whole_at_the_end(x: Tensor, small_model: Any, tmp_path: Path) -> None:
    """However rarely they are written while it runs."""
    journal, state = Journal(tmp_path / "history.jsonl"), Checkpoint(tmp_path / "state")
    journal.sparing.free = state.sparing.free = float("inf")
    seen: list[int] = []

    class Look:
        def on_epoch(self, run: Run) -> None:
            seen.append(journal.path.exists() + state.path.exists())

    fit(small_model(), Elbo(), x, epochs=3, batch=8, precision="fp32", callbacks=[journal, state, Look()])
    assert seen == [0, 0, 1], "the last epoch's state is written at once"
    assert [json.loads(line)["epoch"] for line in journal.path.read_text().splitlines()] == [1, 2, 3]
