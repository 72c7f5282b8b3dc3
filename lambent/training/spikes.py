"""Spikes: losses far above those of the epoch before, whose steps are left out."""

import math

import torch
from torch import Tensor

LEAST = 1e-3  # nats: the smallest spread that the losses of an epoch are taken to have
CONTESTED = 0.1  # and where there is an opponent: the loss moves as that one learns

Sums = dict[str, float]


class Spikes:
    """The limit on a loss: `spike` standard deviations above its mean over the epoch before; none in the first, none for 0.

    What an epoch shows stands in the run's sums, which a checkpoint keeps, under names that begin with `name`.
    """

    def __init__(self, spike: float, device: torch.device, name: str = "", least: float = LEAST) -> None:
        self.spike, self.name, self.least = spike, name, least
        self.limit = torch.full((), torch.finfo(torch.float32).max, device=device)

    def passes(self, mean: Tensor) -> Tensor:
        """Whether a step of this mean loss may be taken; one that is no number may not."""
        return mean <= self.limit

    def lift(self) -> None:
        """No finite loss is a spike until the epoch ends."""
        self.limit.fill_(torch.finfo(torch.float32).max)

    def count(self, sums: Sums, means: Tensor, over: Tensor) -> None:
        """Count the mean losses of some steps, and which of them were over the limit; [steps]."""
        self._add(sums, "window", len(over))
        self._add(sums, "window_over", int(over.sum()))
        for mean in means[~over].tolist():
            self._add(sums, "steps", 1)
            self._add(sums, "mean", mean)
            self._add(sums, "square", mean * mean)

    def judge_level(self, sums: Sums) -> bool:
        """Where most losses since the last look were over the limit, it is no spike but a new level: let it pass."""
        new = sums.pop(f"{self.name}window_over", 0.0) * 2 > sums.pop(f"{self.name}window", 0.0)
        if new:
            self.lift()
        return new

    def follow(self, sums: Sums) -> None:
        """Set the limit by what the epoch showed."""
        steps = sums.get(f"{self.name}steps", 0.0)
        if not self.spike or steps < 8:
            return
        mean = sums[f"{self.name}mean"] / steps
        spread = math.sqrt(max(0.0, sums[f"{self.name}square"] / steps - mean * mean))
        self.limit.fill_(mean + self.spike * max(spread, 1e-3 * abs(mean), self.least))

    def _add(self, sums: Sums, name: str, amount: float) -> None:
        sums[self.name + name] = sums.get(self.name + name, 0.0) + amount
