"""Rows of counts of which most are nought: log Γ is taken of the others alone."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Independent
from torch.nn import functional

from lambent.distributions.counted import Dispersed, ZeroInflated, rising


class CountedRows(Independent):  # type: ignore[type-arg] # generic in newer releases of torch only
    """Independent counts, [*batch, *event], of Dispersed or ZeroInflated elements: log p quickly, where few are above nought.

    A nought costs −r log(1 + m/r), without any Γ; what a count v > 0 adds to that is computed at these places alone, and log v!
    and where they are once for all samples of a row. The same sums as those over the elements, in another order.
    """

    def __init__(self, elements: Dispersed | ZeroInflated, dimensions: int) -> None:
        super().__init__(elements, dimensions, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        if value.device.type != "cpu":  # looking for places would stop a GPU's queue
            each: Tensor = self.base_dist.log_prob(value)
            return each.flatten(-self.reinterpreted_batch_ndims).sum(-1)
        elements = self.base_dist
        counting: Any = elements.counting if isinstance(elements, ZeroInflated) else elements
        shape = torch.broadcast_shapes(elements.batch_shape, value.shape)
        log_mean, log_r = counting.log_mean.expand(shape), counting.log_dispersion.expand(shape)
        nought = -functional.softplus(log_mean - log_r) * log_r.exp()
        if isinstance(elements, ZeroInflated):
            gate = elements.gate.expand(shape)
            uninflated = torch.where(value > 0, nought, torch.logaddexp(gate, nought))
            nought = uninflated - functional.softplus(gate)
        total = nought.flatten(-self.reinterpreted_batch_ndims).sum(-1)
        found: Tensor = total + self._above(value, log_mean, log_r, total)
        return found

    def _above(self, value: Tensor, log_mean: Tensor, log_r: Tensor, like: Tensor) -> Tensor:
        """What the counts above nought add, [*batch]."""
        size = value[(0,) * (value.dim() - self.reinterpreted_batch_ndims)].numel()
        flat = value.reshape(-1)
        place = flat.nonzero().squeeze(-1)
        count = flat[place]
        log_factorial = torch.lgamma(count + 1)
        copies = log_mean.numel() // max(1, flat.numel())
        if copies > 1:  # several samples of each row
            shift = torch.arange(copies, device=place.device).repeat_interleave(len(place)) * flat.numel()
            place = place.repeat(copies) + shift
            count, log_factorial = count.repeat(copies), log_factorial.repeat(copies)
        mean, spread = (each.reshape(-1).index_select(0, place) for each in (log_mean, log_r))
        added = rising(spread.exp(), count) - log_factorial + count * (mean - functional.softplus(mean - spread))
        found = torch.zeros(like.numel(), dtype=like.dtype, device=like.device)
        return found.index_add(0, place.div(size, rounding_mode="floor"), added).reshape(like.shape)
