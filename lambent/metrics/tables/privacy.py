"""Privacy: copies, distances to the closest row, and what they tell an attacker about who was in the training rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lambent.metrics.tables.coded import Rows

QUERIES, REFERENCES = 256, 8192  # rows of a block of distances
NEAREST = 5  # neighbours of a real row that make the ball of coverage


def copies(rows: Rows, of: Rows) -> float:
    """The share of rows that occur, cell for cell, among those of another table; a gap equals a gap."""
    return float(np.isin(_keys(rows), _keys(of)).mean()) if len(rows) else np.nan


def _keys(rows: Rows) -> NDArray[np.void]:
    plain = np.ascontiguousarray(np.where(np.isnan(rows), np.nan, rows) + 0.0)  # one NaN, and no −0
    return plain.view(np.dtype((np.void, plain.dtype.itemsize * plain.shape[1]))).ravel()


@dataclass(frozen=True)
class Ruler:
    """Distances between rows, the mean over the columns, from 0 to 1.

    Two numbers are as far apart as the share of the real rows between them, two categories 0 or 1; a gap is 0 from a gap, and
    1 from anything else. Gower, A general coefficient of similarity, 1971, on ranks.
    """

    sorted: tuple[NDArray[np.float64] | None, ...]  # the values of each number in the real rows; None: a category

    @classmethod
    def of(cls, real: Rows, categories: NDArray[np.bool_]) -> "Ruler":
        """The ruler of these real rows."""
        columns = (None if categories[j] else np.sort(real[~np.isnan(real[:, j]), j]) for j in range(real.shape[1]))
        return cls(tuple(columns))

    def placed(self, rows: Rows) -> NDArray[np.float32]:
        """Rows [N, D] with numbers as mid-ranks in [0, 1], gaps as NaN."""
        out = rows.astype(np.float32)
        for j, known in enumerate(self.sorted):
            if known is not None and len(known):
                ends = [np.searchsorted(known, rows[:, j], side) for side in ("left", "right")]
                out[:, j] = np.where(np.isnan(rows[:, j]), np.nan, (ends[0] + ends[1]) / (2 * len(known)))
        return out

    def nearest(self, rows: Rows, among: Rows, k: int = 1) -> NDArray[np.float32]:
        """[N, k]: the distances of each row to its k nearest among others, in rising order; memory does not grow with them."""
        placed, others = self.placed(rows), self.placed(among)
        k = min(k, len(others))
        found = np.full((len(placed), k), np.inf, np.float32)
        for start in range(0, len(placed), QUERIES):
            block = placed[start : start + QUERIES]
            best = found[start : start + QUERIES]
            for begin in range(0, len(others), REFERENCES):
                both = np.concatenate((best, self._between(block, others[begin : begin + REFERENCES])), 1)
                best = np.partition(both, k - 1, 1)[:, :k]
            found[start : start + QUERIES] = np.sort(best, 1)
        return found

    def _between(self, a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
        total = np.zeros((len(a), len(b)), np.float32)
        for j, known in enumerate(self.sorted):
            one, two = a[:, j, None], b[None, :, j]
            gaps = np.isnan(one), np.isnan(two)
            if known is None:
                apart = (one != two).astype(np.float32)
            else:
                apart = np.abs(one - two)
            if gaps[0].any() or gaps[1].any():
                apart = np.where(gaps[0] | gaps[1], gaps[0] != gaps[1], apart)
            total += apart
        return total / np.float32(len(self.sorted))


@dataclass(frozen=True)
class Closeness:
    """Distances of rows to those that were trained on: the median of the closest, and of its ratio to the second closest."""

    median: float
    ratio: float


def closeness(ruler: Ruler, rows: Rows, training: Rows) -> Closeness:
    """Of each row to its closest training row; a ratio of 1 where both distances are 0."""
    found = ruler.nearest(rows, training, 2).astype(np.float64)
    with np.errstate(invalid="ignore"):
        ratios = np.where(found[:, -1] > 0, found[:, 0] / found[:, -1], 1.0)
    return Closeness(float(np.median(found[:, 0])), float(np.median(ratios)))


def nearer(ruler: Ruler, rows: Rows, training: Rows, unseen: Rows, random: np.random.Generator) -> float:
    """The share of rows whose closest row is one of training, not an unseen one, ties counted half: ½ where nothing leaks.

    Both tables are cut to the same number of rows.
    """
    size = min(len(training), len(unseen))
    both = [table[random.permutation(len(table))[:size]] for table in (training, unseen)]
    seen, other = (ruler.nearest(rows, table)[:, 0] for table in both)
    return float((seen < other).mean() + 0.5 * (seen == other).mean())


@dataclass(frozen=True)
class Attack:
    """What an attacker who has only the synthetic rows learns of who was trained on. auc: ½ nothing, 1 everything.

    advantage: the share of those trained on that are told to be, less that of the others, when the nearer half is told to be.
    """

    auc: float
    advantage: float
    error: float


def attacked(ruler: Ruler, synthetic: Rows, training: Rows, unseen: Rows) -> Attack:
    """Rows near a synthetic row are guessed to have been trained on, rows far from all of them not to have been.

    The distance to the closest synthetic row is the score. error: the standard error of the AUC where there is nothing to learn.
    Yeom et al., Privacy Risk in Machine Learning, 2018; Chen et al., GAN-Leaks, 2020.
    """
    from sklearn.metrics import roc_auc_score

    scores = [-ruler.nearest(rows, synthetic)[:, 0] for rows in (training, unseen)]
    member = np.repeat([1, 0], [len(training), len(unseen)])
    every = np.concatenate(scores)
    told = every > np.median(every)
    advantage = float(told[member == 1].mean() - told[member == 0].mean())
    error = float(np.sqrt((len(every) + 1) / (12 * len(training) * len(unseen))))
    return Attack(float(roc_auc_score(member, every)), advantage, error)


def coverage(ruler: Ruler, real: Rows, other: Rows) -> float:
    """The share of real rows with a row of the other table nearer than their fifth nearest real neighbour.

    Naeem et al., Reliable Fidelity and Diversity Metrics for Generative Models, 2020.
    """
    radius = ruler.nearest(real, real, NEAREST + 1)[:, -1]  # each is its own nearest
    return float((ruler.nearest(real, other)[:, 0] <= radius).mean())
