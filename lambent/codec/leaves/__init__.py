"""The leaves of the codec: every distribution that it codes, as exact shares of 2^24 quanta."""

from lambent.codec.leaves import pixels  # registers its emission
from lambent.codec.leaves.codes import STEP, Codes, coder
from lambent.codec.leaves.emissions import Emission, emission
from lambent.codec.leaves.priors import TopPrior, top

__all__ = ["STEP", "Codes", "Emission", "TopPrior", "coder", "emission", "pixels", "top"]
