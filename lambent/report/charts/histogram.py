"""Histograms: how many of the rows lie where."""

import math

import numpy as np
from markupsafe import escape

from lambent.report.charts import axes
from lambent.report.charts.scales import Scale, frame, padded, ticks, whole_ticks
from lambent.report.numerals import count, show
from lambent.report.run.lookup import finite
from lambent.tasks.sections import Figure, Histogram

MOST_BINS = 60
REACH = 2.0  # of a tail: how far beyond its mark it is drawn, in distances of the mark from the median


def drawn(histogram: Histogram) -> Figure:
    """The histogram of the values within the frame; how many lie outside it, or are no numbers, is said below."""
    values = np.array([v for v in map(finite, histogram.values) if v is not None])
    words = histogram.title, histogram.unit, histogram.caption
    if not len(values):
        return Figure("", *words, reading="there is no value to show")
    across = _frame(histogram, values)
    shown = values[(values >= across.low) & (values <= across.high)]
    counts, edges = _counted(histogram, shown, across)
    above = int((values > across.high).sum()) if histogram.tail else 0
    parts = [*_heights(histogram, counts, above), axes.columns(across, ticks(across.low, across.high, 6))]
    parts.append(axes.inner(_bars(histogram, counts, edges, across, above)))
    if histogram.mark is not None:
        parts.append(_mark(across, histogram.mark, histogram.mark_name))
    middle, low, high = (show(v) for v in (np.median(values), min(values), max(values)))
    reading = f"{count(len(values), histogram.of)} · median {middle} · from {low} to {high}"
    drawing = axes.chart(f"Histogram of {histogram.title}: {reading}.", parts)
    return Figure(
        drawing, *words, reading=reading, note=_left_out(histogram, values, len(shown) + above, above, across)
    )


def _frame(histogram: Histogram, values: np.ndarray) -> Scale:
    mark = histogram.mark
    if not histogram.tail:
        return frame([*values.tolist(), *([] if mark is None else [mark])])
    low, middle, high = (float(v) for v in np.quantile(values, [0, 0.5, 1]))
    third = float(np.quantile(values, 0.75))
    far = max(middle + 8 * (third - middle), third if mark is None else mark + REACH * max(0.0, mark - middle))
    first = max(low, middle - 8 * (middle - float(np.quantile(values, 0.25))))
    return padded(first, max(min(high, far), first if mark is None else mark))


def _counted(histogram: Histogram, shown: np.ndarray, across: Scale) -> tuple[np.ndarray, np.ndarray]:
    """Counts and edges of the bins; a mark is an edge, so that no bar lies on both of its sides."""
    bins = _bins(shown)
    if histogram.tail and bins == 1:  # most values are one, and a few lie apart
        bins = MOST_BINS // 2
    edges = np.linspace(across.low, across.high, bins + 1)
    if histogram.mark is not None and across.holds(histogram.mark):
        inner = edges[1:-1]
        if len(inner):
            edges[np.abs(inner - histogram.mark).argmin() + 1] = histogram.mark
        else:
            edges = np.array([across.low, histogram.mark, across.high])
        edges = np.unique(edges)
    counts, edges = np.histogram(shown, edges)
    return counts, edges


def _bins(shown: np.ndarray) -> int:
    """As many bins as the rule of Freedman and Diaconis asks for, or fewer."""
    spread = shown.max() - shown.min()
    first, third = np.quantile(shown, [0.25, 0.75])
    width = 2 * (third - first) / len(shown) ** (1 / 3)
    return int(min(MOST_BINS, max(1, np.ceil(spread / width)))) if width > 0 else 1


def _up(histogram: Histogram, top: float) -> Scale:
    return Scale(0.0, (math.log10(1 + top) if histogram.tail else top) * 1.08)


def _height(histogram: Histogram, size: float) -> float:
    """Of counts by their logarithm one row is a bar of its own: log(1 + n)."""
    return math.log10(1 + size) if histogram.tail else size


def _heights(histogram: Histogram, counts: np.ndarray, above: int) -> list[str]:
    """Gridlines of the counts."""
    up = _up(histogram, float(max(counts.max(), above)))
    if not histogram.tail:
        return [axes.rows(up, whole_ticks(up.low, up.high, 4))]
    parts = [axes.rows(up, ([0.0], 1.0))]
    for power in range(math.floor(up.high) + 1):
        y = axes.percent(1 - up.place(math.log10(1 + 10**power)))
        if math.log10(1 + 10**power) <= up.high:
            parts.append(f'<line class="grid" x1="0" x2="100%" y1="{y}" y2="{y}"/>')
            parts.append(f'<text class="tick" x="-8" y="{y}" dy=".32em" text-anchor="end">{10**power:,}</text>')
    return parts


def _bars(histogram: Histogram, counts: np.ndarray, edges: np.ndarray, across: Scale, above: int) -> str:
    """Below the mark muted, at and above it in colour; without one all in colour."""
    sizes, lefts, rights = counts.tolist(), edges[:-1].tolist(), edges[1:].tolist()
    up = _up(histogram, float(max(counts.max(), above)))
    mark = -math.inf if histogram.mark is None else histogram.mark
    drawn = {"idle": "", "used": ""}
    for size, left, right in zip(sizes, lefts, rights, strict=True):
        if size:
            x, height = axes.coordinate(across.place(left)), axes.coordinate(up.place(_height(histogram, size)))
            run = axes.coordinate(0.98 * (across.place(right) - across.place(left)))
            drawn["used" if left >= mark else "idle"] += f"M{x} {axes.coordinate(1)}v-{height}h{run}v{height}z"
    if above:  # at the right end, over whatever ends there
        height = axes.coordinate(up.place(_height(histogram, above)))
        drawn["used"] += f"M{axes.coordinate(0.985)} {axes.coordinate(1)}v-{height}h{axes.coordinate(0.015)}v{height}z"
    return "".join(f'<path class="bar {kind}" d="{path}"/>' for kind, path in drawn.items() if path)


def _mark(across: Scale, value: float, name: str) -> str:
    place = across.place(value)
    x = axes.percent(place)
    side = 'dx="-7" text-anchor="end"' if place > 0.6 else 'dx="7" text-anchor="start"'
    line = f'<line class="threshold" x1="{x}" x2="{x}" y1="0" y2="100%"/>'
    return line + f'<text class="mark" x="{x}" y="0" {side} dy="1em">{escape(name)} {show(value)}</text>'


def _left_out(histogram: Histogram, values: np.ndarray, shown: int, above: int, across: Scale) -> str:
    notes = [f"The last bar holds {count(above, 'value')} above {show(across.high)}."] if above else []
    notes += [f"{count(len(values) - shown, 'value')} outside the frame."] if shown < len(values) else []
    missing = len(histogram.values) - len(values)
    return " ".join(notes + ([f"{count(missing, 'value')} not finite."] if missing else []))
