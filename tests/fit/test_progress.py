"""Progress: what is shown, where, and when."""

import io

import pytest

from lambent.progress import Display, chunks, counting, hushed, shown, watched


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    time = [100.0]
    monkeypatch.setattr("lambent.progress.time.monotonic", lambda: time[0])
    return time


def test_lines_come_after_two_seconds_and_then_every_half_minute(now: list[float]) -> None:
    stream = io.StringIO()
    with watched(Display(stream)):
        for part in chunks("scoring", 1000, 10):
            assert part.stop - part.start == 10
            now[0] += 1.0
    lines = stream.getvalue().splitlines()
    assert lines[0] == "scoring …"
    assert lines[1] == "scoring: 320 of 1,000, 10/s, 1 min 08 s left"
    assert len(lines) == 4


def test_what_is_quick_is_not_shown(now: list[float]) -> None:
    for stream in (io.StringIO(), Terminal()):
        with watched(Display(stream)):
            for _ in chunks("scoring", 10, 1):
                now[0] += 0.19
        assert stream.getvalue() == ""


def test_a_bar_on_a_terminal_has_the_rate_and_the_time_left(now: list[float]) -> None:
    stream = Terminal()
    with watched(Display(stream, lasting=True)), counting("encoding", 300) as add:
        for _ in range(3):
            now[0] += 2.0
            add(50)
    assert "encoding" in stream.getvalue()
    assert "150 of 300" in stream.getvalue()
    assert "25/s, 6 s left" in stream.getvalue()


def test_of_counts_within_counts_the_outermost_is_shown(now: list[float]) -> None:
    stream = io.StringIO()
    with watched(Display(stream)), counting("levels", 2) as add:
        for _ in range(2):
            for _ in chunks("scoring", 40, 1):
                now[0] += 1.0
            add(1)
    assert "scoring" not in stream.getvalue()
    assert stream.getvalue().splitlines()[1] == "levels: 2 of 2, 0.025/s, 0 s left"


def test_nobody_watches_unless_asked(now: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    def slow() -> None:
        for _ in chunks("scoring", 5, 1):
            now[0] += 5.0

    slow()
    with watched(Display()):
        hushed()
        slow()
    with shown(False):
        slow()
    assert capsys.readouterr().err == ""
    with shown(True):
        slow()
    assert capsys.readouterr().err.startswith("scoring …\n")
