"""Picture grids: many small pictures in one PNG, embedded in the page."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lambent.report.charts.scales import thinned
from lambent.report.numerals import count, signed
from lambent.report.run.findings import Pictures
from lambent.tasks.sections import Sheet

BYTES = 240_000  # of one PNG: five grids then fit the page's limit of 1.5 MB
CRISP = 64  # pixels: pictures no larger than this are enlarged without smoothing

Cells = NDArray[np.uint8]


@dataclass
class Grid:
    """A sheet as one embedded picture: its data URI, and its size in pixels."""

    uri: str
    width: int
    height: int
    crisp: bool
    sheet: Sheet


def cells(pictures: object, dimensions: int) -> Cells | None:
    """Pictures as [..., H, W] or [..., H, W, 3] with `dimensions` leading axes, or None where there is none."""
    if pictures is None:
        return None
    array = np.asarray(pictures)
    if array.dtype != np.uint8:
        array = np.clip(np.nan_to_num(array.astype(np.float64)), 0, 255).round().astype(np.uint8)
    if array.ndim == dimensions + 3 and array.shape[-1] == 1:
        array = array[..., 0]
    fits = array.ndim == dimensions + 2 or (array.ndim == dimensions + 3 and array.shape[-1] == 3)
    return array if fits and array.size else None


def pairs(pictures: Pictures) -> Sheet | None:
    """Originals, each above its reconstruction."""
    above, below = cells(pictures.originals, 1), cells(pictures.reconstructions, 1)
    if above is None or below is None or above.shape[1:] != below.shape[1:]:
        return None
    wide, blocks = _layout(above.shape[1:3], 3)
    size = min(len(above), len(below), wide * blocks)
    wide = min(wide, size)
    parts = []
    for start in range(0, size - size % wide, wide):
        parts += [above[start : start + wide], below[start : start + wide]]
    grid = np.stack(parts)
    alt = f"{count(grid.shape[0] // 2 * wide, 'original')}, each above its reconstruction"
    return Sheet(grid, alt, paired=True)


def samples(pictures: Pictures) -> Sheet | None:
    """Pictures drawn from the prior."""
    drawn = cells(pictures.samples, 1)
    if drawn is None:
        return None
    wide, blocks = _layout(drawn.shape[1:3], 6)
    wide = min(wide, len(drawn))
    high = min(len(drawn) // wide, blocks)
    grid = drawn[: wide * high].reshape(high, wide, *drawn.shape[1:])
    return Sheet(grid, f"{count(wide * high, 'picture')} sampled from the prior")


def by_level(pictures: Pictures) -> Sheet | None:
    """What the levels of a hierarchy hold, a line of pictures for each row."""
    held = cells(pictures.by_level, 2)
    if held is None:
        return None
    heads = ["original", *(count(number, "level") for number in pictures.level_counts)]
    return Sheet(
        held[:8], f"{count(len(held[:8]), 'row')}, each by more and more of its levels, the top first", heads=heads
    )


def interpolation(pictures: Pictures) -> Sheet | None:
    """Walks from one row to another, a line of pictures each."""
    walk = cells(pictures.interpolation, 2)
    if walk is None:
        return None
    walk = _strip(walk, 6)
    return Sheet(walk, f"{count(len(walk), 'walk')} of {walk.shape[1]} steps from one row to another")


def traversals(pictures: Pictures) -> Sheet | None:
    """One unit, or direction of the code, moved at a time, a row for each."""
    moved = cells(pictures.traversals, 2)
    if moved is None:
        return None
    steps = thinned(moved.shape[1], 15)
    values = list(pictures.traversal_values) if pictures.traversal_values is not None else []
    moved = _strip(moved, 12)
    names = [str(name) for name in pictures.traversal_units[: len(moved)]]
    names += [f"unit {i + 1}" for i in range(len(names), len(moved))]
    shown = [values[i] for i in steps] if len(values) > max(steps) else []
    heads = [f"+{v:g}" if v > 0 else signed(f"{v:g}") for v in shown]
    alt = f"A latent code moved through {moved.shape[1]} steps, in each row along one of: {', '.join(names)}"
    return Sheet(moved, alt, names, heads)


def _layout(size: tuple[int, ...], rows: int) -> tuple[int, int]:
    """How many columns and rows suit pictures of this size, if small ones get `rows` rows."""
    side = max(size)
    if side <= 40:
        return 10, rows
    return (8, max(1, rows * 2 // 3)) if side <= 96 else (6, max(1, rows // 2))


def _strip(walk: Cells, rows: int) -> Cells:
    return walk[:rows, thinned(walk.shape[1], 15)]


def encoded(sheet: Sheet) -> Grid:
    """The smallest PNG of a sheet, scaled down until it keeps within BYTES."""
    grid = sheet.cells
    high, wide = grid.shape[2:4]
    crisp = max(high, wide) <= CRISP
    scale = min(1.0, 160 / max(high, wide))
    while True:
        drawn = _drawn(grid, scale, sheet.paired)
        file = io.BytesIO()
        drawn.save(file, "PNG", optimize=True)
        size = file.tell()
        if size <= BYTES or scale * max(high, wide) <= 8:
            break
        scale *= min(0.9, (BYTES / size) ** 0.5)
    uri = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
    return Grid(uri, drawn.width, drawn.height, crisp, sheet)


def _drawn(grid: Cells, scale: float, pair: bool) -> Image.Image:
    """All pictures on a transparent sheet; the two rows of a pair stand close, pairs apart."""
    colour = grid.ndim == 5
    high, wide = (max(1, round(side * scale)) for side in grid.shape[2:4])
    gap = max(1, round(0.07 * max(high, wide)))
    near, far = (max(1, gap // 2), 4 * gap) if pair else (gap, gap)
    tops = [row * high + row // 2 * far + (row + 1) // 2 * near for row in range(len(grid))]
    sheet = Image.new("RGBA" if colour else "LA", (grid.shape[1] * (wide + gap) - gap, tops[-1] + high))
    for top, row in zip(tops, grid, strict=True):
        for column, picture in enumerate(row):
            cell = Image.fromarray(np.ascontiguousarray(picture))
            if scale < 1:
                cell = cell.resize((wide, high), Image.Resampling.LANCZOS)
            sheet.paste(cell.convert(sheet.mode), (column * (wide + gap), top))
    return sheet
