"""Axes: round tick values, a frame that outliers cannot stretch, and the place of a value within it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

SPAN = 1000  # the inner coordinates of every chart run from 0 to SPAN in both directions
HUGE = 1e100  # beyond it differences overflow: such values lie outside every frame


@dataclass(frozen=True)
class Scale:
    """A linear map from [low, high] to [0, 1]."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """Where `value` lies, as a fraction of the axis; values far outside stop a few axis lengths away."""
        return min(6.0, max(-5.0, (value - self.low) / (self.high - self.low)))

    def holds(self, value: float) -> bool:
        """Whether `value` lies inside the frame."""
        return self.low <= value <= self.high


def ticks(low: float, high: float, about: int = 5) -> tuple[list[float], float]:
    """Round values (1, 2, 2.5 or 5 times a power of ten apart) within [low, high], and their step."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return ([low] if math.isfinite(low) else []), 0.0
    rough = (high - low) / max(1, about)
    if rough <= 0 or not math.isfinite(rough):
        return [low], 0.0
    power = 10.0 ** math.floor(math.log10(rough))
    if power == 0:
        return [low], 0.0
    step = min((m * power for m in (1, 2, 2.5, 5, 10)), key=lambda s: abs(math.log(s / rough)))
    first, final = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, final + 1)], step


def whole_ticks(low: float, high: float, about: int = 5) -> tuple[list[float], float]:
    """Ticks at whole numbers only: for epochs and ranks."""
    values, step = ticks(low, high, about)
    if step >= 1 and step == round(step):
        return values, step
    jump = max(1, math.ceil(step))
    return [float(v) for v in range(math.ceil(low), math.floor(high) + 1, jump)], float(jump)


def frame(values: Iterable[float | None]) -> Scale:
    """The range to draw: all values, save those far outside the bulk.

    "Far" is beyond three interquartile ranges (and a quarter of the full range) from the quartiles: the first epochs
    of a curve and single spikes leave the frame instead of pressing everything else flat.
    """
    present = np.array([v for v in values if v is not None and abs(v) < HUGE], dtype=np.float64)
    if not present.size:
        return Scale(0.0, 1.0)
    low, high = float(present.min()), float(present.max())
    first, third = (float(q) for q in np.quantile(present, [0.25, 0.75]))
    reach = max(3 * (third - first), 0.25 * (high - low))
    kept = present[(present >= first - reach) & (present <= third + reach)]
    return padded(float(kept.min()), float(kept.max()))


def padded(low: float, high: float, share: float = 0.06) -> Scale:
    """The range with a margin on both sides; a single value gets a range around it."""
    room = (high - low) * share
    # a range below the resolution of floats at this size could not be told apart from a point
    if room <= max(abs(low), abs(high)) * 1e-9:
        room = abs(low) * 0.05 or 0.5
    return Scale(low - room, high + room)


def thinned(length: int, most: int) -> list[int]:
    """At most `most` indices out of range(length), evenly spaced, both ends included."""
    if length <= most:
        return list(range(length))
    return sorted({round(i * (length - 1) / (most - 1)) for i in range(most)})


def outside(scale: Scale, values: Sequence[float | None]) -> list[float]:
    """The values that the frame leaves out."""
    return [v for v in values if v is not None and not scale.holds(v)]
