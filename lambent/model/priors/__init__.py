"""Priors p(z): where codes come from before any data is seen."""

from lambent.model.priors.base import HELD, Encode, Prior, Sphere, Standard
from lambent.model.priors.diffusion import Diffusion
from lambent.model.priors.factorized import Factorized
from lambent.model.priors.flow import Flow
from lambent.model.priors.mixtures import Mixture, Vamp
from lambent.model.priors.transformer import Transformer
from lambent.model.priors.uniform import Uniform

__all__ = [
    "HELD",
    "Diffusion",
    "Encode",
    "Factorized",
    "Flow",
    "Mixture",
    "Prior",
    "Sphere",
    "Standard",
    "Transformer",
    "Uniform",
    "Vamp",
]
