"""Which rows are odd, how sure that is, and why."""

from lambent.tasks.detection.scores import (
    Blend,
    Density,
    Drawing,
    Evidence,
    LatentDistance,
    Nearest,
    Ratio,
    Reconstruction,
    Score,
)

__all__ = ["Blend", "Density", "Drawing", "Evidence", "LatentDistance", "Nearest", "Ratio", "Reconstruction", "Score"]
