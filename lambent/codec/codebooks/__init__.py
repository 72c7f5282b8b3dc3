"""Codebooks through the codec: q(z|x) is certain, so that no bits come back, and none have to be borrowed."""

from lambent.codec.codebooks import prior, quantizers  # register what is known of them
from lambent.codec.leaves import top

__all__ = ["prior", "quantizers", "top"]
