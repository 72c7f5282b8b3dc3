"""What the encoded columns of rows are: numbers, ranks in tokens, or levels; and which are indicators of gaps."""

from typing import NamedTuple

import torch
from torch import Tensor

from lambent.data.kinds.table import Table
from lambent.fitted import Fitted


class ColumnForms(NamedTuple):
    """Of each encoded column: its tokens (0: a number), whether these are levels; and (indicator, column) of those with gaps."""

    tokens: list[int]
    levels: list[bool]
    indicators: list[tuple[int, int]]

    @classmethod
    def of(cls, fitted: Fitted) -> "ColumnForms":
        """Those of a table; plain numbers of whatever else."""
        if not isinstance(fitted.modality, Table):
            width = fitted.model.event_shape[0]
            return cls([0] * width, [False] * width, [])
        encoding = fitted.modality.encoding
        modelled = len(encoding.modelled)
        pairs = [(modelled + number, place) for number, place in enumerate(encoding.indicates)]
        return cls(list(encoding.tokens), [seen == "levels" for seen in encoding.seen], pairs)

    def told(self, x: Tensor) -> Tensor:
        """Rows with their indicators filled in: 1 where the column is missing."""
        if not self.indicators:
            return x
        x = x.clone()
        for indicator, place in self.indicators:
            x[:, indicator] = x[:, place].isnan().to(x.dtype)
        return x


def observed_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of what is observed in each column, [D] each, float64; the latter 1 where no two values differ."""
    x = x.double()
    there = ~x.isnan()
    count = there.sum(0).clamp_min(1)
    mean = torch.where(there, x, 0.0).sum(0) / count
    deviation = (torch.where(there, x - mean, 0.0).square().sum(0) / count).sqrt()
    return mean, torch.where(deviation > 1e-9 * mean.abs().clamp_min(1.0), deviation, torch.ones_like(deviation))
