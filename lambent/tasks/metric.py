"""Metric: a number that says what it is."""

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Metric:
    """A number that says what it is."""

    value: float
    unit: str
    standard_error: float | None
    meaning: str


def measured(values: Tensor, unit: str, meaning: str, scale: float = 1.0) -> Metric:
    """The mean of a number of every row, [rows], times `scale`, with its standard error."""
    values = values.double() * scale
    error = float(values.std() / math.sqrt(len(values))) if len(values) > 1 else None
    return Metric(float(values.mean()), unit, error, meaning)


def ratio(values: Tensor, counts: Tensor) -> tuple[float, float | None]:
    """Σ values / Σ counts over rows, and its standard error, by the deviations of values from that share of their counts."""
    values, counts = values.double().cpu(), counts.double().cpu()
    share = float(values.sum() / counts.sum())
    rows = len(values)
    if rows < 2:
        return share, None
    return share, float((values - share * counts).std() * math.sqrt(rows) / counts.sum())
