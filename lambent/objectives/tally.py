"""Tally: what the steps of an epoch told beside the bound."""

import torch
from torch import Tensor, nn


class Tally(nn.Module):
    """The means over the steps of an epoch of numbers that each step notes; in buffers, so that a resumed run tells the same."""

    steps: Tensor
    sums: Tensor

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names = names
        self.register_buffer("steps", torch.zeros(()))
        self.register_buffer("sums", torch.zeros(len(names)))
        self.pending: Tensor | None = None

    def note(self, *values: Tensor) -> None:
        """What this step told, one number for each name; it counts once `count` is called."""
        self.pending = torch.stack([value.detach().to(self.sums.dtype) for value in values])

    @torch.no_grad()
    def count(self, taken: Tensor) -> None:
        """Count what was noted, unless its step was skipped (`taken` is false) or a number of it is none."""
        if self.pending is not None:
            counts = taken & torch.isfinite(self.pending).all()
            self.steps.add_(counts)
            self.sums.add_(torch.where(counts, self.pending, 0.0))
            self.pending = None

    @torch.no_grad()
    def told(self) -> dict[str, float | None]:
        """The means since the last call; None where no step counted."""
        steps = float(self.steps)
        means = {
            name: total / steps if steps else None for name, total in zip(self.names, self.sums.tolist(), strict=True)
        }
        self.steps.zero_()
        self.sums.zero_()
        return means
