"""Coordinates: rows of a table as points whose squared distance counts every kind of column rightly, gaps left out."""

from typing import NamedTuple

import torch
from torch import Tensor

from lambent.fitted import Fitted
from lambent.tasks.detection.scores.columns import ColumnForms, observed_moments

FURTHEST = 30.0  # deviations that a number may lie out, so that one cell far away does not hide all others
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

    def pick(self, which: Tensor) -> "Points":
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
    made: list[Tensor] = []
    owners: list[int] = []
    for number, place in enumerate(columns):
        tokens, own = forms.tokens[place], x[:, place : place + 1]
        if not tokens:
            axes = ((own - units.centre[place].float()) / units.spread[place].float()).clamp(-FURTHEST, FURTHEST)
            axes = slog(axes) if squashed else axes
        elif forms.levels[place]:
            axes = (own.floor() == torch.arange(tokens)).float() * 0.5**0.5
        else:
            beside = own >= tokens - 1
            rank = torch.where(beside, own - (tokens - 1), units.rank(place, own))
            axes = torch.cat((rank, beside.float()), 1)
        made.append(axes)
        owners += [number] * axes.shape[1]
    there = (~x[:, columns].isnan()).float()
    owner = torch.tensor(owners)
    at = torch.cat(made, 1).float()
    return Points(torch.where(there[:, owner] > 0, at, 0.0), there, owner)


def squared(a: Points, b: Points) -> Tensor:
    """Squared distances of rows to candidates, [rows, candidates], float64; a [rows], b [rows, candidates] of points each.

    Of n columns that both have observed, of D in all, the sum over these times D / n; infinite where n = 0.
    """
    both = a.there[:, None] * b.there
    apart = (a.at[:, None] - b.at).double().square() * both[..., a.owner]
    count = both.double().sum(-1)
    return torch.where(count > 0, apart.sum(-1) * a.there.shape[1] / count, torch.inf)


class Against:
    """Kept points, laid out so that the squared distances of a block of rows to all of them are one product of matrices."""

    def __init__(self, kept: Points) -> None:
        self.kept = kept
        self.columns = kept.there.shape[1]
        self.square = kept.at.square()
        self.whole = kept.whole
        own = self._by_column(self.square, kept.owner)
        self.right = kept.at.T.contiguous() if self.whole else torch.cat((kept.there, own, kept.at), 1).T.contiguous()
        self.norms = self.square.sum(1)

    def _by_column(self, square: Tensor, owner: Tensor) -> Tensor:
        return torch.zeros(len(square), self.columns).index_add(1, owner, square)

    def roughly(self, rows: Points) -> Tensor:
        """[rows, kept], float32, up to what rounding and, without gaps, a constant for each row add to it."""
        if self.whole and rows.whole:
            return torch.addmm(self.norms, rows.at, self.right, alpha=-2)
        own = self._by_column(rows.at.square(), rows.owner)
        if self.whole:
            there, kept = torch.ones_like(self.kept.there), self.kept
            right = torch.cat((there, self._by_column(self.square, kept.owner), kept.at), 1).T
        else:
            right = self.right
        apart = torch.cat((own, rows.there, -2 * rows.at), 1) @ right
        count = rows.there @ self.kept.there.T
        return torch.where(count > 0, apart * self.columns / count, torch.inf)
