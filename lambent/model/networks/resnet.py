"""Residual halves without normalization, for grey or colour images of any size."""

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
        sizes = halved(height, width, len(self.channels) - 1, "ResNet")
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
            layers += [Residual(channels, self.activation) for _ in range(self.blocks)]
            if level:
                up = nn.Upsample(scale_factor=2, mode="nearest")
                layers += [up, Crop(*sizes[level - 1]), nn.Conv2d(channels, self.channels[level - 1], 3, padding=1)]
        layers += [self._act(), nn.Conv2d(self.channels[0], outputs, 3, padding=1)]
        return Half(*initialized(layers), shape=raw)

    def _down(self, event: Shape) -> tuple[list[list[nn.Module]], list[Shape]]:
        """The layers of each resolution, and the shapes that they leave."""
        inputs, height, width = image_shape("ResNet", event)
        sizes = halved(height, width, len(self.channels) - 1, "ResNet")
        stages: list[list[nn.Module]] = []
        for level, channels in enumerate(self.channels):
            first = nn.Conv2d(inputs, channels, 3, stride=halving(sizes[level - 1]) if level else 1, padding=1)
            stages.append([first, *(Residual(channels, self.activation) for _ in range(self.blocks))])
            inputs = channels
        return stages, [(channels, *size) for channels, size in zip(self.channels, sizes, strict=True)]

    def _act(self) -> nn.Module:
        return ACTIVATIONS[self.activation]()


class Residual(nn.Module):
    """x + g · conv(act(conv(act(x)))), g from nought: the block starts as the identity, which stands in for normalization."""

    def __init__(self, channels: int, activation: str) -> None:
        super().__init__()
        act = ACTIVATIONS[activation]
        layers = [
            act(),
            nn.Conv2d(channels, channels, 3, padding=1),
            act(),
            nn.Conv2d(channels, channels, 3, padding=1),
        ]
        self.branch = nn.Sequential(*initialized(layers))
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return recomputed(self._added, x)

    def _added(self, x: Tensor) -> Tensor:
        branch: Tensor = self.branch(x)
        return x + self.gain * branch
