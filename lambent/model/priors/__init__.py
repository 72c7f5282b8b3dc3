"""Priors p(z): where codes come from before any data is seen."""

from lambent.model.priors.base import HELD, Encode, Prior, Sphere, Standard
from lambent.model.priors.flow import Flow
from lambent.model.priors.mixtures import Mixture, Vamp

__all__ = ["HELD", "Encode", "Flow", "Mixture", "Prior", "Sphere", "Standard", "Vamp"]
