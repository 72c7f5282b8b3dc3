"""Likelihood of a row whose columns are of different kinds."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import Distribution

from lambent.distributions import ColumnProduct
from lambent.errors import UsageError
from lambent.model.likelihoods.base import Likelihood
from lambent.model.likelihoods.continuous import Gaussian
from lambent.part import Part, Shape, Spec, option


class Mixed(Likelihood):
    """p(x | z) = Π_j p_j(x_j | z), one likelihood per column. Columns of equal description are computed together.

    They share a kernel and no weights: each learns its own scale. Without `columns`, a table says what suits each of its own,
    and elsewhere each is a Gaussian.
    """

    no_paper = "a product of its columns, which name theirs"

    unit_bytes = False
    planar = False

    columns: tuple[Likelihood, ...] = option(
        "one likelihood for every column; none: what suits each column of the table", default=()
    )

    def setup(self, event: Shape) -> Shape:
        if len(event) != 1 or (self.columns and event != (len(self.columns),)):
            held = f"{len(self.columns)} columns" if self.columns else "columns"
            raise UsageError(f"Mixed has {held} and the rows have shape {list(event)}: give one for every column")
        self.leaves = self.columns or tuple(Gaussian() for _ in range(event[0]))
        alike: dict[str, list[int]] = {}
        for index, column in enumerate(self.leaves):
            alike.setdefault(repr(column), []).append(index)
        self.places: list[list[int]] = []
        for group in alike.values():
            self.places += [group] if self._together(group) else [[index] for index in group]
        parts = [self._part(group[0]) for group in self.places]
        self.shapes = [part.setup((len(group),)) for part, group in zip(parts, self.places, strict=True)]
        self.groups: Any = torch.nn.ModuleList(parts)
        return (sum(Size(s).numel() for s in self.shapes),)

    @property
    def encoding(self) -> str:
        return super().encoding if self.columns else "mixed"

    def of_columns(self, columns: Sequence[Spec]) -> Likelihood:
        """The same with these columns, where it was given none."""
        return self if self.columns else Mixed(tuple(Likelihood.from_spec(column) for column in columns))

    def _part(self, index: int) -> Likelihood:
        part = Likelihood.from_spec(self.leaves[index].spec())
        part.gaps, part.apart = self.gaps, True
        return part

    def _together(self, group: list[int]) -> bool:
        """Whether one likelihood over these columns has as many weights as one for each: then none is shared."""
        if len(group) == 1:
            return True
        one, all_ = self._part(group[0]), self._part(group[0])
        with torch.random.fork_rng(devices=[]):
            one.setup((1,))
            all_.setup((len(group),))
        pairs = zip(one.parameters(), all_.parameters(), strict=True)
        return all(len(group) * single.numel() == whole.numel() for single, whole in pairs)

    @property
    def discrete(self) -> bool:  # type: ignore[override]
        return bool(self.columns) and all(column.discrete for column in self.columns)

    @property
    def elementwise(self) -> bool:  # type: ignore[override]
        return all(column.elementwise for column in self.columns)

    @property
    def reparameterized(self) -> bool:  # type: ignore[override]
        return all(column.reparameterized for column in self.columns)

    def forward(self, raw: Tensor, context: Tensor | None = None) -> Distribution:
        pieces = raw.split([Size(s).numel() for s in self.shapes], -1)
        parts = [
            part(piece.reshape(*piece.shape[:-1], *shape), context)
            for part, piece, shape in zip(self.groups, pieces, self.shapes, strict=True)
        ]
        return ColumnProduct(parts, self.places)

    def reading(self) -> list[torch.nn.Module]:
        return [module for part in self.groups for module in part.reading()]

    def start(self, observed: Tensor) -> Tensor:
        """Each column as it starts by itself; those that start anywhere at nought."""
        pieces = []
        for part, group, shape in zip(self.groups, self.places, self.shapes, strict=True):
            raw = part.start(part.observe(observed[:, group]))
            pieces.append(observed.new_zeros(shape).flatten() if raw is None else raw.flatten().to(observed.dtype))
        return torch.cat(pieces)

    def embed(self, x: Tensor) -> Tensor:
        seen = [part.embed(part.observe(x[:, g])).flatten(1) for part, g in zip(self.groups, self.places, strict=True)]
        return torch.cat(seen, 1)

    def embedded_from(self, marks: Tensor) -> Tensor:
        every = []
        for part, group in zip(self.groups, self.places, strict=True):
            own = marks[:, group]
            numbers = part.embed(part.observe(torch.zeros_like(own[:1], dtype=torch.float32)))
            every.append(part.embedded_from(own).expand(len(own), *numbers.shape[1:]).flatten(1))
        return torch.cat(every, 1)

    def admit(self, x: Tensor) -> None:
        for part, group in zip(self.groups, self.places, strict=True):
            part.admit(x[:, group])

    def doubt(self, highest: Tensor) -> None:
        for part, group in zip(self.groups, self.places, strict=True):
            part.doubt(highest[:, group])

    def refusal(self, whole: Part) -> str | None:
        if any(isinstance(column, Mixed) for column in self.columns):
            return "Mixed cannot be a column of Mixed: list its columns in one"
        return None  # its columns speak for themselves
