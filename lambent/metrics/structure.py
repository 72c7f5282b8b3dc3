"""Whether the values of a row tell of each other: what a code could be about. Plain functions, without any model."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

MOST_COLUMNS = 128
FEWEST_ROWS = 20  # rows below which nothing can be told
SURE = 3.0  # standard errors that make a finding


class Structure(NamedTuple):
    """How far columns hang together, on rows that nothing was fitted to.

    gain, gain_error: nats a row by which a Gaussian with all covariances beats one without, of columns at unit scale. told,
    told_error: the share of rows that a classifier tells from rows whose columns were shuffled by themselves, ½ by chance. alike:
    whether all rows are equal.
    """

    gain: float
    gain_error: float
    told: float
    told_error: float
    alike: bool = False

    @property
    def found(self) -> bool:
        """Whether either says so beyond SURE of its standard errors."""
        return not self.alike and (
            self.gain > SURE * self.gain_error or self.told - 0.5 > SURE * max(self.told_error, 1e-12)
        )


def structure(halves: tuple[tuple[Numbers, Numbers], tuple[Numbers, Numbers]], seed: int = 0) -> Structure | None:
    """Of two halves of rows [rows, columns], each beside the same with its columns shuffled; None where they are too few.

    Each half was shuffled by itself: a value that was seen in the other would give its rows away. Both parts are fitted to one
    half and judged by the other, in turn. The covariance is that of Ledoit & Wolf, A
    Well-Conditioned Estimator for Large-Dimensional Covariance Matrices, 2004, which is diagonal where columns are independent;
    the classifier is one of random trees, which see what is not linear, too (Geurts, Ernst & Wehenkel, Extremely
    Randomized Trees, 2006). Gaps (NaN) stand at their column's mean.
    """
    if min(len(rows) for rows, _ in halves) < FEWEST_ROWS // 2:
        return None
    halves = tuple((_whole(rows), _whole(mixed)) for rows, mixed in halves)  # type: ignore[assignment]
    varied = np.flatnonzero(np.concatenate([rows for rows, _ in halves]).std(0) > 1e-9)
    if not len(varied):
        return Structure(0.0, 0.0, 0.5, 0.0, alike=True)
    if len(varied) > MOST_COLUMNS:
        varied = np.sort(np.random.default_rng(seed).permutation(varied)[:MOST_COLUMNS])
    first, second = ((rows[:, varied], mixed[:, varied]) for rows, mixed in halves)
    gains, right = [], []
    for own, other in ((first, second), (second, first)):
        gains.append(_gain(own[0], other[0]))
        right.append(_told(*own, *other, seed))
    gain, told = np.concatenate(gains), np.concatenate(right)
    return Structure(float(gain.mean()), _error(gain), float(told.mean()), _error(told))


def _error(values: Numbers) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def _whole(rows: Numbers) -> Numbers:
    gaps = np.isnan(rows)
    if not gaps.any():
        return rows
    there = np.maximum((~gaps).sum(0), 1)
    return np.where(gaps, np.nansum(rows, 0) / there, rows)


def _gain(own: Numbers, other: Numbers) -> Numbers:
    """log N(x; m, Σ) − log N(x; m, diag Σ) of the other rows, [rows]."""
    from sklearn.covariance import LedoitWolf

    centre, scale = own.mean(0), np.maximum(own.std(0), 1e-6)
    # A value that no row of its half came near would decide everything by itself.
    own, other = (np.clip((each - centre) / scale, -5, 5) for each in (own, other))
    found = LedoitWolf(assume_centered=True).fit(own).covariance_
    alone = np.diag(found)
    _, log_volume = np.linalg.slogdet(found)
    together = np.einsum("ij,ij->i", other @ np.linalg.inv(found), other) + log_volume
    apart = (other**2 / alone).sum(1) + np.log(alone).sum()
    return np.asarray(0.5 * (apart - together))


def _told(own: Numbers, own_shuffled: Numbers, other: Numbers, other_shuffled: Numbers, seed: int) -> Numbers:
    """Whether each of the other rows, real or shuffled, is told for what it is, [2 · rows]: 0 or 1."""
    from sklearn.ensemble import ExtraTreesClassifier

    # Columns by themselves are the same on both sides, so that no first split tells anything: trees must split all the same.
    judge = ExtraTreesClassifier(100, min_samples_leaf=3, random_state=seed)
    judge.fit(np.concatenate((own, own_shuffled)), np.repeat([1, 0], [len(own), len(own_shuffled)]))
    said = judge.predict(np.concatenate((other, other_shuffled)))
    return np.asarray(said == np.repeat([1, 0], [len(other), len(other_shuffled)]), dtype=np.float64)
