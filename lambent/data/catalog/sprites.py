"""Sprites: binary shapes with known generative factors, drawn to the published specification of dSprites.

Six factors in the order colour (white), shape (square, ellipse, heart), scale (6 values, 0.5…1), orientation (40
values, 0…2π), x (32 values, 0…1), y (32 values, 0…1); every combination once, the last factor running fastest: 737,280
pictures of 64×64 (Matthey, Higgins, Hassabis, Lerchner, "dSprites", 2017; Higgins et al., β-VAE, ICLR 2017). The
outlines are ours, with the published mean coverage (4.3 % of the pixels), so single pixels differ from the original.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from lambent.errors import DataError, UsageError, nearest

FACTORS = ("color", "shape", "scale", "orientation", "posX", "posY")
SHAPES = ("square", "ellipse", "heart")
PUBLISHED = {"shape": 3, "scale": 6, "orientation": 40, "x": 32, "y": 32}
LIMIT_BYTES = 2**32

# Outlines at scale 1 in units of the picture's width; (u, v) points right and up from the centre of the shape.
Outline = Callable[[np.ndarray, np.ndarray], np.ndarray]
_HALF_SIDE, _SEMI_AXES, _HEART = 0.136, (0.217, 0.1085), 0.142


def _heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    u, v = u / _HEART, v / _HEART
    return (u**2 + v**2 - 1) ** 3 <= u**2 * v**3


_OUTLINES: dict[str, Outline] = {
    "square": lambda u, v: np.maximum(np.abs(u), np.abs(v)) <= _HALF_SIDE,
    "ellipse": lambda u, v: (u / _SEMI_AXES[0]) ** 2 + (v / _SEMI_AXES[1]) ** 2 <= 1,
    "heart": _heart,
}


@dataclass(frozen=True)
class Sprites:
    """A grid of factors. Counts below the published ones take evenly spaced values of the published grid.

    One scale alone is 1, one place the middle. A full turn shows the first orientation again: fewer than 40
    orientations leave 2π out. Raises `UsageError` for a shape or a count that the specification does not have.
    """

    shapes: Sequence[str] = SHAPES
    scales: int = 6
    orientations: int = 40
    x: int = 32
    y: int = 32
    size: int = 64

    def __post_init__(self) -> None:
        for name in self.shapes:
            if name not in SHAPES:
                raise UsageError(f"sprites have no shape {name!r}; {nearest(name, SHAPES)}")
        if not self.shapes or len(set(self.shapes)) < len(self.shapes):
            raise UsageError(f"shapes must be some of {', '.join(SHAPES)}, each once, not {self.shapes}")
        given = {"scale": self.scales, "orientation": self.orientations, "x": self.x, "y": self.y}
        for name, count in given.items():
            if not 1 <= count <= PUBLISHED[name]:
                raise UsageError(f"sprites: {name} takes 1 to {PUBLISHED[name]} values, not {count}")
        if not 16 <= self.size <= 512:
            raise UsageError(f"sprites: size must be 16 to 512 pixels, not {self.size}")

    @property
    def counts(self) -> tuple[int, ...]:
        """Values of each factor, in the order of `FACTORS`."""
        return (1, len(self.shapes), self.scales, self.orientations, self.x, self.y)

    def __len__(self) -> int:
        return math.prod(self.counts)

    @cached_property
    def grid(self) -> tuple[np.ndarray, ...]:
        """The values that each factor takes; shapes are numbered 1, 2, 3 as in the original."""
        numbers = np.array([SHAPES.index(name) + 1.0 for name in self.shapes])
        scale = np.linspace(0.5, 1, 6)[_spread(self.scales, 6, 5)]
        turns = np.arange(self.orientations) * 40 // self.orientations
        orientation = np.linspace(0, 2 * np.pi, 40)[turns]
        x, y = (np.linspace(0, 1, 32)[_spread(n, 32, 16)] for n in (self.x, self.y))
        return np.ones(1), numbers, scale, orientation, x, y

    def classes(self, index: np.ndarray | None = None) -> np.ndarray:
        """Integer factor classes [n, 6] of the pictures at `index` (default: all)."""
        index = np.arange(len(self)) if index is None else np.asarray(index)
        return np.stack(np.unravel_index(index, self.counts), axis=1).astype(np.int64)

    def values(self, index: np.ndarray | None = None) -> np.ndarray:
        """Factor values [n, 6]: 1, shape number, scale, radians, x, y."""
        classes = self.classes(index)
        return np.stack([values[classes[:, i]] for i, values in enumerate(self.grid)], axis=1)

    def blocks(self) -> Iterator[np.ndarray]:
        """The pictures in order, uint8 {0, 1} [x·y, size, size] at a time: one shape, scale and orientation each."""
        _, _, scales, orientations, x, y = self.grid
        columns, rows = (np.rint(31 * p * self.size / 64).astype(int) for p in (x, y))
        for name in self.shapes:
            for scale in scales:
                for angle in orientations:
                    windows = self._windows(_OUTLINES[name], float(scale), float(angle))
                    block = windows[rows][:, columns].transpose(1, 0, 2, 3)
                    yield np.ascontiguousarray(block).reshape(-1, self.size, self.size)

    def render(self) -> np.ndarray:
        """All pictures, uint8 {0, 1} [n, size, size]; `DataError` beyond 4 GiB, where `packed` or `blocks` serve."""
        if len(self) * self.size**2 > LIMIT_BYTES:
            raise DataError(f"{len(self):,} sprites of {self.size}×{self.size} take too much memory; use blocks()")
        out = np.empty((len(self), self.size, self.size), np.uint8)
        place = 0
        for block in self.blocks():
            out[place : place + len(block)] = block
            place += len(block)
        return out

    def packed(self) -> np.ndarray:
        """All pictures as bits, uint8 [n, size²/8], for `np.unpackbits(bits, axis=1)`; the full set takes 377 MB."""
        if self.size % 4:
            raise UsageError(f"sprites: size must be a multiple of 4 to be packed, not {self.size}")
        return np.concatenate([np.packbits(block.reshape(len(block), -1), axis=1) for block in self.blocks()])

    def _windows(self, outline: Outline, scale: float, angle: float) -> np.ndarray:
        """[row, column, size, size]: the shape at every whole-pixel place, as views of one larger drawing."""
        reach = round(31 * self.size / 64)
        # Drawn at its rightmost and lowest place, (¼ + 31.5/64) of the width in; windows then slide the other way.
        centre = 0.25 * self.size + 0.5 + reach
        axis = np.arange(self.size + reach) + 0.5 - centre
        right, down = (axis / self.size)[None, :], (axis / self.size)[:, None]
        u = (math.cos(angle) * right - math.sin(angle) * down) / scale
        v = (-math.sin(angle) * right - math.cos(angle) * down) / scale
        drawing = outline(u, v).astype(np.uint8)
        return np.lib.stride_tricks.sliding_window_view(drawing, (self.size, self.size))[::-1, ::-1]


def _spread(count: int, published: int, alone: int) -> np.ndarray:
    """Evenly spaced places among the published values, both ends included; a single one is `alone`."""
    return np.rint(np.linspace(0, published - 1, count)).astype(int) if count > 1 else np.array([alone])


def render(
    shapes: Sequence[str] = SHAPES, scales: int = 6, orientations: int = 10, x: int = 8, y: int = 8, size: int = 64
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(pictures uint8 {0, 1} [n, size, size], factor classes int64 [n, 6], factor values float64 [n, 6])."""
    grid = Sprites(tuple(shapes), scales, orientations, x, y, size)
    return grid.render(), grid.classes(), grid.values()


DEFAULT = Sprites(orientations=10, x=8, y=8)


def parse(options: str) -> Sprites:
    """ "shape=2,scale=6,orientation=1,x=16,y=16,size=64" → a grid; what is not named keeps the catalog's default."""
    fields = {"scale": "scales", "orientation": "orientations", "x": "x", "y": "y", "size": "size"}
    chosen: dict[str, Any] = {}
    for item in filter(None, options.split(",")):
        name, equals, text = item.partition("=")
        if name not in (*fields, "shape"):
            raise UsageError(f"sprites have no option {name!r}; {nearest(name, (*fields, 'shape'))}")
        if name == "shape" and text in SHAPES:
            chosen["shapes"] = (text,)
            continue
        if not equals or not text.isascii() or not text.isdecimal() or len(text) > 4:
            raise UsageError(f"sprites: {item!r} is no option; write {name}=NUMBER")
        if name == "shape":
            if not 1 <= int(text) <= 3:
                raise UsageError(f"sprites: shape takes 1 to 3 shapes, or one by name, not {text}")
            chosen["shapes"] = SHAPES[: int(text)]
        else:
            chosen[fields[name]] = int(text)
    return replace(DEFAULT, **chosen)
