"""Progress: loops tell how far they are, and whoever watches shows it. Nobody watches unless asked to.

A loop counts with `counting` or `chunks`; `watched` says who hears of it. Of counts within counts the outermost is shown.
"""

import atexit
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TextIO

SILENCE = 2.0  # seconds in which nothing is said: what takes no longer needs no bar
BETWEEN_LINES = 30.0  # seconds, where there is no terminal
BETWEEN_BARS = 0.2  # seconds

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


@contextmanager
def shown(progress: bool) -> Iterator[None]:
    """Where `progress` is asked for, counts are shown on standard error; else as it is."""
    if not progress:
        yield
        return
    with watched(Display()):
        yield


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

    def __init__(self, stream: TextIO | None = None, lasting: bool = False) -> None:
        """lasting: a bar stays where it was when its count has ended."""
        self.stream = stream
        self.lasting = lasting

    def begun(self, what: str, total: float) -> Meter:
        stream = self.stream or sys.stderr
        return Bar(what, total, stream, self.lasting) if stream.isatty() else Lines(what, total, stream)


class Lines:
    """What takes more than two seconds is said; what goes on, every half minute."""

    def __init__(self, what: str, total: float, stream: TextIO) -> None:
        self.what, self.total, self.stream = what, total, stream
        self.start = time.monotonic()
        self.next = self.start + SILENCE

    def moved(self, done: float, note: str = "", what: str = "") -> None:
        now = time.monotonic()
        if now < self.next:
            return
        first = self.next == self.start + SILENCE
        self.next = now + BETWEEN_LINES
        words = (_amount(done, self.total), _pace(done, self.total, now - self.start), note)
        told = " …" if first else ": " + ", ".join(word for word in words if word)
        print((what or self.what) + told, file=self.stream, flush=True)

    def ended(self) -> None: ...


class Bar:
    """A bar with what is done, the rate and the time left."""

    def __init__(self, what: str, total: float, stream: TextIO, lasting: bool) -> None:
        self.what, self.total, self.stream, self.lasting = what, total, stream, lasting
        self.start = time.monotonic()
        self.shown = 0.0
        self.bar: Any = None

    def moved(self, done: float, note: str = "", what: str = "") -> None:
        now = time.monotonic()
        if now - self.start < SILENCE or now - self.shown < BETWEEN_BARS:
            return
        self.shown = now
        if self.bar is None:
            self._begin()
        pace = f"{_amount(done, self.total)}  {_pace(done, self.total, now - self.start)}"
        self.bar.update(self.task, completed=done, description=what or self.what, pace=pace, note=note)

    def _begin(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        fields = (TextColumn("{task.fields[pace]}"), TextColumn("{task.fields[note]}"))
        columns = (TextColumn("{task.description}"), BarColumn(), *fields)
        console = Console(file=self.stream)
        self.bar = Progress(*columns, console=console, refresh_per_second=4, transient=not self.lasting)
        self.task = self.bar.add_task(self.what, total=self.total, pace="", note="")
        self.bar.start()
        atexit.register(self.ended)  # whatever ends the program, the terminal is left as it was

    def ended(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            atexit.unregister(self.ended)
            self.bar = None


def _amount(done: float, total: float) -> str:
    """How much is done: of a share in per cent."""
    return f"{100 * done:.0f} %" if total == 1 else f"{done:,.0f} of {total:,.0f}"


def _pace(done: float, total: float, seconds: float) -> str:
    """The rate, and the time left if it stays."""
    if done <= 0 or seconds <= 0:
        return ""
    rate = done / seconds
    left = f"{_duration((total - done) / rate)} left"
    return left if total == 1 else f"{rate:,.0f}/s, {left}" if rate >= 10 else f"{rate:.2g}/s, {left}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
