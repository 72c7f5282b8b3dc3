"""How evenly the entries of a codebook are used."""

from typing import NamedTuple

from torch import Tensor


class CodeUsage(NamedTuple):
    """share: of the entries that were used at all. perplexity: exp of the entropy of which one; all of them if used evenly.

    None and None where nothing was counted.
    """

    perplexity: float | None
    share: float | None

    @classmethod
    def of(cls, counts: Tensor) -> "CodeUsage":
        """From how often each entry was used, [entries]."""
        counts = counts.double()
        if not bool(counts.sum()):
            return cls(None, None)
        shares = counts / counts.sum()
        return cls(float((-shares.xlogy(shares).sum()).exp()), float((counts > 0).double().mean()))
