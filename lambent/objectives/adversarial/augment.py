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


class View:
    """One random way of seeing each row of a batch: rows of the data, and what the model made beside them, go through the same.

    A view of pictures [rows, channels, height, width] has a gradient, and draws nothing once it is made.
    """

    def __init__(self, kinds: Augmentation, real: Tensor, generator: torch.Generator | None) -> None:
        self.kinds = [] if kinds == "none" else kinds.split(",")
        if self.kinds:
            shape = (7, len(real), 1, 1, 1)
            self.drawn = torch.rand(shape, generator=generator, device=real.device, dtype=real.dtype)
            self.deviation = real.detach().std()

    def __call__(self, x: Tensor) -> Tensor:
        for kind in self.kinds:
            x = self._colored(x) if kind == "color" else self._moved(x) if kind == "translation" else self._cut(x)
        return x

    def _colored(self, x: Tensor) -> Tensor:
        """Brighter or darker by up to half a deviation, more or less colourful, of more or less contrast."""
        brightness, saturation, contrast = self.drawn[:3]
        x = x + (brightness - 0.5) * self.deviation
        grey = x.mean(1, keepdim=True)
        x = (x - grey) * (2 * saturation) + grey
        level = x.mean((1, 2, 3), keepdim=True)
        contrasted: Tensor = (x - level) * (contrast + 0.5) + level
        return contrasted

    def _moved(self, x: Tensor) -> Tensor:
        """Moved by whole pixels, up to an eighth of the side, nought coming in."""
        height, width = x.shape[2:]
        reach = [max(1, round(FARTHEST * side)) for side in (height, width)]
        shifts = [((2 * r + 1) * u).long().flatten() for r, u in zip(reach, self.drawn[3:5], strict=True)]
        padded = functional.pad(x, (reach[1], reach[1], reach[0], reach[0]))
        down = torch.arange(height, device=x.device) + shifts[0][:, None]
        across = torch.arange(width, device=x.device) + shifts[1][:, None]
        rows = torch.arange(len(x), device=x.device)[:, None, None]
        return padded.movedim(1, -1)[rows, down[:, :, None], across[:, None, :]].movedim(-1, 1)

    def _cut(self, x: Tensor) -> Tensor:
        """A rectangle of half the height and width, its middle anywhere, is nought."""
        height, width = x.shape[2:]
        down, across = self.drawn[5:]
        inside = _within(down, height, x).unsqueeze(-1) & _within(across, width, x).unsqueeze(-2)
        return x.masked_fill(inside, 0.0)


def _within(middle: Tensor, side: int, x: Tensor) -> Tensor:
    """Which places of a side lie in the hole of each row, [rows, 1, side]."""
    places = torch.arange(side, device=x.device) + 0.5
    return (places - middle.flatten()[:, None, None] * side).abs() < HOLE * side / 2
