"""Curves in the unit square: shares against shares, such as rows found against false alarms."""

from collections.abc import Sequence

from markupsafe import escape

from lambent.report.charts import axes
from lambent.report.charts.scales import Scale, thinned, ticks
from lambent.tasks.sections import Curve, Curves, Figure, Key

MOST_POINTS = 400  # per curve
UNIT = Scale(0.0, 1.0)
MARKS = ticks(0.0, 1.0, 5)


def drawn(block: Curves) -> Figure:
    """Muted curves below, the main ones over them."""
    parts = [axes.rows(UNIT, MARKS, base=False), axes.columns(UNIT, MARKS, grid=True)]
    lines = ['<path class="line border" d="M0 1000L1000 0"/>'] if block.diagonal else []
    if block.level is not None:
        y = axes.coordinate(1 - UNIT.place(block.level))
        lines.append(f'<path class="line border" d="M0 {y}H1000"/>')
    lines += [_line(curve) for curve in sorted(block.curves, key=lambda one: one.main)]
    parts.append(axes.inner("".join(lines)))
    if block.spot is not None:
        parts.append(_spot(*block.spot, block.spot_name))
    keys = [Key(_kind(one), one.name, one.value) for one in block.curves if one.name]
    told = "; ".join(f"{one.name} {one.value}".strip() for one in block.curves)
    return Figure(axes.chart(f"{block.title}: {told}.", parts), block.title, block.unit, block.caption, keys=keys)


def _kind(curve: Curve) -> str:
    return "validation" if curve.main else "train"


def _line(curve: Curve) -> str:
    points = [_point(curve.x[i], curve.y[i]) for i in _kept(curve.x, curve.y)]
    return f'<path class="line {_kind(curve)}" d="M{"L".join(points)}"/>' if points else ""


def _point(x: float, y: float) -> str:
    return f"{axes.coordinate(UNIT.place(x))} {axes.coordinate(1 - UNIT.place(y))}"


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


def _spot(x: float, y: float, name: str) -> str:
    """A ring, and its name on the side where there is room."""
    across, up = axes.percent(UNIT.place(x)), axes.percent(1 - UNIT.place(y))
    side = 'dx="-9" text-anchor="end"' if x > 0.6 else 'dx="9" text-anchor="start"'
    down = "1.3em" if y > 0.5 else "-.6em"
    text = f'<text class="mark" x="{across}" y="{up}" {side} dy="{down}">{escape(name)}</text>'
    return f'<circle class="ring" cx="{across}" cy="{up}" r="4.5"/>' + (text if name else "")
