"""Which rows are odd, how sure that is, and why."""

from lambent.tasks.detection.reasons import Reason, reasons, usual_costs
from lambent.tasks.detection.scores import (
    Blend,
    Density,
    Evidence,
    LatentDistance,
    Nearest,
    Ratio,
    Reconstruction,
    Score,
)

__all__ = [
    "Blend", "Density", "Evidence", "LatentDistance", "Nearest", "Ratio", "Reason", "Reconstruction", "Score", "reasons",
    "usual_costs",
]  # fmt: skip
