"""Binning: a column's values, with how often each occurs, as tokens: single values (atoms) and intervals (bins)."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

MOST = 256  # different values up to which each may have a token of its own, and bins that are made of others
TOKENS = 512
REPEATS = 5  # times that values occur, on average, to be an atom each
ROWS = 20  # in a bin, at least, where there are few
LEAST = 8  # bins, and rows in the last bins at the ends
WINDOW = 10  # values to either side of one that is held against them
STANDS_OUT = 5  # times as frequent as its neighbours a spike is
GAP = 4  # times as wide as the stretches beside it: a wider gap between them is no part of either
SPIKES = 64
MANY = 0.02  # share of the rows of a value that is told as inflated
TENTHS = 9  # decimals of a grid that is looked for
LARGEST_STEP = 9  # zeros of a grid of whole numbers


@dataclass(frozen=True)
class Tokens:
    """Disjoint intervals of values in rising order: low = high is an atom. inflated: values far more frequent than all others."""

    low: list[float]
    high: list[float]
    inflated: list[float]


def grid(values: np.ndarray, single: bool = False) -> float:
    """The step, a power of ten, of which all values are multiples: 0.01 for amounts of money; 0 where there is none.

    single: whether they came in single precision. Grids finer than half of the digits that a value has are none.
    """
    if not len(values):
        return 0.0
    largest = float(np.abs(values).max())
    digits = 6.5 if single else 14.0
    if (values == np.rint(values)).all() and largest < 2**53:
        return _coarse(values)
    for decimals in range(1, TENTHS + 1):
        scaled = values * 10.0**decimals
        tolerance = max(largest, 1e-30) * 10.0 ** (decimals - digits)
        if tolerance > 1e-2:
            return 0.0
        if (np.abs(scaled - np.rint(scaled)) <= tolerance).all():
            return float(f"1e-{decimals}")
    return 0.0


def _coarse(values: np.ndarray) -> float:
    """The step of whole numbers: 1, or a thousand where all are thousands."""
    if not values.any():
        return 1.0
    step = 1.0
    for _ in range(LARGEST_STEP):
        if (np.fmod(values, step * 10) != 0).any():
            break
        step *= 10
    return step


def rounded(values: np.ndarray, step: float) -> np.ndarray:
    """The nearest multiples of a power of ten or of sixty seconds, as a decimal would be read; themselves for no step."""
    if step == 0:
        return values
    if step < 1:
        return np.round(values, round(-np.log10(step)))
    return np.rint(values / step) * step


def tokens(values: np.ndarray, counts: np.ndarray, step: float) -> Tokens:
    """The tokens of sorted different values with their counts, at most `TOKENS` − 1; one more is to be "elsewhere".

    Values of which there are at most 256, each occurring five times on average, are atoms. Of others those are that stand out of
    their neighbours (spikes), and the rest is cut into bins of about as many rows each: 256 of many rows, of few as many as have
    20 rows, the outermost ones finer. Bins of values on a grid begin and end half a step beside them.
    """
    spikes = standing_out(values, counts)
    rest, inflated = ~spikes, _inflated(values, counts)
    repeated = counts[rest].sum() >= REPEATS * rest.sum()
    if len(values) <= MOST and (repeated or rest.sum() <= 2):
        return Tokens(values.tolist(), values.tolist(), inflated)
    wanted = min(MOST, max(LEAST, int(counts[rest].sum()) // ROWS))
    low, high = list(values[spikes]), list(values[spikes])
    runs = _runs(rest)
    for start, stop in runs:
        share = counts[start:stop].sum() / counts[rest].sum()
        ends = (start == runs[0][0], stop == runs[-1][1])
        for first, last in _cut(counts[start:stop], max(1, round(wanted * share)), ends):
            low.append(values[start + first])
            high.append(values[start + last - 1])
    return _joined(np.array(low), np.array(high), step, values[spikes], inflated)


def standing_out(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Which values fill a bin by themselves, and are five times as frequent as the mean of their neighbours, bool [values]."""
    total = counts.sum()
    candidate = counts >= max(LEAST, total / min(MOST, max(LEAST, total // ROWS)))
    others = np.where(candidate, 0, counts)
    sums = np.concatenate([[0], np.cumsum(others)])
    numbers = np.concatenate([[0], np.cumsum(~candidate)])
    place = np.arange(len(values))
    first, last = np.maximum(place - WINDOW, 0), np.minimum(place + WINDOW + 1, len(values))
    near = (sums[last] - sums[first]) / np.maximum(1, numbers[last] - numbers[first])
    alone = numbers[last] == numbers[first]
    found = candidate & (counts > STANDS_OUT * near) & ~alone
    if found.sum() > SPIKES:
        found &= counts >= np.sort(counts[found])[-SPIKES]
    return np.asarray(found)


def _inflated(values: np.ndarray, counts: np.ndarray) -> list[float]:
    """Values that many rows hold, five times as many as others near them do on average."""
    if len(values) < 2 * WINDOW:
        return []
    place = np.arange(len(values))
    sums = np.concatenate([[0], np.cumsum(counts)])
    first, last = np.maximum(place - WINDOW, 0), np.minimum(place + WINDOW + 1, len(values))
    near = (sums[last] - sums[first] - counts) / (last - first - 1)
    found: list[float] = values[(counts >= MANY * counts.sum()) & (counts > STANDS_OUT * near)].tolist()
    return found


def _runs(chosen: np.ndarray) -> list[tuple[int, int]]:
    """The stretches of True, as (first, behind the last)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _cut(counts: np.ndarray, bins: int, outer: tuple[bool, bool]) -> list[tuple[int, int]]:
    """Stretches of values with about as many rows each; outer: whether the first and the last are the column's outermost."""
    ends = np.cumsum(counts)
    marks = ends[-1] * np.arange(1, bins) / bins
    places = sorted({0, len(counts), *(int(one) for one in np.searchsorted(ends, marks, side="left") + 1)})
    finer = _halves(counts, (places[0], places[1]), upward=False) if outer[0] else []
    finer += _halves(counts, (places[-2], places[-1]), upward=True) if outer[1] else []
    places = sorted({*places, *finer})
    return list(pairwise(places))


def _halves(counts: np.ndarray, stretch: tuple[int, int], upward: bool) -> list[int]:
    """Where an outermost stretch is cut into halves of its rows, the outer half again."""
    (first, last), found = stretch, list[int]()
    while last - first > 2 and counts[first:last].sum() >= 2 * LEAST:
        ends = np.cumsum(counts[first:last])
        middle = first + min(last - first - 1, int(np.searchsorted(ends, ends[-1] / 2)) + 1)
        found.append(middle)
        first, last = (middle, last) if upward else (first, middle)
    return found


def _joined(low: np.ndarray, high: np.ndarray, step: float, spikes: np.ndarray, inflated: list[float]) -> Tokens:
    """Intervals in their order, neighbours meeting in the middle between them: on a grid half a step beside its points.

    Where the gap between two is wide, neither reaches into it.
    """
    order = np.argsort(low, kind="stable")
    low, high = low[order], high[order]
    atom = low == high
    spans = high - low + step
    near = low[1:] - high[:-1] <= GAP * np.maximum(spans[1:], spans[:-1])
    if step:
        below, above = low - step / 2, high + step / 2
        inner = ~atom[1:] & ~atom[:-1] & near
        middle = high[:-1] + (np.floor(np.rint((low[1:] - high[:-1]) / step) / 2) + 0.5) * step
        below[1:], above[:-1] = np.where(inner, middle, below[1:]), np.where(inner, middle, above[:-1])
        return Tokens(np.where(atom, low, below).tolist(), np.where(atom, high, above).tolist(), inflated)
    atom &= np.isin(low, spikes)
    below, above = low.copy(), high.copy()
    inner = ~atom[1:] & ~atom[:-1] & near
    middle = (high[:-1] + low[1:]) / 2
    below[1:], above[:-1] = np.where(inner, middle, below[1:]), np.where(inner, middle, above[:-1])
    return Tokens(below.tolist(), above.tolist(), inflated)
