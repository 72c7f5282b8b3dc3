"""The parts of a model, and the model: encoder → latent → decoder → likelihood."""

from lambent.model.model import LatentModel, Trace, check

__all__ = ["LatentModel", "Trace", "check"]
