"""program: a decoder's layers as a list of plain operations and one array of weights, which a page can carry out."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lambent.errors import UsageError
from lambent.model.networks.base import Beside, Crop
from lambent.model.networks.resnet import Residual
from lambent.part import Shape

Operation = dict[str, Any]


class UnknownLayerError(UsageError):
    """A layer, or a setting of one, that a page cannot carry out."""


@dataclass
class Program:
    """A decoder as operations in their order.

    operations: each a name and its numbers; weights are named by the place where they begin in `weights`, float32.
    products: multiplications that one row takes.
    """

    operations: list[Operation]
    weights: NDArray[np.float32]
    products: int


def program_of(decoder: nn.Module, shape: Shape) -> Program:
    """The operations of a decoder that reads rows of `shape`.

    Raises `UnknownLayerError`, by name, for a layer that is not among those of the Mlp, Conv, ResNet and Wave networks.
    """
    writing = Writing(shape)
    operations = [made for layer in decoder.children() for made in writing.of(layer)]
    weights = np.concatenate(writing.pieces) if writing.pieces else np.zeros(0, np.float32)
    return Program(operations, weights, writing.products)


@dataclass
class Writing:
    """What is written so far: the shape that the last layer left, the weights, the products counted."""

    shape: Shape
    pieces: list[NDArray[np.float32]] = field(default_factory=list)
    length: int = 0
    products: int = 0

    def of(self, layer: nn.Module) -> list[Operation]:
        """The operations of one layer, of those inside it too."""
        write = LAYERS.get(type(layer))
        if write is None:
            known = ", ".join(sorted(kind.__name__ for kind in LAYERS))
            raise UnknownLayerError(
                f"its decoder has a layer {type(layer).__name__}, which a page cannot compute: {known} can be"
            )
        before = self.shape
        made = write(self, layer)
        self.shape = _left(layer, before)
        return made

    def kept(self, weights: Tensor | None) -> int:
        """The place of weights among all; −1 of none."""
        if weights is None:
            return -1
        flat = weights.detach().cpu().float().flatten().numpy()
        self.pieces.append(flat)
        self.length += len(flat)
        return self.length - len(flat)

    def inside(self, layers: nn.Module) -> list[Operation]:
        """The operations of a sequence within a layer, which begins again where that layer began."""
        return [made for layer in layers.children() for made in self.of(layer)]


@torch.no_grad()
def _left(layer: nn.Module, shape: Shape) -> Shape:
    """The shape that a layer leaves of one row."""
    weight = next(layer.parameters(), torch.zeros(()))
    left: Tensor = layer(weight.new_zeros((1, *shape)))
    return tuple(left.shape[1:])


def _linear(writing: Writing, layer: nn.Linear) -> list[Operation]:
    if writing.shape != (layer.in_features,):
        raise UnknownLayerError("its decoder has a linear layer along one axis of several, which a page cannot compute")
    writing.products += layer.in_features * layer.out_features
    weight, bias = writing.kept(layer.weight), writing.kept(layer.bias)
    return [
        {"op": "linear", "inputs": layer.in_features, "outputs": layer.out_features, "weight": weight, "bias": bias}
    ]


def _convolution(writing: Writing, layer: nn.Conv2d | nn.ConvTranspose2d) -> list[Operation]:
    transposed = isinstance(layer, nn.ConvTranspose2d)
    plain = layer.groups == 1 and tuple(layer.dilation) == (1, 1) and layer.padding_mode == "zeros"
    if not plain or isinstance(layer.padding, str) or (transposed and any(layer.output_padding)):
        raise UnknownLayerError(
            f"its decoder has a {type(layer).__name__} of a kind that a page cannot compute (groups, dilation, padding)"
        )
    _, *size = _left(layer, writing.shape)
    places = math.prod(writing.shape[1:]) if transposed else math.prod(size)
    writing.products += layer.weight.numel() * places
    return [
        {
            "op": "transposed" if transposed else "convolution",
            "channels": [layer.in_channels, layer.out_channels],
            "kernel": list(layer.kernel_size),
            "stride": list(layer.stride),
            "padding": list(layer.padding),
            "size": size,
            "weight": writing.kept(layer.weight),
            "bias": writing.kept(layer.bias),
        }
    ]


def _residual(writing: Writing, layer: Residual) -> list[Operation]:
    return [{"op": "residual", "gain": float(layer.gain.detach()), "branch": writing.inside(layer.branch)}]


def _beside(writing: Writing, layer: Beside) -> list[Operation]:
    shape = writing.shape
    linear = writing.of(layer.linear)
    writing.shape = shape
    return [{"op": "beside", "linear": linear, "branch": writing.inside(layer.layers)}]


def _unflatten(writing: Writing, layer: nn.Unflatten) -> list[Operation]:
    return [{"op": "shape", "shape": list(_left(layer, writing.shape))}]


def _flatten(writing: Writing, layer: nn.Flatten) -> list[Operation]:
    return [{"op": "shape", "shape": list(_left(layer, writing.shape))}]


def _crop(writing: Writing, layer: Crop) -> list[Operation]:
    return [{"op": "crop", "size": list(_left(layer, writing.shape)[1:])}]


def _upsample(writing: Writing, layer: nn.Upsample) -> list[Operation]:
    factor = layer.scale_factor
    if layer.mode != "nearest" or not isinstance(factor, (int, float)) or factor != int(factor):
        raise UnknownLayerError(f"its decoder enlarges maps by mode {layer.mode!r}, which a page cannot compute")
    return [{"op": "enlarged", "factor": int(factor)}]


def _shuffle(writing: Writing, layer: nn.PixelShuffle) -> list[Operation]:
    return [{"op": "shuffled", "factor": layer.upscale_factor}]


def _normalized(writing: Writing, layer: nn.LayerNorm | nn.GroupNorm) -> list[Operation]:
    shape, groups = writing.shape, getattr(layer, "num_groups", 1)
    if isinstance(layer, nn.LayerNorm) and tuple(layer.normalized_shape) != shape:
        raise UnknownLayerError("its decoder has a LayerNorm along one axis of several, which a page cannot compute")
    each = [None if w is None else _spread(w, shape, layer) for w in (layer.weight, layer.bias)]
    return [
        {"op": "normalized", "groups": groups, "epsilon": layer.eps}
        | dict(zip(("weight", "bias"), (writing.kept(w) for w in each), strict=True))
    ]


def _batch_normalized(writing: Writing, layer: nn.BatchNorm1d | nn.BatchNorm2d) -> list[Operation]:
    if layer.running_mean is None or layer.running_var is None:
        raise UnknownLayerError("its decoder normalizes by the batch, and a page has one row at a time")
    scale = (layer.running_var + layer.eps).rsqrt()
    scale = scale if layer.weight is None else scale * layer.weight
    shift = -layer.running_mean * scale
    shift = shift if layer.bias is None else shift + layer.bias
    return [{"op": "scaled", "channels": len(scale), "weight": writing.kept(scale), "bias": writing.kept(shift)}]


def _spread(weight: Tensor, shape: Shape, layer: nn.Module) -> Tensor:
    """One weight for each number of a row."""
    if isinstance(layer, nn.LayerNorm):
        return weight
    return weight.reshape(-1, *[1] * (len(shape) - 1)).expand(shape)


def _named(name: str, **settings: Callable[[Any], Any]) -> Callable[[Writing, Any], list[Operation]]:
    def write(writing: Writing, layer: Any) -> list[Operation]:
        return [{"op": name, **{key: read(layer) for key, read in settings.items()}}]

    return write


def _gelu(writing: Writing, layer: nn.GELU) -> list[Operation]:
    if layer.approximate != "none":
        raise UnknownLayerError("its decoder has an approximate GELU, which a page cannot compute")
    return [{"op": "gelu"}]


def _sequence(writing: Writing, layer: nn.Sequential) -> list[Operation]:
    return writing.inside(layer)


def _nothing(writing: Writing, layer: nn.Module) -> list[Operation]:
    return []


LAYERS: dict[type[nn.Module], Callable[[Writing, Any], list[Operation]]] = {
    nn.Linear: _linear,
    nn.Conv2d: _convolution,
    nn.ConvTranspose2d: _convolution,
    Residual: _residual,
    Beside: _beside,
    Crop: _crop,
    nn.Flatten: _flatten,
    nn.Unflatten: _unflatten,
    nn.Upsample: _upsample,
    nn.PixelShuffle: _shuffle,
    nn.LayerNorm: _normalized,
    nn.GroupNorm: _normalized,
    nn.BatchNorm1d: _batch_normalized,
    nn.BatchNorm2d: _batch_normalized,
    nn.Sequential: _sequence,
    nn.Identity: _nothing,
    nn.Dropout: _nothing,
    nn.ReLU: _named("relu"),
    nn.LeakyReLU: _named("leaky", slope=lambda layer: layer.negative_slope),
    nn.SiLU: _named("silu"),
    nn.GELU: _gelu,
    nn.Tanh: _named("tanh"),
    nn.Sigmoid: _named("sigmoid"),
}
