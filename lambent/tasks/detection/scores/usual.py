"""What readings are usual among training rows, and how unusual others are."""

import torch
from torch import Tensor

IQR_OF_GAUSSIAN = 1.349


def usual(name: str, readings: Tensor) -> dict[str, Tensor]:
    """Median and deviation, by the quartiles, of readings [..., rows]."""
    low, middle, high = readings.quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64), -1)
    # Where half of the readings coincide the quartiles do too.
    least = 1e-3 * readings.std(-1, correction=0) + 1e-9
    return {f"{name}_middle": middle, f"{name}_deviation": ((high - low) / IQR_OF_GAUSSIAN).maximum(least)}


def unusual(kept: dict[str, Tensor], name: str, readings: Tensor) -> Tensor:
    """How many deviations readings [..., rows] are beyond the median of the training rows."""
    return (readings - kept[f"{name}_middle"][..., None]) / kept[f"{name}_deviation"][..., None]
