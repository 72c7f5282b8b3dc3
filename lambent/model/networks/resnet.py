"""Residual halves without normalization, for grey or colour images of any size."""

import torch
from torch import Tensor, nn

from lambent.model.networks.base import (
    ACTIVATIONS,
    Activation,
    Crop,
    Half,
    Network,
    elements,
    halved,
    image_shape,
    initialized,
)
from lambent.part import Shape, option


class ResNet(Network):
    """Residual blocks at every resolution. He et al., 2016; gains from nought, Bachlechner et al., ReZero, 2021."""

    papers = ("he2016deep", "bachlechner2021rezero", "he2015delving")

    channels: tuple[int, ...] = option(
        "channels at each resolution, the finest first", default=(32, 64, 128), minimum=1, maximum=65536
    )
    blocks: int = option("residual blocks at each resolution", default=2, minimum=1, maximum=1000)
    width: int = option("units of the fully connected layer at the bottom", default=256, minimum=1, maximum=65536)
    activation: Activation = option("non-linearity", default="silu")

    convolutional = True

    def encoder(self, event: Shape) -> Half:
        inputs, height, width = image_shape("ResNet", event)
        sizes = halved(height, width, len(self.channels) - 1, "ResNet")
        layers: list[nn.Module] = [nn.Conv2d(inputs, self.channels[0], 3, padding=1)]
        before = self.channels[0]
        for level, channels in enumerate(self.channels):
            if level:
                layers.append(nn.Conv2d(before, channels, 3, stride=2, padding=1))
            layers += [Residual(channels, self.activation) for _ in range(self.blocks)]
            before = channels
        count = elements((self.channels[-1], *sizes[-1]))
        act = ACTIVATIONS[self.activation]
        layers += [act(), nn.Flatten(), nn.Linear(count, self.width), act()]
        return Half(*initialized(layers), shape=(self.width,))

    def decoder(self, hidden: Shape, raw: Shape) -> Half:
        outputs, height, width = image_shape("ResNet", raw)
        sizes = halved(height, width, len(self.channels) - 1, "ResNet")
        start = (self.channels[-1], *sizes[-1])
        act = ACTIVATIONS[self.activation]
        layers: list[nn.Module] = [nn.Flatten(), nn.Linear(elements(hidden), self.width), act()]
        layers += [nn.Linear(self.width, elements(start)), nn.Unflatten(1, start)]
        for level in range(len(self.channels) - 1, -1, -1):
            channels = self.channels[level]
            layers += [Residual(channels, self.activation) for _ in range(self.blocks)]
            if level:
                up = nn.Upsample(scale_factor=2, mode="nearest")
                layers += [up, Crop(*sizes[level - 1]), nn.Conv2d(channels, self.channels[level - 1], 3, padding=1)]
        layers += [act(), nn.Conv2d(self.channels[0], outputs, 3, padding=1)]
        return Half(*initialized(layers), shape=raw)


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
        branch: Tensor = self.branch(x)
        return x + self.gain * branch
