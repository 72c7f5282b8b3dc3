"""Finite scalar quantization: every number of a vector is rounded by itself."""

import math

import torch
from torch import Tensor, nn

from lambent.distributions import QuantizedMap
from lambent.errors import UsageError
from lambent.model.quantizers.base import Quantizer
from lambent.part import Shape, option

MOST = 2**20  # entries


class Finite(Quantizer):
    """Each of d numbers is rounded to one of L_d levels, so that ∏ L_d entries are there without being learned.

    v = 2 σ(1.6 h) − 1, and of the L levels (2k + 1)/L − 1, k = 0 … L − 1, the nearest one. The cells are equally wide, and about
    equally likely where h is standard normal. Mentzer et al., Finite Scalar Quantization: VQ-VAE Made Simple, 2024, whose outer
    cells are half as wide.
    """

    papers = ("mentzer2024finite", "bengio2013estimating")

    levels: tuple[int, ...] = option(
        "levels of each number of an entry; their product is how many entries there are",
        default=(8, 5, 5, 5),
        minimum=2,
        maximum=65536,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.count > MOST:
            raise UsageError(
                f"Finite.levels make {self.count:,} entries, and at most {MOST:,} are allowed: give fewer levels"
            )

    def setup(self, features: Shape) -> None:
        self.head = nn.Conv2d(features[0], self.units, 1)
        shape = (self.units, 1, 1)
        self.register_buffer("steps", torch.tensor(self.levels).reshape(shape), persistent=False)
        places = [math.prod(self.levels[unit + 1 :]) for unit in range(self.units)]
        self.register_buffer("places", torch.tensor(places).reshape(shape), persistent=False)

    def forward(self, features: Tensor) -> QuantizedMap:
        vectors = 2 * torch.sigmoid(1.6 * self.head(features)) - 1
        numbers = self.number(vectors.detach())
        return QuantizedMap(vectors, self.entry(numbers), numbers)

    @property
    def count(self) -> int:
        return math.prod(self.levels)

    @property
    def units(self) -> int:
        return len(self.levels)

    def number(self, z: Tensor) -> Tensor:
        cells = (0.5 * (z + 1) * self.steps).floor().long()
        numbers: Tensor = (cells.clamp_min(0).minimum(self.steps - 1) * self.places).sum(-3)
        return numbers

    def entry(self, numbers: Tensor) -> Tensor:
        cells = numbers.unsqueeze(-3) // self.places % self.steps
        levels: Tensor = (2 * cells + 1).to(self.head.weight.dtype) / self.steps - 1
        return levels
