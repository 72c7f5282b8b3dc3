"""Tails: a score so high that normal rows pass it at a stated rate, beyond what as many held-out rows can show."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.errors import DataError
from lambent.metrics.conformal import within
from lambent.seeds import stream

Array = NDArray[Any]
SHARE = 0.1  # of the held-out scores that the tail is fitted to
FEWEST = 20  # exceedances below which a tail is no more than a guess
PLENTY = 10  # held-out rows above a threshold that tell it without a model of the tail
DRAWS = 100  # of the bootstrap


@dataclass(frozen=True)
class Tail:
    """threshold: passed at the rate; low, high: its 90 % interval; shape: ξ of the tail; exceedances: how many it rests on."""

    threshold: float
    low: float
    high: float
    shape: float
    exceedances: int
    extrapolated: bool

    def facts(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "interval": [self.low, self.high],
            "shape": self.shape,
            "exceedances": self.exceedances,
            "extrapolated": self.extrapolated,
        }


def tail_of(held_out: Array, rate: float, seed: int = 0) -> Tail:
    """The score t with P(score > t) = rate among normal rows, from n held-out scores.

    Where ten of them or more lie above it, their own quantile. Else t = u + σ/ξ ((rate n / k)^−ξ − 1), with a generalized Pareto
    distribution GPD(ξ, σ) fitted by maximum likelihood to the k excesses over a high score u, a tenth of all and at least twenty.
    Its 90 % interval: by bootstrap, over k as well. Pickands, 1975; Coles, An introduction to statistical modeling of
    extreme values, 2001. Errors: `DataError` with fewer than 40 held-out rows, or where the largest scores are equal.
    """
    rate = within(rate, "tail")
    held = np.sort(np.asarray(held_out, np.float64))
    n = len(held)
    random = np.random.default_rng(stream(seed, "bootstrap of the tail"))
    if rate * n >= PLENTY:
        draws = [_quantile(np.sort(random.choice(held, n)), rate) for _ in range(DRAWS)]
        low, high = np.quantile(draws, [0.05, 0.95])
        return Tail(_quantile(held, rate), float(low), float(high), float("nan"), int(rate * n), False)
    k = max(FEWEST, round(SHARE * n))
    if n < 2 * FEWEST:
        raise DataError(
            f"a tail at {rate:g} is fitted to the {FEWEST} largest scores of {2 * FEWEST} held-out rows at least, and there are "
            f"{n}: use more rows, or flag a share of them (contamination)"
        )
    level, excesses = held[-k - 1], held[-k:] - held[-k - 1]
    if excesses[0] == excesses[-1]:
        raise DataError(f"the {k} largest scores of held-out rows are equal, so they have no tail: use contamination")
    shape, scale = _fitted(excesses)
    threshold = _passed(level, shape, scale, k, n, rate)
    low, high = _interval(held, k, (level, shape, scale), rate, random)
    return Tail(threshold, min(low, threshold), max(high, threshold), shape, k, True)


def _quantile(ascending: Array, rate: float) -> float:
    return float(ascending[len(ascending) - 1 - int(rate * len(ascending))])


def _fitted(excesses: Array) -> tuple[float, float]:
    """(ξ, σ) by maximum likelihood."""
    from scipy.stats import genpareto

    unit = float(excesses.mean())
    shape, _, scale = genpareto.fit(excesses / unit, floc=0)
    return float(shape), float(scale) * unit


def _passed(level: float, shape: float, scale: float, k: int, n: int, rate: float) -> float:
    ratio = np.log(k / (n * rate))
    grown = ratio if abs(shape) < 1e-9 else np.expm1(shape * ratio) / shape
    return float(level + scale * grown)


def _interval(
    held: Array, k: int, fit: tuple[float, float, float], rate: float, random: np.random.Generator
) -> tuple[float, float]:
    """5 % and 95 % of the threshold over samples drawn from the fitted tail, of as many excesses as chance has it."""
    from scipy.stats import genpareto

    level, shape, scale = fit
    found = []
    for _ in range(DRAWS):
        drawn = max(FEWEST // 2, int(random.binomial(len(held), k / len(held))))
        excesses = genpareto.rvs(shape, scale=scale, size=drawn, random_state=random)
        found.append(_passed(level, *_fitted(excesses), drawn, len(held), rate))
    low, high = np.quantile(found, [0.05, 0.95])
    return float(low), float(high)
