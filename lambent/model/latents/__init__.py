"""Latents: how many z there are, and how they hang together."""

from lambent.model.latents.ladder import Encoder, Flat, Ladder, Latent

__all__ = ["Encoder", "Flat", "Ladder", "Latent"]
