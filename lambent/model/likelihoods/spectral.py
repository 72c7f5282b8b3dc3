"""The likelihood of coefficients whose signs nobody can tell: of sound in a lapped transform, power by band and frame."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from lambent.distributions import Observed, constructed, limited
from lambent.model.likelihoods.base import Likelihood
from lambent.part import Shape, option

SIGNS = 0  # the seed of the signs that p(x | z) is shown with


class ItakuraSaito(Likelihood):
    """N(x; 0, σ²(z)): the decoder tells the power of each number, and nothing of its sign.

    −log p(x | z) = ½ Σ (x²/σ² + log 2πσ²) = ½ Σ d(x², σ²) + what z has no part in, d(a, b) = a/b − log(a/b) − 1 the divergence of
    Itakura and Saito: a quiet band counts as much as a loud one, where a squared error hears the loud ones alone.
    σ² = floor² + e²ˢ, s the raw output; what is quieter than the floor, silence above all, is not told apart. The encoder reads
    log(x² + floor²).
    The centre of p(x | z) is silence. It is shown as numbers of size σ with signs drawn once and for all, alike for all rows.
    Févotte et al., Nonnegative Matrix Factorization with the Itakura-Saito Divergence, 2009; Girin et al., 2019.
    """

    papers = ("fevotte2009nonnegative", "girin2019notes")

    elementwise = True
    reparameterized = True
    forgeable = True

    floor: float = option(
        "the least σ, smoothly; of rows of unit RMS, as sound is encoded, 0.02 is 34 dB below the mean power",
        default=0.02,
        minimum=1e-12,
        maximum=1e12,
    )

    def setup(self, event: Shape) -> Shape:
        self.event = event
        generator = torch.Generator().manual_seed(SIGNS)
        signs = 2.0 * torch.randint(0, 2, event, generator=generator) - 1
        self.register_buffer("signs", signs, persistent=False)
        return event

    def forward(self, raw: Tensor, context: Tensor | None = None) -> Distribution:
        log_scale = limited(raw, math.log(self.floor) - 1, 10.0)
        scale = torch.hypot(log_scale.exp(), log_scale.new_full((), self.floor))
        return self.over(constructed(Normal, torch.zeros_like(scale), scale))

    def embed(self, x: Tensor) -> Tensor:
        """½ log(1 + x²/floor²), which lies between 0 and about 5 of sound, brought to about unit scale."""
        return 0.5 * torch.log1p((x / self.floor).square()) - 1

    def shown(self, px: Distribution) -> Tensor:
        assert isinstance(px, (Independent, Observed))
        scale: Tensor = px.base_dist.stddev
        shown: Tensor = scale * self.signs.to(scale.dtype)
        return shown

    def start(self, observed: Tensor) -> Tensor:
        """The power of each line, all times together: of every number, where rows are vectors."""
        power = observed.square()
        power = power.nanmean(0) if len(self.event) == 1 else power.nanmean((0, -1)).unsqueeze(-1)
        least = 1e-2 * self.floor**2
        return 0.5 * (power.nan_to_num(1.0) - self.floor**2).clamp_min(least).log().expand(self.event)
