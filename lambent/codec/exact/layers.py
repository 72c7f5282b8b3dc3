"""Layers over dyadic numbers: the same bits on every machine, in any batch, by any library and in any order of its sums.

Each takes and gives float64 multiples of 2⁻¹². It cuts its input to ±2¹⁰, sums exactly and rounds once.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lambent.codec.exact import elementary
from lambent.codec.exact.dyadic import FRACTION, LIMIT, UNIT, check_sums, rounded

PIECE = 1 << 17  # numbers that are laid out for one product: a megabyte, so that they stay in a cache
REACH = 12  # beyond it SiLU and GELU are max(x, 0), and tanh is ±1, to less than half of 2⁻¹²
Pair = tuple[int, int]


class Weighing(nn.Module):
    """W x + b, rounded."""

    def __init__(self, name: str, weight: Tensor, bias: Tensor | None, bits: int) -> None:
        super().__init__()
        self.matrix, self.offset = _weights(name, weight, bias, bits)

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] to [..., outputs]."""
        made = x.new_empty(*x.shape[:-1], len(self.offset))
        self.into(made, x)
        return made

    def into(self, made: Tensor, x: Tensor) -> None:
        """The same, into a tensor whose numbers lie in a row."""
        made = made.view(-1, len(self.offset))
        torch.addmm(self.offset, x.reshape(-1, x.shape[-1]), self.matrix.mT, out=made)
        made.floor_().mul_(1 / UNIT)


class ExactLinear(nn.Module):
    """nn.Linear; [..., inputs] to [..., outputs]."""

    def __init__(self, name: str, weight: Tensor, bias: Tensor | None, bits: int) -> None:
        super().__init__()
        self.weighing = Weighing(name, weight, bias, bits)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.weighing(x.clamp(-LIMIT, LIMIT))
        return made


class ExactPointwise(nn.Module):
    """One linear map at every place of [rows, channels, height, width]; channels lie last in memory."""

    def __init__(self, name: str, weight: Tensor, bias: Tensor | None, bits: int) -> None:
        super().__init__()
        self.weighing = Weighing(name, weight, bias, bits)

    def forward(self, x: Tensor) -> Tensor:
        places = x.clamp(-LIMIT, LIMIT).permute(0, 2, 3, 1)
        made: Tensor = self.weighing(places.contiguous()).permute(0, 3, 1, 2)
        return made


