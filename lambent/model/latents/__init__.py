"""Latents: how many z there are, and how they hang together."""

from lambent.model.latents.base import Encoder, Latent, Variational
from lambent.model.latents.codebook import Codebook
from lambent.model.latents.flat import Flat
from lambent.model.latents.grid import Grid
from lambent.model.latents.ladder import Ladder

__all__ = ["Codebook", "Encoder", "Flat", "Grid", "Ladder", "Latent", "Variational"]
