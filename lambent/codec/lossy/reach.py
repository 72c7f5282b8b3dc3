"""How far around a tile a half of a network looks: so much has to lie around it for the tile to equal the whole."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lambent.model.steady import steady_maps

Half = Callable[[Tensor], Tensor | Sequence[Tensor]]


@torch.no_grad()
def reach(half: Callable[[tuple[int, int]], Half], channels: int, cell: int, step: int) -> int:
    """Pixels, in whole steps, between an edge and the farthest place that hangs on what lies beyond it.

    half: for a size in pixels, what takes maps [1, channels, height / cell, width / cell] there. Beyond an edge in the middle of
    a strip all is NaN, which goes through every product: what comes out as a number hangs on none of it.
    """
    length = 16 * step
    while True:
        found = [_spoiled(half, channels, cell, step, length, upright) for upright in (False, True)]
        if max(found) < length // 2 - step:
            return -(-max(found) // step) * step
        length *= 2


def _spoiled(
    half: Callable[[tuple[int, int]], Half], channels: int, cell: int, step: int, length: int, upright: bool
) -> int:
    size = (length, step) if upright else (step, length)
    run, axis, middle = half(size), -2 if upright else -1, length // 2
    farthest = 0
    for start in (0, middle):
        maps = torch.zeros(1, channels, size[0] // cell, size[1] // cell)
        maps.narrow(axis, start // cell, middle // cell).fill_(torch.nan)
        with steady_maps():
            made = run(maps)
        for each in [made] if isinstance(made, Tensor) else made:
            if not each.numel():
                continue
            pixels = length // each.shape[axis]
            spoiled = torch.isnan(each).transpose(axis, -1).flatten(0, -2).any(0).nonzero()
            first, last = int(spoiled[0]) * pixels, int(spoiled[-1]) * pixels + pixels
            farthest = max(farthest, last - middle if start == 0 else middle - first)
    return farthest
