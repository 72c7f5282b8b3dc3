"""What `--threads auto --precision auto` chooses, beside every fixed choice: on an idle machine, and beside a busy process.

    python benchmarks/crowded.py        # the same as benchmarks/speed.py --crowded; about four minutes

Leave OMP_NUM_THREADS unset, and give the machine nothing else to do: the busy process is a Python that counts, started by this
script and tied to no core. Threads wait asleep, as under the command `lambent train`. In every round each fixed choice
trains for a second, and so does a run that chooses for itself; how long that took is told apart.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from record import RESULTS, Record, column

import lambent
from lambent.cli.program import WAITING
from lambent.training import measuring, pace
from lambent.training.run import Run
from lambent.training.settings import Training
from lambent.training.threads import Way, choices

PROTOCOL = (
    "The default image model (Conv, 32 units, a Mixture of 50) on 3 × 32 × 32 bytes, and an Mlp on a table of 20 "
    "columns; batches of 128. Turns of a second after two steps, in rounds. The ratio is that of the run that chose "
    "for itself to the best fixed choice, by its median, in the same round. Beside it a process spins, tied to no "
    "core, or nothing runs."
)
COLUMNS = [
    column("model", "Model"),
    column("beside", "Beside it"),
    column("choice", "Chosen"),
    column("rate", "Steps per second", "", ".1f"),
    column("best", "Best fixed choice"),
    column("best_rate", "Its steps per second", "", ".1f"),
    column("worst_rate", "Of the worst", "", ".1f"),
    column("ratio", "Of the best, median", "", ".2f"),
    column("lowest", "Lowest", "", ".2f"),
    column("measuring", "Measured for", "s", ".1f"),
    column("rounds", "Rounds"),
]


class Clock:
    """Stops a training after some seconds of steps, of which the first two are left out."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.steps = seconds, -2
        self.way = Way(0, "")

    def on_start(self, run: Run) -> None:
        self.way = Way(int(run.threads), run.precision)

    def on_step(self, run: Run) -> None:
        self.steps += 1
        if self.steps == 0:
            self.started = time.perf_counter()
        elif self.steps > 0 and time.perf_counter() - self.started > self.seconds:
            self.rate = self.steps / (time.perf_counter() - self.started)
            raise lambent.InterruptedRun("enough")


def pictures() -> tuple[lambent.LatentModel, torch.Tensor]:
    x = torch.randint(0, 256, (2048, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    prior = lambent.Mixture(50, covariance="full")
    return lambent.LatentModel(lambent.Flat(32, prior=prior), lambent.DiscretizedLogistics(), lambent.Conv()), x


def table() -> tuple[lambent.LatentModel, torch.Tensor]:
    x = torch.randn(4096, 20, generator=torch.Generator().manual_seed(0))
    return lambent.LatentModel(lambent.Flat(16), lambent.Gaussian(), lambent.Mlp(256)), x


MODELS = {"pictures, Conv": pictures, "table, Mlp": table}


def turn(made: Callable[[], tuple[lambent.LatentModel, torch.Tensor]], seconds: float, **how: Any) -> Clock:
    """One training of 10,000 steps, cut short."""
    model, x = made()
    clock = Clock(seconds)
    with contextlib.suppress(lambent.InterruptedRun):
        lambent.fit(model, lambent.Elbo(), x, epochs=-(-10_000 * 128 // len(x)), device="cpu", callbacks=[clock], **how)
    return clock


@contextlib.contextmanager
def beside(busy: bool) -> Iterator[None]:
    """A process that keeps one core busy, if wanted."""
    if not busy:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.5)
        yield
    finally:
        process.kill()
        process.wait()


def race(made: Callable[[], tuple[lambent.LatentModel, torch.Tensor]], rounds: int, seconds: float) -> dict[str, Any]:
    """The fixed choices and the run's own, in turn."""
    fixed = measuring.left_open(Training(threads="auto"), torch.device("cpu"))
    rates: dict[Way, list[float]] = {way: [] for way in fixed}
    own: list[float] = []
    spent: list[float] = []
    chosen: Counter[Way] = Counter()

    def timed(*given: Any) -> tuple[Way, float]:
        started = time.perf_counter()
        found = measuring.chosen(*given)
        if len(given[1]) > 1:  # the fixed choices leave nothing open
            spent.append(time.perf_counter() - started)
        return found

    pace.chosen = timed
    for _ in range(rounds):
        for way in fixed:
            rates[way].append(turn(made, seconds, threads=way.threads, precision=way.precision).rate)
        clock = turn(made, seconds, threads="auto")
        own.append(clock.rate)
        chosen[clock.way] += 1
    middle = {way: statistics.median(found) for way, found in rates.items()}
    best = max(middle, key=lambda way: middle[way])
    ratios = [mine / other for mine, other in zip(own, rates[best], strict=True)]
    return {
        "choice": ", ".join(f"{shown(way)}{f' ({times} times)' * (len(chosen) > 1)}" for way, times in chosen.items()),
        "rate": statistics.median(own),
        "best": shown(best),
        "best_rate": middle[best],
        "worst_rate": min(middle.values()),
        "ratio": statistics.median(ratios),
        "lowest": min(ratios),
        "measuring": statistics.median(spent),
        "rounds": rounds,
        "fixed": {shown(way): middle[way] for way in fixed},
        "load": os.getloadavg()[0],
    }


def shown(way: Way) -> str:
    return f"{way.threads} × {way.precision}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each turn")
    parser.add_argument("--only", nargs="*", help="models")
    parser.add_argument("--out", type=Path, default=RESULTS / "crowded.json")
    args = parser.parse_args(arguments)
    if os.environ.keys().isdisjoint(WAITING):  # which OpenMP reads but once, when it is loaded
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **WAITING})
    if len(choices()) == 1:
        sys.exit("there is one thread to choose from: unset OMP_NUM_THREADS")
    record = Record(args.out, "Threads and precision by measurement", PROTOCOL, COLUMNS, ("model", "beside", "machine"))
    for busy in (False, True):
        for name, made in MODELS.items():
            if not args.only or name in args.only:
                with beside(busy):
                    row = race(made, args.rounds, args.seconds)
                row |= {"model": name, "beside": "a busy process" if busy else "nothing"}
                record.add(**row)
                print(row, flush=True)


if __name__ == "__main__":
    main()
