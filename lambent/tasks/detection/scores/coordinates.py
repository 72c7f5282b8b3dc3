"""Coordinates: rows of a table as points whose squared distance counts every kind of column rightly, gaps left out."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from lambent.fitted import Fitted
from lambent.tasks.detection.scores.columns import ColumnForms, observed_moments

FURTHEST = 30.0  # deviations that a number may lie out, so that one cell far away does not hide all others
BLOCK = 64  # kept rows whose nearest is found first
QUANTILES = 256  # by which ranks are told


def slog(u: Tensor) -> Tensor:
    """sign(u) log(1 + |u|): what is far out counts by its order."""
    return u.sign() * u.abs().log1p()


class Points(NamedTuple):
    """Rows as points, [rows, axes], float32, nought where missing; there: which columns are observed, [rows, D], as 0 and 1.

    owner: the column of each axis, [axes].
    """

    at: Tensor
    there: Tensor
    owner: Tensor

    @property
    def whole(self) -> bool:
        """Whether no cell is missing."""
        return bool(self.there.all())

    def pick(self, which: Tensor | slice) -> "Points":
        """Some of the rows."""
        return Points(self.at[which], self.there[which], self.owner)


class Units(NamedTuple):
    """What columns are measured in, of the training rows: mean and deviation, [D], and quantiles, [K, D], of encoded values."""

    centre: Tensor
    spread: Tensor
    quantiles: Tensor

    @classmethod
    def learned(cls, fitted: Fitted, x: Tensor) -> "Units":
        """Those of rows; quantiles at the middles of equal shares, of columns by ranks alone."""
        quantiles = torch.zeros(min(QUANTILES, len(x)), x.shape[1])
        shares = (torch.arange(len(quantiles), dtype=torch.float64) + 0.5) / len(quantiles)
        forms = ColumnForms.of(fitted)
        for place, (tokens, levels) in enumerate(zip(forms.tokens, forms.levels, strict=True)):
            there = x[~x[:, place].isnan(), place]
            if tokens and not levels and len(there):
                quantiles[:, place] = there.sort().values[(shares * len(there)).floor().long()]
        return cls(*observed_moments(x), quantiles)

    def rank(self, place: int, own: Tensor) -> Tensor:
        """The shares of the training rows below encoded values of a column, half of those equal to them counted."""
        knots, own = self.quantiles[:, place].contiguous(), own.contiguous()
        both = torch.searchsorted(knots, own) + torch.searchsorted(knots, own, right=True)
        return both.float() / (2 * len(knots))


def points(fitted: Fitted, x: Tensor, units: Units, squashed: bool = False) -> Points:
    """Encoded rows as points. Of two of them Σ (a − b)² over the axes is a sum over columns:

    of a number ((a − b) / deviation)²; of levels 0 or 1 for the same or another; of a column by ranks the squared difference of
    the ranks in [0, 1], and 1 more where one of the values lies beside all those that were learned from. Indicators of gaps
    are no columns of their own. squashed: of a number u in deviations sign(u) log(1 + |u|). Gower, 1971, with squares.
    """
    forms = ColumnForms.of(fitted)
    indicators = {indicator for indicator, _ in forms.indicators}
    columns = [place for place in range(len(forms.tokens)) if place not in indicators]
    numbers = [place for place in columns if not forms.tokens[place]]
    axes = ((x[:, numbers] - units.centre[numbers].float()) / units.spread[numbers].float()).clamp(-FURTHEST, FURTHEST)
    made = [slog(axes) if squashed else axes]
    owners = [columns.index(place) for place in numbers]
    for number, place in enumerate(columns):
        if forms.tokens[place]:
            made.append(_named(x[:, place : place + 1], place, forms, units))
            owners += [number] * made[-1].shape[1]
    there = (~x[:, columns].isnan()).float()
    owner = torch.tensor(owners)
    at = torch.cat(made, 1).float()
    return Points(torch.where(there[:, owner] > 0, at, 0.0), there, owner)


def _named(own: Tensor, place: int, forms: ColumnForms, units: Units) -> Tensor:
    """The axes of a column of levels or tokens, [rows, 1] → [rows, axes]."""
    tokens = forms.tokens[place]
    if forms.levels[place]:
        same: Tensor = own.floor() == torch.arange(tokens)
        return same.float() * math.sqrt(0.5)
    beside = own >= tokens - 1
    rank = torch.where(beside, own - (tokens - 1), units.rank(place, own))
    return torch.cat((rank, beside.float()), 1)


def squared(a: Points, b: Points) -> Tensor:
    """Squared distances of rows to candidates, [rows, candidates], float64; a [rows], b [rows, candidates] of points each.

    Of n columns that both have observed, of D in all, the sum over these times D / n; infinite where n = 0.
    """
    both = a.there[:, None] * b.there
    apart = (a.at[:, None] - b.at).double().square() * both[..., a.owner]
    count = both.double().sum(-1)
    return torch.where(count > 0, apart.sum(-1) * a.there.shape[1] / count, torch.inf)


class Against:
    """Kept points, laid out so that the squared distances of a block of rows to all of them are one product of matrices.

    count: how many there are; beyond them points of which nothing is observed fill up the last block, infinitely far from all.
    """

    def __init__(self, kept: Points) -> None:
        self.count = len(kept.at)
        self.whole = kept.whole
        short = -self.count % BLOCK
        self.kept = Points(_filled(kept.at, short), _filled(kept.there, short), kept.owner)
        self.norms = self.kept.at.square().sum(1)
        self.norms[self.count :] = torch.inf
        self.axes = self.kept.at.T.contiguous()
        self.columns = kept.there.shape[1]
        self.by_column = torch.cat((self.kept.there, self._squares(self.kept), self.kept.at), 1).T.contiguous()
        self.scratch = torch.empty(0)  # fresh memory for every block would cost more than the product itself

    def roughly(self, rows: Points) -> Tensor:
        """[rows, kept], float32, up to what rounding and, without gaps, a constant of each row add; valid until the next."""
        if len(self.scratch) != len(rows.at):
            self.scratch = torch.empty(len(rows.at), len(self.norms))
        if self.whole and rows.whole:
            return torch.addmm(self.norms, rows.at, self.axes, alpha=-2, out=self.scratch)
        left = torch.cat((self._squares(rows), rows.there, -2 * rows.at), 1)
        apart = torch.mm(left, self.by_column, out=self.scratch)
        count = rows.there @ self.kept.there.T
        return torch.where(count > 0, apart.mul_(self.columns).div_(count), torch.inf)

    def _squares(self, points: Points) -> Tensor:
        """Σ a² over the axes of each column, [points, columns]."""
        return torch.zeros(len(points.at), self.columns).index_add(1, points.owner, points.at.square())


def _filled(values: Tensor, short: int) -> Tensor:
    return torch.cat((values, values.new_zeros(short, values.shape[1])))
