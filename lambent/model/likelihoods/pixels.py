"""Likelihoods of 8-bit pixels: exact probabilities on 0 … 255."""

import torch
from torch import Tensor
from torch.distributions import Distribution

from lambent.distributions import LogisticPixels, limited
from lambent.distributions.logistic import LEVELS
from lambent.errors import UsageError
from lambent.model.likelihoods.base import Likelihood
from lambent.part import Shape, option

FITTING = 300


class DiscretizedLogistics(Likelihood):
    """A mixture of logistics cut into the 256 grey levels; colour channels are conditioned on those before them.

    P(x) = Σ_c w_c [F_c(x + ½) − F_c(x − ½)], open at 0 and 255. Salimans et al., PixelCNN++, 2017.
    """

    papers = ("kingma2016improved", "salimans2017pixelcnn")

    discrete = True
    unit_bytes = False
    domain = "bytes from 0 to 255"

    components: int = option("number of logistics mixed at every pixel", default=1, minimum=1, maximum=1000)

    def setup(self, event: Shape) -> Shape:
        if len(event) != 3 or event[0] not in (1, 3):
            raise UsageError(
                f"DiscretizedLogistics takes images of 1 or 3 channels, [channels, height, width], not rows of shape "
                f"{list(event)}: use Gaussian for measurements, or Categorical(levels=256) for other bytes"
            )
        self.event = event
        self.couplings = event[0] * (event[0] - 1) // 2
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
        # Started at a tenth of the range, the scale learns at once; the floor is a ninth of a grey level.
        return LogisticPixels(logits, location, _log_scale(log_scale), coupling.tanh(), self.event)

    def embed(self, x: Tensor) -> Tensor:
        return x / 127.5 - 1

    def start(self, observed: Tensor) -> Tensor:
        """The logistics that suit the grey levels of each channel best, wherever in the picture these occur.

        Of flat pictures they lie so far from nought that Adam's steps would take thousands to get there, with nothing learned
        on the way.
        """
        counts = torch.stack([torch.bincount(x.flatten().long(), minlength=LEVELS) for x in observed.unbind(1)])
        location, log_scale = _suited(counts / counts.sum(1, keepdim=True), self.components)
        raw = torch.zeros(self.components, self.raw_channels, *self.event[1:], device=observed.device)
        first = 1 if self.components > 1 else 0
        for values in (location, log_scale):
            raw[:, first : first + self.event[0]] = values[..., None, None]
            first += self.event[0]
        return raw.flatten(0, 1)

    def admit(self, x: Tensor) -> None:
        if x.dtype != torch.uint8 and (float(x.min()) < 0 or float(x.max()) > 255 or not bool((x == x.round()).all())):
            self.refuse(x, "8-bit images, or the ContinuousBernoulli or Gaussian likelihood")

    def doubt(self, highest: Tensor) -> None:
        if highest.dtype != torch.uint8 and float(highest.max()) <= 1:
            self.refuse(
                highest,
                "8-bit images (these look like numbers in [0, 1]: multiply by 255), or the Bernoulli likelihood",
            )


def _log_scale(raw: Tensor) -> Tensor:
    """Started at a tenth of the range, a scale learns at once; the floor is a ninth of a grey level."""
    return limited(raw - 2, -7.0, 3.0)


@torch.enable_grad()
def _suited(shares: Tensor, components: int) -> tuple[Tensor, Tensor]:
    """Locations and raw log scales, [components, channels], of equal logistics for levels with shares [channels, levels]."""
    channels, levels = shares.shape
    at = torch.searchsorted(
        shares.cumsum(1), ((torch.arange(components) + 0.5) / components).expand(channels, -1).contiguous()
    )
    location = (at.clamp_max(levels - 1) / 127.5 - 1).requires_grad_()
    log_scale = torch.zeros(channels, components).requires_grad_()
    adam = torch.optim.Adam([location, log_scale], 0.05)
    values = torch.arange(levels).float()[:, None, None, None, None]
    logits = torch.zeros(channels, components, 1, 1)
    for _ in range(FITTING):
        adam.zero_grad()
        scale = _log_scale(log_scale)
        px = LogisticPixels(
            logits, location[..., None, None, None], scale[..., None, None, None], location.new_zeros(0), (1, 1, 1)
        )
        (-(px.log_prob(values).T * shares).sum()).backward()
        adam.step()
    return location.detach().T, log_scale.detach().T
