"""The parts of a model, and the model: encoder → latent → decoder → likelihood."""

from lambent.model.model import LatentModel, check
from lambent.model.trace import Trace

__all__ = ["LatentModel", "Trace", "check"]
