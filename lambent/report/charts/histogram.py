"""Histograms: how many of the rows lie where."""

import numpy as np

from lambent.report.charts import axes
from lambent.report.charts.scales import Scale, frame, ticks, whole_ticks
from lambent.report.numerals import count, show
from lambent.report.run.lookup import finite
from lambent.tasks.sections import Figure, Histogram

MOST_BINS = 60


def drawn(histogram: Histogram) -> Figure:
    """The histogram of the values within the frame; how many lie outside it, or are no numbers, is said below."""
    values = [v for v in map(finite, histogram.values) if v is not None]
    words = histogram.title, histogram.unit, histogram.caption
    if not values:
        return Figure("", *words, reading="there is no value to show")
    across = frame(values)
    shown = np.array([v for v in values if across.holds(v)])
    counts, edges = np.histogram(shown, _bins(shown), (across.low, across.high))
    up = Scale(0.0, float(counts.max()) * 1.08)
    middle, low, high = (show(v) for v in (np.median(values), min(values), max(values)))
    reading = f"{count(len(values), histogram.of)} · median {middle} · from {low} to {high}"
    drawing = axes.chart(
        f"Histogram of {histogram.title}: {reading}.",
        [
            axes.rows(up, whole_ticks(up.low, up.high, 4)),
            axes.columns(across, ticks(across.low, across.high, 6)),
            axes.inner(f'<path class="bar used" d="{_steps(counts.tolist(), edges.tolist(), across, up)}"/>'),
        ],
    )
    return Figure(drawing, *words, reading=reading, note=_left_out(histogram, values, len(shown)))


def _bins(shown: np.ndarray) -> int:
    """As many bins as the rule of Freedman and Diaconis asks for, or fewer."""
    spread = shown.max() - shown.min()
    first, third = np.quantile(shown, [0.25, 0.75])
    width = 2 * (third - first) / len(shown) ** (1 / 3)
    return int(min(MOST_BINS, max(1, np.ceil(spread / width)))) if width > 0 else 1


def _steps(counts: list[int], edges: list[float], across: Scale, up: Scale) -> str:
    steps = []
    for size, left, right in zip(counts, edges, edges[1:], strict=False):
        if size:
            x, height = axes.coordinate(across.place(left)), axes.coordinate(up.place(size))
            run = axes.coordinate(0.98 * (across.place(right) - across.place(left)))
            steps.append(f"M{x} {axes.coordinate(1)}v-{height}h{run}v{height}z")
    return "".join(steps)


def _left_out(histogram: Histogram, values: list[float], shown: int) -> str:
    notes = [f"{count(len(values) - shown, 'value')} outside the frame."] if shown < len(values) else []
    missing = len(histogram.values) - len(values)
    return " ".join(notes + ([f"{count(missing, 'value')} not finite."] if missing else []))
