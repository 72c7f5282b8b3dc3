"""The curves of a training as the rules of the verdict read them: what should rise, and how unquiet it is.

The rules compare differences of bounds with the bound's own size, max(|ELBO|, KL, 1 nat), of a table that of the scaled
rows, whatever the units of its columns: an ELBO of a density can lie
near zero, where a share of the ELBO alone would mean nothing. Where there is no ELBO, minus the loss takes its place. A number
that is said is one that the page shows, the last of a curve; medians only decide.
"""

import math
import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from lambent.report.run.findings import Findings
from lambent.report.run.lookup import finite, last

Column = list[float | None]


class Curves(NamedTuple):
    """What should rise, for training and validation, by epoch, with its name."""

    name: str
    train: Column
    held: Column

    def until(self, epoch: int) -> "Curves":
        """The curves as they were after so many epochs."""
        return Curves(self.name, self.train[:epoch], self.held[:epoch])


def curves(findings: Findings) -> Curves:
    """The ELBO, or minus the loss where there is none; nothing for a loss against a rival, which rises and falls with it."""
    train, held = findings.series("elbo"), findings.series("validation_elbo")
    if not findings.autoencoder and any(last(values) is not None for values in (train, held)):
        return Curves("ELBO", train, held)
    if findings.generator:
        return Curves("score", [], [])
    losses = findings.series("loss"), findings.series("validation_loss")
    return Curves("score (minus the loss)", *([None if v is None else -v for v in column] for column in losses))


def kept_epoch(findings: Findings) -> int:
    """The epoch whose weights the model has, where that is not the last; else 0."""
    return int(finite(findings.training.get("kept_epoch")) or 0)


def size_of(findings: Findings, bound: float) -> float:
    """What differences of bounds are compared with, in nats."""
    return max(abs(bound - findings.slope), findings.metric("kl") or last(findings.series("kl")) or 0.0, 1.0)


def noise(values: Sequence[float | None]) -> float:
    """The usual step from one epoch to the next over the second half that is no trend: the curve's own unrest, in nats.

    The median of |second differences| / √3, which is that of the first ones where the curve is noise, and nought on a line.
    """
    present = [v for v in values if v is not None]
    tail = present[len(present) // 2 :]
    bends = [abs(b - a) for a, b in pairwise(b - a for a, b in pairwise(tail))]
    return statistics.median(bends) / math.sqrt(3) if bends else 0.0


class Trend(NamedTuple):
    """How a curve changed over its last `window` epochs: between its ends, and between medians of three."""

    window: int
    change: float
    steady: float

    @property
    def gain(self) -> float:
        """What both agree to have been gained, in nats."""
        return max(0.0, min(self.change, self.steady))


def trend(values: Sequence[float | None]) -> Trend:
    """Over the last fifth, at least three epochs; of at least two values."""
    present = [v for v in values if v is not None]
    window = min(len(present) - 1, max(3, len(present) // 5))
    steady = statistics.median(present[-3:]) - statistics.median(present[-1 - window :][:3])
    # Of few epochs the medians of both ends share values: the ends then stand for themselves.
    change = present[-1] - present[-1 - window]
    return Trend(window, change, steady if window > 5 else change)
