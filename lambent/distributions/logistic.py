"""Mixtures of discretized logistics over pixels."""

import torch
from torch import Size, Tensor
from torch.nn import functional

from lambent.distributions.explicit import Axes, Explicit
from lambent.part import Shape


class LogisticPixels(Explicit):
    """The distribution of DiscretizedLogistics over [channels, height, width].

    logits: [*batch, mixture, height, width] or None for one component; location, log_scale: [*batch, mixture, channels, height,
    width] on the scale −1 … 1; coupling: [*batch, mixture, channels·(channels−1)/2, height, width] in −1 … 1.
    """

    has_rsample = False

    def __init__(
        self, logits: Tensor | None, location: Tensor, log_scale: Tensor, coupling: Tensor, event: Shape
    ) -> None:
        super().__init__(location.shape[:-4], Size(event))
        self.log_weights = None if logits is None else functional.log_softmax(logits, -3)
        self.location = location
        self.log_scale = log_scale
        self.coupling = coupling

    def _locations(self, x: Tensor) -> Tensor:
        """Locations given the channels before: x [*, 1 or mixture, channels, height, width] on the scale −1 … 1."""
        if self.location.shape[-3] == 1:
            return self.location
        red, green, blue = self.location.unbind(-3)
        first, second, third = self.coupling.unbind(-3)
        green = green + first * x[..., 0, :, :]
        blue = blue + second * x[..., 0, :, :] + third * x[..., 1, :, :]
        return torch.stack(torch.broadcast_tensors(red, green, blue), -3)

    def log_prob(self, value: Tensor) -> Tensor:
        bytes_ = value.unsqueeze(-4)
        x = bytes_ / 127.5 - 1
        inverse = (-self.log_scale).exp()
        centred = (x - self._locations(x)) * inverse
        half = HALF * inverse
        upper, lower = centred + half, centred - half
        # σ(a) − σ(b) = σ(a) σ(−b) (1 − e^{b−a}) : no difference of nearly equal numbers, exact at every scale
        log_upper = torch.where(bytes_ == LEVELS - 1, 0.0, functional.logsigmoid(upper))
        log_lower = torch.where(bytes_ == 0, 0.0, functional.logsigmoid(-lower))
        inside = (bytes_ > 0) & (bytes_ < LEVELS - 1)
        log_step = torch.where(inside, torch.log(-torch.expm1(-2 * half)), 0.0)
        each = (log_upper + log_lower + log_step).sum(-3)
        each = each.squeeze(-3) if self.log_weights is None else torch.logsumexp(each + self.log_weights, -3)
        return each.sum((-2, -1))

    @property
    def mean(self) -> Tensor:
        """E[x] in grey levels, exact for one channel; later channels take the earlier ones at their means."""
        x = torch.zeros_like(self.location)
        for channel in range(self.location.shape[-3]):
            location = self._locations(x)[..., channel, :, :]
            grey = self._expected(location, self.log_scale[..., channel, :, :])
            x = torch.cat((x[..., :channel, :, :], (grey / 127.5 - 1).unsqueeze(-3), x[..., channel + 1 :, :, :]), -3)
        if self.log_weights is not None:
            x = x * self.log_weights.exp().unsqueeze(-3)
        return (x.sum(-4) + 1) * 127.5

    @staticmethod
    def _expected(location: Tensor, log_scale: Tensor) -> Tensor:
        """E[x] = Σ_{v<255} P(x > v)."""
        inverse = (-log_scale).exp()
        total = torch.zeros_like(location)
        for level in range(LEVELS - 1):
            total += torch.sigmoid((location - ((level + 0.5) / 127.5 - 1)) * inverse)
        return total

    def rsample(
        self, sample_shape: Axes = Size(), generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        location, log_scale, coupling = self._chosen(sample_shape, generator)
        uniform = torch.rand(location.shape, generator=generator, device=location.device, dtype=location.dtype)
        tiny = torch.finfo(uniform.dtype).eps
        noise = torch.logit(uniform.clamp(tiny, 1 - tiny)) * temperature
        chosen = LogisticPixels(
            None, location.unsqueeze(-4), log_scale.unsqueeze(-4), coupling.unsqueeze(-4), self.event_shape
        )
        x = torch.zeros_like(location).unsqueeze(-4)
        for channel in range(location.shape[-3]):
            drawn = (
                chosen._locations(x)[..., 0, channel, :, :]
                + log_scale[..., channel, :, :].exp() * noise[..., channel, :, :]
            )
            grey = ((drawn + 1) * 127.5).round().clamp(0, LEVELS - 1)
            x = x.clone()
            x[..., 0, channel, :, :] = grey / 127.5 - 1
        return ((x.squeeze(-4) + 1) * 127.5).round()

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


LEVELS = 256


HALF = 1 / (LEVELS - 1)  # half a grey level, on the scale where 0 … 255 is −1 … 1
