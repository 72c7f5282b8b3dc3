"""A prior of independent units, each with a distribution of its own."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lambent.distributions import SCALE_RANGE, LogisticMixture, limited, shaped
from lambent.model.priors.base import Encode, Prior
from lambent.part import Shape, option


class Factorized(Prior):
    """Π_j p_j(z_j), each a mixture of logistics; over maps one for each channel, the same at every place.

    No weight knows the size of a map. Ballé et al., Variational Image Compression with a Scale Hyperprior, 2018, whose densities
    are of another form.
    """

    papers = ("balle2018variational",)

    pace = {
        "logits": 10.0,
        "location": 3.0,
        "log_scale": 3.0,
    }  # as of Mixture: further to go than Adam's steps take them
    reparameterized = False
    massed = True

    components: int = option("number of logistics for each unit", default=3, minimum=1, maximum=1000)

    def setup(self, shape: Shape, examples: Tensor, context: int = 0) -> None:
        self.shape = shape
        self.places = 1 if len(shape) == 1 else torch.Size(shape[1:]).numel()
        self.logits = nn.Parameter(torch.zeros(self.components, shape[0]))
        self.location = nn.Parameter(0.3 * torch.randn(self.components, shape[0]))
        self.log_scale = nn.Parameter(torch.linspace(-1.0, 1.0, self.components)[:, None].repeat(1, shape[0]))

    def forward(self, posterior: Encode, context: Tensor | None = None) -> Distribution:
        parameters = (self.logits, self.location, limited(self.log_scale, *SCALE_RANGE))
        everywhere = (each.repeat_interleave(self.places, 1) for each in parameters)
        return shaped(LogisticMixture(*everywhere), self.shape)
