"""Scales of likelihoods: fixed, learned or predicted."""

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lambent.distributions import limited
from lambent.model.likelihoods.base import Likelihood, chunks
from lambent.part import Shape

ScaleRule = Literal["fixed", "one", "each", "predicted"]
# Of −log p by a log scale, for each element: 1 at most while it is too wide; above 5 by chance in the smallest batches alone.
STEEPEST = 5.0


class Scaled(nn.Module):
    """A positive number per element: fixed, one learned for all, one learned for each, or predicted by the decoder."""

    pace = 10.0  # learns so much faster than the rest: a log scale may have several units to go, Adam's steps are small

    def __init__(self, owner: Likelihood, how: ScaleRule, event: Shape, initial: float) -> None:
        super().__init__()
        # Of one column there is one scale in any case, and it has had the shape of one.
        how = "each" if how == "one" and owner.apart and event != (1,) else how
        self.how = how
        self.event = event
        start = torch.full((), initial).log()
        if how == "fixed":
            self.register_buffer("log_scale", start)
        elif how != "predicted":
            self.log_scale = nn.Parameter(start if how == "one" else start.expand(event).clone())

    @property
    def channels(self) -> int:
        """Numbers per element that the decoder must emit for location and scale."""
        return 2 if self.how == "predicted" else 1

    def forward(self, raw: Tensor, low: float, high: float, steepest: float = math.inf) -> tuple[Tensor, Tensor]:
        """Location and log scale, the latter limited to [low, high] unless it is fixed.

        steepest: the largest gradient that a learned log scale receives, for each element that it is the scale of.
        """
        if self.how == "predicted":
            location, log_scale = chunks(raw, 2, self.event)
            return location, limited(log_scale, low, high)
        if self.how == "fixed":
            return raw, self.log_scale
        shared = torch.Size(self.event).numel() / self.log_scale.numel()
        return raw, limited(self.log_scale, low, high, steepest * shared)

    def floored(self, raw: Tensor, floor: float) -> tuple[Tensor, Tensor]:
        """Location and scale √(floor² + e²ˢ), s the log scale; a fixed one is what it is.

        Far above the floor σ = eˢ to float32; at the floor s still has a gradient, and goes no further down than it takes
        to be there.
        """
        location, log_scale = self(raw, math.log(floor) - 1, 10.0, STEEPEST)
        scale = log_scale.exp()
        return location, scale if self.how == "fixed" else torch.hypot(scale, scale.new_full((), floor))

    @torch.no_grad()
    def start_around(self, location: Tensor, scale: Tensor) -> Tensor:
        """The raw output of this location and scale, [*event]; a scale that is learned, and not predicted, is set to it."""
        log_scale = scale.log()
        if self.how == "predicted":
            return torch.cat((location, log_scale), -len(self.event))
        if self.how != "fixed":
            self.log_scale.copy_(log_scale if self.log_scale.dim() else log_scale.mean())
        return location

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        """Weights from when columns of equal description shared one scale give it to each of them."""
        kept, own = state_dict.get(f"{prefix}log_scale"), getattr(self, "log_scale", None)
        if kept is not None and own is not None and kept.dim() == 0 and own.dim():
            state_dict = {**state_dict, f"{prefix}log_scale": kept.expand_as(own)}
        super()._load_from_state_dict(state_dict, prefix, *args)
