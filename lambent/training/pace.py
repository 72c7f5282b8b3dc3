"""Pace: the threads of a run, as chosen, as recorded, and looked at again where its steps have become slow."""

import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor

from lambent.training.measuring import chosen, ways
from lambent.training.run import Run
from lambent.training.threads import AUTO, choices, scheduled, written

SLOWER = 3.0  # times what a step took at the choice
WINDOW, SECONDS = 9, 1.0  # steps and seconds over which the median is taken
REST = 30.0  # a look is followed by so many times its own seconds without another

Take = Callable[[Tensor, Tensor | None, None], None]


class Pace:
    """Sets the threads that a run has at a step, and times its steps.

    A change is made before a step and written into `run.threads`, so that the same steps may be taken by the same threads
    again. take: gives the function that takes a step of a run.
    """

    def __init__(self, run: Run, take: Callable[[Run], Take], changed: Callable[[], None]) -> None:
        self.run = run
        self.take = take
        self.changed = changed
        self.choices = choices()
        self.window: list[float] = []
        self.slow = False
        self.resting = 0.0

    def settle(self) -> None:
        """At the start of a run: choose what is left open, unless it was chosen before; then set it."""
        run = self.run
        if run.options:
            way, run.pace = chosen(run, run.options, self.take)
            run.threads = str(way.threads)
            run.settings = run.settings.changed(precision=way.precision)
        self.schedule = scheduled(run.threads) if run.threads else {}
        # Before the step of a change the epoch may have to be ended yet, which was done by the threads before it.
        due = [number for step, number in self.schedule.items() if step == 0 or step < run.step]
        if due:
            torch.set_num_threads(due[-1])

    def before_step(self) -> None:
        """Set what is due at this step."""
        if self.slow:
            self._look_again()
        number = self.schedule.get(self.run.step)
        if number is not None:
            torch.set_num_threads(number)

    def after_step(self, seconds: float) -> None:
        """Learn how long a step took; where steps have become slow, the threads are looked at before the next."""
        if not self.run.watched:
            return
        self.window.append(seconds)
        self.resting -= seconds
        if len(self.window) < WINDOW or sum(self.window) < SECONDS:
            return
        usual = median(self.window)
        self.window.clear()
        self.run.pace = self.run.pace or usual
        self.slow = self.resting <= 0 and usual > SLOWER * self.run.pace

    def _look_again(self) -> None:
        run, now = self.run, torch.get_num_threads()
        self.slow = False
        started = time.monotonic()
        way, pace = chosen(run, ways([run.precision], self.choices), self.take)
        self.resting = REST * (time.monotonic() - started)
        run.pace = pace or SLOWER * run.pace
        if not pace or way.threads == now:
            return
        self.schedule[run.step] = way.threads
        run.threads = written(self.schedule)
        self.changed()


def watched(threads: str | int | None, device: torch.device) -> bool:
    """Whether the threads are to be looked at again: they were left open, and there is a choice."""
    return threads == AUTO and device.type == "cpu" and len(choices()) > 1
