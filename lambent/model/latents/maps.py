"""What a hierarchy of maps is made of: residual blocks, and ways from maps of one size to another."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lambent.model.networks.base import ACTIVATIONS, GAINS

Size = tuple[int, int]


class Block(nn.Module):
    """x + W₃ f(W₂ f(W₁ f(x))): W₁ to `middle` channels, W₂ over the places around, W₃ back, smaller the deeper the whole is."""

    def __init__(self, width: int, middle: int, kernel: int, activation: str, depth: int) -> None:
        super().__init__()
        self.act = ACTIVATIONS[activation]()
        self.layers = nn.ModuleList(
            [
                convolution(width, middle, 1, activation),
                convolution(middle, middle, kernel, activation),
                convolution(middle, width, 1, activation, 1 / math.sqrt(depth)),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        branch = x
        for layer in self.layers:
            branch = layer(self.act(branch))
        return x + branch

    @torch.no_grad()
    def quieten(self) -> None:
        """Begin as the identity."""
        last = self.layers[-1]
        assert isinstance(last, Pointwise)
        last.weight.zero_()


class Residue(nn.Module):
    """What q adds to p's parameters, [batch, 2 · channels, height, width], from the state and what was read of the features."""

    def __init__(self, width: int, middle: int, channels: int, kernel: int, activation: str) -> None:
        super().__init__()
        self.act = ACTIVATIONS[activation]()
        self.state = convolution(width, middle, 1, activation)
        self.inner = convolution(middle, middle, kernel, activation)
        self.head = convolution(middle, 2 * channels, 1, activation, 0.0)  # so that q begins as p

    def forward(self, activated: Tensor, read: Tensor) -> Tensor:
        hidden: Tensor = self.head(self.act(self.inner(self.act(self.state(activated) + read))))
        return hidden


class Pointwise(nn.Linear):
    """One linear map at every place of [batch, channels, height, width]: a convolution of 1 × 1 as a single matrix product."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x.permute(0, 2, 3, 1), self.weight, self.bias).permute(0, 3, 1, 2)


def convolution(
    inputs: int, outputs: int, kernel: int = 1, after: str | None = None, scale: float = 1.0
) -> Pointwise | nn.Conv2d:
    """A convolution that keeps the variance of what the non-linearity `after` gives it, times scale²; biases of nought."""
    layer = Pointwise(inputs, outputs) if kernel == 1 else nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    gain = 1.0 if after is None else GAINS[ACTIVATIONS[after]]
    nn.init.normal_(layer.weight, std=scale * gain / math.sqrt(inputs * kernel**2))
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


class Smaller(nn.Module):
    """Maps averaged down to a size: over equal squares where these make it, else over those that lie nearest."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-2:] == self.size:
            return x
        steps = [-(-n // m) for n, m in zip(x.shape[-2:], self.size, strict=True)]
        if [-(-n // k) for n, k in zip(x.shape[-2:], steps, strict=True)] == list(self.size):
            return functional.avg_pool2d(x, steps, ceil_mode=True, count_include_pad=False)
        return functional.adaptive_avg_pool2d(x, self.size)


class Larger(nn.Module):
    """Maps enlarged to a size by repeating values: each so many times, the rest cut off, where that makes it."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        height, width = self.size
        if x.shape[-2:] == self.size:
            return x
        if x.shape[-2:] == (1, 1):
            return x.expand(-1, -1, height, width)
        steps = [-(-m // n) for n, m in zip(x.shape[-2:], self.size, strict=True)]
        if [-(-m // k) for m, k in zip(self.size, steps, strict=True)] == list(x.shape[-2:]):
            return functional.interpolate(x, scale_factor=[float(k) for k in steps], mode="nearest")[
                ..., :height, :width
            ]
        return functional.interpolate(x, self.size, mode="nearest")


class Unfolded(nn.Module):
    """From a few places to a map by one linear map, each place its own weights: where both sizes are fixed."""

    def __init__(self, inputs: int, before: Size, outputs: int, after: Size) -> None:
        super().__init__()
        self.shape = (outputs, *after)
        numbers = inputs * before[0] * before[1]
        self.linear = nn.Linear(numbers, outputs * after[0] * after[1])
        nn.init.normal_(self.linear.weight, std=1 / math.sqrt(numbers))
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        unfolded: Tensor = self.linear(x.flatten(1)).unflatten(1, self.shape)
        return unfolded.contiguous(memory_format=torch.channels_last)
