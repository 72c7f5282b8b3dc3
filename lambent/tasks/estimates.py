"""Estimates: what a column of a table may be in rows that are known in part, in the data's own units."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lambent.data.kinds.columns.base import Column
from lambent.data.kinds.columns.binning import rounded
from lambent.data.kinds.columns.cells import typed
from lambent.data.kinds.columns.levels import Levels
from lambent.data.kinds.columns.ranked import Ranked
from lambent.data.kinds.columns.warped import Warped
from lambent.data.readers.framing import plain
from lambent.data.readers.typed import Typed
from lambent.tasks.conditional import Conditional

WITHIN = 8  # values that stand for a bin
OTHER = "other"  # the name of all rare levels together
Array = NDArray[Any]


@dataclass(frozen=True)
class LevelEstimate:
    """Of a column of levels: probabilities [rows, levels]; tokens: the encoded value of each level."""

    column: Column
    tokens: Array
    probabilities: Array

    @property
    def names(self) -> list[Any]:
        """The levels as the data have them; the last may be "other"."""
        values = plain(self.column.decode(self.tokens[:, None])).tolist()
        if isinstance(self.column, Levels) and self.column.form == "boolean":
            values = [bool(value) for value in values]
        merged = isinstance(self.column, Levels) and len(self.tokens) > len(self.column.levels)
        return [*values[:-1], OTHER] if merged else values

    @property
    def likeliest(self) -> Array:
        """The number of the likeliest level of each row, [rows]."""
        return np.asarray(self.probabilities.argmax(1))

    def encoded(self) -> Array:
        """The likeliest levels as encoded values, [rows]; of rare ones the most frequent."""
        return np.asarray(self.tokens[self.likeliest])


@dataclass(frozen=True)
class NumberEstimate:
    """Of a column of numbers or times, in its unit: weighed values [points] or [points, rows], weights [points, rows], means."""

    column: Column
    values: Array
    weights: Array
    mean: Array

    def quantile(self, share: float) -> Array:
        """The least of the values below or at which at least that share lies, [rows]."""
        order = np.argsort(self.values, axis=0, kind="stable")
        if self.values.ndim == 1:
            reached = self.weights[order].cumsum(0) >= share * (1 - 1e-12)
            return np.asarray(self.values[order][reached.argmax(0)])
        sums = np.take_along_axis(self.weights, order, 0).cumsum(0) >= share * (1 - 1e-12)
        place = np.take_along_axis(order, sums.argmax(0)[None], 0)
        return np.asarray(np.take_along_axis(self.values, place, 0)[0])

    def typed(self, values: Array) -> Typed:
        """Values in the column's unit with its type, on its grid; whole where its type is."""
        return as_typed(self.column, values)


Estimate = LevelEstimate | NumberEstimate


def estimated(conditional: Conditional, column: Column, place: int) -> Estimate:
    """What encoded column number `place`, a `column` of the table, may be in the rows of a conditional."""
    if isinstance(column, Levels):
        return _of_levels(column, conditional.probabilities(place))
    if isinstance(column, Ranked):
        points = conditional.points(place, WITHIN)
        values = column.values(points.values.numpy())
        return NumberEstimate(column, values, points.weights.numpy(), values @ points.weights.numpy())
    points = conditional.points(place)
    if isinstance(column, Warped) and not conditional.tokens(place):
        # The mean of a bent scale is not the mean: that of the values is taken.
        values, weights = in_units(column, points.values), points.weights.numpy()
        return NumberEstimate(column, values, weights, (values * weights).sum(0))
    if conditional.tokens(place):  # numbers of which each is a token: the likeliest one, not one between
        return LevelEstimate(column, points.values.numpy(), points.weights.T.numpy())
    mean = in_units(column, conditional.mean(place))
    return NumberEstimate(column, in_units(column, points.values), points.weights.numpy(), mean)


def in_units(column: Column, x: Tensor) -> Array:
    """Encoded values of any shape as numbers in the column's unit."""
    flat = x.numpy().reshape(-1, 1)
    if isinstance(column, Warped):
        return column.values(flat[:, 0]).reshape(x.shape)
    return np.asarray(column.decode(flat).values, np.float64).reshape(x.shape)


def _of_levels(column: Levels, probabilities: Tensor) -> LevelEstimate:
    """Where no level is rare, "other" stands for what was never seen: nobody wants that predicted."""
    chances = probabilities.numpy()
    tokens = np.arange(chances.shape[1], dtype=np.float64)
    if column.rare:
        tokens[-1] += 1e-6  # the first, most frequent one
        return LevelEstimate(column, tokens, chances)
    if len(tokens) == len(column.levels):  # true and false, and no other
        return LevelEstimate(column, tokens, chances)
    kept = chances[:, :-1]
    total = np.maximum(kept.sum(1, keepdims=True), np.finfo(np.float64).tiny)
    return LevelEstimate(column, tokens[:-1], kept / total)


def in_type(column: Column, values: Array) -> Array:
    """Numbers in a column's unit as the data have them: times as times; numbers as they are, on no grid."""
    times = isinstance(column, (Ranked, Warped)) and column.form in ("datetime", "duration")
    return as_typed(column, values).values if times else values


def as_typed(column: Column, values: Array) -> Typed:
    """Numbers in a column's unit with its type."""
    if isinstance(column, (Ranked, Warped)):
        return typed(rounded(values, column.step) * column.unit, column.form, column.declared)
    return Typed(np.rint(values) if "Int" in column.declared.type else values, column.declared)
