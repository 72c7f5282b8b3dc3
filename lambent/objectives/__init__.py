"""Objectives: what training minimizes, in nats per row."""

from lambent.objectives.adversarial import Adversarial, Gan, VaeGan
from lambent.objectives.base import Annealing, Loss, Objective, for_detecting, suggested_latent, without_encoder
from lambent.objectives.bounds import Ciwae, Iwae, Miwae, Piwae
from lambent.objectives.codes import Aae
from lambent.objectives.elbo import Elbo
from lambent.objectives.factor import Factor
from lambent.objectives.invariant import Invariant
from lambent.objectives.lagging import Lagging
from lambent.objectives.matched import Matched
from lambent.objectives.missing import NotMiwae
from lambent.objectives.semi_supervised import SemiSupervised
from lambent.objectives.spread import BetaTc, DipVae, InfoVae, Wae

__all__ = [
    "Aae",
    "Adversarial",
    "Annealing",
    "BetaTc",
    "Ciwae",
    "DipVae",
    "Elbo",
    "Factor",
    "Gan",
    "InfoVae",
    "Invariant",
    "Iwae",
    "Lagging",
    "Loss",
    "Matched",
    "Miwae",
    "NotMiwae",
    "Objective",
    "Piwae",
    "SemiSupervised",
    "VaeGan",
    "Wae",
    "for_detecting",
    "suggested_latent",
    "without_encoder",
]
