"""Residual halves without normalization, for grey or colour images of any size."""

from typing import Literal

import torch
from torch import Tensor, nn

from lambent.model.networks.base import (
    ACTIVATIONS,
    Activation,
    Convolutional,
    Crop,
    Half,
    Pyramid,
    halved,
    halving,
    image_shape,
    initialized,
    initialized_stages,
    level_of,
)
from lambent.model.recomputing import recomputed
from lambent.part import Shape, elements, option


class ResNet(Convolutional):
    """Residual blocks at every resolution. He et al., 2016; gains from nought, Bachlechner et al., ReZero, 2021."""

    papers = ("he2016deep", "bachlechner2021rezero", "he2015delving")

    channels: tuple[int, ...] = option(
        "channels at each resolution, the finest first", default=(32, 64, 128), minimum=1, maximum=65536
    )
    blocks: int = option("residual blocks at each resolution", default=2, minimum=1, maximum=1000)
    width: int = option("units of the fully connected layer at the bottom", default=256, minimum=1, maximum=65536)
    activation: Activation = option("non-linearity", default="silu")
    squeeze: float = option(
        "channels inside a residual block, as a share of its own: below 1 a convolution of 3 × 3 between two of 1 × 1",
        default=1.0,
        above=0,
        maximum=1,
    )
    stem: Literal[1, 2, 4, 8, 16] = option(
        "how many times smaller than the image the finest resolution is: one convolution goes there, one transposed comes back",
        default=1,
    )

    def encoder(self, event: Shape) -> Half:
        stages, shapes = self._down(event)
        layers = [layer for stage in stages for layer in stage]
        layers += [self._act(), nn.Flatten(), nn.Linear(elements(shapes[-1]), self.width), self._act()]
        return Half(*initialized(layers), shape=(self.width,))

    def pyramid(self, event: Shape) -> Pyramid:
        stages, shapes = self._down(event)
        return Pyramid(initialized_stages([[*stage, self._act()] for stage in stages]), shapes)

    def decoder(self, hidden: Shape, raw: Shape) -> Half:
        outputs, height, width = image_shape("ResNet", raw)
        sizes = self._sizes(height, width)
        top = len(self.channels) - 1
        start = (self.channels[-1], *sizes[-1])
        if len(hidden) == 3:
            top = level_of("ResNet", hidden, sizes)
            layers: list[nn.Module] = [nn.Conv2d(hidden[0], self.channels[top], 3, padding=1)]
        else:
            layers = [nn.Flatten(), nn.Linear(elements(hidden), self.width), self._act()]
            layers += [nn.Linear(self.width, elements(start)), nn.Unflatten(1, start)]
        for level in range(top, -1, -1):
            channels = self.channels[level]
            layers += [Residual(channels, self.activation, self.squeeze) for _ in range(self.blocks)]
            if level:
                up = nn.Upsample(scale_factor=2, mode="nearest")
                layers += [up, Crop(*sizes[level - 1]), nn.Conv2d(channels, self.channels[level - 1], 3, padding=1)]
        layers.append(self._act())
        if self.stem == 1:
            layers.append(nn.Conv2d(self.channels[0], outputs, 3, padding=1))
        else:
            stem = self.stem
            layers += [nn.ConvTranspose2d(self.channels[0], outputs, 2 * stem, stem, stem // 2), Crop(height, width)]
        return Half(*initialized(layers), shape=raw)

    def _down(self, event: Shape) -> tuple[list[list[nn.Module]], list[Shape]]:
        """The layers of each resolution, and the shapes that they leave."""
        inputs, height, width = image_shape("ResNet", event)
        sizes = self._sizes(height, width)
        stages: list[list[nn.Module]] = []
        for level, channels in enumerate(self.channels):
            first = (
                nn.Conv2d(inputs, channels, 3, stride=halving(sizes[level - 1]), padding=1)
                if level
                else self._first(event)
            )
            stages.append([first, *(Residual(channels, self.activation, self.squeeze) for _ in range(self.blocks))])
            inputs = channels
        return stages, [(channels, *size) for channels, size in zip(self.channels, sizes, strict=True)]

    def _first(self, event: Shape) -> nn.Conv2d:
        """From the image to the finest resolution."""
        stem = self.stem
        if stem == 1:
            return nn.Conv2d(event[0], self.channels[0], 3, padding=1)
        return nn.Conv2d(event[0], self.channels[0], 2 * stem + 1, (stem, stem if event[2] > 1 else 1), stem)

    def _sizes(self, height: int, width: int) -> list[tuple[int, int]]:
        """The sizes of the maps, the finest first."""
        before = self.stem.bit_length() - 1
        return halved(height, width, before + len(self.channels) - 1, "ResNet")[before:]

    def _act(self) -> nn.Module:
        return ACTIVATIONS[self.activation]()


class Residual(nn.Module):
    """x + g · conv(act(conv(act(x)))), g from nought: the block starts as the identity, which stands in for normalization.

    With squeeze below 1 both convolutions make way for one of so many channels between two of 1 × 1, which take less time.
    kernel: how many places a convolution reads, odd numbers of them.
    """

    def __init__(self, channels: int, activation: str, squeeze: float = 1.0, kernel: tuple[int, int] = (3, 3)) -> None:
        super().__init__()
        act = ACTIVATIONS[activation]
        inner = max(1, round(squeeze * channels))
        one = (1, 1)
        ways = (
            [(channels, inner, one), (inner, inner, kernel), (inner, channels, one)]
            if squeeze < 1
            else [(channels, channels, kernel)] * 2
        )
        layers: list[nn.Module] = []
        for inputs, outputs, (high, wide) in ways:
            layers += [act(), nn.Conv2d(inputs, outputs, (high, wide), padding=(high // 2, wide // 2))]
        self.branch = nn.Sequential(*initialized(layers))
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return recomputed(self._added, x)

    def _added(self, x: Tensor) -> Tensor:
        branch: Tensor = self.branch(x)
        return x + self.gain * branch