class ExactConv(nn.Module):
    """nn.Conv2d: the neighbourhood of every place laid out as a row, and a product of matrices."""

    def __init__(self, name: str, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair, bits: int) -> None:
        super().__init__()
        self.kernel: Pair = (weight.shape[2], weight.shape[3])
        self.stride, self.padding = stride, padding
        self.weighing = Weighing(name, weight.permute(0, 2, 3, 1).flatten(1), bias, bits)

    def forward(self, x: Tensor) -> Tensor:
        around = _padded(x, self.padding)
        windows = around.unfold(1, self.kernel[0], self.stride[0]).unfold(2, self.kernel[1], self.stride[1])
        windows = windows.permute(0, 1, 2, 4, 5, 3)  # rows, height, width, those of the kernel, channels
        rows, height, width = windows.shape[:3]
        made = x.new_empty(rows, height, width, len(self.weighing.offset))
        lines = max(1, PIECE // (width * windows[0, 0, 0].numel()))
        at_once = max(1, lines // height)
        for row in range(0, rows, at_once):
            for top in range(0, height, lines):
                where = slice(row, row + at_once), slice(top, top + lines)
                self.weighing.into(made[where], windows[where].flatten(3))
        return made.permute(0, 3, 1, 2)


class ExactNarrowing(nn.Module):
    """nn.Conv2d of stride 1 to few channels: what every place gives to each of its neighbours, then sums of shifted maps."""

    def __init__(self, name: str, weight: Tensor, bias: Tensor | None, padding: Pair, bits: int) -> None:
        super().__init__()
        self.kernel: Pair = (weight.shape[2], weight.shape[3])
        self.padding = padding
        whole, self.offset = _weights(name, weight.flatten(1), bias, bits)
        spread = whole.detach().view(*weight.shape).permute(2, 3, 0, 1).flatten(0, 2)  # [kernel · outputs, inputs]
        self.matrix = nn.Parameter(spread.contiguous(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        places = x.clamp(-LIMIT, LIMIT).permute(0, 2, 3, 1)
        at_once = max(1, PIECE // (len(self.matrix) * places[0, :, :, 0].numel()))
        return torch.cat([self._summed(piece) for piece in places.split(at_once)], 1).transpose(0, 1)

    def _summed(self, places: Tensor) -> Tensor:
        """[rows, height, width, inputs] to [outputs, rows, height, width]."""
        rows, height, width, inputs = places.shape
        (high, wide), (above, left), outputs = self.kernel, self.padding, len(self.offset)
        given = (self.matrix @ places.reshape(-1, inputs).mT).view(high, wide, outputs, rows, height, width)
        tall, broad = height + 2 * above - high + 1, width + 2 * left - wide + 1
        whole = places.new_empty(outputs, rows, tall, broad)
        whole[:] = self.offset[:, None, None, None]
        for i in range(high):
            lines, from_lines = _overlap(tall, height, i - above)
            for j in range(wide):
                columns, from_columns = _overlap(broad, width, j - left)
                whole[:, :, lines, columns] += given[i, j, :, :, from_lines, from_columns]
        return whole.floor_().mul_(1 / UNIT)


class ExactTransposed(nn.Module):
    """nn.ConvTranspose2d: a convolution that gives all s × s places that come of one, which are then laid beside each other.

    With u = s v + r a place before the padding is cut off, x at v − t reaches it by the weight r + s t, 0 ≤ t < ⌈kernel / s⌉.
    """

    def __init__(self, name: str, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair, bits: int) -> None:
        super().__init__()
        inputs, outputs, high, wide = weight.shape
        self.stride, self.padding = stride, padding
        reach = (-(-high // stride[0]), -(-wide // stride[1]))
        filled = functional.pad(weight, (0, reach[1] * stride[1] - wide, 0, reach[0] * stride[0] - high))
        parts = filled.reshape(inputs, outputs, reach[0], stride[0], reach[1], stride[1]).flip(2, 4)
        parts = parts.permute(3, 5, 1, 0, 2, 4).reshape(-1, inputs, *reach)
        bias = None if bias is None else bias.repeat(stride[0] * stride[1])
        self.conv = ExactConv(name, parts, bias, (1, 1), (reach[0] - 1, reach[1] - 1), bits)
        self.beyond: Pair = (reach[0] * stride[0] - high, reach[1] * stride[1] - wide)

    def forward(self, x: Tensor) -> Tensor:
        (down, right), (above, left) = self.stride, self.padding
        parts = self.conv(x).permute(0, 2, 3, 1).unflatten(3, (down, right, -1))
        whole = parts.permute(0, 1, 3, 2, 4, 5).flatten(3, 4).flatten(1, 2)
        tall, broad = whole.shape[1] - above - self.beyond[0], whole.shape[2] - left - self.beyond[1]
        made: Tensor = whole[:, above:tall, left:broad].permute(0, 3, 1, 2)
        return made


class Rounding(nn.Module):
    """Numbers that are no dyadic ones yet, as near as those come.

    The half is 2⁻²⁰ more than a half: what lies on an edge, as a grey level can, goes up though a division's last bit be amiss.
    """

    def forward(self, x: Tensor) -> Tensor:
        return (x.clamp(-LIMIT, LIMIT) * UNIT + (0.5 + 2.0**-20)).floor() / UNIT


class Leaking(nn.Module):
    """max(x, s x) for a slope 0 ≤ s ≤ 1, which is rounded to 24 bits."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = float(np.floor(slope * 2.0**24 + 0.5)) / 2.0**24

    def forward(self, x: Tensor) -> Tensor:
        below = (x.clamp(-LIMIT, 0) * (self.slope * UNIT)).add_(0.5).floor_().mul_(1 / UNIT)
        return x.clamp_min(0) + below


class Tabled(nn.Module):
    """A non-linearity as a table over [−12, 12]: SiLU and GELU as max(x, 0) and what they lack of it, tanh as it is."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.ramp = name != "tanh"
        self.table: Tensor
        # In float32, which holds these few bits exactly, for more of it fits into a cache.
        self.register_buffer("table", _table(name), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        maps = x.dim() == 4  # their channels lie last in memory
        laid = (x.permute(0, 2, 3, 1) if maps else x).contiguous()
        made = torch.empty_like(laid)
        for given, there in zip(laid.view(-1).split(PIECE), made.view(-1).split(PIECE), strict=True):
            self._curved(given, there)
        return made.permute(0, 3, 1, 2) if maps else made

    def _curved(self, x: Tensor, made: Tensor) -> None:
        last = len(self.table) // 2
        torch.mul(x, UNIT, out=made)
        places = made.clamp_(-last, last).add_(last).to(torch.int32)
        found = self.table.index_select(0, places)
        if self.ramp:
            torch.clamp(x, 0, out=made).add_(found)
        else:
            made.copy_(found)


CURVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "silu": elementary.silu,
    "gelu": elementary.gelu,
    "tanh": elementary.tanh,
}


@cache
def _table(name: str) -> Tensor:
    """The curve, less max(x, 0) but for tanh, at −12, −12 + 2⁻¹², …, 12: [2 · 12 · 2¹² + 1]."""
    x = np.arange(-REACH * 2**FRACTION, REACH * 2**FRACTION + 1) / UNIT
    curve = CURVES[name](x)
    values = np.floor(curve * UNIT + 0.5) / UNIT
    return torch.from_numpy(values - np.maximum(x, 0) if name != "tanh" else values).float()


def _weights(name: str, weight: Tensor, bias: Tensor | None, bits: int) -> tuple[nn.Parameter, nn.Parameter]:
    """Weights [outputs, inputs] rounded to so many bits, in units of 2⁻¹²; biases so, with the half of the rounding."""
    weight = rounded(weight.detach().cpu(), bits)
    bias = torch.zeros(len(weight), dtype=torch.float64) if bias is None else rounded(bias.detach().cpu(), bits)
    check_sums(name, weight, bias, bits)
    # Parameters, for latents ask the dtype of theirs.
    return nn.Parameter(weight * UNIT, requires_grad=False), nn.Parameter(bias * UNIT + 0.5, requires_grad=False)


def _overlap(places: int, given: int, shift: int) -> tuple[slice, slice]:
    """Which of so many places get something of the given ones, shifted by that many, and of which of those."""
    start, stop = max(0, -shift), min(places, given - shift)
    return slice(start, stop), slice(start + shift, stop + shift)


def _padded(x: Tensor, padding: Pair) -> Tensor:
    """[rows, channels, height, width], cut to the limit, as [rows, height, width, channels] with noughts around."""
    rows, channels, height, width = x.shape
    (high, wide), places = padding, x.permute(0, 2, 3, 1)
    around = x.new_zeros(rows, height + 2 * high, width + 2 * wide, channels)
    torch.clamp(places, -LIMIT, LIMIT, out=around[:, high : high + height, wide : wide + width])
    return around
