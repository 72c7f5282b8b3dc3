"""Conformal p-values and e-values: how a row's score compares with those of held-out rows. Higher scores are odder."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.errors import UsageError

Array = NDArray[Any]


def p_values(held_out: Array, scores: Array) -> Array:
    """(1 + #{held-out ≥ score}) / (n + 1) of every score, [rows]; ties count against a row.

    held_out: [n] scores of normal rows, in any order. P(p ≤ α) ≤ α for every α where a row is exchangeable with them, whatever
    the score: it is the rank of one among n + 1 that are alike. None is smaller than 1 / (n + 1).
    Vovk, Gammerman and Shafer, Algorithmic learning in a random world, 2005. Errors: `UsageError` for NaN, or no held-out scores.
    """
    held, scores = np.sort(_checked(held_out)), _checked(scores)
    if not len(held):
        raise UsageError("a p-value compares a row with held-out rows, and there are none")
    at_least = len(held) - np.searchsorted(held, scores, side="left")
    return np.asarray((1 + at_least) / (len(held) + 1))


def benjamini_hochberg(p: Array, alpha: float) -> Array:
    """Which of the p-values are flagged, bool [rows]: the k smallest, with the largest k for which p_(k) ≤ α k / m.

    Of those flagged a share of at most α is flagged falsely, on average over repetitions, where the p-values are conformal ones
    of independent rows, though all are compared with the same held-out rows. Benjamini and Hochberg, 1995; Bates, Candès,
    Lei, Romano and Sesia, Testing for outliers with conformal p-values, 2023.
    """
    within(alpha, "alpha")
    p = _checked(p)
    order = np.argsort(p, kind="stable")
    passed = np.flatnonzero(p[order] <= alpha * np.arange(1, len(p) + 1) / max(1, len(p)))
    last = p[order[passed[-1]]] if len(passed) else -np.inf
    return np.asarray(p <= last)


def e_values(p: Array, held_out: int, alpha: float) -> Array:
    """(n + 1) / ⌊α (n + 1) R / m⌋ of the R rows among m that Benjamini and Hochberg's procedure flags at α, else 0, [rows].

    p: conformal p-values from n = `held_out` rows. The denominator is 1 + #{held-out ≥ t} at the lowest t that flags the same
    rows, held-out scores counted among the candidates: at the lowest flagged score itself the sum below would be exceeded.
    Over the normal rows they sum to at most as many as these are, on average: what e-BH asks for, and averages over several
    splits keep it, so that a decision hangs less on how rows were split. Of one split e-BH flags what Benjamini and Hochberg do.
    Bashari, Epstein, Romano and Sesia, Derandomized novelty detection with FDR control via conformal e-values, 2023.
    """
    flagged = benjamini_hochberg(p, alpha)
    beyond = np.floor(alpha * (held_out + 1) * flagged.sum() / max(1, len(flagged)) + 1e-9)
    return np.where(flagged, (held_out + 1) / max(1.0, beyond), 0.0)


def averaged(e: Sequence[Array]) -> Array:
    """The mean of e-values of the same rows over several splits: e-values again. Vovk and Wang, 2021."""
    return np.asarray(np.mean(np.stack([_checked(one) for one in e]), 0))


def e_benjamini_hochberg(e: Array, alpha: float) -> Array:
    """Which rows are flagged by their e-values, bool [rows]: the k largest, with the largest k for which e_(k) ≥ m / (α k).

    Of those flagged a share of at most α is flagged falsely, on average, however the e-values depend on each other.
    Wang and Ramdas, False discovery rate control with e-values, 2022.
    """
    within(alpha, "alpha")
    with np.errstate(divide="ignore"):
        return benjamini_hochberg(1 / _checked(e), alpha)


def within(value: float, name: str) -> float:
    """A share between 0 and 1; `UsageError` for any other."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 < value < 1:
        raise UsageError(f"{name} must be a share between 0 and 1, such as 0.1, not {value!r}")
    return float(value)


def _checked(values: Array) -> Array:
    found = np.asarray(values, np.float64)
    if found.ndim != 1 or np.isnan(found).any():
        raise UsageError("scores and p-values come as one number for each row, none of them NaN")
    return found
