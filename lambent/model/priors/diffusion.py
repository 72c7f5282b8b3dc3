"""A prior that carries noise to codes: flow matching in latent space."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lambent.distributions import shaped
from lambent.distributions.transported import Transported
from lambent.model.priors.base import Encode, Prior
from lambent.model.priors.velocity import VelocityNetwork
from lambent.part import Shape, elements, option
from lambent.seeds import stream


class Diffusion(Prior):
    """Noise carried along learned velocities to codes: z = m + s ∘ w(1), dw/dt = v(w, t | c), w(0) ~ N(0, I).

    Fitted to the codes of a trained model by flow matching (`fit_prior`), with m and s their mean and standard deviation, or
    trained with the rest, m and s too, by a bound on −log p(z). Over vectors v is a residual network, over maps a convolutional
    one whose weights know no size. It begins as N(m, s²). log p(z) is by the change of variables: its trace is exact up to
    `exact` units and estimated by `probes` fixed signs beyond, with an error that its distribution's `log_prob_with_error` tells.
    Lipman et al., Flow Matching for Generative Modeling, 2023; Vahdat et al., Score-based Generative Modeling in Latent Space,
    2021.
    """

    papers = ("lipman2023flow", "vahdat2021score", "grathwohl2019ffjord")

    pace = {"location": 3.0, "log_scale": 3.0}  # trained with the rest they have further to go than a network's weights

    width: int = option("hidden width of the network", default=128, minimum=1, maximum=65536)
    depth: int = option("residual blocks of the network", default=3, minimum=1, maximum=1000)
    steps: int = option(
        "steps from noise to a code, four looks at the network each", default=10, minimum=8, maximum=10000
    )
    exact: int = option("units up to which the density is exact", default=64, minimum=0, maximum=65536)
    probes: int = option(
        "signs that estimate the trace of the density beyond them", default=8, minimum=1, maximum=10000
    )
    conditional: bool = option(
        "whether velocities depend on the context, where there is one; false keeps codes free of it, for decoding under another",
        default=True,
    )

    @property
    def affordable(self) -> tuple[int, int] | None:
        return (500, 8) if self._signs is None else (20, 1)

    @property
    def held(self) -> int:
        size = elements(self.shape)
        places = size // self.shape[0]
        return 6 * self.width * places * (size if self._signs is None else self.probes)

    def setup(self, shape: Shape, examples: Tensor, context: int = 0) -> None:
        size = elements(shape)
        self.shape = shape
        self.velocity = VelocityNetwork(shape, context if self.conditional else 0, self.width, self.depth)
        each = (shape[0], *[1] * (len(shape) - 1))  # of maps every channel has its own, wherever it stands
        self.location = nn.Parameter(torch.zeros(each))
        self.log_scale = nn.Parameter(torch.zeros(each))
        generator = torch.Generator().manual_seed(stream(0, "probes of a trace"))
        signs = torch.randint(2, (self.probes, size), generator=generator) * 2.0 - 1
        self.register_buffer("_signs", None if size <= self.exact else signs, persistent=False)

    @torch.no_grad()
    def begin(self, codes: Tensor, seed: int = 0) -> None:
        axes = [0, *range(2, codes.dim())]
        self.location.copy_(codes.mean(axes).reshape(self.location.shape))
        self.log_scale.copy_(codes.std(axes).clamp_min(1e-6).log().reshape(self.log_scale.shape))

    def forward(self, posterior: Encode, context: Tensor | None = None) -> Distribution:
        given = context if self.conditional else None

        def velocity(w: Tensor, time: Tensor) -> Tensor:
            moved: Tensor = self.velocity(w, time, given)
            return moved

        location, scale = (each.expand(self.shape).flatten() for each in (self.location, self.log_scale.exp()))
        batch = () if given is None else tuple(given.shape[:-1])
        return shaped(Transported(velocity, location, scale, self.steps, self._signs, batch), self.shape)
