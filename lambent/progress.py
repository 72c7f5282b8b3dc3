"""Progress: loops tell how far they are, and whoever watches shows it. Nobody watches unless asked to.

A loop counts with `counting` or `chunks`; `watched` says who hears of it. Of counts within counts the outermost is shown.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TextIO

SILENCE = 2.0  # seconds in which nothing is said: what takes no longer needs no bar
BETWEEN_LINES = 30.0  # seconds, where there is no terminal

Add = Callable[[float], None]


class Meter(Protocol):
    """Shows one count from its beginning to its end."""

    def moved(self, done: float, note: str = "", what: str = "") -> None: ...

    def ended(self) -> None: ...


class Watch(Protocol):
    """Whoever shows counts."""

    def begun(self, what: str, total: float) -> Meter: ...


_WATCH: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watched(watch: Watch | None) -> Iterator[None]:
    """Counts are shown by `watch` while active; by nobody for None."""
    token = _WATCH.set(watch)
    try:
        yield
    finally:
        _WATCH.reset(token)


def hushed() -> None:
    """Nobody watches from here on, until the `watched` around it ends."""
    _WATCH.set(None)


@contextmanager
def counting(what: str, total: float) -> Iterator[Add]:
    """A count of `total` rows, to which the function given adds; inside it no other count is shown."""
    watch = _WATCH.get()
    if watch is None:
        yield _unheard
        return
    meter, done = watch.begun(what, total), 0.0

    def add(count: float) -> None:
        nonlocal done
        done += count
        meter.moved(done)

    try:
        with watched(None):
            yield add
    finally:
        meter.ended()


def _unheard(count: float) -> None: ...


def chunks(what: str, rows: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` rows, in order, counted."""
    with counting(what, rows) as add:
        for start in range(0, rows, size):
            yield slice(start, start + size)
            add(min(size, rows - start))


class Display:
    """On standard error: a bar on a terminal, elsewhere a line now and then; neither in the first two seconds."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream = stream
        self.clock = clock

    def begun(self, what: str, total: float) -> Meter:
        stream = self.stream or sys.stderr
        return (Bar if stream.isatty() else Lines)(what, total, stream, self.clock)


class Lines:
    """A line every half minute."""

    def __init__(self, what: str, total: float, stream: TextIO, clock: Callable[[], float]) -> None:
        self.what, self.total, self.stream, self.clock = what, total, stream, clock
        self.start = self.told = clock()

    def moved(self, done: float, note: str = "", what: str = "") -> None:
        now = self.clock()
        if now - self.told >= BETWEEN_LINES:
            self.told = now
            told = f"{what or self.what}: {done:,.0f} of {self.total:,.0f}, {_pace(done, self.total, now - self.start)}"
            print(told + (f", {note}" if note else ""), file=self.stream, flush=True)

    def ended(self) -> None: ...


class Bar:
    """A bar with what is done, the rate and the time left, gone when the count ends."""

    def __init__(self, what: str, total: float, stream: TextIO, clock: Callable[[], float]) -> None:
        self.what, self.total, self.stream, self.clock = what, total, stream, clock
        self.start = clock()
        self.shown = 0.0
        self.bar: Any = None

    def moved(self, done: float, note: str = "", what: str = "") -> None:
        now = self.clock()
        if now - self.start < SILENCE or now - self.shown < 0.2:
            return
        self.shown = now
        if self.bar is None:
            self.bar = _bar(self.stream)
            self.task = self.bar.add_task(self.what, total=self.total, pace="", note="")
            self.bar.start()
        pace = f"{done:,.0f}/{self.total:,.0f}  {_pace(done, self.total, now - self.start)}"
        self.bar.update(self.task, completed=done, description=what or self.what, pace=pace, note=note)

    def ended(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def _bar(stream: TextIO) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[pace]}"),
        TextColumn("{task.fields[note]}"),
    )
    return Progress(*columns, console=Console(file=stream), refresh_per_second=4, transient=True)


def _pace(done: float, total: float, seconds: float) -> str:
    """The rate, and the time left if it stays."""
    if not done or not seconds:
        return "… left"
    rate = done / seconds
    return f"{rate:,.0f}/s, {_time((total - done) / rate)} left" if rate >= 10 else (
        f"{rate:.2g}/s, {_time((total - done) / rate)} left"
    )


def _time(seconds: float) -> str:
    whole = round(max(seconds, 0))
    minutes, hours = divmod(whole, 60), whole // 3600
    if hours:
        return f"{hours} h {minutes[0] % 60:02} min"
    return f"{minutes[0]} min {minutes[1]:02} s" if minutes[0] else f"{whole} s"
