"""An exponential average of the weights, for evaluation."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class Average:
    """θ̄ ← d θ̄ + (1 − d) θ after each step, d = min(decay, (t − 1) / (t + 8)) at step t.

    The first step sets it to the weights, so that nothing of the start is left, and it reaches over a tenth of the steps so
    far until that is as many as `decay` reaches over: it is worth using from the first step, however few there are.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.live = [p for p in model.parameters() if p.requires_grad]
        self.values = [p.detach().clone() for p in self.live]
        self.decay = decay
        self.steps = 0

    @torch.no_grad()
    def take(self, steps: int) -> None:
        """Take the weights that so many steps have led to, if they are not in it yet."""
        if self.steps >= steps:
            return
        self.steps = steps
        decay = min(self.decay, (steps - 1) / (steps + 8))
        torch._foreach_lerp_(self.values, [p.detach() for p in self.live], 1 - decay)

    @torch.no_grad()
    def assign(self) -> None:
        """Give the model the averaged weights, where there have been any."""
        if self.steps:
            torch._foreach_copy_([p.detach() for p in self.live], self.values)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model with its averaged weights while active."""
        if not self.steps:
            yield
            return
        own = [p.detach().clone() for p in self.live]
        self.assign()
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_([p.detach() for p in self.live], own)
