"""Matrices of pairs: the lower triangle, the darker the larger, each name where its line ends."""

import math

from markupsafe import escape

from lambent.report.charts import axes
from lambent.report.numerals import show
from lambent.tasks.sections import Figure, Live, Matrix

MOST = 40  # names: beyond them a cell is smaller than a finger or a pointer
LONGEST = 22
GRID = 0.78  # of the width: what lies to the right of it is for the last names; the style sheet keeps the cells square


def drawn(block: Matrix) -> Figure:
    """One square for every pair; a title on each says its number."""
    count = min(MOST, len(block.names))
    side = GRID / max(1, count)
    cells = []
    for i in range(count):
        for j in range(i):
            value = block.values[i][j]
            there = math.isfinite(value)
            place = f'x="{axes.percent(j * side)}" y="{axes.percent(i / count)}"'
            size = f'width="{axes.percent(0.94 * side)}" height="{axes.percent(0.94 / count)}"'
            tone = (
                f'class="pair" fill-opacity="{0.04 + 0.96 * min(1.0, max(0.0, value)):.2f}"'
                if there
                else 'class="pair none"'
            )
            name = f"{block.names[i]} and {block.names[j]}: {show(value, 2) if there else 'none'}"
            cells.append(f"<rect {place} {size} {tone}><title>{escape(name)}</title></rect>")
    for i in range(count):
        name = block.names[i] if len(block.names[i]) <= LONGEST else f"{block.names[i][: LONGEST - 1]}…"
        at = f'x="{axes.percent(i * side)}" dx="3" y="{axes.percent((i + 0.5) / count)}" dy=".32em"'
        cells.append(f'<text class="tick" {at}>{escape(name)}</text>')
    words = f"{block.title}: {len(block.names)} columns in pairs, from 0 to 1."
    note = f"The first {MOST} of {len(block.names)} columns are drawn." if count < len(block.names) else ""
    return Figure(axes.chart(words, cells), block.title, caption=block.caption, live=Live("matrix"), note=note)
