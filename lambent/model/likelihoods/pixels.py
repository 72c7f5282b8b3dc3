"""Likelihoods of pixels: exact probabilities of whole numbers from black to white."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution

from lambent.distributions import LogisticPixels, limited
from lambent.errors import UsageError
from lambent.model.likelihoods.base import Likelihood
from lambent.part import Shape, option

COUPLED = 8  # channels up to which each is conditioned on those before it: of C there are C (C − 1) / 2 couplings
FITTING = 300
BINS = 1024  # in which the levels of deeper pictures are counted for a start


class DiscretizedLogistics(Likelihood):
    """A mixture of logistics cut into the grey levels; up to 8 channels are each conditioned on those before it.

    P(x) = Σ_c w_c [F_c(x + ½) − F_c(x − ½)], open at 0 and at `levels` − 1. Salimans et al., PixelCNN++, 2017.
    """

    papers = ("kingma2016improved", "salimans2017pixelcnn")

    discrete = True
    forgeable = True
    unit_bytes = False
    domain = "whole numbers from 0 to levels − 1"

    components: int = option("number of logistics mixed at every pixel", default=1, minimum=1, maximum=1000)
    levels: int = option("grey levels: 256 of bytes, 4096 of 12 bits", default=256, minimum=2, maximum=65536)

    def setup(self, event: Shape) -> Shape:
        if len(event) != 3:
            raise UsageError(
                f"DiscretizedLogistics takes images, [channels, height, width], not rows of shape {list(event)}: "
                "use Gaussian for measurements, or Categorical(levels=256) for other bytes"
            )
        self.event = event
        self.couplings = event[0] * (event[0] - 1) // 2 if event[0] <= COUPLED else 0
        per_component = (1 if self.components > 1 else 0) + 2 * event[0] + self.couplings
        self.raw_channels = per_component
        return (self.components * per_component, *event[1:])

    def forward(self, raw: Tensor, context: Tensor | None = None) -> Distribution:
        channels = self.event[0]
        raw = raw.unflatten(-3, (self.components, -1))
        logits = None
        if self.components > 1:
            logits, raw = raw[..., 0, :, :], raw[..., 1:, :, :]
        location, log_scale, coupling = raw.split([channels, channels, self.couplings], -3)
        return LogisticPixels(
            logits, location, _log_scale(log_scale, self.levels), coupling.tanh(), self.event, self.levels
        )

    def embed(self, x: Tensor) -> Tensor:
        return x / ((self.levels - 1) / 2) - 1

    def forged(self, px: Distribution) -> Tensor:
        """The mean before it is cut into levels: the same to a small part of one, in a hundredth of the time."""
        assert isinstance(px, LogisticPixels)
        return self.embed(px.smooth_mean)

    def start(self, observed: Tensor) -> Tensor:
        """The logistics that suit the grey levels of each channel best, wherever in the picture these occur.

        Of flat pictures they lie so far from nought that Adam's steps would take thousands to get there, with nothing learned
        on the way.
        """
        bins = min(self.levels, BINS)
        binned = (observed.long() * bins).div(self.levels, rounding_mode="floor").unbind(1)
        counts = torch.stack([torch.bincount(x.flatten(), minlength=bins) for x in binned])
        location, log_scale = _suited(counts / counts.sum(1, keepdim=True), self.components)
        raw = torch.zeros(self.components, self.raw_channels, *self.event[1:], device=observed.device)
        first = 1 if self.components > 1 else 0
        for values in (location, log_scale):
            raw[:, first : first + self.event[0]] = values[..., None, None]
            first += self.event[0]
        return raw.flatten(0, 1)

    def admit(self, x: Tensor) -> None:
        if x.dtype == torch.uint8 and self.levels >= 256:
            return
        low, high = float(x.min()), float(x.max())
        whole = not x.dtype.is_floating_point or bool((x == x.round()).all())
        if whole and low >= 0 and self.levels <= high <= 65535:
            enough = next(1 << bits for bits in (8, 10, 12, 16) if high < 1 << bits)
            self.refuse(x, f"DiscretizedLogistics(levels={enough})")
        if low < 0 or high >= self.levels or not whole:
            self.refuse(x, "images of whole numbers, or the ContinuousBernoulli or Gaussian likelihood")

    def doubt(self, highest: Tensor) -> None:
        if self.levels > 2 and highest.dtype.is_floating_point and float(highest.max()) <= 1:
            self.refuse(
                highest,
                f"images of 0 … {self.levels - 1} (these look like numbers in [0, 1]: multiply by {self.levels - 1}), or the "
                "Bernoulli likelihood",
            )


def _log_scale(raw: Tensor, levels: int) -> Tensor:
    """Started at a tenth of the range, a scale learns at once; the floor is a ninth of a grey level."""
    return limited(raw - 2, -7.0 - math.log((levels - 1) / 255), 3.0)


@torch.enable_grad()
def _suited(shares: Tensor, components: int) -> tuple[Tensor, Tensor]:
    """Locations and raw log scales, [components, channels], of equal logistics for levels with shares [channels, levels]."""
    channels, levels = shares.shape
    at = torch.searchsorted(
        shares.cumsum(1), ((torch.arange(components) + 0.5) / components).expand(channels, -1).contiguous()
    )
    location = (at.clamp_max(levels - 1) / ((levels - 1) / 2) - 1).requires_grad_()
    log_scale = torch.zeros(channels, components).requires_grad_()
    adam = torch.optim.Adam([location, log_scale], 0.05)
    values = torch.arange(levels).float()[:, None, None, None, None]
    logits = torch.zeros(channels, components, 1, 1)
    for _ in range(FITTING):
        adam.zero_grad()
        scale = _log_scale(log_scale, levels)
        px = LogisticPixels(
            logits,
            location[..., None, None, None],
            scale[..., None, None, None],
            location.new_zeros(0),
            (1, 1, 1),
            levels,
        )
        (-(px.log_prob(values).T * shares).sum()).backward()
        adam.step()
    return location.detach().T, log_scale.detach().T
