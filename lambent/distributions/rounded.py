"""A logistic rounded to a grid."""

import torch
from torch import Size, Tensor
from torch.nn import functional

from lambent.distributions.explicit import Axes, Explicit

NEAR = 40  # nodes of a sum about the middle


class Rounded(Explicit):
    """P(x) = F(x + h/2) − F(x − h/2) for x = 0, ±h, ±2h, …, F the logistic with location μ and scale s; elementwise."""

    has_rsample = False

    def __init__(self, location: Tensor, scale: Tensor, step: float) -> None:
        location, scale = torch.broadcast_tensors(location, scale)
        super().__init__(location.shape, Size())
        self.location = location
        self.scale = scale
        self.step = step

    def log_prob(self, value: Tensor) -> Tensor:
        """A value between two of the grid counts as the nearer."""
        centred = (value / self.step).round() * self.step - self.location
        width = self.step / self.scale
        upper, lower = (centred / self.scale + width / 2), (centred / self.scale - width / 2)
        # σ(a) − σ(b) = σ(a) σ(−b) (1 − e^{b−a}): no difference of nearly equal numbers
        return functional.logsigmoid(upper) + functional.logsigmoid(-lower) + torch.log(-torch.expm1(-width))

    @property
    def mean(self) -> Tensor:
        return self._moments()[0]

    @property
    def variance(self) -> Tensor:
        return self._moments()[1]

    def _moments(self) -> tuple[Tensor, Tensor]:
        """Of a scale below two steps the sums over the grid about the middle; of others what rounding leaves as it is.

        A logistic of two steps and more varies so little over one that rounding adds h²/12 to its variance, to float32.
        """
        middle = (self.location / self.step).round()
        offsets = torch.arange(-NEAR, NEAR + 1, device=middle.device, dtype=middle.dtype)
        grid = (middle.unsqueeze(-1) + offsets) * self.step
        chosen = Rounded(self.location.unsqueeze(-1), self.scale.unsqueeze(-1).clamp_max(2 * self.step), self.step)
        mass = chosen.log_prob(grid).exp()
        apart = grid - self.location.unsqueeze(-1)
        shift = (mass * apart).sum(-1)
        spread = (mass * apart.square()).sum(-1) - shift.square()
        narrow = self.scale < 2 * self.step
        variance = (torch.pi * self.scale).square() / 3 + self.step**2 / 12
        return self.location + torch.where(narrow, shift, 0.0), torch.where(narrow, spread, variance)

    def rsample(
        self, sample_shape: Axes = Size(), generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        location = self.location.expand(*sample_shape, *self.location.shape)
        uniform = torch.rand(location.shape, generator=generator, device=location.device, dtype=location.dtype)
        tiny = torch.finfo(uniform.dtype).eps
        noise = torch.logit(uniform.clamp(tiny, 1 - tiny)) * temperature
        return ((location + self.scale * noise) / self.step).round() * self.step
