"""A product of distributions over the columns of a row."""

import torch
from torch import Size, Tensor
from torch.distributions import Distribution

from lambent.distributions.explicit import Axes, Explicit, centre, sample


class ColumnProduct(Explicit):
    """Independent groups of columns: `parts[i]` is over the columns `places[i]`."""

    def __init__(self, parts: list[Distribution], places: list[list[int]]) -> None:
        super().__init__(parts[0].batch_shape, Size((sum(map(len, places)),)))
        self.parts = parts
        self.order = torch.tensor([index for place in places for index in place]).argsort()
        self.places = places
        self.has_rsample = all(part.has_rsample for part in parts)

    def log_prob(self, value: Tensor) -> Tensor:
        terms = []
        for part, place in zip(self.parts, self.places, strict=True):
            terms.append(part.log_prob(value[..., place]))
        return torch.stack(torch.broadcast_tensors(*terms)).sum(0)

    def _joined(self, pieces: list[Tensor]) -> Tensor:
        return torch.cat([p.float() if not p.dtype.is_floating_point else p for p in pieces], -1)[..., self.order]

    @property
    def centre(self) -> Tensor:
        """Each column's own: the mean, for tokens the mode."""
        return self._joined([centre(part) for part in self.parts])

    def rsample(
        self, sample_shape: Axes = Size(), generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        return self._joined([sample(part, tuple(sample_shape), generator) for part in self.parts])
