"""Blend: how poorly a model describes a row, and how far the nearest training row is: the default of tables."""

from typing import Self

import torch
from torch import Tensor

from lambent.fitted import Fitted, Rows
from lambent.part import option
from lambent.tasks.detection.scores.base import Score, want_columns
from lambent.tasks.detection.scores.columns import observed_moments
from lambent.tasks.detection.scores.members import described
from lambent.tasks.detection.scores.nearest import KEPT, distances, sampled_places

LEARNED = 20_000  # training rows from which is learned what is usual, at most
IQR_OF_GAUSSIAN = 1.349


class Blend(Score):
    """Σ over two readings of a row of slog(how unusual it is among the training rows), slog(u) = sign(u) log(1 + |u|).

    The readings: what a member of the model needs to describe the row, −log p(x | μ(x)) + KL, and the distance to the nearest
    training row (see Nearest). Each as u = (reading − median) / (interquartile range / 1.349) over the training rows, whose
    distances leave each itself out; slog(u) is averaged over members.

    New rows are read by the members that left no rows out in training (the first `untrimmed`; of none that do, all), and
    compared with all kept rows. Training rows may be odd themselves, and alike: they are read by the members that left the worst
    out, and compared with the rows that these keep, by the distance to the `neighbour`-th nearest of them.
    """

    no_paper = "found by measurement: see the page of the benchmarks"

    untrimmed: int = option(
        "the first so many members left no rows out in training, and read new rows; 0: all read all rows",
        default=0,
        minimum=0,
        maximum=1000,
    )
    trim: float = option(
        "share of the kept rows, the worst described, that training rows are not compared with",
        default=0.3,
        minimum=0,
        below=1,
    )
    neighbour: int = option(
        "training rows are read by the distance to the k-th nearest", default=5, minimum=1, maximum=100
    )
    most: int = option("training rows that are kept, at most", default=KEPT, minimum=2, maximum=100_000)

    def learn(self, fitted: Fitted, rows: Rows) -> Self:
        places = sampled_places(rows.x, max(LEARNED, self.most))
        learned, kept = rows.at(places), rows.at(places[: self.most])
        centre, spread = observed_moments(rows.x)
        needed = described(fitted, learned)
        self.kept = {"rows": kept.x.float().clone(), "centre": centre, "spread": spread} | _usual("needed", needed)
        worst = self._robust(self._unusual("needed", needed[:, : len(kept)])).mean(0)
        best = max(2, round((1 - self.trim) * len(kept)))
        # Of equal ones the first, in an order that content decides.
        self.kept["typical"] = worst.sort(stable=True).indices[:best].sort().values
        self.kept |= _usual("distance", self._distance(fitted, kept))
        typical = kept.at(self.kept["typical"])
        return self._keep(_usual("typical_distance", self._typical_distance(fitted, typical)))

    def forward(self, fitted: Fitted, rows: Rows) -> Tensor:
        members = self._plain(self._unusual("needed", described(fitted, rows)))
        return slog(members).mean(0) + slog(self._unusual("distance", self._distance(fitted, rows)))

    def seen(self, fitted: Fitted, rows: Rows) -> Tensor:
        members = self._robust(self._unusual("needed", described(fitted, rows)))
        return slog(members).mean(0) + slog(self._unusual("typical_distance", self._typical_distance(fitted, rows)))

    def refuse(self, fitted: Fitted) -> None:
        want_columns(fitted, "Blend")

    def _keep(self, more: dict[str, Tensor]) -> Self:
        self.kept |= more
        return self

    def _unusual(self, name: str, reading: Tensor) -> Tensor:
        """How many deviations a reading is beyond the median of the training rows."""
        return (reading - self.known(f"{name}_middle")[..., None]) / self.known(f"{name}_deviation")[..., None]

    def _plain(self, members: Tensor) -> Tensor:
        """The members that left no rows out."""
        return members[: self.untrimmed] if self.untrimmed else members

    def _robust(self, members: Tensor) -> Tensor:
        """The members that left the worst rows out."""
        return members[self.untrimmed :] if self.untrimmed < len(members) else members

    def _distance(self, fitted: Fitted, rows: Rows) -> Tensor:
        return distances(fitted, rows.x, self.known("rows"), self.known("centre"), self.known("spread"))

    def _typical_distance(self, fitted: Fitted, rows: Rows) -> Tensor:
        typical = self.known("rows")[self.known("typical")]
        return distances(fitted, rows.x, typical, self.known("centre"), self.known("spread"), self.neighbour)


def slog(u: Tensor) -> Tensor:
    """sign(u) log(1 + |u|): what is far out counts by its order."""
    return u.sign() * u.abs().log1p()


def _usual(name: str, readings: Tensor) -> dict[str, Tensor]:
    """Median and deviation, by the quartiles, of readings [..., rows]."""
    low, middle, high = readings.quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64), -1)
    # Where half of the readings coincide the quartiles do too.
    least = 1e-3 * readings.std(-1, correction=0) + 1e-9
    return {f"{name}_middle": middle, f"{name}_deviation": ((high - low) / IQR_OF_GAUSSIAN).maximum(least)}
