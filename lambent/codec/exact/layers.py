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

PIECE = 1 << 21  # numbers that are laid out for one product: 16 MB
REACH = 12  # beyond it SiLU and GELU are max(x, 0), and tanh is ±1, to less than half of 2⁻¹²
Pair = tuple[int, int]


class Weighing(nn.Module):
    """W x + b, rounded: `matrix` is W [outputs, inputs] in units of 2⁻¹², `offset` b so, with the half of the rounding."""

    def __init__(self, name: str, weight: Tensor, bias: Tensor | None, bits: int) -> None:
        super().__init__()
        weight = rounded(weight.detach().cpu(), bits)
        bias = None if bias is None else rounded(bias.detach().cpu(), bits)
        check_sums(name, weight, bias, bits)
        offset = torch.zeros(len(weight), dtype=torch.float64) if bias is None else bias
        # Parameters, for latents ask the dtype of theirs.
        self.matrix = nn.Parameter(weight * UNIT, requires_grad=False)
        self.offset = nn.Parameter(offset * UNIT + 0.5, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] to [..., outputs]."""
        made = functional.linear(x.reshape(-1, x.shape[-1]), self.matrix, self.offset)
        return made.floor_().mul_(1 / UNIT).view(*x.shape[:-1], -1)


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
        around = _padded(x.clamp(-LIMIT, LIMIT), self.padding)
        windows = around.unfold(1, self.kernel[0], self.stride[0]).unfold(2, self.kernel[1], self.stride[1])
        windows = windows.permute(0, 1, 2, 4, 5, 3)  # rows, height, width, those of the kernel, channels
        rows, height, width = windows.shape[:3]
        made = x.new_empty(rows, height, width, len(self.weighing.offset))
        lines = max(1, PIECE // (width * windows[0, 0, 0].numel()))
        for row in range(0, rows, max(1, lines // height)):
            for top in range(0, height, lines):
                where = slice(row, row + max(1, lines // height)), slice(top, top + lines)
                made[where] = self.weighing(windows[where].flatten(3))
        return made.permute(0, 3, 1, 2)


class ExactTransposed(nn.Module):
    """nn.ConvTranspose2d: what every place gives to its neighbourhood by a product of matrices, then sums of shifted maps."""

    def __init__(
        self, name: str, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair, more: Pair, bits: int
    ) -> None:
        super().__init__()
        weight, outputs = rounded(weight.detach().cpu(), bits), weight.shape[1]
        bias = torch.zeros(outputs, dtype=torch.float64) if bias is None else rounded(bias.detach().cpu(), bits)
        check_sums(name, weight.transpose(0, 1).flatten(1), bias, bits)
        self.kernel: Pair = (weight.shape[2], weight.shape[3])
        self.stride, self.padding, self.more = stride, padding, more
        spread = weight.permute(0, 2, 3, 1).flatten(1) * UNIT
        self.matrix = nn.Parameter(spread.contiguous(), requires_grad=False)  # [inputs, kernel · outputs]
        self.offset = nn.Parameter(bias * UNIT + 0.5, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        at_once = max(1, PIECE // (self.matrix.shape[1] * x.shape[2] * x.shape[3]))
        pieces = [self._spread(piece) for piece in x.clamp(-LIMIT, LIMIT).permute(0, 2, 3, 1).split(at_once)]
        made = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
        return made.floor_().mul_(1 / UNIT).permute(0, 3, 1, 2)

    def _spread(self, places: Tensor) -> Tensor:
        rows, height, width = places.shape[:3]
        (high, wide), (down, right), outputs = self.kernel, self.stride, len(self.offset)
        given = (places.contiguous() @ self.matrix).unflatten(3, (high, wide, outputs))
        tall, broad = (height - 1) * down + high + self.more[0], (width - 1) * right + wide + self.more[1]
        whole = places.new_empty(rows, tall, broad, outputs)
        whole[:] = self.offset
        for i in range(high):
            for j in range(wide):
                lines = slice(i, i + (height - 1) * down + 1, down)
                whole[:, lines, j : j + (width - 1) * right + 1 : right] += given[:, :, :, i, j]
        return whole[:, self.padding[0] : tall - self.padding[0], self.padding[1] : broad - self.padding[1]]


class ExactAverage(nn.Module):
    """Maps averaged down to a size, over the same windows as `Smaller`: whole sums, one division, rounded down to within half."""

    def __init__(self, size: Pair) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-2:] == self.size:
            return x
        pairs = list(zip(x.shape[-2:], self.size, strict=True))
        even = all(_in_steps(n, m) for n, m in pairs)
        down, across = (_windows(n, m, even).to(x.device) for n, m in pairs)
        sums = down @ x.clamp(-LIMIT, LIMIT).contiguous() @ across.mT
        counts = down.sum(1)[:, None] * across.sum(1)
        # ⌊S/c + ½⌋ of whole S and c as ⌊(2S + c + ½) / 2c⌋: never so near a whole number that a division's last bit could tell.
        return ((sums * (2 * UNIT) + counts + 0.5) / (2 * counts)).floor() / UNIT


class ExactLarger(nn.Module):
    """Maps enlarged to a size by repeating values, by whole numbers: the place i of m is the place ⌊i n / m⌋ of n."""

    def __init__(self, size: Pair) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        pairs = list(zip(x.shape[-2:], self.size, strict=True))
        even = all(_in_steps(m, n) for n, m in pairs)
        for axis, (n, m) in enumerate(pairs):
            x = x if n == m else x.index_select(2 + axis, _nearest(n, m, even).to(x.device))
        return x


class Doubled(nn.Module):
    """Every value of a map four times: nearest enlarging by two."""

    def forward(self, x: Tensor) -> Tensor:
        rows, channels, height, width = x.shape
        places = x.permute(0, 2, 3, 1)[:, :, None, :, None]
        return places.expand(-1, -1, 2, -1, 2, -1).reshape(rows, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)


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
        last = len(self.table) // 2
        places = (x * UNIT).clamp_(-last, last).add_(last).to(torch.int32)
        laid = places if places.is_contiguous() else places.permute(0, 2, 3, 1) if x.dim() == 4 else places
        found = self.table.index_select(0, laid.reshape(-1)).view(laid.shape)
        if laid is not places:
            found = found.permute(0, 3, 1, 2)
        return x.clamp_min(0).add_(found) if self.ramp else found.double()


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


def _in_steps(many: int, few: int) -> bool:
    """Whether steps of one length, the last of them shorter perhaps, lead through `many` places in `few`."""
    return -(-many // -(-many // few)) == few


@cache
def _windows(before: int, after: int, even: bool) -> Tensor:
    """Which of `before` places each of `after` averages along one axis: noughts and ones, [after, before]."""
    step = -(-before // after)
    windows = torch.zeros(after, before, dtype=torch.float64)
    for i in range(after):
        start, stop = (i * step, i * step + step) if even else (i * before // after, -(-(i + 1) * before // after))
        windows[i, start:stop] = 1
    return windows


@cache
def _nearest(before: int, after: int, even: bool) -> Tensor:
    """Which of `before` places each of `after` repeats along one axis, [after]."""
    step = -(-after // before)
    return torch.tensor([i // step if even else i * before // after for i in range(after)])


def _padded(x: Tensor, padding: Pair) -> Tensor:
    """[rows, channels, height, width] as [rows, height, width, channels] with noughts around."""
    high, wide = padding
    return functional.pad(x.permute(0, 2, 3, 1), (0, 0, wide, wide, high, high)).contiguous()
