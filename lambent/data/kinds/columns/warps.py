"""Warps: monotone maps of the real line that bring a column's values near a Gaussian, and the choice among them."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import gammaln, ndtri

WarpName = Literal["none", "log", "quantile"]
MOST_KNOTS = 64  # of a quantile map
ROWS = 25  # for each of its knots, at least
AHEAD = 0.01  # nats a value by which a map that bends, and each value by itself, must win
WHOLE = 3  # times as much, by which a density must win over the probabilities of whole numbers
LARGEST_MEAN = 1e5  # of counts, and of whole numbers' deviations, that are held as such


class Warp(ABC):
    """A rising map T with its inverse and slope, elementwise on float64."""

    @abstractmethod
    def forward(self, values: np.ndarray) -> np.ndarray: ...

    @abstractmethod
    def inverse(self, y: np.ndarray) -> np.ndarray: ...

    @abstractmethod
    def slope(self, values: np.ndarray) -> np.ndarray:
        """T′(value)."""


class Straight(Warp):
    """T(v) = v."""

    def forward(self, values: np.ndarray) -> np.ndarray:
        return values

    def inverse(self, y: np.ndarray) -> np.ndarray:
        return y

    def slope(self, values: np.ndarray) -> np.ndarray:
        return np.ones_like(values)


class Logarithm(Warp):
    """T(v) = log v above an edge e > 0; below it the tangent log e + v/e − 1, so that every value has a place."""

    def __init__(self, edge: float) -> None:
        if not edge > 0:
            raise ValueError(f"a logarithm from {edge} on")
        self.edge = edge

    def forward(self, values: np.ndarray) -> np.ndarray:
        return np.where(
            values > self.edge, np.log(np.maximum(values, self.edge)), math.log(self.edge) + values / self.edge - 1
        )

    def inverse(self, y: np.ndarray) -> np.ndarray:
        start = math.log(self.edge)
        return np.where(y > start, np.exp(np.clip(y, start, 700)), self.edge * (y - start + 1))

    def slope(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(1 / np.maximum(values, self.edge))


class Quantiles(Warp):
    """Values at their quantiles → the normal's, straight between knots, and beyond them on as at the ends."""

    def __init__(self, knots: list[float]) -> None:
        half = len(knots) // 2
        if half < 2 or len(knots) % 2 or min(np.diff(knots[:half]).min(), np.diff(knots[half:]).min()) <= 0:
            raise ValueError("knots that do not rise")
        self.at, self.scores = np.array(knots[:half]), np.array(knots[half:])
        self.slopes = np.diff(self.scores) / np.diff(self.at)

    def _bent(self, of: np.ndarray, start: np.ndarray, end: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        place = np.clip(np.searchsorted(start, of, side="right") - 1, 0, len(slopes) - 1)
        return np.asarray(end[place] + (of - start[place]) * slopes[place])

    def forward(self, values: np.ndarray) -> np.ndarray:
        return self._bent(values, self.at, self.scores, self.slopes)

    def inverse(self, y: np.ndarray) -> np.ndarray:
        return self._bent(y, self.scores, self.at, 1 / self.slopes)

    def slope(self, values: np.ndarray) -> np.ndarray:
        place = np.clip(np.searchsorted(self.at, values, side="right") - 1, 0, len(self.slopes) - 1)
        return np.asarray(self.slopes[place])


def made(name: WarpName, knots: list[float]) -> Warp:
    """The map of that name with its knots."""
    kinds: dict[str, Callable[[list[float]], Warp]] = {
        "none": lambda knots: Straight(),
        "log": lambda knots: Logarithm(*knots),
        "quantile": Quantiles,
    }
    return kinds[name](knots)


@dataclass(frozen=True)
class Fit:
    """A map with centre and scale, what the encoded values are, and why it was chosen, in words."""

    leaf: Literal["density", "whole", "counts"]
    warp: WarpName
    knots: list[float]
    centre: float
    scale: float
    why: str = ""


def fitted_warp(values: np.ndarray, counts: np.ndarray, spikes: list[float], step: float, kind: str) -> Fit:
    """The map under which half of the values make the other half likeliest, a Gaussian after it; learned of all of them then.

    Of whole numbers also the probabilities of a logistic on the grid, and of counts those of a negative binomial. values: sorted,
    with how often each occurs. Values that stand out are no part of a density, but are of probabilities.
    """
    rest = ~np.isin(values, spikes)
    halves = _halves(counts)
    scored: list[tuple[float, str, Fit]] = []
    for name in _candidates(values, counts, rest, step, kind):
        learned, judged = halves if counts.sum() > 3 else (counts, counts)
        fit = _fit(name, values, learned, rest, step)
        if fit is not None:
            scored.append((_score(fit, values, learned, judged, rest, step), name, fit))
    exact = len(spikes) + (WHOLE if any(fit.leaf != "density" for _, _, fit in scored) else 0)
    freedom = {"quantile": exact + 1, "none": exact, "log": exact}
    name = max(scored, key=lambda one: one[0] - AHEAD * freedom.get(one[1], 0))[1]
    fit = _fit(name, values, counts, rest, step)
    assert fit is not None
    told = ", ".join(
        f"{WORDS[other]} {score:.2f}" for score, other, _ in sorted(scored, reverse=True, key=lambda one: one[0])
    )
    why = f"as {WORDS[name]}, for values held out: {told} nats" if len(scored) > 1 else f"as {WORDS[name]}"
    return Fit(fit.leaf, fit.warp, fit.knots, fit.centre, fit.scale, why)


WORDS = {"none": "it is", "log": "logarithms", "quantile": "quantiles", "whole": "whole numbers", "counts": "counts"}


def _candidates(values: np.ndarray, counts: np.ndarray, rest: np.ndarray, step: float, kind: str) -> list[str]:
    found = ["none"]
    kept = values[rest] if rest.any() else values
    total = counts[rest].sum() if rest.any() else counts.sum()
    if len(kept) and kept[0] > 0:
        found.append("log")
    if len(kept) > 8 and total >= 4 * ROWS:
        found.append("quantile")
    whole = step >= 1 and step == round(step)
    deviation = math.sqrt(
        max(0.0, float(np.average((values - np.average(values, weights=counts)) ** 2, weights=counts)))
    )
    if whole and kind in ("integer", "count", "bounded", "positive", "real") and deviation / step < LARGEST_MEAN:
        found.append("whole")
    if step == 1 and kind == "count" and values[0] >= 0 and np.average(values, weights=counts) < LARGEST_MEAN:
        found.append("counts")
    return found


def _halves(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cells of each value, by turns through all of them: as even as can be, and the same every time."""
    before = np.cumsum(counts) - counts
    even = (before + counts + 1) // 2 - (before + 1) // 2
    return even, counts - even


def _fit(name: str, values: np.ndarray, counts: np.ndarray, rest: np.ndarray, step: float) -> Fit | None:
    chosen = (rest if rest.any() else np.ones(len(values), bool)) & (counts > 0)
    if name in ("whole", "counts"):
        chosen = counts > 0
    kept, weights = values[chosen], counts[chosen]
    if not len(kept):
        return None
    if name == "counts":
        return Fit("counts", "none", [], 0.0, 1.0)
    warp: WarpName = "none"
    knots: list[float] = []
    if name == "log":
        warp, knots = "log", [float(kept[0]) / 2]
    if name == "quantile":
        warp, knots = "quantile", _knots(kept, weights)
        if len(knots) < 8:
            return None
    mapped = made(warp, knots).forward(kept)
    centre = float(np.average(mapped, weights=weights))
    scale = math.sqrt(float(np.average((mapped - centre) ** 2, weights=weights)))
    if not scale > 1e-12 * abs(centre):
        scale = step or abs(centre) or 1.0
    if name == "whole":
        return Fit("whole", "none", [], round(centre / step) * step, max(scale, step))
    return Fit("density", warp, knots, centre, scale)


def _knots(values: np.ndarray, counts: np.ndarray) -> list[float]:
    """Quantiles and the normal's, [at …, scores …], as many as there are rows for; each value at the middle of its cells."""
    total = counts.sum()
    middles = (np.cumsum(counts) - counts / 2) / total
    wanted = int(min(MOST_KNOTS, max(4, total // ROWS)))
    at = np.interp((np.arange(wanted) + 0.5) / wanted, middles, values)
    at = np.unique(at)
    apart = np.concatenate([[True], np.diff(at) > 1e-9 * max(1e-300, float(at[-1] - at[0]))])
    at = at[apart]
    scores = ndtri(np.interp(at, values, middles))
    rising = np.concatenate([[True], np.diff(scores) > 1e-9])
    return [*at[rising].tolist(), *scores[rising].tolist()]


def _score(
    fit: Fit, values: np.ndarray, learned: np.ndarray, judged: np.ndarray, rest: np.ndarray, step: float
) -> float:
    """Mean log-likelihood of the judged values in their own units, probabilities of a grid's cells over its step."""
    total = max(1, judged.sum())
    cell = math.log(step) if step else 0.0
    if fit.leaf == "counts":
        each = _negative_binomial(values, learned) - cell
        return float((judged * each).sum() / total)
    y = (made(fit.warp, fit.knots).forward(values) - fit.centre) / fit.scale
    if fit.leaf == "whole":
        width = step / (fit.scale * math.sqrt(3) / math.pi)
        z = y * math.pi / math.sqrt(3)
        upper, lower = -np.logaddexp(0, -(z + width / 2)), -np.logaddexp(0, z - width / 2)
        each = upper + lower + math.log(-math.expm1(-width)) - cell
        return float((judged * each).sum() / total)
    slope = np.log(made(fit.warp, fit.knots).slope(values)) - math.log(fit.scale)
    density = -0.5 * y**2 - 0.5 * math.log(2 * math.pi) + slope
    if not rest.all():
        inside = learned[rest].sum()
        density += math.log((inside + 0.5) / (learned.sum() + 1))
        shares = np.log((learned + 0.5) / (learned.sum() + 1)) - cell
        density = np.where(rest, density, shares)
    return float((judged * density).sum() / total)


def _negative_binomial(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """log P of a negative binomial with the mean and the variance of the counts; of a Poisson where these are as close."""
    mean = float(np.average(values, weights=counts)) + 1e-9
    variance = float(np.average((values - mean) ** 2, weights=counts))
    r = mean**2 / max(variance - mean, 1e-6 * mean)
    combined = gammaln(values + r) - gammaln(r) - gammaln(values + 1)
    return np.asarray(combined + r * math.log(r / (r + mean)) + values * math.log(mean / (r + mean)))
