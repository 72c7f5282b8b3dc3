"""Objectives: what training minimizes, in nats per row."""

from lambent.objectives.base import Annealing, Loss, Objective, suggested_latent
from lambent.objectives.elbo import Elbo
from lambent.objectives.spread import BetaTc, DipVae, Wae

__all__ = ["Annealing", "BetaTc", "DipVae", "Elbo", "Loss", "Objective", "Wae", "suggested_latent"]
