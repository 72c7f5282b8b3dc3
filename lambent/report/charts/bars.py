"""Bars: what every latent unit carries, largest first, with those the model uses set apart."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from lambent.metrics.collapse import ACTIVE
from lambent.report.charts import axes
from lambent.report.charts.scales import Scale, ticks, whole_ticks
from lambent.report.numerals import count, show
from lambent.report.run.lookup import finite
from lambent.tasks.evaluate import UnitUsage
from lambent.tasks.sections import Figure, Live

MOST_BARS = 400  # per level: beyond it a bar is thinner than a pixel


class Words(NamedTuple):
    """What is said of one measure: the chart's title, its unit, and what a pointer's number is."""

    title: str
    unit: str
    of_one: str


WORDS = {
    "kl": Words("KL per unit", "nats", "nats"),
    "matched": Words("Information per unit against the matched Gaussian", "nats", "nats"),
    "direction": Words("What each principal direction carries", "nats", "nats"),
    None: Words("What moves, by unit", "variance of the centre", "variance"),
}


class Bar(NamedTuple):
    """One unit or direction: its number, how high its bar is, and whether it is active."""

    unit: int
    share: float
    active: bool


def levels(found: Sequence[UnitUsage], kl: float | None = None) -> list[Figure]:
    """A chart per latent level; a level without units has words only. kl: of the whole code, in nats."""
    every = [_bars_of(level) for level in found]
    # one scale for all levels of a kind, so that they can be compared
    tops = {level.nats is None: [0.0] for level in found}
    for level, bars in zip(found, every, strict=True):
        tops[level.nats is None] += [bar.share for bar in bars]
    if True in tops:
        tops[True].append(2 * ACTIVE)  # a code of nothing but unused units must not fill the frame
    return [
        _level(
            _title(i, level, len(found)), level, bars, max(tops[level.nats is None]), kl if len(found) == 1 else None
        )
        for i, (level, bars) in enumerate(zip(found, every, strict=True))
    ]


def _bars_of(level: UnitUsage) -> list[Bar]:
    shares = [finite(v) or 0.0 for v in level.shares]
    first = 0 if level.noun == "unit" else 1  # directions are counted from 1, by what they carry
    bars = [Bar(i, v, bool(a)) for i, (v, a) in enumerate(zip(shares, level.active, strict=True), first)]
    return sorted(bars, key=lambda bar: (not bar.active, -bar.share))


def _title(index: int, level: UnitUsage, size: int) -> str:
    title = _chart_title(level)
    return title if size == 1 else f"Level {index + 1}{', the top' if index == 0 else ''} · {title}"


def _chart_title(level: UnitUsage) -> str:
    return WORDS[level.measure].title.replace("by unit", f"by {level.noun}")


def _level(title: str, level: UnitUsage, bars: list[Bar], top: float, kl: float | None) -> Figure:
    words = WORDS[level.measure]
    if not bars:
        return Figure("", title, words.unit, reading="no units of its own")
    shown = bars[:MOST_BARS]
    summary = f"{sum(bar.active for bar in bars)} of {count(len(bars), level.noun)} active{_total(level, bars, kl)}"
    data = json.dumps(
        {
            "word": words.of_one,
            "of": level.noun,
            "units": [[b.unit, float(f"{b.share:.4g}"), int(b.active)] for b in shown],
        },
        separators=(",", ":"),
    )
    return Figure(
        axes.chart(f"{title}: bars, largest first; {summary}.", _drawing(shown, top, level)),
        title,
        words.unit,
        reading=summary,
        live=Live("bars", data, f"{title}: use the arrow keys to read the {level.noun}s"),
        note=f"The {MOST_BARS} largest of {len(bars):,} {level.noun}s are drawn." if len(shown) < len(bars) else "",
    )


def _total(level: UnitUsage, bars: list[Bar], kl: float | None) -> str:
    """What the bars sum to, or where their sum means nothing, the KL of the whole code."""
    if level.measure == "kl":
        return f" · {show(sum(bar.share for bar in bars))} nats in all"
    return "" if kl is None else f" · the whole code's KL is {show(kl)} nats"


def _drawing(bars: list[Bar], top: float, level: UnitUsage) -> list[str]:
    """Bars of equal width."""
    up = Scale(0.0, top * 1.08 or 1.0)
    parts = [
        axes.rows(up, ticks(up.low, up.high, 4)),
        _names([bar.unit for bar in bars], "z" if level.noun == "unit" else ""),
    ]
    used = [i for i, bar in enumerate(bars) if bar.active]
    idle = [i for i, bar in enumerate(bars) if not bar.active]
    drawn = [_bars(kind, which, bars, up) for kind, which in (("used", used), ("idle", idle)) if which]
    parts.append(axes.inner("".join(drawn)))
    if used and idle:
        parts.append(_border(len(used) / len(bars)))
    if level.nats is None and up.place(ACTIVE) > 0.02:  # nearer to the base it would only blur it
        y = axes.percent(1 - up.place(ACTIVE))
        parts.append(f'<line class="threshold" x1="0" x2="100%" y1="{y}" y2="{y}"/>')
    return parts


def _bars(kind: str, which: list[int], bars: list[Bar], up: Scale) -> str:
    width = 1 / len(bars)
    gap = 0.18 * width if len(bars) <= 128 else 0.0
    steps = []
    for i in which:
        # a unit at zero still gets a sliver: an empty place would look like a missing unit
        height = max(up.place(max(0.0, bars[i].share)), 0.012)
        left, run = axes.coordinate(i * width + gap / 2), axes.coordinate(width - gap)
        steps.append(f"M{left} {axes.coordinate(1)}v-{axes.coordinate(height)}h{run}v{axes.coordinate(height)}z")
    return f'<path class="bar {kind}" d="{"".join(steps)}"/>'


def _border(at: float) -> str:
    """The line between units in use and the rest."""
    x = axes.percent(at)
    word = '<text class="mark" x="{x}" y="0" dx="{dx}" dy="1em" text-anchor="{anchor}">{text}</text>'
    texts = word.format(x=x, dx=-7, anchor="end", text="active") + word.format(x=x, dx=7, anchor="start", text="unused")
    return f'<line class="border" x1="{x}" x2="{x}" y1="0" y2="100%"/>' + texts


def _names(ranks: list[int], letter: str) -> str:
    """The unit's own number under each bar where there is room, else the rank."""
    if len(ranks) > 12:
        return axes.columns(Scale(0.5, len(ranks) + 0.5), whole_ticks(1, len(ranks), 8))
    places = [(i + 0.5) / len(ranks) for i in range(len(ranks))]
    return "".join(
        f'<text class="tick" x="{axes.percent(x)}" y="100%" dy="1.6em" text-anchor="middle">{letter}{unit}</text>'
        for x, unit in zip(places, ranks, strict=True)
    )
