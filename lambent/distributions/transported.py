"""Noise carried to codes along a field of velocities: flow matching's density, its draws, its losses."""

import math
import warnings
from collections.abc import Callable

import torch
from torch import Size, Tensor
from torch.func import jvp, vmap

from lambent.distributions.explicit import FromNoise
from lambent.distributions.products import exact_products
from lambent.distributions.vectors import LOG_2PI

Velocity = Callable[[Tensor, Tensor], Tensor]  # v(w, t): w [..., size], t () or [...], to [..., size]
NEAREST = 1e-5  # to time 1 that a loss is taken
LATE = 0.05  # δ: times are drawn with a density that is highest, 1/δ, at time 1


class Transported(FromNoise):
    """z = m + s ∘ w(1), where dw/dt = v(w, t) from w(0) ~ N(0, I).

    log p(z) = log N(w(0); 0, I) − ∫₀¹ tr ∂v/∂w dt − Σ log s, with w(t) backward from w(1) = (z − m) / s. The equation is solved
    by `steps` steps of Runge and Kutta's fourth order, the integral by Simpson's rule on the same path.

    location, scale: m and s, [size]. probes: signs [n, size], with which the trace is estimated (Hutchinson), the same for all
    codes, times and calls; none: it is exact, at the cost of `size` directions. batch: the axes that a context gives v.
    Chen et al., Neural Ordinary Differential Equations, 2018; Grathwohl et al., FFJORD, 2019; Lipman et al., Flow Matching for
    Generative Modeling, 2023.
    """

    def __init__(
        self,
        velocity: Velocity,
        location: Tensor,
        scale: Tensor,
        steps: int,
        probes: Tensor | None = None,
        batch: tuple[int, ...] = (),
    ) -> None:
        super().__init__(Size(batch), location.shape)
        self.velocity = velocity
        self.location = location
        self.scale = scale
        self.steps = steps
        self.probes = probes

    def _like(self) -> Tensor:
        return self.location

    def from_noise(self, noise: Tensor) -> Tensor:
        with exact_products():
            path, _ = self._path(self._over_batch(noise), 0.0, 1.0)
        return self.location + self.scale * path[-1]

    def log_prob(self, value: Tensor) -> Tensor:
        return self.estimates(value).mean(0)

    def log_prob_with_error(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """log p(z) and the standard error that its trace brings in; nought where the trace is exact."""
        each = self.estimates(value)
        density = each.mean(0)
        if len(each) == 1:
            return density, torch.zeros_like(density) if self.probes is None else torch.full_like(density, math.nan)
        return density, each.std(0) / math.sqrt(len(each))

    def estimates(self, value: Tensor) -> Tensor:
        """log p(z) by each of the probes, [n, ...]; by the exact trace [1, ...]."""
        with exact_products():
            path, speeds = self._path(self._over_batch((value - self.location) / self.scale), 1.0, 0.0)
            grown = self._grown(path, speeds)
        start = -0.5 * (path[-1].square().sum(-1) + value.shape[-1] * LOG_2PI)
        return start - grown - self.scale.log().sum()

    @property
    def centre(self) -> Tensor:
        """What is carried from the middle of the noise; a mean has no closed form."""
        return self.from_noise(torch.zeros_like(self.location).expand(*self.batch_shape, -1))

    # ---- the losses it is learned by -----------------------------------------------------------------------------

    def loss(self, value: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Flow matching: ‖v(w_t, t) − (w − ε)‖² at w_t = t w + (1 − t) ε, t uniform, [...]; no density is computed."""
        # By this loss m and s would shrink the codes to nothing: they stand still.
        code = self._over_batch((value - self.location.detach()) / self.scale.detach())
        time = _spread(code, generator)
        noise = torch.randn(code.shape, generator=generator, device=code.device, dtype=code.dtype)
        moved = torch.lerp(noise, code, time.unsqueeze(-1))
        return (self.velocity(moved, time) - (code - noise)).square().sum(-1)

    def upper(self, value: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """An unbiased estimate, [...] in nats, of a bound on −log p(z) for the diffusion with the same velocities.

        −log N(w; 0, I) + ∫ t/(1 − t) E_ε[‖u − v‖² − ‖u − v₀‖²] dt + Σ log s, u = w − ε, v₀ the velocity that leaves N(0, I) as it
        is: where v = v₀ it is exact and has no noise. The integral, which needs v(w, 1) = w, is estimated at one time a code.
        Kingma et al., Variational Diffusion Models, 2021; Vahdat et al., Score-based Generative Modeling in Latent Space, 2021.
        """
        code = self._over_batch((value - self.location) / self.scale)
        late = 1 + LATE
        left = late * (LATE / late) ** _spread(code, generator) - LATE
        time = 1 - left.clamp_min(NEAREST)
        noise = torch.randn(code.shape, generator=generator, device=code.device, dtype=code.dtype)
        moved = torch.lerp(noise, code, time.unsqueeze(-1))
        still = at_rest(time).unsqueeze(-1) * moved
        beyond = self.velocity(moved, time) - still
        excess = (beyond * (beyond - 2 * (code - noise - still))).sum(-1)
        weight = time / (1 - time) * (1 - time + LATE) * math.log(late / LATE)
        start = 0.5 * (code.square().sum(-1) + code.shape[-1] * LOG_2PI)
        return start + weight * excess + self.scale.log().sum()

    # ---- the path ------------------------------------------------------------------------------------------------

    def _path(self, start: Tensor, begin: float, end: float) -> tuple[list[Tensor], list[Tensor]]:
        """w and v(w, t) at the ends of all steps from one time to another."""
        width = (end - begin) / self.steps
        path, speeds = [start], [self._velocity(start, begin)]
        for step in range(self.steps):
            time, here, first = begin + step * width, path[-1], speeds[-1]
            second = self._velocity(here + 0.5 * width * first, time + 0.5 * width)
            third = self._velocity(here + 0.5 * width * second, time + 0.5 * width)
            fourth = self._velocity(here + width * third, time + width)
            path.append(here + width / 6 * (first + 2 * (second + third) + fourth))
            speeds.append(self._velocity(path[-1], begin + (step + 1) * width))
        return path, speeds

    def _grown(self, path: list[Tensor], speeds: list[Tensor]) -> Tensor:
        """∫₀¹ tr ∂v/∂w dt along a path from time 1 to 0, [n, ...], the middles of its steps by Hermite's cubic."""
        width = 1 / self.steps
        ends = [self._trace(w, 1 - step * width) for step, w in enumerate(path)]
        total = torch.zeros_like(ends[0])
        for step in range(self.steps):
            middle = 0.5 * (path[step] + path[step + 1]) - width / 8 * (speeds[step] - speeds[step + 1])
            between = self._trace(middle, 1 - (step + 0.5) * width)
            total = total + width / 6 * (ends[step] + 4 * between + ends[step + 1])
        return total

    def _trace(self, w: Tensor, time: float) -> Tensor:
        """tr ∂v/∂w, [1, ...], or each probe's estimate of it, [n, ...]: derivatives along directions, in forward mode."""
        along = torch.eye(w.shape[-1], dtype=w.dtype, device=w.device) if self.probes is None else self.probes

        def change(direction: Tensor) -> Tensor:
            moved: Tensor = jvp(lambda code: self._velocity(code, time), (w,), (direction.expand_as(w),))[1]
            return (moved * direction).sum(-1)

        with warnings.catch_warnings():  # of what torch itself loads the first time
            warnings.simplefilter("ignore", DeprecationWarning)
            each: Tensor = vmap(change)(along)
        return each.sum(0, keepdim=True) if self.probes is None else each

    def _velocity(self, w: Tensor, time: float) -> Tensor:
        return self.velocity(w, torch.full((), time, dtype=w.dtype, device=w.device))

    def _over_batch(self, value: Tensor) -> Tensor:
        return value.expand(*torch.broadcast_shapes(value.shape[:-1], self.batch_shape), value.shape[-1])


def at_rest(time: Tensor) -> Tensor:
    """(2t − 1) / (t² + (1 − t)²): times w_t the velocity at which N(0, I) flows into itself."""
    return (2 * time - 1) / (time.square() + (1 - time).square())


def _spread(code: Tensor, generator: torch.Generator | None) -> Tensor:
    """A time in [0, 1) for each code [..., size], evenly spread over all of them: each by itself is uniform."""
    count = code.shape[:-1].numel()
    places = torch.arange(count, device=code.device, dtype=code.dtype) / max(1, count)
    first = torch.rand((), generator=generator, device=code.device, dtype=code.dtype)
    return ((places + first) % 1.0).reshape(code.shape[:-1])
