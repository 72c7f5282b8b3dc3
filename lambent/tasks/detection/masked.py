"""Rows of which each column is left out in turn: what it costs given the others, and what it might have been."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from lambent.distributions.columnwise import columnwise
from lambent.fitted import Rows
from lambent.model import LatentModel
from lambent.model.noise import RowNoise, row_keys
from lambent.model.trace import from_keys
from lambent.tasks.conditional import Conditional, conditional

TINY = 1e-300
SAMPLES = 8  # codes of a row where columns see columns: these say most of each other


class LeftOut(ABC):
    """A chunk of rows, each column of which was left out in turn.

    x: [rows, columns], NaN where a value is missing.
    """

    x: Tensor

    @property
    @abstractmethod
    def log_prob(self) -> Tensor:
        """log p(x_j | x_rest), [rows, columns] in nats of the encoded rows; 0 where a value is missing."""

    @property
    @abstractmethod
    def drop(self) -> Tensor:
        """How many nats less likely each cell is than is usual of its column given the rest, [rows, columns]; 0 where missing.

        Of tokens −log p less the entropy; of numbers −log p, less that of the likeliest of two values in their midst and ½, which
        are the entropy of a normal distribution. So a wide expectation does not count as odd.
        """

    @abstractmethod
    def conditional(self, column: int) -> Conditional:
        """What that column may be, given the rest of each row."""

    def closer(self, cells: Sequence[tuple[int, int]]) -> Iterator[tuple["LeftOut", list[tuple[int, int]]]]:
        """Some cells (row, column), a few at a time with their places there, found with less error where that is to be had."""
        yield self, list(cells)

    @abstractmethod
    def moved(self, column: int, rows: Sequence[int]) -> Tensor:
        """How far what is expected of that column in some rows moves without another column, [rows, columns].

        From 0 to 1: of tokens half the sum of the differences of their probabilities; of numbers the Hellinger distance.
        """


def without(x: Tensor, column: int) -> Tensor:
    """The rows without that column."""
    x = x.clone()
    x[..., column] = math.nan
    return x


def of_others(far: Tensor, x: Tensor, column: int) -> Tensor:
    """Nought for the column itself and for what is missing anyway."""
    far = far.masked_fill(torch.isnan(x), 0.0)
    far[:, column] = 0.0
    return far


def of_token(each: Tensor, x: Tensor) -> Tensor:
    """Of numbers [rows, tokens] those of the tokens of x [rows]; 0 where x is missing."""
    token = x.nan_to_num(0.0).floor().long().clamp(0, each.shape[1] - 1)
    return each.gather(1, token.unsqueeze(1)).squeeze(1).masked_fill(torch.isnan(x), 0.0)


def token_drop(chances: Tensor, x: Tensor) -> Tensor:
    """−log p of tokens x [rows] less the entropy of their probabilities [rows, tokens]; 0 where x is missing."""
    drop: Tensor = -of_token(chances.clamp_min(TINY).log(), x) - torch.special.entr(chances).sum(1)
    return drop.masked_fill(torch.isnan(x), 0.0)


class Masked(LeftOut):
    """Columns that see columns, each left out by itself: the rows are read again without it."""

    def __init__(self, model: LatentModel, rows: Rows, chunk: int, partner: Mapping[int, int], seed: int) -> None:
        self.model, self.rows, self.chunk, self.partner, self.seed = model, rows, chunk, partner, seed
        self.x = rows.x
        self.noise = RowNoise(SAMPLES, sum(model.latent.sizes_of_levels), model.device)

    @property
    def log_prob(self) -> Tensor:
        return torch.stack([of_token(chances.log(), self.x[:, j]) for j, chances in enumerate(self._chances)], 1)

    @property
    def drop(self) -> Tensor:
        return torch.stack([token_drop(chances, self.x[:, j]) for j, chances in enumerate(self._chances)], 1)

    @cached_property
    def _chances(self) -> list[Tensor]:
        return [self.conditional(column).probabilities(column) for column in range(self.x.shape[1])]

    def conditional(self, column: int) -> Conditional:
        return conditional(self.model, self._masked(column), self.chunk, SAMPLES, self.seed)

    def _masked(self, column: int) -> Rows:
        x = without(self.x, column)
        if column in self.partner:  # whether a cell is missing is not to be told by the cell
            x[:, self.partner[column]] = math.nan
        return replace(self.rows, x=x)

    def moved(self, column: int, rows: Sequence[int]) -> Tensor:
        masked = self._masked(column)
        far = torch.stack([self._moved(masked.at(torch.tensor([row])), column) for row in rows])
        return of_others(far, self.x[list(rows)], column)

    def _moved(self, row: Rows, column: int) -> Tensor:
        """Of one row, by codes that are weighed alike: the row without each further column, and last as it is."""
        columns = self.x.shape[1]
        x = row.x.repeat(columns + 1, 1)
        x[:columns].fill_diagonal_(math.nan)
        for indicator, own in self.partner.items():  # a cell that is left out is not to be told by its indicator
            x[own, indicator] = math.nan
        x = x.to(self.model.device)
        context = None if row.context is None else row.context.repeat(columns + 1, 1).to(self.model.device)
        keys = row_keys(row.x, self.seed).expand(columns + 1).to(x.device)
        draw = from_keys(self.noise, keys, members=self.model.members)
        px = columnwise(self.model.trace(x, SAMPLES, draw, context).px)
        chances = px.conditional_probabilities(x.expand(*px.batch_shape, -1), column).double().exp().mean(0)
        return 0.5 * (chances[:-1] - chances[-1:]).abs().sum(1).cpu()
