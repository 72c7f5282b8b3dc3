"""Codebooks over dyadic numbers: which entry a vector is, and the entry's own numbers."""

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor, nn

from lambent.codec.exact import elementary
from lambent.codec.exact.compiling import exact_form
from lambent.codec.exact.dyadic import WEIGHT, rounded
from lambent.codec.exact.layers import ExactLinear
from lambent.distributions import QuantizedMap
from lambent.errors import UsageError
from lambent.model.quantizers import Finite, Nearest

MOST = 1 << 16  # entries that one symbol can tell apart
AT_ONCE = 1 << 24  # numbers of how near vectors lie to entries


class ExactEntries(nn.Module, ABC):
    """What a codebook asks of its quantizer: the number of the entry that every vector becomes, and the entries themselves."""

    def __init__(self, head: nn.Module, count: int, units: int) -> None:
        super().__init__()
        if count > MOST:
            raise UsageError(f"a codebook of {count:,} entries cannot be coded: {MOST:,} are allowed. Train with fewer")
        self.head, self.count, self.units = head, count, units

    def forward(self, features: Tensor) -> QuantizedMap:
        """q(z | x): the map of entries [rows, units, height, width] for features [rows, channels, height, width]."""
        vectors = self.head(features)
        numbers = self.chosen(vectors)
        return QuantizedMap(vectors, self.entry(numbers), numbers)

    @abstractmethod
    def chosen(self, vectors: Tensor) -> Tensor:
        """The numbers [..., height, width] of the entries that the head's vectors become."""

    @abstractmethod
    def number(self, z: Tensor) -> Tensor:
        """The numbers [..., height, width] of the entries nearest to the vectors [..., units, height, width]."""

    @abstractmethod
    def entry(self, numbers: Tensor) -> Tensor:
        """The entries [..., units, height, width] of those numbers [..., height, width]."""

    def nearest(self, z: Tensor) -> Tensor:
        """z itself: what comes from a stack are entries, and two that lie close are not to be taken for one another."""
        return z

    def cost(self, q: QuantizedMap) -> Tensor | None:
        return None


class ExactFinite(ExactEntries):
    """Finite: the level of h is how many of the edges σ⁻¹(k / L) / 1.6, k = 1 … L − 1, lie at h or below it."""

    def __init__(self, given: Finite, bits: int) -> None:
        super().__init__(exact_form(given.head, bits), given.count, given.units)
        self.levels = given.levels
        self.register_buffer("steps", given.steps, persistent=False)
        self.register_buffer("places", given.places, persistent=False)
        self.steps: Tensor
        self.places: Tensor
        self.edges = [_edges(levels) for levels in given.levels]

    def chosen(self, vectors: Tensor) -> Tensor:
        cells = [
            torch.bucketize(vector.contiguous(), edges.to(vector.device), right=True)
            for vector, edges in zip(vectors.unbind(-3), self.edges, strict=True)
        ]
        return (torch.stack(cells, -3) * self.places).sum(-3)

    def number(self, z: Tensor) -> Tensor:
        cells = (0.5 * (z + 1) * self.steps).floor().long()
        return (cells.clamp_min(0).minimum(self.steps - 1) * self.places).sum(-3)

    def entry(self, numbers: Tensor) -> Tensor:
        cells = numbers.unsqueeze(-3) // self.places % self.steps
        return rounded((2 * cells + 1).double() / self.steps - 1)


class ExactNearest(ExactEntries):
    """Nearest: the entry whose ⟨z, e⟩ − |e|²/2 is greatest, the first of those that are equal."""

    def __init__(self, given: Nearest, bits: int) -> None:
        super().__init__(exact_form(given.head, bits), given.count, given.units)
        self.register_buffer("codebook", rounded(given.codebook), persistent=False)
        self.codebook: Tensor
        squares = rounded((self.codebook * self.codebook).cpu())  # whose sums are exact, in any order
        self.nearness = ExactLinear("the codebook", self.codebook, -0.5 * squares.sum(1), WEIGHT)

    def chosen(self, vectors: Tensor) -> Tensor:
        return self.number(vectors)

    def number(self, z: Tensor) -> Tensor:
        vectors = z.movedim(-3, -1)
        pieces = vectors.reshape(-1, self.units).split(max(1, AT_ONCE // self.count))
        # numpy's argmax is the first of equal ones
        found = [self.nearness(piece).cpu().numpy().argmax(-1) for piece in pieces]
        return torch.from_numpy(np.concatenate(found)).to(z.device).reshape(vectors.shape[:-1])

    def entry(self, numbers: Tensor) -> Tensor:
        return self.codebook[numbers].movedim(-1, -3)


@exact_form.register
def _finite(module: Finite, bits: int) -> nn.Module:
    return ExactFinite(module, bits)


@exact_form.register
def _nearest(module: Nearest, bits: int) -> nn.Module:
    return ExactNearest(module, bits)


def _edges(levels: int) -> Tensor:
    share = np.arange(1, levels) / levels
    return torch.from_numpy(elementary.log(share / (1.0 - share)) / 1.6)
