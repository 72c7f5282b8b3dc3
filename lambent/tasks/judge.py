"""judge: how good synthetic rows of a table are, beside what proves nothing, and whether they may be shared."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.data.kinds.table import Table
from lambent.data.readers.frames import Columns
from lambent.errors import DataError, UsageError, nearest
from lambent.metrics.tables import baselines, detection, fidelity, privacy
from lambent.metrics.tables.coded import Coded, Rows, coded
from lambent.seeds import stream
from lambent.tasks import beside
from lambent.tasks.judgement import ColumnJudged, Judgement, Measured, PairJudged
from lambent.tasks.sharing import answered

LEAST = 20  # rows of a table, below which nothing can be said of it
DETECTED = 20_000  # rows of either side that the detector sees
NEAR = 2000  # rows whose nearest neighbours are looked for


def judge(
    real: Any,
    synthetic: Any,
    holdout: Any = None,
    target: str | None = None,
    seed: int = 0,
    leave_out: Sequence[str] = (),
    categories: Sequence[str] = (),
) -> Judgement:
    """Judge synthetic rows against the real ones that they were made from.

    real, synthetic: a CSV or Parquet path, a data frame, or an array, with columns of the same names. holdout: real rows that
    were not trained on; without them nobody can tell a leak from chance, and whether the rows may be shared stays unknown.
    target: a column to predict from the others, learned from synthetic rows and judged on real ones. seed: of every draw.
    leave_out: columns that are not compared, as names and keys. categories: columns of numbers that are names, as zip codes are.
    Errors: `DataError` for tables without a column in common or with fewer than 20 rows, `UsageError` for an unknown target.
    """
    given = [table for table in (real, synthetic, holdout) if table is not None]
    opened = [_opened(table) for table in given]
    found = coded(opened, leave_out, categories)
    names = [column.name for column in found.columns]
    if target is not None and target not in names:
        raise UsageError(f"target {target!r}: is no column that these tables share; {nearest(target, names)}")
    return _Judging(found, target, seed).judged()


def _opened(table: Any) -> Columns:
    columns = table if isinstance(table, Columns) else Table().open(table)
    if len(columns) < LEAST:
        raise DataError(f"{columns.origin}: {len(columns)} rows are too few to be judged; {LEAST} at least")
    return columns


class _Judging:
    """One judgement while it is made: the coded tables, and the same draws for all that is measured."""

    def __init__(self, found: Coded, target: str | None, seed: int) -> None:
        self.found, self.target, self.seed = found, target, stream(seed, "judge") % 2**32
        self.categories = found.categories
        self.real, self.synthetic, *rest = found.tables
        self.unseen: Rows | None = rest[0] if rest else None
        size = len(self.synthetic)
        self.beside: dict[str, Rows] = {
            "independent": baselines.independent(self.real, size, self.random("independent")),
            "bootstrap": baselines.bootstrap(self.real, size, self.random("bootstrap")),
        }
        if self.unseen is not None:
            self.beside["unseen"] = self.unseen

    def random(self, purpose: str) -> np.random.Generator:
        """A stream of its own for each purpose."""
        return np.random.default_rng([self.seed, *purpose.encode()])

    def drawn(self, rows: Rows, most: int) -> Rows:
        """At most so many of the rows, the same at every call."""
        if len(rows) <= most:
            return rows
        return rows[self.random("rows").permutation(len(rows))[:most]]

    def judged(self) -> Judgement:
        shapes = fidelity.shape(self.real, self.synthetic, self.categories)
        trends = fidelity.trend(self.real, self.synthetic, self.categories)
        told = self.told(self.synthetic, self.real)
        metrics = self.likeness(shapes, trends) | self.detected(told) | self.used() | self.private()
        rows = {"real": len(self.real), "synthetic": len(self.synthetic)}
        rows |= {} if self.unseen is None else {"unseen": len(self.unseen)}
        shared, remarks = answered(metrics)
        tables = [self.drawn(rows, DETECTED) for rows in (self.real, self.synthetic)]
        first, second = (fidelity.association(table[:, : beside.PAIRED], self.categories) for table in tables)
        columns, pairs = self.by_column(shapes, told.drops), self.by_pair(trends)
        left_out = self.found.left_out
        told_apart = (first, second)
        return Judgement(metrics, columns, pairs, rows, left_out, self.target, shared, remarks, told_apart, self.found)

    def likeness(self, shapes: NDArray[np.float64], trends: NDArray[np.float64]) -> dict[str, Measured]:
        every = {
            name: (
                float(np.nanmean(fidelity.shape(self.real, rows, self.categories))),
                fidelity.mean_of_pairs(fidelity.trend(self.real, rows, self.categories)),
            )
            for name, rows in self.beside.items()
        }
        ruler = privacy.Ruler.of(self.real, self.categories)
        near, every_table = self.drawn(self.real, NEAR), self.beside | {"synthetic": self.synthetic}
        few = min(NEAR, *map(len, every_table.values()))  # of each as many: more rows cover more
        covered = {name: privacy.coverage(ruler, near, self.drawn(rows, few)) for name, rows in every_table.items()}
        return {
            "shape": Measured(
                float(np.nanmean(shapes)),
                "how alike the values of single columns are: 1 − KS or total variation, the mean (the Shape of sdmetrics)",
                "higher",
                {name: pair[0] for name, pair in every.items()},
            ),
            "trend": Measured(
                fidelity.mean_of_pairs(trends),
                "how alike pairs of columns hang together, the mean over the pairs (the Trend of sdmetrics)",
                "higher",
                {name: pair[1] for name, pair in every.items()},
            ),
            "coverage": Measured(
                covered.pop("synthetic"),
                "the share of real rows that have a synthetic row among their nearest",
                "higher",
                covered,
            ),
        }

    def told(self, rows: Rows, real: Rows) -> detection.Detection:
        rows, real = self.drawn(rows, DETECTED), self.drawn(real, DETECTED)
        return detection.told_apart(real, rows, self.categories, self.seed)

    def detected(self, told: detection.Detection) -> dict[str, Measured]:
        meaning = "AUROC of boosted trees at telling synthetic rows from {}: ½ cannot, 1 always"
        beside = {name: self.told(rows, self.real).auc for name, rows in self.beside.items()}
        training = meaning.format("the real ones that they were made from")
        found = {"detection": Measured(told.auc, training, "half", beside, told.error)}
        if self.unseen is not None:
            other = self.told(self.synthetic, self.unseen)
            beside = {name: self.told(rows, self.unseen).auc for name, rows in self.beside.items() if name != "unseen"}
            words = meaning.format("real ones that were not trained on, where copies gain nothing")
            found["detection_unseen"] = Measured(other.auc, words, "half", beside, other.error)
        return found

    def used(self) -> dict[str, Measured]:
        """What is learned from synthetic rows beside what is learned from real ones, both judged on real ones."""
        if self.target is None:
            return {}
        place = self.found.index(self.target)
        real, judged_on = self.real, self.unseen
        if judged_on is None:  # a fifth of the real rows, which the synthetic ones may know
            order = self.random("target").permutation(len(real))
            judged_on, real = real[order[: len(real) // 5]], real[order[len(real) // 5 :]]
        tables = {"real": real, "independent": self.beside["independent"], "bootstrap": self.beside["bootstrap"]}

        def score(rows: Rows) -> float:
            return detection.predicted(rows, judged_on, place, self.categories, self.seed)

        classes = detection.are_classes(real[:, place], bool(self.categories[place]))
        unit = "AUROC" if classes else "R²"
        on = "unseen real rows" if self.unseen is not None else "real rows, which the synthetic ones may have seen"
        meaning = f"{unit} of {self.target!r} on {on}, learned from synthetic rows (beside: from real ones)"
        return {"use": Measured(score(self.synthetic), meaning, "higher", {n: score(t) for n, t in tables.items()})}

    def private(self) -> dict[str, Measured]:
        ruler = privacy.Ruler.of(self.real, self.categories)
        every = {"synthetic": self.synthetic} | {n: t for n, t in self.beside.items() if n != "independent"}
        same = {name: privacy.copies(rows, self.real) for name, rows in every.items()}
        near = {name: self.drawn(rows, NEAR) for name, rows in every.items()}
        close = {name: privacy.closeness(ruler, rows, self.real) for name, rows in near.items()}
        median, ratio = ({name: getattr(one, of) for name, one in close.items()} for of in ("median", "ratio"))
        copied = "the share of rows that are copies of a training row"
        error = None if self.unseen is None else _of_difference(same, len(self.synthetic), len(self.unseen))
        found = {
            "copies": Measured(same.pop("synthetic"), copied, "lower", same, error),
            "closest": Measured(
                median.pop("synthetic"),
                "median distance to the closest training row, from 0 to 1 (Gower, numbers by rank)",
                "higher",
                median,
            ),
            "closest_ratio": Measured(
                ratio.pop("synthetic"), "the same over the distance to the second closest", "higher", ratio
            ),
        }
        return found | self.leaking(ruler, near)

    def leaking(self, ruler: privacy.Ruler, near: dict[str, Rows]) -> dict[str, Measured]:
        """What needs real rows that were not trained on: no more can leak of these than chance has it."""
        if self.unseen is None:
            return {}
        unseen, rows = self.unseen, near["synthetic"]
        share = privacy.nearer(ruler, rows, self.real, unseen, self.random("nearer"))
        copied = privacy.nearer(ruler, near["bootstrap"], self.real, unseen, self.random("nearer"))
        members, others = self.drawn(self.real, NEAR), near["unseen"]
        attack = privacy.attacked(ruler, self.synthetic, members, others)
        worst = privacy.attacked(ruler, self.beside["bootstrap"], members, others)
        return {
            "nearer_training": Measured(
                share,
                "the share of rows that are nearer to a training row than to an unseen one, of as many",
                "half",
                {"bootstrap": copied},
                float(np.sqrt(0.25 / len(rows))),
            ),
            "membership": Measured(
                attack.auc,
                "AUROC of guessing from the distance to the closest synthetic row who was trained on",
                "half",
                {"bootstrap": worst.auc},
                attack.error,
            ),
            "membership_advantage": Measured(
                attack.advantage,
                "the share of training rows that this guess finds, less that of unseen rows that it takes for such",
                "lower",
                {"bootstrap": worst.advantage},
                2 * attack.error,
            ),
        }

    def by_column(self, shapes: NDArray[np.float64], drops: NDArray[np.float64]) -> list[ColumnJudged]:
        gaps = [np.isnan(rows).mean(0) for rows in (self.real, self.synthetic)]
        return [
            ColumnJudged(
                column.name, column.kind, float(shapes[j]), (float(gaps[0][j]), float(gaps[1][j])), float(drops[j])
            )
            for j, column in enumerate(self.found.columns)
        ]

    def by_pair(self, trends: NDArray[np.float64]) -> list[PairJudged]:
        names = [column.name for column in self.found.columns]
        pairs = [
            PairJudged(names[j], names[i], float(trends[i, j]))
            for i in range(len(names))
            for j in range(i)
            if not np.isnan(trends[i, j])
        ]
        return sorted(pairs, key=lambda pair: pair.trend)


def _of_difference(shares: dict[str, float], rows: int, unseen: int) -> float:
    """The standard error of a difference of two shares, were they the same: √(p(1 − p)(1/n + 1/m)) with p over both tables."""
    both = (shares["synthetic"] * rows + shares["unseen"] * unseen) / (rows + unseen)
    return float(np.sqrt(both * (1 - both) * (1 / rows + 1 / unseen)))
