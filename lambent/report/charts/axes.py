"""What the charts share: gridlines, tick labels and number formats of inline SVG.

Every chart is an SVG as wide as its place on the page. Text sits at percentages, so that it keeps its size on a phone;
the marks live in an inner SVG that stretches, with strokes that do not. Colours come from the style sheet alone.
"""

from collections.abc import Iterable

from markupsafe import Markup, escape

from lambent.report.charts.scales import SPAN, Scale
from lambent.report.numerals import show_fixed

Ticks = tuple[list[float], float]


def percent(fraction: float) -> str:
    """A fraction as an SVG percentage."""
    return f"{100 * fraction:.2f}".rstrip("0").rstrip(".") + "%"


def coordinate(fraction: float) -> str:
    """A fraction as an inner coordinate."""
    return f"{SPAN * fraction:.1f}".removesuffix(".0")


def rows(scale: Scale, marks: Ticks, base: bool = True) -> str:
    """Horizontal gridlines with their labels at the left; `base` draws the line at zero stronger."""
    values, step = marks
    parts = []
    for value in values:
        y = percent(1 - scale.place(value))
        kind = "grid zero" if base and value == 0 else "grid"
        parts.append(f'<line class="{kind}" x1="0" x2="100%" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="tick" x="-8" y="{y}" dy=".32em" text-anchor="end">{show_fixed(value, step)}</text>')
    return "".join(parts)


def columns(scale: Scale, marks: Ticks, grid: bool = False) -> str:
    """Labels below the frame, those at the ends leaning inwards; with vertical gridlines where `grid` is set."""
    values, step = marks
    parts = []
    for value in values:
        at = scale.place(value)
        x = percent(at)
        anchor = "start" if at < 0.015 else "end" if at > 0.985 else "middle"
        if grid:
            parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="0" y2="100%"/>')
        label = show_fixed(value, step)
        parts.append(f'<text class="tick" x="{x}" y="100%" dy="1.6em" text-anchor="{anchor}">{label}</text>')
    return "".join(parts)


def inner(content: str) -> str:
    """The stretched drawing area: coordinates from 0 to SPAN, clipped at the frame."""
    stretch = f'viewBox="0 0 {SPAN} {SPAN}" preserveAspectRatio="none" width="100%" height="100%"'
    return f'<svg class="inner" {stretch}>{content}</svg>'


def chart(label: str, parts: Iterable[str]) -> Markup:
    """The whole picture, named for those who cannot see it."""
    return Markup(f'<svg class="axes" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>')
