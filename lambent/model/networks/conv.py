"""Convolutional halves for grey or colour images of any size, odd ones too."""

from torch import nn

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
from lambent.part import Shape, elements, option


class Conv(Convolutional):
    """Strided convolutions down, transposed convolutions up: each step halves, or doubles, the image."""

    papers = ("he2015delving",)  # of how its weights start

    channels: tuple[int, ...] = option("channels after each halving", default=(16, 32, 64), minimum=1, maximum=65536)
    width: int = option("units of the fully connected layer at the bottom", default=256, minimum=1, maximum=65536)
    activation: Activation = option("non-linearity", default="silu")

    def encoder(self, event: Shape) -> Half:
        stages, shapes = self._down(event)
        layers = [layer for stage in stages for layer in stage]
        layers += [nn.Flatten(), nn.Linear(elements(shapes[-1]), self.width), self._act()]
        return Half(*initialized(layers), shape=(self.width,))

    def pyramid(self, event: Shape) -> Pyramid:
        stages, shapes = self._down(event)
        return Pyramid(initialized_stages(stages), shapes)

    def decoder(self, hidden: Shape, raw: Shape) -> Half:
        outputs, height, width = image_shape("Conv", raw)
        sizes = halved(height, width, len(self.channels), "Conv")
        below, level = len(self.channels), len(self.channels)
        start = (self.channels[-1], *sizes[-1])
        layers: list[nn.Module] = []
        if len(hidden) == 3:
            level = level_of("Conv", hidden, sizes)
            below = max(1, level)
            layers += [nn.Conv2d(hidden[0], self.channels[below - 1], 3, padding=1), self._act()]
        else:
            layers += [nn.Flatten(), nn.Linear(elements(hidden), self.width), self._act()]
            layers += [nn.Linear(self.width, elements(start)), self._act(), nn.Unflatten(1, start)]
        after = (*self.channels[-2::-1], self.channels[0])
        ways = list(zip(self.channels[::-1], after, sizes[-2::-1], strict=True))
        for before, channels, size in ways[len(self.channels) - level :]:
            layers += [nn.ConvTranspose2d(before, channels, 4, stride=2, padding=1), Crop(*size), self._act()]
        layers.append(nn.Conv2d(self.channels[0], outputs, 3, padding=1))
        return Half(*initialized(layers), shape=raw)

    def _down(self, event: Shape) -> tuple[list[list[nn.Module]], list[Shape]]:
        """The layers of each halving, and the shapes that they leave."""
        inputs, height, width = image_shape("Conv", event)
        sizes = halved(height, width, len(self.channels), "Conv")
        stages: list[list[nn.Module]] = []
        for channels, size in zip(self.channels, sizes, strict=False):
            stages.append([nn.Conv2d(inputs, channels, 3, stride=halving(size), padding=1), self._act()])
            inputs = channels
        return stages, [(channels, *size) for channels, size in zip(self.channels, sizes[1:], strict=True)]

    def _act(self) -> nn.Module:
        return ACTIVATIONS[self.activation]()
