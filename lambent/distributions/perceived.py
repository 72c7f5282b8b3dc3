"""A picture by itself, with what any other costs beside it: not a distribution, but what stands in the place of one."""

from collections.abc import Callable

import torch
from torch import Size, Tensor

from lambent.distributions.explicit import Axes, Explicit
from lambent.part import Shape


class Perceived(Explicit):
    """The picture [*batch, *event], of which every draw is the picture; `log_prob` of a value is −cost(picture, value).

    Nothing normalizes it: no bound on log p(x) is made of it. cost: [..., *event] of both → [...], nought where they are equal.
    """

    has_rsample = True

    def __init__(self, picture: Tensor, event: Shape, cost: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__(picture.shape[: picture.dim() - len(event)], Size(event))
        self.picture = picture
        self.cost = cost

    @property
    def mean(self) -> Tensor:
        return self.picture

    @property
    def variance(self) -> Tensor:
        return torch.zeros_like(self.picture)

    def rsample(
        self, sample_shape: Axes = Size(), generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        return self.picture.expand(*sample_shape, *self.picture.shape)

    def log_prob(self, value: Tensor) -> Tensor:
        return -self.cost(self.picture, value)
