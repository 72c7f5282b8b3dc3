"""Trainings of a comparison: each a run of lambent train in a process of its own, some at a time."""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lambent.cli import folder as run_folder
from lambent.cli.voice import Voice
from lambent.disk.locks import HeldElsewhereError, held
from lambent.errors import InterruptedRun
from lambent.progress import Display, Meter

PAUSE = 0.2  # seconds between two looks
PATIENCE = 120.0  # seconds in which a training that is stopped keeps its state


@dataclass(frozen=True)
class Trained:
    """One training: a model's name, its seed, its configuration, and the folder that its run lies in."""

    name: str
    seed: int
    config: Path
    folder: Path

    @property
    def done(self) -> bool:
        """Whether nothing is left to do: the report is the last that a run writes."""
        return all((self.folder / name).is_file() for name in (run_folder.MODEL, run_folder.REPORT))

    @property
    def log(self) -> Path:
        """What the training said."""
        return self.folder.parent / f"{self.folder.name}.log"

    def command(self, flags: Sequence[tuple[str, str]]) -> list[str]:
        """The words after `lambent`: to begin, or to go on."""
        if all((self.folder / name).is_file() for name in (run_folder.CONFIG, run_folder.CHECKPOINT)):
            kept = [word for flag in flags if flag[0] != "--minutes" for word in flag]  # the epochs are known by now
            return ["train", "--resume", str(self.folder), *kept]
        words = ["--config", str(self.config), "--out", str(self.folder), "--seed", str(self.seed), "--force"]
        return ["train", *words, *(word for flag in flags for word in flag)]

    def share(self) -> float:
        """How much of the epochs is done."""
        with suppress(OSError, ValueError, IndexError, KeyError, TypeError):
            last = (self.folder / run_folder.HISTORY).read_text("utf-8").rstrip("\n").rpartition("\n")[2]
            config = (self.folder / run_folder.CONFIG).read_text("utf-8")
            epochs = next(line for line in config.splitlines() if line.strip().startswith("epochs:"))
            return min(1.0, float(json.loads(last)["epoch"]) / float(epochs.partition(":")[2]))
        return 0.0

    def complaint(self, status: int) -> str:
        """What the training said last, as the reason that it has not ended."""
        if status < 0:
            return f"stopped by signal {-status}; where that was for want of memory, take fewer at a time (--parallel)"
        with suppress(OSError):
            lines = [
                line for line in self.log.read_text("utf-8", "replace").splitlines() if line.startswith("lambent: ")
            ]
            if lines:
                return lines[-1].removeprefix("lambent: ").removeprefix("error: ")
        return f"ended with status {status}; see {self.log}"


@dataclass
class Trainings:
    """Trainings that are carried out, so many at a time; flags: further ones of lambent train, each with its value."""

    every: list[Trained]
    parallel: int
    flags: list[tuple[str, str]]
    voice: Voice
    again: str  # the command that goes on
    failed: dict[str, dict[int, str]] = field(default_factory=dict)
    running: dict[Trained, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    awaited: set[Path] = field(default_factory=set)

    def carry_out(self) -> dict[str, dict[int, str]]:
        """Train what is not trained yet; by name and seed what was said where one has not ended.

        Raises `InterruptedRun` when stopped, after those that were running have kept their state.
        """
        left = [one for one in self.every if not one.done]
        if done := len(self.every) - len(left):
            self.voice.step(f"{done} of {len(self.every)} trainings are done already")
        meter = None if self.voice.quiet or not left else Display(lasting=True).begun("training", len(self.every))
        try:
            while left or self.running:
                self._end()
                self._begin(left)
                self._tell(meter, len(self.every) - len(left) - len(self.running))
                time.sleep(PAUSE)
        except BaseException as stopped:
            self._stop()
            if isinstance(stopped, KeyboardInterrupt):
                status = getattr(stopped, "exit_status", 130)
                words = str(stopped) or "interrupted"
                raise InterruptedRun(f"{words}; what was trained is kept, go on with: {self.again}", status) from None
            raise
        finally:
            if meter is not None:
                meter.ended()
        return self.failed

    def _begin(self, left: list[Trained]) -> None:
        for one in [*left]:
            if len(self.running) >= self.parallel:
                return
            if one.done:  # by a process that an earlier comparison left
                left.remove(one)
            elif not self._elsewhere(one):
                left.remove(one)
                self.voice.step(f"training {one.name}, seed {one.seed}")
                with one.log.open("wb") as log:
                    self.running[one] = subprocess.Popen(
                        [sys.executable, "-m", "lambent", *one.command(self.flags)],
                        stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=_environment(),
                    )  # fmt: skip

    def _elsewhere(self, one: Trained) -> bool:
        """Whether a process that an earlier comparison left is still training it: then it is waited for."""
        if not one.folder.is_dir():
            return False
        try:
            with held(one.folder / run_folder.LOCK):
                return False
        except HeldElsewhereError as error:
            if one.folder not in self.awaited:
                self.awaited.add(one.folder)
                self.voice.note(f"{one.folder}: process {error.owner} is still training there, and is waited for")
            return True

    def _end(self) -> None:
        """Take note of what has ended."""
        ended = [(one, status) for one, child in self.running.items() if (status := child.poll()) is not None]
        for one, status in ended:
            del self.running[one]
            if status != 0 or not one.done:
                said = one.complaint(status)
                self.failed.setdefault(one.name, {})[one.seed] = said
                self.voice.note(f"{one.name}, seed {one.seed}, is not trained: {said}")

    def _tell(self, meter: Meter | None, done: int) -> None:
        if meter is not None:
            names = ", ".join(f"{one.name} {one.seed}" for one in self.running)
            meter.moved(done + sum(one.share() for one in self.running), names)

    def _stop(self) -> None:
        """End what is running, each when it has kept its state."""
        for child in self.running.values():
            child.terminate()
        for child in self.running.values():
            try:
                child.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _environment() -> dict[str, str]:
    """The same, with the package that is running found first, from wherever that was imported."""
    import lambent

    home = str(Path(lambent.__file__).parents[1])
    path = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": home if not path else os.pathsep.join((home, path)), "COLUMNS": "200"}


def resuming(folder: Path) -> str:
    """The command that goes on with a comparison."""
    return f"lambent compare --resume {shlex.quote(str(folder))}"
