"""Judgement: what was measured of synthetic rows, each number with its meaning and its baselines, and what follows from it."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lambent.metrics.tables.coded import Coded
from lambent.tasks.sections import Remark

MOST_PAIRS = 100

Direction = Literal["higher", "lower", "half"]


@dataclass(frozen=True)
class Measured:
    """A number with its meaning, which way is better, and the same number for what it has to be seen beside.

    better: "higher", "lower", or "half": the nearer to ½. beside: "independent" (each column drawn by itself), "bootstrap"
    (copies of training rows), "unseen" (real rows that were not trained on), as far as each makes sense. error: a standard error.
    """

    value: float
    meaning: str
    better: Direction
    beside: dict[str, float] = field(default_factory=dict)
    error: float | None = None


@dataclass(frozen=True)
class ColumnJudged:
    """One column: how alike its values are (`fidelity.shape`), the gaps, and what the detector's AUC loses without it."""

    name: str
    kind: str
    shape: float
    gaps: tuple[float, float]  # of the real rows, and of the synthetic ones
    drop: float


@dataclass(frozen=True)
class PairJudged:
    """Two columns and how alike they hang together (`fidelity.trend`)."""

    first: str
    second: str
    trend: float


@dataclass(frozen=True)
class Judgement:
    """What was measured, by name; column by column and, the worst first, pair by pair; and whether the rows may be shared.

    rows: how many there were of "real", "synthetic", and "unseen" (real rows that were not trained on). shared: "yes" where no
    measure speaks against it, "no", or "unknown". remarks: why, each with its evidence.
    """

    metrics: dict[str, Measured]
    columns: list[ColumnJudged]
    pairs: list[PairJudged]
    rows: dict[str, int]
    left_out: tuple[str, ...]
    target: str | None
    shared: Literal["yes", "no", "unknown"]
    remarks: list[Remark]
    associations: tuple[NDArray[np.float64], NDArray[np.float64]] = field(repr=False, compare=False)
    coded: Coded = field(repr=False, compare=False)

    def plain(self) -> dict[str, Any]:
        """As JSON; of the pairs the worst hundred."""
        names = ("metrics", "columns", "pairs", "remarks")
        listed = {name: getattr(self, name) for name in names}
        found: dict[str, Any] = {"shared": self.shared, "rows": self.rows, "target": self.target}
        found["metrics"] = {name: asdict(one) for name, one in self.metrics.items()}
        listed["pairs"] = self.pairs[:MOST_PAIRS]
        for name in names[1:]:
            found[name] = [asdict(one) for one in listed[name]]
        return found | {"left_out": list(self.left_out)}
