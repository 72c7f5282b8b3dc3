"""Network: the two plain halves, from an event to features and from a code to the likelihood's raw output.

Only layers with an exact integer form (linear, convolution, addition, nearest up-sampling, pointwise functions): nothing
here divides by a statistic of the data, so every model made of these can also code.
"""

from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from lambent.errors import UsageError
from lambent.part import Part, Shape

Activation = Literal["relu", "leaky_relu", "silu", "gelu", "tanh"]
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
}


class Half(nn.Sequential):
    """One half of a network; `shape` is what it emits for one row."""

    def __init__(self, *layers: nn.Module, shape: Shape) -> None:
        super().__init__(*layers)
        self.shape = shape


class Network(Part):
    """An architecture for both halves."""

    convolutional: ClassVar[bool] = False  # these gain from 16-bit convolutions and from channels last in memory

    @abstractmethod
    def encoder(self, event: Shape) -> Half:
        """From what the likelihood embeds, [batch, *event], to features [batch, *shape]."""

    @abstractmethod
    def decoder(self, hidden: Shape, raw: Shape) -> Half:
        """From the latent's output [batch, *hidden] to [batch, *raw]."""

    def refusal(self, whole: Part) -> str | None:
        likelihood = getattr(whole, "likelihood", None)
        if self.convolutional and likelihood is not None and not likelihood.planar:
            return f"{type(self).__name__} emits images, which {type(likelihood).__name__} cannot read: use the Mlp network"
        return None


class Crop(nn.Module):
    """Cut the last two axes down to a size: the way back from an odd size that was halved."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, x: Tensor) -> Tensor:
        return x[..., : self.height, : self.width]


def image_shape(name: str, shape: Shape) -> tuple[int, int, int]:
    """The shape as channels, height, width, or a refusal."""
    if len(shape) != 3:
        raise UsageError(
            f"{name} is for images, [channels, height, width], not for rows of shape {list(shape)}: use the Mlp network"
        )
    return (shape[0], shape[1], shape[2])


def halved(height: int, width: int, times: int, name: str) -> list[tuple[int, int]]:
    """The sizes of an image halved `times` over, rounding up; first the image's own."""
    sizes = [(height, width)]
    for _ in range(times):
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    if sizes[-2:] and times and sizes[-2] == sizes[-1]:
        raise UsageError(
            f"{name} halves an image of {height} × {width} {times} times, which leaves nothing: give fewer channels"
        )
    return sizes


def elements(shape: Shape) -> int:
    return torch.Size(shape).numel()
