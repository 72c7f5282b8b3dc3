"""The latent map: one dot per row, one colour per label."""

from collections import Counter

import numpy as np
from markupsafe import escape
from numpy.typing import NDArray

from lambent.report.charts import axes
from lambent.report.charts.scales import SPAN, Scale, frame, thinned, ticks
from lambent.report.numerals import count
from lambent.report.run.findings import LatentMap
from lambent.tasks.sections import Entry, Figure, Live

MOST_POINTS = 3000
PLAIN = -1  # the colour of a map without labels: the accent
COLOURS = 10  # the style sheet's label colours; further labels share a grey, which is the next
ASPECT = 1.5  # width over height of the drawing: one unit is equally long along both axes

Points = NDArray[np.float64]


def scatter(latent: LatentMap | None) -> Figure | None:
    """The map's drawing, or None where there is no point to show."""
    if latent is None:
        return None
    points, labels, dropped = _clean(latent)
    if not len(points):
        return None
    across, up = _frame(points)
    groups, colours = _groups(labels, len(points))
    parts = [
        axes.rows(up, ticks(up.low, up.high, 5), base=False),
        axes.columns(across, ticks(across.low, across.high, 7), grid=True),
    ]
    dots = [_dots(g, points[colours == g.colour], across, up) for g in reversed(groups)]
    parts.append(axes.inner("".join(dots)))
    parts += _captions(groups, points, colours, across, up)
    return Figure(
        axes.chart(_label(latent, len(points), groups), parts),
        latent.method[:1].upper() + latent.method[1:],
        caption=f"Across: {latent.axes[0]}. Up: {latent.axes[1]}.",
        live=Live("map"),
        legend=groups if labels else [],
        note=_note(points, across, up, dropped),
    )


def _clean(latent: LatentMap) -> tuple[Points, list[str], int]:
    """Finite points and their labels, at most MOST_POINTS, and how many were left out to get there."""
    points = np.asarray(latent.points, dtype=np.float64)
    points = points[:, :2] if points.ndim == 2 and points.shape[1] >= 2 else np.zeros((0, 2))
    labels = [str(label) for label in latent.labels] if latent.labels is not None else []
    if len(labels) != len(points):
        labels = []
    good = np.flatnonzero(np.isfinite(points).all(axis=1) & (np.abs(points) < 1e100).all(axis=1))
    kept = good[thinned(len(good), MOST_POINTS)]
    return points[kept], [labels[i] for i in kept] if labels else [], len(good) - len(kept)


def _frame(points: Points) -> tuple[Scale, Scale]:
    """Both axes, on one scale: the shorter one is widened to the drawing's shape."""
    across, up = frame(points[:, 0].tolist()), frame(points[:, 1].tolist())
    height = max(up.high - up.low, (across.high - across.low) / ASPECT)
    return _widened(across, height * ASPECT), _widened(up, height)


def _widened(scale: Scale, length: float) -> Scale:
    middle = (scale.low + scale.high) / 2
    return Scale(middle - length / 2, middle + length / 2)


def _groups(labels: list[str], size: int) -> tuple[list[Entry], NDArray[np.int64]]:
    """The groups in the order of their names, and every point's colour; labels beyond the palette share one."""
    if not labels:
        return [Entry("", PLAIN, size)], np.full(size, PLAIN)
    sizes = Counter(labels)
    common = [name for name, _ in sizes.most_common(COLOURS)]
    common.sort(key=lambda name: (len(name), name) if name.isdigit() else (0, name))
    colour = {name: i for i, name in enumerate(common)}
    groups = [Entry(name, i, sizes[name]) for name, i in colour.items()]
    rest = len(sizes) - len(common)
    if rest:
        groups.append(Entry(count(rest, "other label"), COLOURS, len(labels) - sum(g.size for g in groups)))
    return groups, np.array([colour.get(label, COLOURS) for label in labels])


def _dots(group: Entry, points: Points, across: Scale, up: Scale) -> str:
    """All dots of a group as one path of empty segments: round caps make them circles in any stretch."""
    places = [(round(SPAN * across.place(x)), round(SPAN * (1 - up.place(y)))) for x, y in points.tolist()]
    path = "".join(f"M{x} {y}h0" for x, y in places)
    colour = "plain" if group.colour == PLAIN else f"k{group.colour}"
    return f'<path class="dots {colour}" data-name="{escape(group.name)}" d="{path}"/>'


def _captions(groups: list[Entry], points: Points, colours: NDArray[np.int64], across: Scale, up: Scale) -> list[str]:
    """Each label's name at the middle of its dots, left out where it would cover another; wide screens only."""
    parts: list[str] = []
    taken: list[tuple[float, float, float]] = []
    if len(groups) < 2 or max(len(g.name) for g in groups) > 24:
        return parts
    for group in sorted(groups, key=lambda g: -g.size):
        mine = points[colours == group.colour]
        x, y = across.place(float(np.median(mine[:, 0]))), 1 - up.place(float(np.median(mine[:, 1])))
        half = 0.0055 * len(group.name) + 0.01
        if group.colour == COLOURS or any(abs(x - a) < half + b and abs(y - c) < 0.05 for a, b, c in taken):
            continue
        taken.append((x, half, y))
        place = f'x="{axes.percent(x)}" y="{axes.percent(y)}"'
        parts.append(f'<text class="caption" {place} dy=".32em" text-anchor="middle">{escape(group.name)}</text>')
    # a few names in the middle of a mixed crowd would mislead; the legend names all
    return parts if 2 * len(parts) >= len(groups) else []


def _label(latent: LatentMap, size: int, groups: list[Entry]) -> str:
    by = f", coloured by {count(len(groups), 'label')}" if len(groups) > 1 else ""
    method = f" ({latent.method})" if latent.method else ""
    return f"Latent map{method}: {count(size, 'row')}{by}; {latent.axes[0]} against {latent.axes[1]}."


def _note(points: Points, across: Scale, up: Scale, dropped: int) -> str:
    beyond = sum(not (across.holds(x) and up.holds(y)) for x, y in points.tolist())
    notes = [f"{count(beyond, 'point')} outside the frame."] if beyond else []
    if dropped:
        notes.append(f"{len(points):,} of {len(points) + dropped:,} rows are drawn.")
    return " ".join(notes)
