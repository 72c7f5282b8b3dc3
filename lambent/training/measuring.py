"""Threads and precision by measurement: steps of the very training, on copies, in every way that this machine might take."""

import copy
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from statistics import median

import torch
from torch import Tensor

from lambent.errors import DataError, DivergedError, UsageError
from lambent.memory import free_memory
from lambent.training.precision import computing, has_bf16_units
from lambent.training.run import Run
from lambent.training.settings import Training
from lambent.training.threads import AUTO, Way, choices, put_back

FEW = 100  # steps of a training below which no whole batches are spent on measuring
FEWER = 16  # and below which nothing is
ROWS = 8  # of a first look, in which threads that wait for one another are found out at little cost
HINDERED = 4.0  # times slower than the best on so few rows: not tried on whole batches
BEHIND = 1.5  # times slower than the best on whole batches: not tried again
TIE = 1.03  # within which fewer threads, and float32, are taken
TINY = 0.002  # seconds of a step on so few rows below which one thread is taken, where whole batches are not tried
SHORT = 0.01  # seconds of steps that are timed together
SHARE, SECONDS, LONGEST = 0.03, 3.0, 30.0  # of the expected training, of rounds, and of all in a very long training
ROUNDS = 7
COPIES = 6  # of each weight in a trial: itself, its gradient, two moments, its average, and one in low precision
FAULTS = (
    DataError,
    DivergedError,
    UsageError,
    TypeError,
    ValueError,
    RuntimeError,
)  # not InterruptedRun: a signal counts


Timer = Callable[[Way, int | None], float]  # the seconds of a step of so many rows, or of a whole batch


def ways(precisions: Sequence[str], threads: Sequence[int]) -> list[Way]:
    """Every way, float32 first: where threads are a hindrance there, they are not tried in bfloat16, and one thread is first."""
    first, *others = sorted(precisions, reverse=True)
    return [Way(n, first) for n in threads] + [Way(n, other) for other in others for n in sorted(threads)]


def left_open(settings: Training, device: torch.device) -> list[Way]:
    """The ways that the settings leave to be measured; none where threads are torch's own business, or a schedule's."""
    if device.type != "cpu" or not (settings.threads == AUTO or isinstance(settings.threads, int)):
        return []
    units = settings.precision == "auto" and has_bf16_units(device)
    precisions = ["fp32", "bf16"] if units else ["fp32" if settings.precision == "auto" else settings.precision]
    return ways(precisions, choices() if settings.threads == AUTO else [int(settings.threads)])


class Trial:
    """Steps of a run on copies of its parts, at a learning rate of 0: they cost what the real ones do, and leave no trace.

    take: gives the function that takes a step of a run. Rows are real ones, without augmentation, for that may remember how
    often it was called; of conditions, whose values cost nothing, only the width is real.
    """

    def __init__(self, run: Run, take: Callable[[Run], Callable[[Tensor, Tensor | None, None], None]]) -> None:
        model, objective = copy.deepcopy((run.model, run.objective))
        settings = run.settings.changed(learning_rate=0.0)
        self.run = Run(model.train(), objective.train(), run.batches, None, settings, run.device, run.transform)
        self.take = take(self.run)
        self.x = run.batches.examples(getattr(run.batches, "batch", 1 << 20)).to(run.device)
        self.context = torch.zeros(len(self.x), model.context, device=run.device) if model.context else None

    def seconds(self, way: Way, rows: int | None) -> float:
        """The seconds of one step, as the mean over some where it is short."""
        torch.set_num_threads(way.threads)
        with computing(self.run.model, way.precision, self.run.device):
            took = self._step(rows)
            if rows is None and took < SHORT:
                steps = min(32, round(SHORT / took) + 1)
                took = sum(self._step(rows) for _ in range(steps)) / steps
        return took

    def _step(self, rows: int | None) -> float:
        context = None if self.context is None else self.context[:rows]
        started = time.perf_counter()
        self.take(self.x[:rows], context, None)
        took = time.perf_counter() - started
        self.run.records.clear()
        return took


def chosen(
    run: Run, options: Sequence[Way], take: Callable[[Run], Callable[[Tensor, Tensor | None, None], None]]
) -> tuple[Way, float]:
    """The fastest way, and the seconds of a step in it, or 0.0 where nothing was timed: then all threads, as ever.

    Nothing is timed where memory is short. The run is as before, to the bit, and so are torch's generator and its number of
    threads.
    """
    left = run.total - run.step
    usual = max((way for way in options if way.precision == run.precision), key=lambda way: way.threads)
    if len(options) == 1 or left < FEWER or not _room(run):
        return usual, 0.0
    # Parts that cannot be copied, or whose first step ends in an error, are for the training itself to complain of.
    with suppress(*FAULTS), put_back(), torch.random.fork_rng(devices=[]):
        trial = Trial(run, take)
        return fastest(trial.seconds, options, usual, left)
    return usual, 0.0


def _room(run: Run) -> bool:
    """Whether copies of all weights surely fit beside a training that itself may take nearly all memory."""
    free = free_memory()
    return free is None or COPIES * sum(p.nbytes for p in run.model.parameters()) < free / 2


def fastest(timer: Timer, options: Sequence[Way], usual: Way, steps: int) -> tuple[Way, float]:
    """The way in which so many steps take least, by short rounds in turn; see `chosen`."""
    kept = _unhindered(timer, options)
    if steps < FEW:
        alike = [way for way in kept if way.precision == usual.precision] or list(kept)
        most = min(kept.values()) > TINY
        return sorted(alike, key=lambda way: way.threads)[-1 if most else 0], 0.0
    times = _first_round(timer, list(kept), steps)
    spent, best = 0.0, min(map(median, times.values()))
    allowed = min(SECONDS, SHARE * steps * best)
    for _ in range(ROUNDS):
        times = {way: own for way, own in times.items() if median(own) <= BEHIND * best}
        if len(times) == 1 or spent + best * len(times) > allowed:
            break
        for way, own in times.items():
            own.append(timer(way, None))
            spent += own[-1]
        best = min(map(median, times.values()))
    near = [way for way, own in times.items() if median(own) <= TIE * best]
    way = min(near, key=lambda way: (way.threads, way.precision != "fp32"))
    return way, median(times[way])


def _unhindered(timer: Timer, options: Sequence[Way]) -> dict[Way, float]:
    """The ways with their seconds on a few rows, the fastest first; without those in which threads chiefly wait."""
    found: dict[Way, float] = {}
    spent = 0.0
    for way in options:
        best = min(found.values(), default=float("inf"))
        hindered = any(w.threads == way.threads and s > HINDERED * best for w, s in found.items())
        if found and (hindered or spent > SECONDS):
            continue
        spent += timer(way, ROWS)  # the first makes kernels and threads
        found[way] = timer(way, ROWS)
        spent += found[way]
        if found[way] <= HINDERED * best:
            again = timer(way, ROWS)
            spent += again
            found[way] = min(found[way], again)
    best = min(found.values())
    return {way: found[way] for way in sorted(found, key=lambda way: found[way]) if found[way] <= HINDERED * best}


def _first_round(timer: Timer, kept: Sequence[Way], steps: int) -> dict[Way, list[float]]:
    """Every way on whole batches once, after a step that makes its kernels; the rest are left out when it takes long."""
    times: dict[Way, list[float]] = {}
    spent = 0.0
    for way in kept:
        best = min((own[0] for own in times.values()), default=float("inf"))
        if times and spent > min(LONGEST, max(SECONDS, SHARE * steps * best)):
            break
        spent += timer(way, None)
        times[way] = [timer(way, None)]
        spent += times[way][0]
    return times
