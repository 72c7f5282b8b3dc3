"""Bars: the KL of every latent unit, largest first, with those the model uses set apart."""

import json
from dataclasses import dataclass

from markupsafe import Markup

from lambent.report.charts import axes
from lambent.report.charts.scales import Scale, ticks, whole_ticks
from lambent.report.numerals import count, show
from lambent.report.run.findings import Findings

MOST_BARS = 400  # per level: beyond it a bar is thinner than a pixel


@dataclass
class LevelChart:
    """One latent level's finished chart."""

    title: str
    summary: str
    drawing: Markup | None
    data: str
    note: str


def levels(findings: Findings) -> list[LevelChart]:
    """A chart per latent level; a level without units has words only."""
    every = findings.levels()
    # a code of nothing but unused units must not fill the frame
    top = max([2 * (findings.active_threshold or 0.0)] + [kl for units in every for kl, _ in units])
    titles = [f"Level {i + 1}" + (", the top" if i == 0 else "") for i in range(len(every))]
    titles = ["KL per unit"] if len(every) == 1 else titles
    return [_level(title, units, top, findings.active_threshold) for title, units in zip(titles, every, strict=True)]


def _level(title: str, units: list[tuple[float, bool]], top: float, threshold: float | None) -> LevelChart:
    used = sum(active for _, active in units)
    total = sum(kl for kl, _ in units)
    if not units:
        return LevelChart(title, "no units of its own", None, "[]", "")
    ranked = sorted(range(len(units)), key=lambda i: (not units[i][1], -units[i][0]))
    shown = ranked[:MOST_BARS]
    summary = f"{used} of {count(len(units), 'unit')} active · {show(total)} nats in all"
    note = f"The {MOST_BARS} largest of {len(units):,} units are drawn." if len(shown) < len(units) else ""
    data = json.dumps([[i, float(f"{units[i][0]:.4g}"), int(units[i][1])] for i in shown], separators=(",", ":"))
    label = f"{title}: bars of KL in nats, largest first; {summary}."
    drawing = axes.chart(label, _drawing([units[i] for i in shown], shown, top, threshold))
    return LevelChart(title, summary, drawing, data, note)


def _drawing(units: list[tuple[float, bool]], ranks: list[int], top: float, threshold: float | None) -> list[str]:
    """Bars of equal width on a common scale, so that levels can be compared."""
    up = Scale(0.0, top * 1.08 or 1.0)
    parts = [axes.rows(up, ticks(up.low, up.high, 4)), _names(ranks)]
    used = [i for i, (_, active) in enumerate(units) if active]
    idle = [i for i, (_, active) in enumerate(units) if not active]
    bars = [_bars(kind, which, units, up) for kind, which in (("used", used), ("idle", idle)) if which]
    parts.append(axes.inner("".join(bars)))
    if used and idle:
        parts.append(_border(len(used) / len(units)))
    if threshold is not None and 0.02 < up.place(threshold) < 1:  # nearer to the base it would only blur it
        y = axes.percent(1 - up.place(threshold))
        parts.append(f'<line class="threshold" x1="0" x2="100%" y1="{y}" y2="{y}"/>')
    return parts


def _bars(kind: str, which: list[int], units: list[tuple[float, bool]], up: Scale) -> str:
    width = 1 / len(units)
    gap = 0.18 * width if len(units) <= 128 else 0.0
    steps = []
    for i in which:
        # a unit at zero still gets a sliver: an empty place would look like a missing unit
        height = max(up.place(max(0.0, units[i][0])), 0.012)
        left, run = axes.coordinate(i * width + gap / 2), axes.coordinate(width - gap)
        steps.append(f"M{left} {axes.coordinate(1)}v-{axes.coordinate(height)}h{run}v{axes.coordinate(height)}z")
    return f'<path class="bar {kind}" d="{"".join(steps)}"/>'


def _border(at: float) -> str:
    """The line between units in use and the rest."""
    x = axes.percent(at)
    word = '<text class="mark" x="{x}" y="0" dx="{dx}" dy="1em" text-anchor="{anchor}">{text}</text>'
    texts = word.format(x=x, dx=-7, anchor="end", text="active") + word.format(x=x, dx=7, anchor="start", text="unused")
    return f'<line class="border" x1="{x}" x2="{x}" y1="0" y2="100%"/>' + texts


def _names(ranks: list[int]) -> str:
    """The unit's own number under each bar where there is room, else the rank."""
    if len(ranks) > 12:
        return axes.columns(Scale(0.5, len(ranks) + 0.5), whole_ticks(1, len(ranks), 8))
    places = [(i + 0.5) / len(ranks) for i in range(len(ranks))]
    return "".join(
        f'<text class="tick" x="{axes.percent(x)}" y="100%" dy="1.6em" text-anchor="middle">z{unit}</text>'
        for x, unit in zip(places, ranks, strict=True)
    )
