"""Likelihood: p(x | z), from the decoder's raw output to a distribution over data."""

import math
from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lambent.distributions import centre, limited
from lambent.errors import DataError
from lambent.part import Part, Shape


class Likelihood(Part):
    """p(x | z) over one event of a fixed shape.

    `observe` turns stored rows into values of its support, `embed` turns those into what the encoder reads.
    """

    discrete: ClassVar[bool] = False  # True: probabilities (bits are meaningful); False: densities
    domain: ClassVar[str] = "finite numbers"
    planar: ClassVar[bool] = True  # of images it takes images, so that convolutions can emit what it reads
    unit_bytes: ClassVar[bool] = True  # bytes are read as 255ths

    @abstractmethod
    def setup(self, event: Shape) -> Shape:
        """Make the weights, if any; returns the raw shape that the decoder must emit."""

    @abstractmethod
    def forward(self, raw: Tensor, context: Tensor | None = None) -> Distribution:
        """p(x | z, c) from [*batch, *raw]; batch shape [*batch], event shape as set up.

        context: [rows, width], for models that are given one; rows is the last axis of the batch.
        """

    def observe(self, x: Tensor) -> Tensor:
        """Stored rows → values in the support, floating-point but for tokens."""
        if x.dtype == torch.uint8 and self.unit_bytes:
            return x.float() / 255
        return x if x.dtype.is_floating_point else x.float()

    def stored(self, x: Tensor, of_bytes: bool) -> Tensor:
        """The inverse of `observe`, for rows that are stored as bytes or not; still floating-point."""
        return x * 255 if of_bytes and self.unit_bytes else x

    def embed(self, x: Tensor) -> Tensor:
        """Observed values → the encoder's input, of about unit scale."""
        return x

    def shown(self, px: Distribution) -> Tensor:
        """How p(x | z) is looked at: one row of its support, [*batch, *event]; its centre, unless a likelihood knows better."""
        return centre(px)

    def start(self, observed: Tensor) -> Tensor | None:
        """The raw output, [*raw], that suits these observed rows on the whole: where a decoder starts. None: anywhere."""
        return None

    def check(self, x: Tensor) -> None:
        """Refuse rows outside the support, saying what was found and which likelihood would hold them."""
        if x.dtype.is_floating_point and not bool(torch.isfinite(x).all()):
            row = int((~torch.isfinite(x.flatten(1)).all(1)).nonzero()[0])
            raise DataError(f"row {row} holds a number that is not finite; {type(self).__name__} takes {self.domain}")
        if x.dtype == torch.uint8 and self.unit_bytes and int(x.max()) <= 1:
            self.refuse(x, "the Bernoulli likelihood for binary data")

    def refuse(self, x: Tensor, instead: str) -> None:
        low, high = float(x.min()), float(x.max())
        raise DataError(
            f"{type(self).__name__} is a likelihood of {self.domain}; these data lie in {low:g} … {high:g}. Use {instead}"
        )

    def calibrated(self, px: Distribution, x: Tensor) -> Distribution | None:
        """`px` with the scale that fits `x` best, for likelihoods whose own scale makes λ superfluous; else None."""
        return None

    def follow(self, taken: Tensor) -> None:
        """Move the own scale towards the last calibrated one, unless the step was skipped (`taken` is false)."""


def event_of(shape: Shape, channels: int) -> Shape:
    """The raw shape of `channels` numbers per element, stacked along the first axis: what any network can emit."""
    return (channels * shape[0], *shape[1:])


def chunks(raw: Tensor, count: int, event: Shape) -> tuple[Tensor, ...]:
    return raw.chunk(count, -len(event))


# Of −log p by a log scale, for each element: 1 at most while it is too wide; above 5 by chance in the smallest batches alone.
STEEPEST = 5.0


class Scaled(nn.Module):
    """A positive number per element: fixed, one learned for all, one learned for each, or predicted by the decoder."""

    pace = 10.0  # learns so much faster than the rest: a log scale may have several units to go, Adam's steps are small

    def __init__(self, how: str, event: Shape, initial: float) -> None:
        super().__init__()
        self.how = how
        self.event = event
        start = torch.full((), initial).log()
        if how == "fixed":
            self.register_buffer("log_scale", start)
        elif how != "predicted":
            self.log_scale = nn.Parameter(start if how == "one" else start.expand(event).clone())

    @property
    def channels(self) -> int:
        """Numbers per element that the decoder must emit for location and scale."""
        return 2 if self.how == "predicted" else 1

    def forward(self, raw: Tensor, low: float, high: float, steepest: float = math.inf) -> tuple[Tensor, Tensor]:
        """Location and log scale, the latter limited to [low, high] unless it is fixed.

        steepest: the largest gradient that a learned log scale receives, for each element that it is the scale of.
        """
        if self.how == "predicted":
            location, log_scale = chunks(raw, 2, self.event)
            return location, limited(log_scale, low, high)
        if self.how == "fixed":
            return raw, self.log_scale
        shared = torch.Size(self.event).numel() / self.log_scale.numel()
        return raw, limited(self.log_scale, low, high, steepest * shared)

    def floored(self, raw: Tensor, floor: float) -> tuple[Tensor, Tensor]:
        """Location and scale √(floor² + e²ˢ), s the log scale; a fixed one is what it is.

        Far above the floor σ = eˢ to float32; at the floor s still has a gradient, and goes no further down than it takes
        to be there.
        """
        location, log_scale = self(raw, math.log(floor) - 1, 10.0, STEEPEST)
        scale = log_scale.exp()
        return location, scale if self.how == "fixed" else torch.hypot(scale, scale.new_full((), floor))
