"""Quantizers: how the vectors of a map become entries of a codebook."""

from lambent.model.quantizers.base import Quantizer
from lambent.model.quantizers.finite import Finite
from lambent.model.quantizers.nearest import Nearest
from lambent.model.quantizers.usage import CodeUsage

__all__ = ["CodeUsage", "Finite", "Nearest", "Quantizer"]
