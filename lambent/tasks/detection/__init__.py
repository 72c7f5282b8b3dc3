"""Which rows are odd, how sure that is, and why."""

from lambent.tasks.detection.heat import Box, Heatmap, heatmaps, usual_heat
from lambent.tasks.detection.overlay import overlay, saved_heatmaps
from lambent.tasks.detection.reason import Reason, why
from lambent.tasks.detection.reasons import has_reasons, reasons, usual_costs
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

__all__ = [
    "Blend", "Box", "Density", "Drawing", "Evidence", "Heatmap", "LatentDistance", "Nearest", "Ratio", "Reason",
    "Reconstruction", "Score", "has_reasons", "heatmaps", "overlay", "reasons", "saved_heatmaps", "usual_costs", "usual_heat",
    "why",
]  # fmt: skip
