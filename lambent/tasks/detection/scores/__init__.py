"""Scores: how odd a row is under a trained model. Higher is odder."""

from lambent.tasks.detection.scores.base import Score
from lambent.tasks.detection.scores.blend import Blend
from lambent.tasks.detection.scores.bounds import Evidence, Ratio, Reconstruction
from lambent.tasks.detection.scores.codes import Density, LatentDistance
from lambent.tasks.detection.scores.drawing import Drawing
from lambent.tasks.detection.scores.nearest import Nearest

__all__ = ["Blend", "Density", "Drawing", "Evidence", "LatentDistance", "Nearest", "Ratio", "Reconstruction", "Score"]
