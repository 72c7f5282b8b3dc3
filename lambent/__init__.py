"""Lambent: from a file of data to a trained variational autoencoder, and from there to everything one is good for."""

__version__ = "0.1.0"
