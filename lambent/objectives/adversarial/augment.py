"""Differentiable augmentation: the rival sees rows of the data and of the model through the same random views.

With few pictures it would else learn them by heart. Zhao et al., Differentiable Augmentation for Data-Efficient GAN Training,
2020.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Augmentation = Literal["none", "translation", "translation,cutout", "color,translation,cutout"]
FARTHEST = 0.125  # of the side, by which a picture is moved
HOLE = 0.5  # of the side, which is cut out


def augmented(x: Tensor, kinds: Augmentation, generator: torch.Generator | None) -> Tensor:
    """Pictures [rows, channels, height, width], each seen its own way; with a gradient."""
    if kinds == "none":
        return x
    for kind in kinds.split(","):
        x = VIEWS[kind](x, generator)
    return x


def colored(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Brighter or darker by up to half a deviation, more or less colourful, of more or less contrast."""
    brightness, saturation, contrast = _drawn(3, x, generator)
    x = x + (brightness - 0.5) * x.detach().std()
    grey = x.mean(1, keepdim=True)
    x = (x - grey) * (2 * saturation) + grey
    level = x.mean((1, 2, 3), keepdim=True)
    return (x - level) * (contrast + 0.5) + level


def moved(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Moved by whole pixels, up to an eighth of the side, nought coming in."""
    height, width = x.shape[2:]
    reach = [max(1, round(FARTHEST * side)) for side in (height, width)]
    shifts = [((2 * r + 1) * u).long().flatten() for r, u in zip(reach, _drawn(2, x, generator), strict=True)]
    padded = functional.pad(x, (reach[1], reach[1], reach[0], reach[0]))
    down = torch.arange(height, device=x.device) + shifts[0][:, None]
    across = torch.arange(width, device=x.device) + shifts[1][:, None]
    rows = torch.arange(len(x), device=x.device)[:, None, None]
    return padded.movedim(1, -1)[rows, down[:, :, None], across[:, None, :]].movedim(-1, 1)


def cut(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """A rectangle of half the height and width, its middle anywhere, is nought."""
    inside = torch.ones(len(x), 1, 1, 1, dtype=torch.bool, device=x.device)
    for axis, u in zip((2, 3), _drawn(2, x, generator), strict=True):
        side = x.shape[axis]
        shape = (1, 1, side, 1) if axis == 2 else (1, 1, 1, side)
        places = torch.arange(side, device=x.device).view(shape) + 0.5
        inside = inside & ((places - u * side).abs() < HOLE * side / 2)
    return x.masked_fill(inside, 0.0)


VIEWS = {"color": colored, "translation": moved, "cutout": cut}


def _drawn(count: int, x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Uniform numbers of each picture, [count, rows, 1, 1, 1]."""
    return torch.rand(count, len(x), 1, 1, 1, generator=generator, device=x.device, dtype=x.dtype)
