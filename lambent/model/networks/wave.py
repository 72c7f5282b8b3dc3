"""Halves of convolutions along time, for sound: frames of bands, or channels of a waveform."""

from torch import nn

from lambent.model.networks.base import ACTIVATIONS, Activation, Crop, Half, Network, initialized
from lambent.model.networks.resnet import Residual
from lambent.part import Part, Shape, elements, option

UP = 4  # places of a transposed convolution that doubles: each new place has two old ones


class Wave(Network):
    """Convolutions along time alone: the last axis is time, and all numbers of one time are channels.

    Of a sound [channels, bands, frames] every band of a frame is a channel of its own, with weights of its own: a pattern of
    bands stays where it is, and may come at any time. Each step halves, or doubles, the frames. What is flat is one channel in
    time.
    """

    papers = ("he2015delving", "bachlechner2021rezero")

    convolutional = True

    channels: tuple[int, ...] = option(
        "channels after each halving of time", default=(128, 256, 256), minimum=1, maximum=65536
    )
    kernel: int = option("frames that a convolution of the encoder reads; odd", default=5, minimum=1, maximum=1025)
    blocks: int = option("residual blocks after each halving", default=0, minimum=0, maximum=1000)
    width: int = option("units of the fully connected layer at the bottom", default=256, minimum=1, maximum=65536)
    activation: Activation = option("non-linearity", default="silu")

    def encoder(self, event: Shape) -> Half:
        bands, times = _in_time(event), self._times(event)
        layers: list[nn.Module] = _laid_out(event)
        for number, channels in enumerate(self.channels):
            stride = 2 if times[number] > 1 else 1
            layers.append(nn.Conv2d(bands, channels, (1, self._odd), (1, stride), (0, self._odd // 2)))
            layers += [*self._residuals(channels), self._act()]
            bands = channels
        layers += [nn.Flatten(), nn.Linear(bands * times[-1], self.width), self._act()]
        return Half(*initialized(layers), shape=(self.width,))

    def decoder(self, hidden: Shape, raw: Shape) -> Half:
        times = self._times(raw)
        start = (self.channels[-1], 1, times[-1])
        layers: list[nn.Module] = [nn.Flatten(), nn.Linear(elements(hidden), self.width), self._act()]
        layers += [nn.Linear(self.width, elements(start)), self._act(), nn.Unflatten(1, start)]
        after = (*self.channels[-2::-1], self.channels[0])
        for before, channels, time in zip(self.channels[::-1], after, times[-2::-1], strict=True):
            layers += [nn.ConvTranspose2d(before, channels, (1, UP), (1, 2), (0, 1)), Crop(1, time)]
            layers += [*self._residuals(channels), self._act()]
        layers += [nn.Conv2d(self.channels[0], _in_time(raw), (1, 3), padding=(0, 1))]
        return Half(*initialized(layers), nn.Flatten(), nn.Unflatten(1, raw), shape=raw)

    def refusal(self, whole: Part) -> str | None:
        likelihood = getattr(whole, "likelihood", None)
        if likelihood is not None and not likelihood.planar:
            name = type(likelihood).__name__
            return f"Wave emits channels along time, which {name} cannot read: use the Mlp network"
        return super().refusal(whole)

    @property
    def _odd(self) -> int:
        """The width of the encoder's convolutions: an even one reads a frame more, so that it has a middle."""
        return self.kernel | 1

    def _times(self, event: Shape) -> list[int]:
        """How many frames there are after each halving, rounded up; first those of the event."""
        times = [event[-1]]
        for _ in self.channels:
            times.append((times[-1] + 1) // 2)
        return times

    def _residuals(self, channels: int) -> list[nn.Module]:
        return [Residual(channels, self.activation, kernel=(1, 3)) for _ in range(self.blocks)]

    def _act(self) -> nn.Module:
        return ACTIVATIONS[self.activation]()


def _in_time(event: Shape) -> int:
    """How many numbers there are of one time."""
    return elements(event[:-1])


def _laid_out(event: Shape) -> list[nn.Module]:
    """From rows of an event to maps [rows, channels, 1, time]."""
    return [nn.Flatten(), nn.Unflatten(1, (_in_time(event), 1, event[-1]))]
