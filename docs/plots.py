"""Plots of the benchmarks, drawn as SVG when the pages are built."""

import math
from typing import Any

WIDTH, HEIGHT = 330, 210
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 30, 34


def growth(found: dict[str, Any]) -> str:
    """One panel for each case: time against size, both on logarithmic axes, with the power of the last stretch."""
    cases: dict[str, list[tuple[float, float]]] = {}
    for row in found["rows"]:
        cases.setdefault(row["case"], []).append((float(row["size"]), float(row["seconds"])))
    panels = [panel(name, sorted(points)) for name, points in cases.items() if len(points) > 2]
    return '<div class="panels">' + "".join(panels) + "</div>"


def panel(name: str, points: list[tuple[float, float]]) -> str:
    """A line through the points, every point labelled by its place on the axes."""
    across = Axis([x for x, _ in points], LEFT, WIDTH - RIGHT)
    up = Axis([y for _, y in points], HEIGHT - BOTTOM, TOP)
    places = [(across(x), up(y)) for x, y in points]
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" aria-label="{name}: seconds against size">',
        f'<text x="{LEFT}" y="16" class="title">{name}</text>',
    ]
    for value in up.decades():
        y = up(value)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g} s</text>')
    for x, _ in points:
        parts.append(f'<text x="{across(x):.1f}" y="{HEIGHT - 14}" text-anchor="middle">{short(x)}</text>')
    parts.append('<polyline class="line" points="' + " ".join(f"{x:.1f},{y:.1f}" for x, y in places) + '"/>')
    for (x, y), (size, seconds) in zip(places, points, strict=True):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{size:,.0f}: {seconds:.3g} s</title></circle>')
    (x0, y0), (x1, y1) = points[-2:]
    power = math.log(y1 / y0) / math.log(x1 / x0)
    parts.append(f'<text x="{WIDTH - RIGHT}" y="16" text-anchor="end">∝ size^{power:.1f} at the end</text></svg>')
    return "".join(parts)


class Axis:
    """A logarithmic scale from the range of some values to pixels."""

    def __init__(self, values: list[float], start: float, end: float) -> None:
        self.low, self.high = math.log10(min(values)), math.log10(max(values))
        spread = self.high - self.low or 1.0
        self.low, self.high = self.low - 0.05 * spread, self.high + 0.05 * spread
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        return self.start + (math.log10(value) - self.low) / (self.high - self.low) * (self.end - self.start)

    def decades(self) -> list[float]:
        """Round numbers within: powers of ten, and 2 and 5 times those where there are few."""
        powers = range(math.floor(self.low), math.ceil(self.high) + 1)
        for steps in ((1.0,), (1.0, 2.0, 5.0)):
            found = [m * 10.0**p for p in powers for m in steps if self.low <= math.log10(m * 10.0**p) <= self.high]
            if len(found) > 1:
                break
        return found


# What becomes of a stack as one row is coded: the caption, and the layers from the bottom, each with its height and its kind.
STEPS = (
    ("before", (("earlier rows", 70, ""), ("", 22, "taken"))),
    ("take z off by q(z|x)", (("earlier rows", 70, ""), ("−75 bits", 22, "gone"))),
    ("put x on by p(x|z)", (("earlier rows", 70, ""), ("+3,042 bits: x", 74, "new"))),
    ("put z on by p(z)", (("earlier rows", 70, ""), ("x", 74, "new"), ("+120 bits: z", 30, "new"))),
)


def bits_back() -> str:
    """The four states of the stack side by side, schematically: what is taken off first makes room for what is put on."""
    wide, high, step = 110, 200, 150
    parts = [
        f'<svg viewBox="0 0 {len(STEPS) * step} {high + 40}" width="{len(STEPS) * step}" role="img" '
        'aria-label="bits back: the stack before, without z, with x, with x and z">'
    ]
    for place, (caption, layers) in enumerate(STEPS):
        left, y = place * step + 10, high
        for name, height, kind in layers:
            y -= height
            parts.append(f'<rect x="{left}" y="{y}" width="{wide}" height="{height}" class="layer {kind}"/>')
            parts.append(f'<text x="{left + wide / 2}" y="{y + height / 2 + 4}" text-anchor="middle">{name}</text>')
        parts.append(f'<text x="{left + wide / 2}" y="{high + 18}" text-anchor="middle" class="title">{caption}</text>')
    return '<div class="panels">' + "".join(parts) + "</svg></div>"


def short(value: float) -> str:
    """10000 → 10k."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size and value % size == 0:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
