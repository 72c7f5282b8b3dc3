"""Priors p(z): where codes come from before any data is seen."""

from lambent.model.priors.mixtures import HELD, Encode, Flow, Mixture, Prior, Standard, Vamp

__all__ = ["HELD", "Encode", "Flow", "Mixture", "Prior", "Standard", "Vamp"]
