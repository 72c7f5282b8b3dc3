"""Estimates: what a column of a table may be in rows that are known in part, in the data's own units."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
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
NORMAL = NormalDist()
OUTER = 1.5  # deviations to which quantiles are known by points, and beyond which they are drawn out
FARTHEST = 1e3
MANY = 200  # scores from which a model that is not sure enough may be told so
TOGETHER = ""  # the name under which the scores of all columns stand
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
    """Of a column of numbers or times, in its unit: weighed values [points] or [points, rows], weights [points, rows], means.

    drawn_out: whether the values are quantiles of a density, which goes on beyond the outermost. scores: those of held-out cells
    in ascending order, by which intervals are corrected; None: as the model has them.
    """

    column: Column
    values: Array
    weights: Array
    mean: Array
    drawn_out: bool = False
    scores: Array | None = None

    def quantile(self, share: float) -> Array:
        """The value below or at which that share lies, [rows]; two that lie evenly about the median, as corrected, together.

        The interval between the quantiles of a and 1 − a reaches as far as the score of rank ⌈(n + 1)(1 − 2a)⌉ of n; of too few
        for that, as far as the farthest. By few scores it is made wider alone, never narrower than the model has it.
        """
        if self.scores is None or share == 0.5:
            return self._least(share)
        count, own = len(self.scores), abs(NORMAL.inv_cdf(share))
        rank = math.ceil((count + 1) * abs(2 * share - 1) * (1 - 1e-12))
        reach = self.scores[min(rank, count) - 1]
        if count < MANY or rank > count:
            reach = max(reach, own)
        return self._at(math.copysign(float(reach), share - 0.5))

    def score(self, truth: Array) -> Array:
        """How many deviations from the median the values [rows] lie, where this distribution is made normal; [rows], from 0."""
        where = self.values if self.values.ndim == 2 else self.values[:, None]
        under = (self.weights * (where < truth)).sum(0)
        up_to = (self.weights * (where <= truth)).sum(0)
        far = np.maximum(np.maximum(under, 1 - up_to), 0.5)  # 0.5: the median itself
        score = torch.special.ndtri(torch.from_numpy(np.minimum(far, 1 - 1e-12))).numpy()
        if self.drawn_out:
            middle = self._least(0.5)
            for sign in (-1.0, 1.0):
                outer = self._least(NORMAL.cdf(sign * OUTER))
                beyond = sign * (truth - outer) > 0
                ratio = sign * (truth - middle) / np.maximum(sign * (outer - middle), 1e-300)
                score = np.where(beyond, np.clip(OUTER * ratio, OUTER, FARTHEST), score)
        return np.asarray(score)

    def _at(self, score: float) -> Array:
        """The value so many deviations above the median; beyond the outer quantiles as the normal's go on."""
        if not self.drawn_out or abs(score) <= OUTER:
            return self._least(NORMAL.cdf(score))
        middle, outer = self._least(0.5), self._least(NORMAL.cdf(math.copysign(OUTER, score)))
        return middle + (outer - middle) * (abs(score) / OUTER)

    def _least(self, share: float) -> Array:
        """The least of the values below or at which at least that share lies, [rows]."""
        values, sums = self._sorted
        reached = sums >= share * (1 - 1e-12)
        last = np.where(reached.any(0), reached.argmax(0), len(sums) - 1)
        return np.asarray(values[last] if values.ndim == 1 else np.take_along_axis(values, last[None], 0)[0])

    @cached_property
    def _sorted(self) -> tuple[Array, Array]:
        """The values in ascending order, and how much lies up to each, [points, rows]."""
        order = np.argsort(self.values, axis=0)
        if self.values.ndim == 1:
            return self.values[order], self.weights[order].cumsum(0)
        return np.take_along_axis(self.values, order, 0), np.take_along_axis(self.weights, order, 0).cumsum(0)

    def typed(self, values: Array) -> Typed:
        """Values in the column's unit with its type, on its grid; whole where its type is."""
        return as_typed(self.column, values)


Estimate = LevelEstimate | NumberEstimate


def estimated(
    conditional: Conditional, column: Column, place: int, calibration: Mapping[str, Sequence[float]] | None = None
) -> Estimate:
    """What encoded column number `place`, a `column` of the table, may be in the rows of a conditional.

    calibration: scores of held-out cells by column, or of all together, by which intervals are corrected.
    """
    found = _estimated(conditional, column, place)
    scores = (calibration or {}).get(column.name, (calibration or {}).get(TOGETHER))
    return replace(found, scores=np.array(scores)) if scores and isinstance(found, NumberEstimate) else found


def _estimated(conditional: Conditional, column: Column, place: int) -> Estimate:
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
    return NumberEstimate(column, in_units(column, points.values), points.weights.numpy(), mean, drawn_out=True)


def in_units(column: Column, x: Tensor) -> Array:
    """Encoded values of any shape as numbers in the column's unit."""
    flat = x.numpy().reshape(-1, 1)
    if isinstance(column, (Ranked, Warped)):
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
