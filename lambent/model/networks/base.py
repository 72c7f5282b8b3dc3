"""Network: the two plain halves, from an event to features and from a code to the likelihood's raw output.

The default networks keep to layers with an exact integer form (linear, convolution, addition, nearest up-sampling, pointwise
functions): nothing there divides by a statistic of the data, so every model made of them can also code.
"""

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from lambent.errors import UsageError
from lambent.model.recomputing import is_recomputing, recomputed
from lambent.part import Part, Shape, elements

Activation = Literal["relu", "leaky_relu", "silu", "gelu", "tanh"]
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
}
WEIGHTED = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
# The gain that keeps the variance of a standard normal through each non-linearity f: 1 / √E[f(z)²].
GAINS: dict[type[nn.Module], float] = {
    nn.ReLU: 1.4142,
    nn.LeakyReLU: 1.4141,
    nn.SiLU: 1.6765,
    nn.GELU: 1.5335,
    nn.Tanh: 1.5925,
}


class Beside(nn.Module):
    """L h + b + f(h): a linear map beside layers that begin at nought, so that the whole begins linear."""

    def __init__(self, layers: nn.Sequential, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = layers
        self.linear = nn.Linear(inputs, outputs)
        last = layers[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        whole: Tensor = self.linear(hidden) + self.layers(hidden)
        return whole


class Along(nn.Module):
    """(x, f(x)): the input itself as the first of the features."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x, self.layers(x)), -1)


def passed(layers: Iterable[nn.Module], x: Tensor) -> Tensor:
    """x through layers one after the other; each non-linearity with the layers up to the next is a block of `recomputed`.

    What a block then makes again is its non-linearity, which costs little: the layer after it stops at its own input.
    """
    if not is_recomputing():
        for layer in layers:
            x = layer(x)
        return x
    for block in _blocks(layers):
        x = recomputed(nn.Sequential(*block), x) if type(block[0]) in GAINS else block[0](x)
    return x


def _blocks(layers: Iterable[nn.Module]) -> Iterator[list[nn.Module]]:
    """Each non-linearity with the plain layers after it; others alone, for those made of layers see to themselves."""
    held: list[nn.Module] = []
    for layer in layers:
        plain = type(layer) not in GAINS and not any(True for _ in layer.children())
        if held and plain:
            held.append(layer)
            continue
        if held:
            yield held
        held = [layer] if type(layer) in GAINS else []
        if not held:
            yield [layer]
    if held:
        yield held


class Half(nn.ModuleList):
    """One half of a network, layers one after the other; `shape` is what it emits for one row."""

    def __init__(self, *layers: nn.Module, shape: Shape) -> None:
        super().__init__(layers)
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return passed(self, x)

    @torch.no_grad()
    def start(self, raw: Tensor) -> None:
        """Let a decoder begin near `raw`, [*shape], as far as the biases of its last layer can. Else nothing changes.

        There is one for each element; one for each channel, where `raw` is the same at every place; or one for each line along
        time, where `raw` is the same at all times.
        """
        layers = [layer for layer in self if not isinstance(layer, (nn.Flatten, nn.Unflatten, nn.PixelShuffle, Crop))]
        last = layers[-1] if layers else None
        last = last.linear if isinstance(last, Beside) else last
        if isinstance(last, nn.Linear) and last.bias is not None and last.bias.numel() == raw.numel():
            last.bias.copy_(raw.flatten())
        elif (
            isinstance(last, (nn.Conv2d, nn.ConvTranspose2d))
            and last.bias is not None
            and raw.dim() == 3
            and bool((raw == raw[:, :1, :1]).all())
        ):
            last.bias.copy_(raw[:, 0, 0].repeat_interleave(last.bias.numel() // len(raw)))  # of every pixel of a patch
        elif (
            isinstance(last, nn.Conv2d)
            and last.bias is not None
            and last.bias.numel() == raw[..., 0].numel()
            and bool((raw == raw[..., :1]).all())
        ):
            last.bias.copy_(raw[..., 0].flatten())

    @property
    def linear(self) -> nn.Linear | None:
        """A decoder's linear map from code to raw output, where there is one beside its layers."""
        return next((layer.linear for layer in self if isinstance(layer, Beside)), None)


class Pyramid(nn.Module):
    """An encoder that gives feature maps at several resolutions, the finest first; `shape` lists theirs."""

    def __init__(self, stages: Sequence[nn.Sequential], shape: list[Shape]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.shape = shape

    def forward(self, x: Tensor) -> list[Tensor]:
        """[batch, *event] to maps [batch, channels, height, width]."""
        maps = []
        for stage in self.stages:
            assert isinstance(stage, nn.Sequential)
            x = passed(stage, x)
            maps.append(x)
        return maps


class Network(Part):
    """An architecture for both halves."""

    exact: ClassVar[bool] = True  # only layers that have an exact integer form, by which a model can code
    spatial: ClassVar[bool] = False  # reads images, and can give maps: a `Spatial` network
    convolutional: ClassVar[bool] = False  # these gain from 16-bit convolutions and from channels last in memory

    @abstractmethod
    def encoder(self, event: Shape) -> Half:
        """From what the likelihood embeds, [batch, *event], to features [batch, *shape]."""

    @abstractmethod
    def decoder(self, hidden: Shape, raw: Shape) -> Half:
        """From the latent's output [batch, *hidden], a vector or a map, to [batch, *raw]."""

    def refusal(self, whole: Part) -> str | None:
        likelihood = getattr(whole, "likelihood", None)
        if self.spatial and likelihood is not None and not likelihood.planar:
            return f"{type(self).__name__} emits images, which {type(likelihood).__name__} cannot read: use the Mlp network"
        return None


class Spatial(Network):
    """Networks that read images, and can give maps as well as a vector."""

    spatial = True

    @abstractmethod
    def pyramid(self, event: Shape) -> Pyramid:
        """From the likelihood's embedding [batch, *event] to feature maps at every resolution, the finest first."""


class Convolutional(Spatial):
    """Spatial networks of convolutions."""

    convolutional = True


class Crop(nn.Module):
    """Cut the last two axes down to a size: the way back from an odd size that was halved."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, x: Tensor) -> Tensor:
        return x[..., : self.height, : self.width]


@torch.no_grad()
def initialized(layers: Sequence[nn.Module]) -> list[nn.Module]:
    """The layers in their order, with weights that keep the variance of what passes through them, and biases of nought.

    W ~ N(0, gain² / inputs of one output), the gain that of the non-linearity before. With torch's own start a signal loses
    half to two thirds of its size at every layer, and units that the decoder hardly hears are switched off before it has
    learned to use them. A last layer without a non-linearity after it keeps torch's start, so that what the likelihood
    reads begins near nought. He et al., Delving Deep into Rectifiers, 2015.
    """
    weighted = [i for i, layer in enumerate(layers) if isinstance(layer, WEIGHTED)]
    output = weighted[-1] if weighted and not any(type(layer) in GAINS for layer in layers[weighted[-1] :]) else None
    gain = 1.0
    for i, layer in enumerate(layers):
        if isinstance(layer, WEIGHTED):
            if i != output:
                nn.init.normal_(layer.weight, std=gain / math.sqrt(_inputs(layer)))
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
            gain = 1.0
        gain = GAINS.get(type(layer), gain)
    return list(layers)


def initialized_stages(stages: Sequence[Sequence[nn.Module]]) -> list[nn.Sequential]:
    """Stages that follow each other, `initialized` as the one sequence of layers that they are."""
    initialized([layer for stage in stages for layer in stage])
    return [nn.Sequential(*stage) for stage in stages]


def _inputs(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> float:
    """How many numbers one output sums; where a transposed convolution strides, its kernel is shared among neighbours."""
    if isinstance(layer, nn.ConvTranspose2d):
        return layer.in_channels * elements(layer.kernel_size) / elements(layer.stride)
    return elements(layer.weight.shape[1:])


def image_shape(name: str, shape: Shape) -> tuple[int, int, int]:
    """The shape as channels, height, width, or a refusal."""
    if len(shape) != 3:
        raise UsageError(
            f"{name} is for images, [channels, height, width], not for rows of shape {list(shape)}: use the Mlp network"
        )
    return (shape[0], shape[1], shape[2])


def level_of(name: str, hidden: Shape, sizes: list[tuple[int, int]]) -> int:
    """Which of a decoder's resolutions a map [channels, height, width] has, or a refusal."""
    if hidden[1:] not in sizes:
        shown = ", ".join(f"{h} × {w}" for h, w in sizes)
        raise UsageError(f"{name} decodes maps of {shown}, not of {' × '.join(map(str, hidden[1:]))}")
    return sizes.index((hidden[1], hidden[2]))


def halving(size: tuple[int, int]) -> tuple[int, int]:
    """The stride that halves a map of a height and width. Along one column it is 1, which does the same: oneDNN's gradient of a
    bfloat16 convolution that strides there is made of numbers that nobody has written (torch 2.13).
    """
    return (2, 2 if size[1] > 1 else 1)


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
