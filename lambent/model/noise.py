"""Noise that belongs to a row: normal numbers computed from what the row holds, evenly spread over its samples.

Sample k of row i in dimension j is Φ⁻¹ of the k-th point of Sobol's sequence, shifted in every binary digit by a number made of
the row's key and j. Each sample by itself is as random as any; together they lie evenly, so that averages over them err less.
Owen, Randomly permuted (t,m,s)-nets and (t,s)-sequences, 1995; L'Ecuyer and Lemieux, Recent advances in randomized
quasi-Monte Carlo methods, 2002. Keys and shifts: Steele, Lea and Flood, Fast splittable pseudorandom number generators, 2014.
"""

import math

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from lambent.seeds import stream

MOST_DIMENSIONS = 1024  # that lie evenly; each further one is drawn by itself
DIGITS = 30  # binary ones of a point, as torch's Sobol sequence has them
PIECE = 2**20  # numbers of a row that are taken together
GOLDEN = 0x9E3779B97F4A7C15 - 2**64


def row_keys(x: Tensor, seed: int) -> Tensor:
    """A number of 64 bits for every row, [rows], made of the seed and all that the row holds.

    Equal rows have equal keys: −0 counts as 0, and one NaN as another.
    """
    x = x.flatten(1)
    total = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    for start in range(0, x.shape[1], PIECE):  # the same sum in pieces, for a photograph is a row of many numbers
        words = _words(x[:, start : start + PIECE])
        numbers = torch.arange(start, start + words.shape[1], device=x.device)
        places = mixed(numbers * GOLDEN + stream(seed, "bound"))
        total += mixed(words + places).sum(1) + places.sum()
    return mixed(total + x.shape[1])


def are_among(keys: Tensor, known: Tensor) -> Tensor:
    """Which of the keys are among the known ones, ascending, [rows] bool; none where none are known."""
    if not len(known):
        return torch.zeros_like(keys, dtype=torch.bool)
    return known[torch.searchsorted(known, keys).clamp_max(len(known) - 1)] == keys


def _words(x: Tensor) -> Tensor:
    """The values as integers [rows, values], equal for equal values."""
    if not x.dtype.is_floating_point:
        return x.to(torch.int64)
    if x.dtype not in (torch.float32, torch.float64):
        x = x.float()
    x = torch.where(x.isnan(), torch.full_like(x, math.nan), x + 0.0)
    return x.contiguous().view(torch.int64 if x.dtype == torch.float64 else torch.int32).to(torch.int64)


def mixed(x: Tensor) -> Tensor:
    """SplitMix64's last step, element by element: a bijection of 64 bits, after which near numbers are unrelated."""
    x = (x ^ _shifted(x, 30)) * (0xBF58476D1CE4E5B9 - 2**64)
    x = (x ^ _shifted(x, 27)) * (0x94D049BB133111EB - 2**64)
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, digits: int) -> Tensor:
    """To the right, with noughts from the left."""
    return (x >> digits) & ((1 << (64 - digits)) - 1)


class RowNoise:
    """Standard-normal noise for rows of those keys, in `dimensions` all together, for the samples 0 … samples − 1."""

    def __init__(self, samples: int, dimensions: int, device: torch.device) -> None:
        self.even = min(dimensions, MOST_DIMENSIONS)
        points = SobolEngine(self.even).draw(samples, dtype=torch.float64)
        self.points = (points * 2**DIGITS).to(device, torch.int32)

    def __call__(self, keys: Tensor, first: int, samples: int, start: int, size: int, dtype: torch.dtype) -> Tensor:
        """ε [samples, rows, size] of the samples from `first` on, in the dimensions from `start` on."""
        even = min(max(self.even - start, 0), size)
        places = torch.arange(start, start + size, device=keys.device) + 1
        shifts = mixed(keys.unsqueeze(1) + places * GOLDEN)
        points = self.points[first : first + samples, None, start : start + even]
        digits = points ^ _leading(shifts[:, :even])
        if even < size:
            numbers = torch.arange(first, first + samples, device=keys.device) + 1
            lone = mixed(shifts[:, even:] ^ mixed(numbers * GOLDEN)[:, None, None])
            digits = torch.cat((digits, _leading(lone)), 2)
        return normal(digits, dtype)


def _leading(x: Tensor) -> Tensor:
    return _shifted(x, 64 - DIGITS).to(torch.int32)


def normal(digits: Tensor, dtype: torch.dtype) -> Tensor:
    """Φ⁻¹((n + ½) / 2^b) of whole numbers n < 2^b, of which float32 takes the leading 24 of b = 30 digits.

    As √2 erf⁻¹ of odd numbers over 2^b: these are exact and symmetric about 0, and never ±1.
    """
    kept = DIGITS if dtype == torch.float64 else 24
    odd = 2 * (digits >> (DIGITS - kept)).to(dtype) + (1 - 2**kept)
    return torch.erfinv(odd / 2**kept) * math.sqrt(2)
