"""Readers: what is learned of a label from features, by all labelled rows and by few; one way for classes, one for numbers."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.errors import DataError, UsageError
from lambent.metrics.intervals import WIDE, Interval, difference, explained, of_draws, share
from lambent.metrics.probe import Probe
from lambent.seeds import stream
from lambent.tasks.features.labels import Labels

NEIGHBOURS = 10
DRAWS = 10  # of the few labelled rows
TIMES = 10  # of few numbers so many times as many rows as of a class
STRENGTHS = np.logspace(-3, 5, 17)  # of the ridge, of which cross-validation chooses one
LINEAR, NEAREST = "linear", "neighbours"

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Outcome:
    """What was read from one space: with all labels by reader, and by the linear one from few of them, by how many.

    units: its width. hits: by reader, of each test row whether it was told right, or the square of the error over the variance.
    """

    units: int
    readers: Mapping[str, Interval]
    few: Mapping[int, Interval]
    hits: Mapping[str, NDArray[Any]] = field(repr=False)

    @property
    def linear(self) -> Interval:
        """By the linear reader."""
        return self.readers[LINEAR]

    @property
    def neighbours(self) -> Interval:
        """By nearest neighbours."""
        return self.readers[NEAREST]

    def plain(self) -> dict[str, Any]:
        """The same as dicts of names and numbers."""
        return {
            "units": self.units,
            **{name: found._asdict() for name, found in self.readers.items()},
            "few": {str(count): found._asdict() for count, found in self.few.items()},
        }


def apart(first: Outcome, second: Outcome) -> dict[str, Interval]:
    """By reader, how much more the first tells than the second, over the same test rows."""
    return {name: difference(first.hits[name], second.hits[name]) for name in first.hits}


class Reading(ABC):
    """How labels are read: learned from some rows, tested on others."""

    def __init__(self, known: Labels, tested: Labels, few: Sequence[int], neighbours: int, seed: int) -> None:
        if neighbours < 1 or any(count < 1 for count in few):
            raise UsageError("neighbours and few labels are counted from 1")
        self.known, self.tested, self.seed = known, tested, seed
        self.neighbours = min(neighbours, len(known))
        self.notes: list[str] = []
        self.few = self._enough(sorted(set(few)))

    @property
    @abstractmethod
    def chance(self) -> float:
        """What is reached without looking at a row."""

    @abstractmethod
    def outcome(self, features: Features, held: Features) -> Outcome:
        """What is read from features [n, d] of rows that are learned from, on those of the rows that are not."""

    @abstractmethod
    def _enough(self, few: Sequence[int]) -> list[int]:
        """The numbers of few labels for which there are rows; what is left out goes into the notes."""


class Classes(Reading):
    """Classes: logistic regression, and a vote of nearest neighbours."""

    def __init__(self, known: Labels, tested: Labels, few: Sequence[int], neighbours: int, seed: int) -> None:
        self.counts = np.bincount(known.values, minlength=len(known.classes))
        super().__init__(known, tested, few, neighbours, seed)
        if (self.counts > 0).sum() < 2:
            raise DataError(f"all rows that are learned from have the same {known.name}: there is nothing to tell")

    @property
    def chance(self) -> float:
        return float((self.tested.values == self.counts.argmax()).mean())

    def outcome(self, features: Features, held: Features) -> Outcome:
        from sklearn.neighbors import KNeighborsClassifier

        nearest = KNeighborsClassifier(self.neighbours).fit(features, self.known.values)
        told = {
            LINEAR: Probe(features, self.known.values, seed=self.seed).told(held),
            NEAREST: nearest.predict(held),
        }
        hits = {name: values == self.tested.values for name, values in told.items()}
        scaled, others = evened(features, held)
        few = {count: self._of_few(scaled, others, count) for count in self.few}
        return Outcome(features.shape[1], {name: share(own) for name, own in hits.items()}, few, hits)

    def _of_few(self, features: Features, held: Features, count: int) -> Interval:
        """The same draws of labelled rows for every space."""
        random, shares = np.random.default_rng(stream(self.seed, "labels of few")), []
        for _ in range(DRAWS):
            mixed = random.permutation(len(self.known))
            own = self.known.values[mixed]
            drawn = np.concatenate([mixed[own == label][:count] for label in np.unique(own)])
            told = Probe(features[drawn], self.known.values[drawn], few=True).told(held)
            shares.append(float((told == self.tested.values).mean()))
        return of_draws(np.array(shares), len(held))

    def _enough(self, few: Sequence[int]) -> list[int]:
        least = int(self.counts[self.counts > 0].min())
        if out := [count for count in few if count > least]:
            wanted = " or ".join(map(str, out))
            self.notes.append(f"not every class has {wanted} rows to learn from: the rarest has {least:,}")
        return [count for count in few if count <= least]


class Numbers(Reading):
    """Numbers: ridge regression, and the mean of nearest neighbours."""

    @property
    def chance(self) -> float:
        return 0.0

    def outcome(self, features: Features, held: Features) -> Outcome:
        from sklearn.neighbors import KNeighborsRegressor

        truth = self.tested.values
        nearest = KNeighborsRegressor(self.neighbours).fit(features, self.known.values)
        told = {LINEAR: self._ridge(features, self.known.values, held, True), NEAREST: nearest.predict(held)}
        readers = {name: explained(truth, values, self.seed) for name, values in told.items()}
        hits = {name: 1 - np.square(truth - values) / truth.var() for name, values in told.items()}
        scaled, others = evened(features, held)
        few = {count: self._of_few(scaled, others, count) for count in self.few}
        return Outcome(features.shape[1], readers, few, hits)

    def _ridge(self, features: Features, values: NDArray[Any], held: Features, scaled: bool) -> NDArray[np.float64]:
        from sklearn.linear_model import RidgeCV
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler(with_mean=scaled, with_std=scaled)
        return np.asarray(make_pipeline(scaler, RidgeCV(STRENGTHS)).fit(features, values).predict(held), np.float64)

    def _of_few(self, features: Features, held: Features, count: int) -> Interval:
        random, found, truth = np.random.default_rng(stream(self.seed, "labels of few")), [], self.tested.values
        for _ in range(DRAWS):
            drawn = random.permutation(len(self.known))[:count]
            told = self._ridge(features[drawn], self.known.values[drawn], held, False)
            found.append(1 - float(np.square(truth - told).mean() / truth.var()))
        values = np.array(found)
        error = WIDE * float(values.std(ddof=1)) / DRAWS**0.5
        return Interval(float(values.mean()), float(values.mean()) - error, float(values.mean()) + error)

    def _enough(self, few: Sequence[int]) -> list[int]:
        wanted = [TIMES * count for count in few]
        if out := [count for count in wanted if count > len(self.known)]:
            self.notes.append(f"there are fewer than {' or '.join(map(str, out))} rows to learn from")
        return [count for count in wanted if count <= len(self.known)]


def reading_of(known: Labels, tested: Labels, few: Sequence[int], neighbours: int, seed: int) -> Reading:
    """The reading that suits the labels. Errors: `DataError` for labels that are all alike."""
    if not known.numeric:
        return Classes(known, tested, few, neighbours, seed)
    if not known.values.std() or not tested.values.std():
        raise DataError(f"the numbers of {known.name} are all alike: there is nothing to tell")
    return Numbers(known, tested, few, neighbours, seed)


def evened(features: Features, held: Features) -> tuple[Features, Features]:
    """Both about the mean of the first and by one scale, so that the mean variance is 1 and distances keep their proportions.

    Few rows tell nothing of a deviation of their own, and a unit that is dead stays small.
    """
    centre, scale = features.mean(0), float(np.sqrt(features.var(0).mean())) or 1.0
    return (features - centre) / scale, (held - centre) / scale
