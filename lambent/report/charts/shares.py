"""Shares: how the values of one column fall in two tables, the first as bars, the second as a line over them."""

from datetime import UTC, datetime

from markupsafe import escape

from lambent.report.charts import axes
from lambent.report.charts.scales import Scale, ticks
from lambent.report.numerals import show
from lambent.tasks.sections import Figure, Key, Shares

LONGEST = 28  # letters of a category's name
DAY = 86_400.0


def drawn(block: Shares) -> Figure:
    """The first table's bars in grey, the second's shares in colour."""
    drawing = _categories(block) if block.names else _bins(block)
    most = max(range(len(block.first)), key=lambda i: abs(block.first[i] - block.second[i]), default=0)
    apart = f"{block.tables[0]} {show(block.first[most], 3)}, {block.tables[1]} {show(block.second[most], 3)}"
    words = f"{block.title}: shares of {len(block.first)} bins in two tables; furthest apart: {apart}."
    keys = [Key("train", block.tables[0], ""), Key("validation", block.tables[1], "")]
    return Figure(axes.chart(words, drawing), block.title, reading=block.reading, keys=keys)


def _categories(block: Shares) -> list[str]:
    """A line for each category: the first table's bar, the second's mark, and the name over both."""
    top = max((*block.first, *block.second), default=0.0) * 1.05 or 1.0
    across, high = Scale(0.0, top), 1 / max(1, len(block.names))
    parts = [axes.columns(across, ticks(0.0, top, 4), grid=True)]
    bars, marks = [], []
    for i, (one, two) in enumerate(zip(block.first, block.second, strict=True)):
        y, run = axes.coordinate((i + 0.12) * high), axes.coordinate(0.76 * high)
        bars.append(f"M0 {y}h{axes.coordinate(across.place(one))}v{run}H0z")
        x = axes.percent(across.place(two))
        ends = f'y1="{axes.percent((i + 0.12) * high)}" y2="{axes.percent((i + 0.88) * high)}"'
        marks.append(f'<line class="share" x1="{x}" x2="{x}" {ends}/>')
    parts.append(axes.inner(f'<path class="bar idle" d="{"".join(bars)}"/>'))
    parts += marks
    for i, name in enumerate(block.names):
        short = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
        place = f'x="4" y="{axes.percent((i + 0.5) * high)}" dy=".32em"'
        parts.append(f'<text class="mark" {place}>{escape(short)}</text>')
    return parts


def _bins(block: Shares) -> list[str]:
    """The bins of a number: the first table's bars, the second's line along their tops."""
    edges = [edge / DAY for edge in block.edges] if block.times else list(block.edges)
    across = Scale(edges[0], edges[-1])
    up = Scale(0.0, max((*block.first, *block.second), default=0.0) * 1.08 or 1.0)
    bars, steps = [], []
    for i, (one, two) in enumerate(zip(block.first, block.second, strict=True)):
        left, right = (across.place(edges[i + k]) for k in (0, 1))
        height, run = axes.coordinate(up.place(one)), axes.coordinate(0.98 * (right - left))
        bars.append(f"M{axes.coordinate(left)} {axes.coordinate(1)}v-{height}h{run}v{height}z")
        y = axes.coordinate(1 - up.place(two))
        steps.append(f"{'L' if i else 'M'}{axes.coordinate(left)} {y}H{axes.coordinate(right)}")
    inner = f'<path class="bar idle" d="{"".join(bars)}"/><path class="line validation" d="{"".join(steps)}"/>'
    below = _days(across) if block.times else axes.columns(across, ticks(across.low, across.high, 5))
    return [axes.rows(up, ticks(up.low, up.high, 4)), below, axes.inner(inner)]


def _days(across: Scale) -> str:
    """Dates below both ends."""
    parts = []
    for place, anchor in ((across.low, "start"), (across.high, "end")):
        try:
            day = f"{datetime.fromtimestamp(place * DAY, UTC):%Y-%m-%d}"
        except (ValueError, OverflowError, OSError):
            day = show(place)
        x = axes.percent(across.place(place))
        parts.append(f'<text class="tick" x="{x}" y="100%" dy="1.6em" text-anchor="{anchor}">{day}</text>')
    return "".join(parts)
