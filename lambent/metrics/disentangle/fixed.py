"""Scores of rows that share one factor: which factor was it? The FactorVAE score, and that of β-VAE."""

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from lambent.metrics.disentangle.factors import Factors, Numbers, checked
from lambent.metrics.disentangle.readers import standardized

ROWS = 64  # that share a factor, in one example
LEARNED, HELD = 10_000, 5_000  # examples, as disentanglement_lib takes
PIECE = 1000


class Accuracy(NamedTuple):
    """The share of held-out examples told right, and what guessing would get."""

    value: float
    chance: float


class _Sharing:
    """Draws rows that share a factor's value, of those that there are."""

    def __init__(self, factors: Factors, seed: int) -> None:
        self.classes = factors.classes
        self.generator = np.random.default_rng(seed)
        self.sorted = [np.argsort(column, kind="stable") for column in self.classes.T]
        self.counts = [np.bincount(column) for column in self.classes.T]
        self.starts = [np.cumsum(count) - count for count in self.counts]

    def like(self, rows: NDArray[np.int64], k: int, many: int) -> NDArray[np.int64]:
        """[rows, many]: rows with the value of factor k that each of `rows` has."""
        own = self.classes[rows, k]
        places = self.generator.random((len(rows), many)) * self.counts[k][own][:, None]
        return np.asarray(self.sorted[k][self.starts[k][own][:, None] + places.astype(np.int64)])

    def some(self, shape: tuple[int, ...]) -> NDArray[np.int64]:
        return self.generator.integers(0, len(self.classes), shape)


def factor_vae(
    codes: Numbers,
    factors: Factors,
    kept: NDArray[np.bool_] | None = None,
    seed: int = 0,
    learned: int = LEARNED,
    held: int = HELD,
) -> Accuracy:
    """Of 64 rows with one value of a factor: does the unit that varies least tell which factor it was?

    A vote of each example, argmin_j Var(z_j) / Var over all rows; each unit then stands for the factor that it was voted for
    most often, and the accuracy is of other examples. kept: [units], the units that may be voted for, by default those that vary
    at all; one of a collapsed unit would be drowned in noise. Values are drawn as often as they occur, and rows are those that
    there are; disentanglement_lib draws values evenly, which is the same on a full grid, and keeps all units.
    Kim & Mnih, Disentangling by Factorising, ICML 2018, who leave collapsed units out.
    """
    codes = standardized(checked(codes, factors))
    usable = codes.std(0) > 0 if kept is None else np.asarray(kept) & (codes.std(0) > 0)
    count = len(factors.names)
    if not usable.any():
        return Accuracy(1 / count, 1 / count)
    codes, sharing = codes[:, usable], _Sharing(factors, seed)
    votes = [_votes(codes, sharing, count, examples) for examples in (learned, held)]
    spoken_for = votes[0].argmax(0)
    right = votes[1][spoken_for, np.arange(codes.shape[1])].sum()
    return Accuracy(float(right / votes[1].sum()), float(votes[1].sum(1).max() / votes[1].sum()))


def _votes(codes: Numbers, sharing: _Sharing, count: int, examples: int) -> NDArray[np.int64]:
    """[K, units]: how often each unit varied least where each factor was shared."""
    found = np.zeros((count, codes.shape[1]), np.int64)
    of = sharing.generator.integers(0, count, examples)
    for k in range(count):
        for part in np.array_split(np.arange((of == k).sum()), max(1, examples // PIECE)):
            rows = sharing.like(sharing.some((len(part),)), k, ROWS)
            least = codes[rows].var(1).argmin(1)
            found[k] += np.bincount(least, minlength=codes.shape[1])
    return found


def beta_vae(codes: Numbers, factors: Factors, seed: int = 0, learned: int = LEARNED, held: int = HELD) -> Accuracy:
    """Of 64 pairs that share a factor, each pair its own value: does E|z − z'| tell which factor it was to a linear classifier?

    The accuracy of a logistic regression on other examples. A rotation need not lower it, as long as some unit moves with every
    other factor: it is the most lenient of these scores. disentanglement_lib does the same.
    Higgins et al., β-VAE, ICLR 2017.
    """
    codes = checked(codes, factors)
    sharing, count = _Sharing(factors, seed), len(factors.names)
    if count < 2:
        return Accuracy(1.0, 1.0)
    (x, of), (other, truth) = (_differences(codes, sharing, count, examples) for examples in (learned, held))
    chance = float(np.bincount(truth, minlength=count).max() / len(truth))
    spread = x.std(0)
    scale = np.where(spread > 0, spread, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        reader = LogisticRegression(max_iter=300).fit((x - x.mean(0)) / scale, of)
    return Accuracy(float(np.mean(reader.predict((other - x.mean(0)) / scale) == truth)), chance)


def _differences(codes: Numbers, sharing: _Sharing, count: int, examples: int) -> tuple[Numbers, NDArray[np.int64]]:
    """E|z − z'| of examples, [examples, units], and the factor that each shared."""
    of = np.sort(sharing.generator.integers(0, count, examples))
    pieces = []
    for k in range(count):
        for part in np.array_split(np.arange((of == k).sum()), max(1, examples // PIECE)):
            first = sharing.some((len(part) * ROWS,))
            second = sharing.like(first, k, 1)[:, 0]
            pieces.append(np.abs(codes[first] - codes[second]).reshape(len(part), ROWS, -1).mean(1))
    return np.concatenate(pieces), of
