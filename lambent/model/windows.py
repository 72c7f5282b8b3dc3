"""Windows: a picture of any size in tiles, each with as much around it as what is made of it hangs on."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """Pixels start … stop − 1 of one axis."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start

    def within(self, other: "Span") -> slice:
        """Where it lies in another that holds it."""
        return slice(self.start - other.start, self.stop - other.start)

    def of_maps(self, step: int) -> "Span":
        """The same places in a map that is `step` times smaller, rounding up."""
        return Span(self.start // step, -(-self.stop // step))

    @property
    def slice(self) -> slice:
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class Window:
    """A tile of a picture, and the larger piece that it is computed from: (rows, columns) each."""

    tile: tuple[Span, Span]
    around: tuple[Span, Span]

    @property
    def size(self) -> tuple[int, int]:
        return self.around[0].length, self.around[1].length

    def cells(self, side: int) -> Iterator[tuple[Span, Span]]:
        """The squares of a fixed grid over the whole picture that the tile is made of, row by row."""
        for rows in _cut(self.tile[0], side):
            for columns in _cut(self.tile[1], side):
                yield rows, columns


def windows(size: tuple[int, int], tile: int, reach: int, step: int) -> list[Window]:
    """The tiles of a picture of (height, width), row by row; tile and reach are multiples of step.

    What lies around all but the last of an axis is of one length, so that few models of different sizes are needed.
    """
    spans = [list(_along(length, tile, reach, step)) for length in size]
    return [Window((a, b), (c, d)) for a, c in spans[0] for b, d in spans[1]]


def _along(length: int, tile: int, reach: int, step: int) -> Iterator[tuple[Span, Span]]:
    wide = tile + 2 * reach
    last = max(0, (length - wide) // step * step)
    for start in range(0, length, tile):
        stop = min(start + tile, length)
        begin = min(max(0, start - reach), last)
        yield Span(start, stop), Span(begin, length if begin == last else begin + wide)


def _cut(span: Span, side: int) -> Iterator[Span]:
    for start in range(span.start, span.stop, side):
        yield Span(start, min(start + side, span.stop))
