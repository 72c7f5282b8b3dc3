"""How much of a codebook rows use."""

import torch
from torch import Tensor

from lambent.distributions import QuantizedMap
from lambent.model import LatentModel
from lambent.model.quantizers import CodeUsage
from lambent.model.trace import mean
from lambent.progress import chunks


@torch.no_grad()
def codebook_usage(model: LatentModel, x: Tensor, context: Tensor | None = None) -> tuple[CodeUsage, int]:
    """Which entries the codes of rows [rows, *event] hold, over all places, and how many entries there are."""
    counts = torch.zeros(0, dtype=torch.int64)
    for part in chunks("counting entries", len(x), 512):
        given = None if context is None else context[part].to(model.device)
        q = model.infer(x[part].to(model.device), 1, mean, given)[0].q
        assert isinstance(q, QuantizedMap)
        found = torch.bincount(q.numbers.flatten().cpu(), minlength=model.latent.quantizer.count)
        counts = found + counts if len(counts) else found
    return CodeUsage.of(counts), len(counts)
