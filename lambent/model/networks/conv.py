"""Convolutional halves for grey or colour images of any size, odd ones too."""

from torch import nn

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


class Conv(Network):
    """Strided convolutions down, transposed convolutions up: each step halves, or doubles, the image."""

    papers = ("he2015delving",)  # of how its weights start

    channels: tuple[int, ...] = option("channels after each halving", default=(16, 32, 64), minimum=1, maximum=65536)
    width: int = option("units of the fully connected layer at the bottom", default=256, minimum=1, maximum=65536)
    activation: Activation = option("non-linearity", default="silu")

    convolutional = True

    def encoder(self, event: Shape) -> Half:
        inputs, height, width = image_shape("Conv", event)
        sizes = halved(height, width, len(self.channels), "Conv")
        layers: list[nn.Module] = []
        for channels in self.channels:
            layers += [nn.Conv2d(inputs, channels, 3, stride=2, padding=1), ACTIVATIONS[self.activation]()]
            inputs = channels
        bottom = nn.Linear(inputs * sizes[-1][0] * sizes[-1][1], self.width)
        layers += [nn.Flatten(), bottom, ACTIVATIONS[self.activation]()]
        return Half(*initialized(layers), shape=(self.width,))

    def decoder(self, hidden: Shape, raw: Shape) -> Half:
        outputs, height, width = image_shape("Conv", raw)
        sizes = halved(height, width, len(self.channels), "Conv")
        start = (self.channels[-1], *sizes[-1])
        layers: list[nn.Module] = [
            nn.Flatten(),
            nn.Linear(elements(hidden), self.width),
            ACTIVATIONS[self.activation](),
        ]
        layers += [nn.Linear(self.width, elements(start)), ACTIVATIONS[self.activation](), nn.Unflatten(1, start)]
        ways = list(zip(self.channels[::-1], (*self.channels[-2::-1], self.channels[0]), sizes[-2::-1], strict=True))
        for before, after, size in ways:
            layers += [
                nn.ConvTranspose2d(before, after, 4, stride=2, padding=1),
                Crop(*size),
                ACTIVATIONS[self.activation](),
            ]
        layers.append(nn.Conv2d(self.channels[0], outputs, 3, padding=1))
        return Half(*initialized(layers), shape=raw)
