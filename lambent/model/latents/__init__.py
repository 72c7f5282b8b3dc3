"""Latents: how many z there are, and how they hang together."""

from lambent.model.latents.base import Encoder, Latent, Variational
from lambent.model.latents.codebook import Codebook
from lambent.model.latents.flat import Flat
from lambent.model.latents.grid import Grid
from lambent.model.latents.ladder import Ladder
from lambent.model.latents.styled import Styled, pooled_normal

__all__ = ["Codebook", "Encoder", "Flat", "Grid", "Ladder", "Latent", "Styled", "Variational", "pooled_normal"]
