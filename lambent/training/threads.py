"""How many threads compute: a number, or a schedule of numbers such as "2,1@5120"; set for a while, and put back."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from statistics import median
from typing import NamedTuple

import torch

from lambent.errors import UsageError
from lambent.model import LatentModel
from lambent.model.trace import from_prior

AUTO = "auto"
MOST = 4096
DRAWN, LOOK, LONG = 1024, 0.02, 0.5  # rows to draw at most in a look at a trained model; seconds of one draw; of all
ENTRY = re.compile(r"(\d{1,9})(?:@(\d{1,15}))?")


class Way(NamedTuple):
    """A way to compute: so many threads, at a precision."""

    threads: int
    precision: str


def scheduled(threads: str | int) -> dict[int, int]:
    """The number of threads by the step from which it holds; "2,1@5120" is two, and one from the 5,120th step on.

    Raises `UsageError` for what is no such schedule.
    """
    entries = [ENTRY.fullmatch(entry.strip()) for entry in str(threads).split(",")]
    steps = [int(entry[2] or 0) for entry in entries if entry]
    numbers = [int(entry[1]) for entry in entries if entry]
    rising = steps[:1] == [0] and all(a < b for a, b in pairwise(steps))
    if None in entries or not rising or not all(1 <= number <= MOST for number in numbers):
        raise UsageError(
            f"threads takes a whole number from 1 to {MOST:,}, auto, or what an earlier run recorded, such as 2,1@5120 "
            f"(two, and one from step 5,120 on), not {str(threads)[:60]!r}"
        )
    return dict(zip(steps, numbers, strict=True))


def checked(threads: str | int | None) -> str | int | None:
    """A setting as it is kept: none, "auto", a number, or a schedule. Errors as for `scheduled`."""
    if threads is None or threads == AUTO:
        return threads
    schedule = scheduled(threads)
    return schedule[0] if len(schedule) == 1 else written(schedule)


def written(schedule: dict[int, int]) -> str:
    """A schedule as text, which `scheduled` reads."""
    return ",".join(str(number) if step == 0 else f"{number}@{step}" for step, number in sorted(schedule.items()))


def choices() -> list[int]:
    """The numbers worth a try: as many as torch takes by itself, one, and half."""
    most = torch.get_num_threads()
    return list(dict.fromkeys((most, 1, max(1, most // 2))))


@torch.no_grad()
def suit(model: LatentModel, threads: str | int | None) -> None:
    """Set the threads for using a trained model: a number, or, for "auto", that in which it draws rows fastest.

    All, one and half are timed in turn, for less than a second; on a GPU nothing is.
    """
    if threads is None or model.device.type != "cpu":
        return
    if threads != AUTO:
        torch.set_num_threads(list(scheduled(threads).values())[-1])
        return
    numbers, generator = choices(), torch.Generator().manual_seed(0)
    if len(numbers) == 1:
        return
    context = torch.zeros(DRAWN, model.context) if model.context else None

    def seconds(number: int, rows: int) -> float:
        torch.set_num_threads(number)
        started = time.perf_counter()
        model.generate(rows, from_prior(generator), None if context is None else context[:rows])
        return time.perf_counter() - started

    few = min(seconds(1, 8) for _ in range(3))
    rows = max(8, min(DRAWN, int(8 * LOOK / few)))
    times: dict[int, list[float]] = {number: [] for number in numbers}
    started = time.perf_counter()
    for turn in range(4):
        for number, own in times.items():
            own.append(seconds(number, rows))  # of the first turn, which makes threads and kernels, nothing is kept
        if turn and time.perf_counter() - started > LONG:
            break
    torch.set_num_threads(min(times, key=lambda number: (median(times[number][1:]), number)))


@contextmanager
def put_back() -> Iterator[None]:
    """Torch's number of threads, whatever it is set to meanwhile, is as before afterwards."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)
