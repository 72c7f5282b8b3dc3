"""Blend: how poorly a model describes a row, and how far the nearest training row is: the default of tables."""

from typing import Self

from torch import Tensor

from lambent.fitted import Fitted, Rows
from lambent.part import option
from lambent.tasks.detection.scores.base import Score, want_columns
from lambent.tasks.detection.scores.coordinates import Units, slog
from lambent.tasks.detection.scores.members import described
from lambent.tasks.detection.scores.nearest import KEPT, distances, sampled_places, units_of
from lambent.tasks.detection.scores.usual import unusual, usual

DISTANCES = {"distance": False, "squashed": True}  # by name, whether numbers are squashed
LEARNED = 20_000  # training rows from which is learned what is usual, at most


class Blend(Score):
    """A sum over three readings of a row of slog(how unusual each is among the training rows), slog(u) = sign(u) log(1 + |u|).

    The readings: what a member of the model needs to describe the row, −log p(x | μ(x)) + KL; the distance to the nearest
    training row (see Nearest), and the same with numbers squashed. Each as u = (reading − median) / (interquartile range / 1.349)
    over the training rows, whose distances leave each itself out; of members the mean of slog(u).

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
        "training rows are read by the distance to the k-th nearest", default=3, minimum=1, maximum=100
    )
    most: int = option("training rows that are kept, at most", default=KEPT, minimum=2, maximum=100_000)

    def learn(self, fitted: Fitted, rows: Rows) -> Self:
        places = sampled_places(rows.x, max(LEARNED, self.most))
        learned, kept = rows.at(places), rows.at(places[: self.most])
        needed = described(fitted, learned)
        self.kept = {"rows": kept.x.float().clone()} | Units.learned(fitted, rows.x)._asdict() | usual("needed", needed)
        worst = self._robust(unusual(self.kept, "needed", needed[:, : len(kept)])).mean(0)
        best = max(2, round((1 - self.trim) * len(kept)))
        # Of equal ones the first, in an order that content decides.
        self.kept["typical"] = worst.sort(stable=True).indices[:best].sort().values
        for name, squashed in DISTANCES.items():
            self.kept |= usual(name, self._distance(fitted, kept, squashed))
            typical = self._distance_to_typical(fitted, kept.at(self.kept["typical"]), squashed)
            self.kept |= usual(f"typical_{name}", typical)
        return self

    def forward(self, fitted: Fitted, rows: Rows) -> Tensor:
        self.known("rows")
        found = slog(self._plain(unusual(self.kept, "needed", described(fitted, rows)))).mean(0)
        for name, squashed in DISTANCES.items():
            found = found + slog(unusual(self.kept, name, self._distance(fitted, rows, squashed)))
        return found

    def seen(self, fitted: Fitted, rows: Rows) -> Tensor:
        self.known("rows")
        found = slog(self._robust(unusual(self.kept, "needed", described(fitted, rows)))).mean(0)
        for name, squashed in DISTANCES.items():
            distance = self._distance_to_typical(fitted, rows, squashed)
            found = found + slog(unusual(self.kept, f"typical_{name}", distance))
        return found

    def refuse(self, fitted: Fitted) -> None:
        want_columns(fitted, "Blend")

    def _plain(self, members: Tensor) -> Tensor:
        """The members that left no rows out."""
        return members[: self.untrimmed] if self.untrimmed else members

    def _robust(self, members: Tensor) -> Tensor:
        """The members that left the worst rows out."""
        return members[self.untrimmed :] if self.untrimmed < len(members) else members

    def _distance(self, fitted: Fitted, rows: Rows, squashed: bool) -> Tensor:
        return distances(fitted, rows.x, self.known("rows"), units_of(self), squashed=squashed)

    def _distance_to_typical(self, fitted: Fitted, rows: Rows, squashed: bool) -> Tensor:
        kept = self.known("rows")[self.known("typical")]
        return distances(fitted, rows.x, kept, units_of(self), self.neighbour, squashed)
