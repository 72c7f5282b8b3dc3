"""The string that lays a hierarchy of maps out: resolutions from the top down, and the groups of codes at each."""

import re
from dataclasses import dataclass
from itertools import pairwise

from lambent.errors import UsageError
from lambent.part import Shape

ALLOWED = "write the top first, each as SIZExGROUPS or /FACTORxGROUPS, such as '1x1 4x2 7x4 14x3' or '/8x2 /4x4'"

MOST = 1000  # groups of a layer
LARGEST = 65536


@dataclass(frozen=True)
class Layer:
    """One resolution: a map of height `size`, or one `factor` times smaller than the image, with so many groups of codes."""

    size: int | None
    factor: int | None
    groups: int

    @property
    def fixed(self) -> bool:
        """Whether its map has the same height whatever the image."""
        return self.size is not None

    def of(self, height: int, width: int) -> tuple[int, int]:
        """Its map's height and width for an image's: a factor rounds up, as halving does; a size keeps the ratio of the sides."""
        if self.size is not None:
            return self.size, max(1, round(self.size * width / height))
        assert self.factor is not None
        return -(-height // self.factor), -(-width // self.factor)

    def __str__(self) -> str:
        return f"{self.size}x{self.groups}" if self.fixed else f"/{self.factor}x{self.groups}"


def parsed(text: str) -> tuple[Layer, ...]:
    """The layers that a string names, or a refusal of the first word that cannot be."""
    layers: list[Layer] = []
    for word in text.replace(",", " ").split():
        found = re.fullmatch(r"(/?)(\d+)x(\d+)", word)
        if found is None or int(found[2]) < 1 or int(found[3]) < 1:
            raise UsageError(f"Grid.layers cannot be read at {word!r}: {ALLOWED}")
        number = int(found[2])
        if int(found[3]) > MOST or number > LARGEST:
            raise UsageError(
                f"Grid.layers: {word!r} is out of bounds: at most {MOST:,} groups, a size or factor up to {LARGEST:,}"
            )
        if found[1] and number & (number - 1):
            raise UsageError(f"Grid.layers: networks halve maps, so the factor in {word!r} must be a power of two")
        layers.append(Layer(None if found[1] else number, number if found[1] else None, int(found[3])))
    if not layers:
        raise UsageError(f"Grid.layers names no groups: {ALLOWED}")
    for above, below in pairwise(layers):
        if above.fixed and below.fixed and (above.size or 0) >= (below.size or 0):
            raise UsageError(f"Grid.layers puts {above} above {below}: {ALLOWED}")
        if not above.fixed and not below.fixed and (above.factor or 0) <= (below.factor or 0):
            raise UsageError(f"Grid.layers puts {above} above {below}: {ALLOWED}")
    return tuple(layers)


def sizes(layers: tuple[Layer, ...], height: int, width: int) -> list[tuple[int, int]]:
    """The height and width of every layer's map, the top first; refuses those that do not grow on the way down."""
    found = [layer.of(height, width) for layer in layers]
    for (above, below), layer in zip(pairwise(found), layers[1:], strict=True):
        if above[0] > below[0] or above[1] > below[1]:
            raise UsageError(
                f"Grid.layers: for images of {height} × {width} the map of {layer} is {below[0]} × {below[1]}, smaller than that "
                f"above it, {above[0]} × {above[1]}: leave one of the two out"
            )
    return found


def feature_maps(wanted: list[tuple[int, int]], given: list[Shape], layers: tuple[Layer, ...]) -> list[int | None]:
    """Which of a network's maps, the finest first, each layer reads: that of its size, or none where it is below the smallest."""
    there = [(shape[1], shape[2]) for shape in given]
    found: list[int | None] = []
    for size, layer in zip(wanted, layers, strict=True):
        smaller = size[0] <= there[-1][0] and size[1] <= there[-1][1]
        if size not in there and not smaller:
            shown = ", ".join(f"{h} × {w}" for h, w in there)
            raise UsageError(
                f"Grid.layers asks for maps of {size[0]} × {size[1]} ({layer}), and the network gives {shown}: use one of "
                "these sizes, or one below the smallest, or give the network other channels"
            )
        found.append(there.index(size) if size in there else None)
    return found
