"""Families of distributions with a location and a scale: exact tables of what lies below, and guesses of quantiles."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from lambent.codec.exact import elementary
from lambent.codec.exact.dyadic import FRACTION
from lambent.codec.exact.elementary import Reals
from lambent.codec.leaves.dyadics import within
from lambent.codec.stack import Numbers

Rough = NDArray[np.float32]  # for guesses, on which nothing depends but time

FINE = 64  # cells of a table in a unit of its scale
INVERSE = 27  # bits of an inverse scale, per step
STEEPEST = 1 << 32  # inverse scales are at most so much: 32 per step
SCALES = 128  # log scales in a unit of one that are told apart: a wrong one costs 7e-6 bits at most
WIDEST = 16  # log scales beyond ±16 are as these


@dataclass(frozen=True)
class Family:
    """A distribution of location 0 and scale 1; not a quantum of 2^24 lies beyond ±reach.

    cdf: exact. quantile, and rise, which gives the cumulative distribution and the density: about, for guesses alone.
    """

    cdf: Callable[[ArrayLike], Reals]
    quantile: Callable[[Rough], Rough]
    rise: Callable[[Rough], tuple[Rough, Rough]]
    reach: int


def _logistic_quantile(share: Rough) -> Rough:
    odds: Rough = share / (1 - share)
    return np.asarray(np.log(odds))


def _logistic_rise(x: Rough) -> tuple[Rough, Rough]:
    bent = np.tanh(0.5 * x)
    return 0.5 + 0.5 * bent, 0.25 - 0.25 * bent * bent


def _normal_rise(x: Rough) -> tuple[Rough, Rough]:
    return ndtr(x), np.exp(-0.5 * x * x) * 0.39894228


LOGISTIC = Family(elementary.sigmoid, _logistic_quantile, _logistic_rise, 20)
NORMAL = Family(elementary.normal_cdf, ndtri, _normal_rise, 8)


@lru_cache(64)
def cumulative(family: Family, whole: int) -> tuple[Numbers, Numbers]:
    """Of `whole` quanta, what lies below each cell and what lies in it; [2 · reach · FINE] cells from −reach to reach."""
    edges = np.arange(-family.reach * FINE, family.reach * FINE + 1) / FINE
    quanta = np.floor(family.cdf(edges) * whole).astype(np.int64)
    quanta[0], quanta[-1] = 0, whole
    quanta = np.maximum.accumulate(quanta)
    return quanta[:-1].copy(), np.diff(quanta)


def inverse(log_scale: Numbers, step: float) -> Numbers:
    """Inverse scales per step, in 2^-27, from log scales in 2^-12; a step is so much of the scales' unit."""
    bits = FRACTION - SCALES.bit_length() + 1
    places = within((log_scale + (1 << (bits - 1))) >> bits, -WIDEST * SCALES, WIDEST * SCALES)
    return np.asarray(_inverses(step).take(places + WIDEST * SCALES))


@lru_cache(64)
def _inverses(step: float) -> Numbers:
    scales = np.arange(-WIDEST * SCALES, WIDEST * SCALES + 1) / SCALES
    exact = np.floor(elementary.exp(-scales) * (step * (1 << INVERSE)) + 0.5)
    return within(np.minimum(exact, STEEPEST).astype(np.int64), 1, STEEPEST)
