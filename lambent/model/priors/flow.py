"""A prior bent by a normalizing flow."""

from typing import Literal

from torch import Tensor
from torch.distributions import Distribution

from lambent.distributions import StandardNormal
from lambent.distributions.flows import FlowNormal, coupling_flow
from lambent.model.priors.base import Encode, Prior
from lambent.part import option


class Flow(Prior):
    """A normalizing flow (coupling layers, from zuko). Rezende & Mohamed, Variational Inference with Normalizing Flows, 2015."""

    papers = ("rezende2015variational", "chen2017variational", "rozet2022zuko")

    transforms: int = option("number of coupling layers", default=4, minimum=1, maximum=1000)
    width: int = option("hidden width of each coupling network", default=128, minimum=1, maximum=65536)
    coupling: Literal["affine", "spline"] = option(
        "map of each unit: RealNVP's affine, or rational-quadratic",
        default="affine",
        papers={"affine": "dinh2017density", "spline": "durkan2019neural"},
    )

    def setup(self, size: int, examples: Tensor) -> None:
        self.size = size
        self.flow = coupling_flow(self.coupling, size, 0, self.transforms, self.width)

    def forward(self, posterior: Encode) -> Distribution:
        base = StandardNormal(self.size, next(self.flow.parameters()))
        return FlowNormal(base, self.flow().transform.inv)  # so that densities are in the fast direction
