"""Normalizing flows, all of them zuko's, as distributions that take their noise from outside."""

from typing import Any

import torch
import zuko
from torch import Size, Tensor, nn

from lambent.distributions import LOG_2PI, FromNoise


class FlowNormal(FromNoise):
    """Noise pushed through an invertible map: z = f⁻¹(ε), log p(z) = log N(f(z)) + log|det ∂f/∂z|.

    flow: a zuko NormalizingFlow with a standard-normal base. The last draw's density is remembered, for one of the two
    directions of a flow may be slow.
    """

    def __init__(self, flow: Any, like: Tensor) -> None:
        super().__init__(Size(flow.batch_shape), Size(flow.event_shape))
        self.flow = flow
        self.like = like
        self._drawn: tuple[Tensor, Tensor] | None = None

    def _like(self) -> Tensor:
        return self.like

    def from_noise(self, noise: Tensor) -> Tensor:
        noise = self._over_batch(noise)
        z: Tensor
        z, log_determinant = self.flow.transform.inv.call_and_ladj(noise)
        base = -0.5 * (noise.square().sum(-1) + noise.shape[-1] * LOG_2PI)
        self._drawn = (z, base - log_determinant)
        return z

    def log_prob(self, value: Tensor) -> Tensor:
        if self._drawn is not None and self._drawn[0] is value:
            return self._drawn[1]
        noise, log_determinant = self.flow.transform.call_and_ladj(self._over_batch(value))
        density: Tensor = -0.5 * (noise.square().sum(-1) + noise.shape[-1] * LOG_2PI) + log_determinant
        return density

    def _over_batch(self, value: Tensor) -> Tensor:
        """zuko's conditional transforms do not broadcast: give the value every batch axis that the flow has."""
        return value.expand(*torch.broadcast_shapes(value.shape[:-1], self.batch_shape), value.shape[-1])

    @property
    def mean(self) -> Tensor:
        """The image of the base's mean: the flow's centre, not its first moment (which has no closed form)."""
        zeros = self.like.new_zeros((*self.batch_shape, *self.event_shape))
        centre: Tensor = self.flow.transform.inv(zeros)
        return centre


def coupling_flow(kind: str, size: int, context: int, transforms: int, width: int) -> nn.Module:
    """A zuko flow of coupling layers over `size` units, given `context` numbers; fast in both directions."""
    build = {"affine": zuko.flows.MAF, "spline": zuko.flows.NSF}[kind]
    passes = min(2, size)  # two passes make an autoregressive layer a coupling; one unit has nothing to couple
    hidden = (width, width)
    flow: nn.Module = build(size, context, transforms=transforms, passes=passes, hidden_features=hidden)
    return flow
