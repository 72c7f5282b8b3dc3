"""A prior bent by a normalizing flow."""

from typing import Literal

from torch import Tensor
from torch.distributions import Distribution

from lambent.distributions import StandardNormal, shaped
from lambent.distributions.flows import FlowNormal, coupling_flow
from lambent.model.priors.base import Encode, Prior
from lambent.part import Shape, elements, option


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

    conditional: bool = option(
        "whether the map depends on the context, where there is one; if not, codes are free of it: any may be given",
        default=False,
    )

    def setup(self, shape: Shape, examples: Tensor, context: int = 0) -> None:
        self.size = elements(shape)
        self.shape = shape
        self.flow = coupling_flow(
            self.coupling, self.size, context if self.conditional else 0, self.transforms, self.width
        )

    def forward(self, posterior: Encode, context: Tensor | None = None) -> Distribution:
        base = StandardNormal(self.size, next(self.flow.parameters()))
        given = context if self.conditional else None
        flow = self.flow() if given is None else self.flow(given)
        bent = FlowNormal(base, flow.transform.inv, () if given is None else given.shape[:-1])
        return shaped(bent, self.shape)  # so that densities are in the fast direction
