"""Maps of other sizes over dyadic numbers: averages, and repeated values; the same bits on every machine."""

from functools import cache

import torch
from torch import Tensor, nn

from lambent.codec.exact.dyadic import LIMIT, UNIT
from lambent.codec.exact.layers import Pair


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
