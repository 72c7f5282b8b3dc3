"""The parts of a model, and the model: encoder → latent → decoder → likelihood."""

from lambent.model.company import ask_encoder, check
from lambent.model.model import LatentModel
from lambent.model.trace import Trace

__all__ = ["LatentModel", "Trace", "ask_encoder", "check"]
