"""Normalizing flows, all of them zuko's, as distributions that take their noise from outside."""

from typing import Any

import torch
import zuko
from torch import Size, Tensor, nn

from lambent.distributions import FromNoise
from lambent.distributions.products import exact_products


class FlowNormal(FromNoise):
    """A Gaussian pushed through an invertible map: z = g(u), u ~ base, log p(z) = log base(g⁻¹(z)) + log|det ∂g⁻¹/∂z|.

    bend: g, a transform as zuko makes them, with `call_and_ladj`; batch: the axes that a context gives it. The last draw's
    density is remembered: of a flow's two directions one is slow, and a distribution that is asked only for the density of
    its own draws never goes back.
    """

    remembers = True

    def __init__(self, base: FromNoise, bend: Any, batch: tuple[int, ...] = ()) -> None:
        super().__init__(Size(torch.broadcast_shapes(base.batch_shape, batch)), base.event_shape)
        self.base = base
        self.bend = bend
        self._drawn: tuple[Tensor, Tensor] | None = None

    def _like(self) -> Tensor:
        return self.base._like()

    def from_noise(self, noise: Tensor) -> Tensor:
        straight = self.base.from_noise(self._over_batch(noise))
        z: Tensor
        with exact_products():
            z, log_determinant = self.bend.call_and_ladj(straight)
        self._drawn = (z, self.base.log_prob(straight) - log_determinant)
        return z

    def log_prob(self, value: Tensor) -> Tensor:
        if self._drawn is not None and self._drawn[0] is value:
            return self._drawn[1]
        with exact_products():
            straight, log_determinant = self.bend.inv.call_and_ladj(self._over_batch(value))
        density: Tensor = self.base.log_prob(straight) + log_determinant
        return density

    def _over_batch(self, value: Tensor) -> Tensor:
        """zuko's conditional transforms do not broadcast: give the value every batch axis that the base has."""
        return value.expand(*torch.broadcast_shapes(value.shape[:-1], self.batch_shape), value.shape[-1])

    @property
    def centre(self) -> Tensor:
        """The image of the base's centre; a mean has no closed form."""
        with exact_products():
            image: Tensor = self.bend(self._over_batch(self.base.centre))
        return image


def coupling_flow(kind: str, size: int, context: int, transforms: int, width: int) -> nn.Module:
    """A zuko flow of coupling layers over `size` units, given `context` numbers; its own direction takes one pass, back three."""
    build = {"affine": zuko.flows.MAF, "spline": zuko.flows.NSF}[kind]
    passes = min(2, size)  # two passes make an autoregressive layer a coupling; one unit has nothing to couple
    hidden = (width, width)
    flow: nn.Module = build(size, context, transforms=transforms, passes=passes, hidden_features=hidden)
    return flow


@torch.no_grad()
def straighten(flow: Any) -> None:
    """Make every layer the identity, by a last linear map of nought; the layers learn from there."""
    for layer in flow.transform.transforms:
        for parameter in list(layer.parameters())[-2:]:  # weight and bias
            parameter.zero_()
