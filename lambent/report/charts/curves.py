"""Curves in a frame: shares against shares, such as rows found against false alarms, or energy by frequency."""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import escape

from lambent.report.charts import axes
from lambent.report.charts.scales import Scale, thinned, ticks
from lambent.tasks.sections import Curve, Curves, Figure, Key

MOST_POINTS = 400  # per curve


class Frame(NamedTuple):
    """The axes of a drawing."""

    across: Scale
    up: Scale

    def point(self, x: float, y: float) -> str:
        """Its inner coordinates."""
        return f"{axes.coordinate(self.across.place(x))} {axes.coordinate(1 - self.up.place(y))}"


def drawn(block: Curves) -> Figure:
    """Muted curves below, the main ones over them."""
    frame = Frame(Scale(*block.across), Scale(*block.up))
    marks = [ticks(scale.low, scale.high, 5) for scale in (frame.up, frame.across)]
    parts = [axes.rows(frame.up, marks[0], base=False), axes.columns(frame.across, marks[1], grid=True)]
    lines = ['<path class="line border" d="M0 1000L1000 0"/>'] if block.diagonal else []
    if block.level is not None:
        y = axes.coordinate(1 - frame.up.place(block.level))
        lines.append(f'<path class="line border" d="M0 {y}H1000"/>')
    lines += [_line(curve, frame) for curve in sorted(block.curves, key=lambda one: one.main)]
    parts.append(axes.inner("".join(lines)))
    if block.spot is not None:
        parts.append(_spot(*block.spot, block.spot_name, frame))
    keys = [Key(_kind(one), one.name, one.value) for one in block.curves if one.name]
    told = "; ".join(f"{one.name} {one.value}".strip() for one in block.curves)
    return Figure(axes.chart(f"{block.title}: {told}.", parts), block.title, block.unit, block.caption, keys=keys)


def _kind(curve: Curve) -> str:
    return "validation" if curve.main else "train"


def _line(curve: Curve, frame: Frame) -> str:
    points = [frame.point(curve.x[i], curve.y[i]) for i in _kept(curve.x, curve.y)]
    return f'<path class="line {_kind(curve)}" d="M{"L".join(points)}"/>' if points else ""


def _kept(x: Sequence[float], y: Sequence[float]) -> list[int]:
    """The points to draw: where there are too many, as many stretches of the curve's own length have one."""
    if len(x) <= MOST_POINTS:
        return list(range(len(x)))
    reached, total = [0.0], 0.0
    for i in range(1, len(x)):
        total += abs(x[i] - x[i - 1]) + abs(y[i] - y[i - 1])
        reached.append(total)
    if not total:
        return thinned(len(x), 2)
    kept, step = [0], total / MOST_POINTS
    for i in range(1, len(x)):
        if reached[i] - reached[kept[-1]] >= step:
            kept.append(i)
    return kept if kept[-1] == len(x) - 1 else [*kept, len(x) - 1]


def _spot(x: float, y: float, name: str, frame: Frame) -> str:
    """A ring, and its name on the side where there is room."""
    across, up = axes.percent(frame.across.place(x)), axes.percent(1 - frame.up.place(y))
    side = 'dx="-9" text-anchor="end"' if frame.across.place(x) > 0.6 else 'dx="9" text-anchor="start"'
    down = "1.3em" if frame.up.place(y) > 0.5 else "-.6em"
    text = f'<text class="mark" x="{across}" y="{up}" {side} dy="{down}">{escape(name)}</text>'
    return f'<circle class="ring" cx="{across}" cy="{up}" r="4.5"/>' + (text if name else "")
