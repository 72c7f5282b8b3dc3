"""Likelihood of a row whose columns are of different kinds."""

from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import Distribution

from lambent.distributions import ColumnProduct
from lambent.errors import UsageError
from lambent.model.likelihoods.base import Likelihood
from lambent.model.likelihoods.continuous import Gaussian
from lambent.part import Part, Shape, option


class Mixed(Likelihood):
    """p(x | z) = Π_j p_j(x_j | z), one likelihood per column; columns of equal description share one, for speed."""

    no_paper = "a product of its columns, which name theirs"

    unit_bytes = False
    planar = False

    columns: tuple[Likelihood, ...] = option("one likelihood for every column", factory=lambda: (Gaussian(),))

    def setup(self, event: Shape) -> Shape:
        if event != (len(self.columns),):
            raise UsageError(
                f"Mixed has {len(self.columns)} columns and the rows have shape {list(event)}: give one for every column"
            )
        groups: dict[str, list[int]] = {}
        for index, column in enumerate(self.columns):
            groups.setdefault(repr(column), []).append(index)
        parts = [Likelihood.from_spec(self.columns[group[0]].spec()) for group in groups.values()]
        self.places = list(groups.values())
        self.shapes = [part.setup((len(group),)) for part, group in zip(parts, self.places, strict=True)]
        self.groups: Any = torch.nn.ModuleList(parts)
        return (sum(Size(s).numel() for s in self.shapes),)

    @property
    def discrete(self) -> bool:  # type: ignore[override]
        return all(column.discrete for column in self.columns)

    def forward(self, raw: Tensor, context: Tensor | None = None) -> Distribution:
        pieces = raw.split([Size(s).numel() for s in self.shapes], -1)
        parts = [
            part(piece.reshape(*piece.shape[:-1], *shape), context)
            for part, piece, shape in zip(self.groups, pieces, self.shapes, strict=True)
        ]
        return ColumnProduct(parts, self.places)

    def embed(self, x: Tensor) -> Tensor:
        seen = [part.embed(part.observe(x[:, g])).flatten(1) for part, g in zip(self.groups, self.places, strict=True)]
        return torch.cat(seen, 1)

    def check(self, x: Tensor) -> None:
        for part, group in zip(self.groups, self.places, strict=True):
            part.check(x[:, group])

    def refusal(self, whole: Part) -> str | None:
        if any(isinstance(column, Mixed) for column in self.columns):
            return "Mixed cannot be a column of Mixed: list its columns in one"
        return None
