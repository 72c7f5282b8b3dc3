"""A sheet of pictures: some lines of each kind, a gap between them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lambent.disk.whole import write_whole

Bytes = NDArray[np.uint8]

WIDE, LINES = 16, 2  # pictures of each kind
SHOWN = WIDE * LINES
GAP = 6  # pixels between two kinds


def save_sheet(path: Path, kinds: dict[str, Bytes]) -> None:
    """Pictures [n, H, W(, 3)] of each kind as one PNG, and which lines are which on the screen."""
    blocks = [_tiled(pictures) for pictures in kinds.values()]
    gap = np.full((GAP, *blocks[0].shape[1:]), 255, np.uint8)
    lines = [part for block in blocks for part in (block, gap)][:-1]
    whole = Image.fromarray(np.concatenate(lines))
    write_whole(path, lambda place: whole.save(place, "PNG", optimize=True))
    print(f"{path}: {', '.join(kinds)}", flush=True)


def _tiled(pictures: Bytes) -> Bytes:
    """[n, H, W(, 3)] → lines of WIDE, a pixel apart."""
    lines = min(LINES, len(pictures) // WIDE)
    grid = pictures[: lines * WIDE].reshape(lines, WIDE, *pictures.shape[1:])
    around = [(0, 0), (0, 0), (0, 1), (0, 1), *[(0, 0)] * (pictures.ndim - 3)]
    grid = np.pad(grid, around, constant_values=255)
    return np.concatenate([np.concatenate(list(line), axis=1) for line in grid])
