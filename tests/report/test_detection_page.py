"""The report of a detection: bars on both sides of a threshold, curves where the numbers put them, tables of what is known."""

import re

import numpy as np
import pytest

from lambent.report import Findings, render
from lambent.report.charts import curves, histogram
from lambent.tasks.detection import sections
from lambent.tasks.detection.drift import Change, Drift
from lambent.tasks.sections import Curve, Curves, Group, Histogram, Section, Sheet, TableBlock

SCORES = np.r_[np.arange(100) / 10, [30.0, 40.0, 1e6]]
FLAGGED = SCORES > 20


def widths(drawing: str, kind: str) -> list[float]:
    """The left ends of the bars of a kind, in thousandths of the frame."""
    path = re.search(rf'<path class="bar {kind}" d="([^"]*)"', drawing)
    return [] if path is None else [float(x) for x in re.findall(r"M(-?[\d.]+) ", path[1])]


def test_a_mark_parts_the_bars_and_a_tail_ends_in_one() -> None:
    figure = histogram.drawn(Histogram(SCORES.tolist(), "Scores", mark=20.0, mark_name="flagged from", tail=True))
    low, high = widths(figure.drawing, "idle"), widths(figure.drawing, "used")
    place = float(re.search(r'class="threshold" x1="([\d.]+)%', figure.drawing)[1]) * 10  # type: ignore[index]
    assert max(low) < place <= min(high) + 0.1
    assert max(high) == 985  # the last bar, in which the score of a million lies
    assert "The last bar holds 1 value above" in figure.note
    assert "flagged from 20" in figure.drawing
    assert "outside the frame" not in figure.note


def test_heights_of_a_tail_are_logarithms() -> None:
    values = [0.0] * 999 + [1.0] * 99 + [9.0]
    figure = histogram.drawn(Histogram(values, "x", mark=0.5, mark_name="m", tail=True))
    heights = [float(v) for v in re.findall(r"v-([\d.]+)h", figure.drawing)]
    assert sorted(heights) == pytest.approx([1000 * np.log10(1 + n) / (3 * 1.08) for n in (1, 99, 999)], abs=0.2)
    assert ">100</text>" in figure.drawing


def test_without_a_mark_it_is_the_histogram_that_it_was() -> None:
    figure = histogram.drawn(Histogram([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], "x"))
    assert "threshold" not in figure.drawing
    assert widths(figure.drawing, "idle") == []
    assert len(widths(figure.drawing, "used")) >= 2


def test_curves_stand_where_their_numbers_are() -> None:
    block = Curves(
        "ROC", [Curve("AUROC", [0, 0, 1], [0, 1, 1], True, "1.000")], diagonal=True, spot=(0.25, 0.5), spot_name="here"
    )
    figure = curves.drawn(block)
    assert 'd="M0 1000L0 0L1000 0"' in figure.drawing
    assert 'd="M0 1000L1000 0"' in figure.drawing
    assert 'cx="25%" cy="50%"' in figure.drawing
    assert figure.keys[0].value == "1.000"


def test_long_curves_keep_their_ends_and_their_corners() -> None:
    x = np.r_[np.zeros(5000), np.linspace(0, 1, 5000)]
    y = np.r_[np.linspace(0, 1, 5000), np.ones(5000)]
    figure = curves.drawn(Curves("c", [Curve("one", x.tolist(), y.tolist())]))
    points = re.findall(r"[ML]([\d.]+) ([\d.]+)", figure.drawing)
    assert len(points) <= curves.MOST_POINTS + 2
    assert (points[0], points[-1]) == (("0", "1000"), ("1000", "0"))
    assert min(abs(float(a)) + abs(float(b)) for a, b in points) < 5  # the corner at the upper left


