"""Components of a mixture that no codes come from."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from lambent.distributions import NormalMixture, vector
from lambent.model import LatentModel
from lambent.model.trace import from_posterior
from lambent.seeds import stream


class Components(NamedTuple):
    """Of each component, its weight in the prior and the share of codes that are its own, [components] each, sums of 1.

    rows: of how many the codes are.
    """

    weights: Tensor
    shares: Tensor
    rows: int

    @property
    def ghostly(self) -> float:
        """Σ_c max(0, w_c − r_c): the share of samples that come from where no codes lie."""
        return float((self.weights - self.shares).clamp_min(0).sum())

    @property
    def chance(self) -> float:
        """At most what so few rows make of `ghostly` where the prior fits: Σ_c E max(0, w_c − r_c), n r_c about binomial."""
        return float((self.weights * (1 - self.weights) / (2 * math.pi * self.rows)).clamp_min(0).sqrt().sum())

    @property
    def idle(self) -> int:
        """Components whose share of the codes is less than a tenth of an even one."""
        return int((self.shares < 0.1 / len(self.shares)).sum())


@torch.no_grad()
def components(model: LatentModel, x: Tensor, seed: int = 0, context: Tensor | None = None) -> Components | None:
    """r_c = E_x E_q(z|x) p(c|z) beside w_c, which are equal where the prior fits; None of a prior that is no mixture."""
    generator = torch.Generator(model.device).manual_seed(stream(seed, "codes of components"))
    given = None if context is None else context.to(model.device)
    node = model.infer(x.to(model.device), 1, from_posterior(generator), given)[0]
    p = vector(node.p)
    if not isinstance(p, NormalMixture) or p.log_weights.shape[-1] < 2 or model.members > 1:
        return None
    shares = p.log_responsibilities(node.z.flatten(2)).exp().flatten(0, -2).mean(0).double().cpu()
    weights = p.log_weights.exp()
    return Components(weights.reshape(-1, weights.shape[-1]).mean(0).double().cpu(), shares, len(x))
