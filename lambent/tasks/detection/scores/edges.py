"""Outlines of pictures: which way brightness changes, and where, whatever its level and its contrast."""

import math

import torch
from torch import Tensor

DIRECTIONS = 8
FINEST = 0.225  # of a cell: pixels are smoothed so much before they are compared with their neighbours
AROUND = 0.643  # of a cell: so far about its middle changes count for it
FAINT = 0.02  # of the range of levels: of pictures with less change there is little to be told
SEPARATE = 3  # channels up to which each has outlines of its own


class Outlines(torch.nn.Module):
    """Histograms of oriented gradients as one vector of length 1, or less of pictures without change. Dalal and Triggs, 2005.

    A grid of cells, `cells` along the shorter side; in each the strength of change in eight directions, weighted by a Gaussian
    about the cell's middle. The vector of the whole picture is divided by its length, so that a picture has the same
    when it is darker or has less contrast.
    """

    smooth_down: Tensor
    smooth_across: Tensor
    change_down: Tensor
    change_across: Tensor
    pool_down: Tensor
    pool_across: Tensor
    ways: Tensor

    def __init__(self, shape: tuple[int, ...], cells: int) -> None:
        super().__init__()
        height, width = shape[-2:]
        cell = min(height, width) / cells
        smooth = {
            size: _smoothing(size, torch.arange(size, dtype=torch.float64), FINEST * cell) for size in (height, width)
        }
        change = {size: _differences(size) @ smooth[size] for size in (height, width)}
        middles = {size: _middles(size, cell) for size in (height, width)}
        pool = {size: _smoothing(size, middles[size], AROUND * cell) for size in (height, width)}
        for name, matrices in (("smooth", smooth), ("change", change), ("pool", pool)):
            self.register_buffer(f"{name}_down", matrices[height].float())
            self.register_buffer(f"{name}_across", matrices[width].float().T.contiguous())
        angles = torch.arange(DIRECTIONS) * (2 * math.pi / DIRECTIONS)
        self.register_buffer("ways", torch.stack((angles.cos(), angles.sin()))[:, :, None, None])

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures [rows, channels, height, width] from 0 to 1 → [rows, numbers]; many channels count as their mean."""
        x = pictures if pictures.shape[1] <= SEPARATE else pictures.mean(1, keepdim=True)
        across = (self.smooth_down @ x @ self.change_across)[:, :, None]
        down = (self.change_down @ x @ self.smooth_across)[:, :, None]
        strength = (across.square() + down.square()).sqrt()
        toward = (across * self.ways[0] + down * self.ways[1]).clamp_min(0)
        shared = toward * (toward / (strength + 1e-6)).square()
        outlines = (self.pool_down @ shared @ self.pool_across).flatten(1)
        whole: Tensor = outlines / (outlines.norm(dim=1, keepdim=True) + FAINT)
        return whole


def _smoothing(size: int, middles: Tensor, deviation: float) -> Tensor:
    """Weights [middles, size] of a Gaussian about each middle, each row of sum 1."""
    off = torch.arange(size, dtype=torch.float64) - middles[:, None]
    weights = (-0.5 * (off / deviation).square()).exp()
    return weights / weights.sum(1, keepdim=True)


def _middles(size: int, cell: float) -> Tensor:
    """The middles of cells of about that size which fill so many pixels."""
    count = max(1, round(size / cell))
    return (torch.arange(count, dtype=torch.float64) + 0.5) * (size / count) - 0.5


def _differences(size: int) -> Tensor:
    """[size, size]: of each pixel its successor less its predecessor; nought at the ends."""
    inside = torch.ones(size - 1, dtype=torch.float64)
    whole = inside.diag(1) - inside.diag(-1)
    whole[0], whole[-1] = 0, 0
    return whole