def all_sections() -> list[Section]:
    p = np.linspace(0.01, 1, len(SCORES))
    odd = FLAGGED.copy()
    odd[50] = True
    rows = {"row": np.arange(len(SCORES)) * 2, "file": [f"<{i}>.png" for i in range(len(SCORES))]}
    changes = [Change("a", "χ²", 0.5, 0.001, 0.002, "'x' 1 % → 51 %"), Change("b", "χ²", 0.1, 0.5, 0.5, "")]
    known = sections.known_cases(odd, SCORES, FLAGGED, "fraud says so")
    assert known is not None
    return [
        sections.decision("3 of 103 rows.", "It promises nothing.", {"Flagged": "3"}),
        sections.score_heap(SCORES, np.arange(50) / 5, 20.0),
        sections.oddest(rows, SCORES, p, FLAGGED, {102: "a 3, expected 1 <to> 2"}),
        sections.calibration({"training rows": p, "these rows": p**2, "normal": p}, "these rows"),
        known,
        sections.drifted(Drift(changes, changes, (100, 50))),
    ]


def test_the_page_is_whole_and_says_what_is_known() -> None:
    every = all_sections()
    page = render(Findings("Odd rows"), every, alone=True)
    for one in every:
        assert f'<section id="{one.id}"' in page
    assert "a 3, expected 1 &lt;to&gt; 2" in page
    assert "&lt;102&gt;.png" in page
    assert "<102>" not in page
    assert "The whole has changed (p 0.002; 100 rows beside 50 of the reference); columns: a." in page


def blocks(section: Section, kind: type) -> list[object]:
    inner = [block for one in section.body for block in (one.blocks if isinstance(one, Group) else [one])]
    return [block for block in inner if isinstance(block, kind)]


def test_the_oddest_come_first_with_their_own_numbers() -> None:
    oddest = next(one for one in all_sections() if one.id == "oddest")
    (table,) = blocks(oddest, TableBlock)
    assert isinstance(table, TableBlock)
    assert [name for name, _ in table.rows[:3]] == ["204", "202", "200"]  # `row`, and not the place
    assert table.heads == ["Row", "File", "Score", "p", "Flagged", "Why"]
    assert table.rows[0][1][-1].content == "a 3, expected 1 <to> 2"
    assert len(table.rows) == sections.MOST_ROWS


def test_known_cases_are_counted() -> None:
    known = next(one for one in all_sections() if one.id == "known")
    roc, precision = blocks(known, Curves)
    assert isinstance(roc, Curves)
    assert isinstance(precision, Curves)
    assert roc.spot == (0.0, 0.75)
    assert precision.spot == (0.75, 1.0)
    assert roc.curves[0].value == f"{(3 + 50 / 99) / 4:.3f}"  # the fourth odd row is odder than 50 of 99 normal ones
    assert precision.level == pytest.approx(4 / 103)
    (table,) = blocks(known, TableBlock)
    assert isinstance(table, TableBlock)
    assert [[cell.content for cell in cells] for _, cells in table.rows] == [[3, 1, 0.75], [0, 99, 0.0]]
    assert sections.known_cases(np.zeros(3, bool), SCORES[:3], FLAGGED[:3], "") is None


def test_p_values_that_hold_lie_on_the_diagonal() -> None:
    section = sections.calibration({"these rows": np.arange(1, 101) / 100}, "these rows")
    (chart,) = blocks(section, Curves)
    assert isinstance(chart, Curves)
    (curve,) = chart.curves
    assert np.abs(np.array(curve.x) - np.array(curve.y)).max() <= 0.01 + 1e-9
    (table,) = blocks(section, TableBlock)
    assert isinstance(table, TableBlock)
    assert [cell.content for cell in table.rows[0][1]] == ["0.010", "0.050", "0.100", "0.200"]


def test_pictures_stand_above_their_heat_maps() -> None:
    pictures = np.arange(8, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)
    heat = np.repeat(pictures[..., None], 3, -1) + np.uint8(100)
    rows = {"row": np.arange(8)}
    section = sections.oddest(rows, np.arange(8.0), None, np.ones(8, bool), {}, pictures, heat)
    (sheet,) = blocks(section, Sheet)
    assert isinstance(sheet, Sheet)
    assert sheet.paired
    assert sheet.cells.shape == (2, 6, 4, 4, 3)
    assert sheet.cells[0, 2, 0, 0].tolist() == [2, 2, 2]
    assert sheet.cells[1, 2, 0, 0].tolist() == [102, 102, 102]
    alone = sections.oddest(rows, np.arange(8.0), None, np.ones(8, bool), {}, pictures)
    (single,) = blocks(alone, Sheet)
    assert isinstance(single, Sheet)
    assert single.cells.shape == (1, 8, 4, 4)
