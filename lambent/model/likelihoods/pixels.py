"""Likelihoods of 8-bit pixels: exact probabilities on 0 … 255."""

import torch
from torch import Tensor
from torch.distributions import Distribution

from lambent.distributions import LogisticPixels, limited
from lambent.errors import UsageError
from lambent.model.likelihoods.base import Likelihood
from lambent.part import Shape, option


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
        return (self.components * per_component, *event[1:])

    def forward(self, raw: Tensor, context: Tensor | None = None) -> Distribution:
        channels = self.event[0]
        raw = raw.unflatten(-3, (self.components, -1))
        logits = None
        if self.components > 1:
            logits, raw = raw[..., 0, :, :], raw[..., 1:, :, :]
        location, log_scale, coupling = raw.split([channels, channels, self.couplings], -3)
        # Started at a tenth of the range, the scale learns at once; the floor is a ninth of a grey level.
        return LogisticPixels(logits, location, limited(log_scale - 2, -7.0, 3.0), coupling.tanh(), self.event)

    def embed(self, x: Tensor) -> Tensor:
        return x / 127.5 - 1

    def admit(self, x: Tensor) -> None:
        if x.dtype != torch.uint8 and (float(x.min()) < 0 or float(x.max()) > 255 or not bool((x == x.round()).all())):
            self.refuse(x, "8-bit images, or the ContinuousBernoulli or Gaussian likelihood")

    def doubt(self, highest: Tensor) -> None:
        if highest.dtype != torch.uint8 and float(highest.max()) <= 1:
            self.refuse(
                highest,
                "8-bit images (these look like numbers in [0, 1]: multiply by 255), or the Bernoulli likelihood",
            )
