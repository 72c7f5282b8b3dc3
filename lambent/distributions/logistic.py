"""Mixtures of discretized logistics over pixels."""

from collections.abc import Callable

import torch
from torch import Size, Tensor
from torch.nn import functional

from lambent.distributions.explicit import Axes, Explicit
from lambent.part import Shape


class LogisticPixels(Explicit):
    """The distribution of DiscretizedLogistics over [channels, height, width], of whole numbers 0 … levels − 1.

    logits: [*batch, mixture, height, width] or None for one component; location, log_scale: [*batch, mixture, channels, height,
    width] on the scale −1 … 1; coupling: [*batch, mixture, channels·(channels−1)/2, height, width] in −1 … 1, of each channel
    to those before it in turn; none: channels are independent.
    """

    has_rsample = False

    def __init__(
        self,
        logits: Tensor | None,
        location: Tensor,
        log_scale: Tensor,
        coupling: Tensor,
        event: Shape,
        levels: int = 256,
    ) -> None:
        super().__init__(location.shape[:-4], Size(event))
        self.log_weights = None if logits is None else functional.log_softmax(logits, -3)
        self.location = location
        self.log_scale = log_scale
        self.coupling = coupling
        self.levels = levels
        self.half = (levels - 1) / 2  # levels in one of the two units of the scale −1 … 1

    def _locations(self, x: Tensor) -> Tensor:
        """Locations given the channels before: x [*, 1 or mixture, channels, height, width] on the scale −1 … 1."""
        if self.location.shape[-3] == 1 or not self.coupling.numel():
            return self.location
        couplings = iter(self.coupling.unbind(-3))
        shifted = []
        for channel, location in enumerate(self.location.unbind(-3)):
            for before in range(channel):
                location = location + next(couplings) * x[..., before, :, :]
            shifted.append(location)
        return torch.stack(torch.broadcast_tensors(*shifted), -3)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.pixel_log_prob(value).sum((-2, -1))

    def pixel_log_prob(self, value: Tensor) -> Tensor:
        """The share of each pixel in `log_prob`, all its channels together, [*batch, height, width]."""
        value = value.unsqueeze(-4)
        location = self._locations(value / self.half - 1)
        # In levels from here on: there the edges between levels are exact, however many levels there are.
        centred, inverse = value - (location + 1) * self.half, (-self.log_scale).exp() / self.half
        upper, lower = (centred + 0.5) * inverse, (centred - 0.5) * inverse
        # σ(a) − σ(b) = σ(a) σ(−b) (1 − e^{b−a}) : no difference of nearly equal numbers, exact at every scale
        log_upper = torch.where(value == self.levels - 1, 0.0, functional.logsigmoid(upper))
        log_lower = torch.where(value == 0, 0.0, functional.logsigmoid(-lower))
        inside = (value > 0) & (value < self.levels - 1)
        log_step = torch.where(inside, torch.log(-torch.expm1(-inverse)), 0.0)
        each = (log_upper + log_lower + log_step).sum(-3)
        return each.squeeze(-3) if self.log_weights is None else torch.logsumexp(each + self.log_weights, -3)

    @property
    def mean(self) -> Tensor:
        """E[x] in levels, exact for one channel; later channels take the earlier ones at their means."""
        return self._mean(self._expected)

    @property
    def smooth_mean(self) -> Tensor:
        """E[x] of logistics that are held to 0 … levels − 1 and not cut into levels: one formula, with a gradient everywhere."""
        return self._mean(self._held)

    def _mean(self, expected: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        x = torch.zeros_like(self.location)
        for channel in range(self.location.shape[-3]):
            location = self._locations(x)[..., channel, :, :]
            grey = expected(location, self.log_scale[..., channel, :, :])
            x = torch.cat(
                (x[..., :channel, :, :], (grey / self.half - 1).unsqueeze(-3), x[..., channel + 1 :, :, :]), -3
            )
        if self.log_weights is not None:
            x = x * self.log_weights.exp().unsqueeze(-3)
        return (x.sum(-4) + 1) * self.half

    def _expected(self, location: Tensor, log_scale: Tensor) -> Tensor:
        """E[x] = Σ_v P(x > v), over v < levels − 1; of many levels nearly all terms are 0 or 1, or they vary slowly."""
        inverse = (-log_scale).exp() / self.half
        centre = (location + 1) * self.half
        if self.levels <= MANY:
            total = torch.zeros_like(location)
            for level in range(self.levels - 1):
                total += torch.sigmoid((centre - (level + 0.5)) * inverse)
            return total
        return torch.where(inverse > 1, self._summed(centre, inverse), self._integrated(centre, inverse))

    def _held(self, location: Tensor, log_scale: Tensor) -> Tensor:
        """E[min(max(x, 0), levels − 1)] = s (softplus(c/s) − softplus((c − levels + 1)/s)), x logistic about c with scale s."""
        scale = log_scale.exp() * self.half
        centre = (location + 1) * self.half
        return scale * (functional.softplus(centre / scale) - functional.softplus((centre - 2 * self.half) / scale))

    def _summed(self, centre: Tensor, inverse: Tensor) -> Tensor:
        """The sum where a scale is less than a level: the terms next to the centre; those below are 1, those above 0."""
        near = centre.floor().clamp(0, self.levels - 1)
        total = (near - NEAR).clamp_min(0)
        for step in range(-NEAR, NEAR):
            level = near + step
            term = torch.sigmoid((centre - (level + 0.5)) * inverse)
            total = total + torch.where((level >= 0) & (level < self.levels - 1), term, 0.0)
        return total

    def _integrated(self, centre: Tensor, inverse: Tensor) -> Tensor:
        """The sum where a scale is a level or more: its integral over v from 0 to levels − 1, less f′/24 at the two ends.

        By Euler and Maclaurin's formula; the next term is below a thousandth of a level, and what remains inside e^{−2π²}.
        """
        below, above = centre * inverse, (centre - (self.levels - 1)) * inverse
        area = (functional.softplus(below) - functional.softplus(above)) / inverse
        slopes = (_slope(above) - _slope(below)) * inverse
        return area + slopes / 24

    def rsample(
        self, sample_shape: Axes = Size(), generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        location, log_scale, coupling = self._chosen(sample_shape, generator)
        uniform = torch.rand(location.shape, generator=generator, device=location.device, dtype=location.dtype)
        tiny = torch.finfo(uniform.dtype).eps
        noise = torch.logit(uniform.clamp(tiny, 1 - tiny)) * temperature
        chosen = LogisticPixels(
            None, location.unsqueeze(-4), log_scale.unsqueeze(-4), coupling.unsqueeze(-4), self.event_shape, self.levels
        )
        x = torch.zeros_like(location).unsqueeze(-4)
        for channel in range(location.shape[-3]):
            drawn = (
                chosen._locations(x)[..., 0, channel, :, :]
                + log_scale[..., channel, :, :].exp() * noise[..., channel, :, :]
            )
            grey = ((drawn + 1) * self.half).round().clamp(0, self.levels - 1)
            x = x.clone()
            x[..., 0, channel, :, :] = grey / self.half - 1
        return ((x.squeeze(-4) + 1) * self.half).round()

    def _chosen(self, sample_shape: Axes, generator: torch.Generator | None) -> tuple[Tensor, Tensor, Tensor]:
        """Parameters of one component per pixel, drawn by weight: [*sample, *batch, …, height, width]."""
        parameters = (self.location, self.log_scale, self.coupling)
        if self.log_weights is None:
            return tuple(p.squeeze(-4).expand(*sample_shape, *p.shape[:-4], *p.shape[-3:]) for p in parameters)  # type: ignore[return-value]
        weights = self.log_weights.expand(*sample_shape, *self.log_weights.shape)
        uniform = torch.rand(weights.shape, generator=generator, device=weights.device, dtype=weights.dtype)
        gumbel = -torch.log(-torch.log(uniform.clamp(1e-12, 1 - 1e-7)))
        index = (weights + gumbel).argmax(-3, keepdim=True).unsqueeze(-3)

        def pick(p: Tensor) -> Tensor:
            p = p.expand(*sample_shape, *p.shape)
            wanted = index.expand(*index.shape[:-3], p.shape[-3], *index.shape[-2:])
            return p.gather(-4, wanted).squeeze(-4)

        return pick(self.location), pick(self.log_scale), pick(self.coupling)


def _slope(x: Tensor) -> Tensor:
    """σ′(x)."""
    return torch.sigmoid(x) * torch.sigmoid(-x)


MANY = 256  # levels up to which a mean is summed over all of them
NEAR = 20  # levels about a centre beyond which a term differs from 0 or 1 by less than e^−20
