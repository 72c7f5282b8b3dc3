"""Mean, deviation and quartiles of values that come in portions; the portions do not change a bit of them."""

import math

import numpy as np

BLOCK = 2**12  # values summed at once; of each column of a table as many may have to be held


class Moments:
    """Mean and standard deviation, in float64: of blocks by pairwise sums, which are joined one by one.

    Of blocks a and b: M = M_a + M_b + (m_b − m_a)² n_a n_b / (n_a + n_b), where M is the sum of squares about the mean m
    (Chan, Golub & LeVeque, 1983). Blocks are of `BLOCK` values, however many are given at a time.
    """

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, 0.0, 0.0
        self._rest = np.empty(0)

    def add(self, values: np.ndarray) -> None:
        """Take in values, float64 [n]."""
        given = np.concatenate([self._rest, values]) if len(self._rest) else values
        whole = len(given) // BLOCK * BLOCK
        for start in range(0, whole, BLOCK):
            self._join(given[start : start + BLOCK])
        self._rest = given[whole:].copy()

    def values(self) -> tuple[float, float]:
        """(mean, standard deviation) of all that was taken in."""
        if len(self._rest):
            self._join(self._rest)
            self._rest = np.empty(0)
        return self.mean, math.sqrt(self.squares / self.count)

    def _join(self, block: np.ndarray) -> None:
        block = np.ascontiguousarray(block)  # sums along a stride are taken in another order
        mean, total = float(block.mean()), self.count + len(block)
        apart = block - mean
        difference = mean - self.mean
        self.squares += float((apart * apart).sum()) + difference**2 * (self.count / total) * len(block)
        self.mean += difference * (len(block) / total)
        self.count = total


class Quartiles:
    """The quartiles of all values; beyond `most` of them those of every second, fourth, … value."""

    def __init__(self, most: int | None = None) -> None:
        self.most, self.stride, self.seen = most, 1, 0
        self._kept: list[np.ndarray] = []
        self._held = 0

    def add(self, values: np.ndarray) -> None:
        """Take in values, float64 [n]."""
        picked = values[-self.seen % self.stride :: self.stride].copy()
        self.seen += len(values)
        self._kept.append(picked)
        self._held += len(picked)
        while self.most is not None and self._held > self.most:
            self._kept = [np.concatenate(self._kept)[::2].copy()]
            self._held, self.stride = len(self._kept[0]), 2 * self.stride

    def values(self) -> tuple[float, float, float]:
        """The lower quartile, the median and the upper quartile."""
        low, median, high = np.quantile(np.concatenate(self._kept), [0.25, 0.5, 0.75]).tolist()
        return low, median, high
