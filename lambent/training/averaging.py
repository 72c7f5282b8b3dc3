"""An exponential average of the weights, for evaluation."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

STRIDE = 16  # steps between updates: the average moves slowly, and reading every weight each step is dear


class Average:
    """θ̄ ← d θ̄ + (1 − d) θ, with d = decay per step, and less at first, so that the start is forgotten."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.live = [p for p in model.parameters() if p.requires_grad]
        self.values = [p.detach().clone() for p in self.live]
        self.decay = decay
        self.steps = 0

    def step(self) -> None:
        """Count a step; every so many of them move the average."""
        self.steps += 1
        if self.steps % STRIDE == 0:
            self._update(self.steps / STRIDE)

    @torch.no_grad()
    def _update(self, updates: float) -> None:
        decay = min(self.decay**STRIDE, updates / (updates + 9))
        torch._foreach_lerp_(self.values, [p.detach() for p in self.live], 1 - decay)

    @torch.no_grad()
    def assign(self) -> None:
        """Give the model the averaged weights, where there have been any."""
        if self.steps >= STRIDE:
            torch._foreach_copy_([p.detach() for p in self.live], self.values)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model with its averaged weights while active."""
        if self.steps < STRIDE:
            yield
            return
        own = [p.detach().clone() for p in self.live]
        self.assign()
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_([p.detach() for p in self.live], own)
