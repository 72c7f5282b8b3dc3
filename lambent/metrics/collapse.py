"""How much the codes carry, and which units carry it."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from lambent.model import LatentModel
from lambent.model.trace import from_posterior
from lambent.seeds import mixed_seed

ACTIVE = 0.01  # variance over the data of a unit's posterior mean, above which it counts as active


class LevelUsage(NamedTuple):
    """Per unit of one latent level, the top first: mean KL in nats, variance over rows of the posterior mean."""

    kl: Tensor
    variance: Tensor
    against_prior: bool  # False: the prior does not factorize, and the KL is to the matched Gaussian marginal of q(z)

    @property
    def active(self) -> Tensor:
        return self.variance > ACTIVE


@torch.no_grad()
def levels(model: LatentModel, x: Tensor, seed: int = 0, context: Tensor | None = None) -> list[LevelUsage]:
    """KL per unit and active units of every level. Burda et al., 2016: unit j is active if Var_x(E[z_j | x]) > 0.01."""
    generator = torch.Generator(model.device).manual_seed(mixed_seed(seed, 2))
    means: list[list[Tensor]] = []
    variances: list[list[Tensor]] = []
    closed: list[list[Tensor | None]] = []
    for start in range(0, len(x), 512):
        given = None if context is None else context[start : start + 512].to(model.device)
        nodes = model.infer(x[start : start + 512].to(model.device), 1, from_posterior(generator), given)
        for store, pick in ((means, "centre"), (variances, "variance")):
            store.append([_moment(node.q, pick, node.z).cpu() for node in nodes])
        closed.append([None if node.unit_kl is None else node.unit_kl.flatten(0, -2).cpu() for node in nodes])
    found = []
    for level in range(len(means[0])):
        mean, spread = (torch.cat([chunk[level] for chunk in part]).double() for part in (means, variances))
        variance = mean.var(0, unbiased=False)
        parts = [chunk[level] for chunk in closed]
        if all(part is not None for part in parts):
            kl = torch.cat([part for part in parts if part is not None]).double().mean(0)
            found.append(LevelUsage(kl, variance, True))
        else:
            found.append(LevelUsage(_against_marginal(variance, spread), variance, False))
    return found


def _moment(q: object, name: str, z: Tensor) -> Tensor:
    """A moment of q, [rows, units]; a flow's variance, which has no closed form, is taken as nought."""
    try:
        moment: Tensor = getattr(q, name)
    except NotImplementedError:
        return torch.zeros_like(z[0])
    return moment.expand(z.shape)[0] if moment.dim() < 3 else moment[0]


def _against_marginal(variance: Tensor, spread: Tensor) -> Tensor:
    """E_x KL(N(μ_j, σ_j²) ‖ N(m_j, s_j²)) with m, s² the moments of q(z_j): ½ (log s² − E log σ²)."""
    total = variance + spread.mean(0)
    return 0.5 * (total.clamp_min(1e-12).log() - spread.clamp_min(1e-12).log().mean(0))


@torch.no_grad()
def mutual_information(
    model: LatentModel, x: Tensor, seed: int = 0, context: Tensor | None = None, rows: int = 1000
) -> tuple[float, float]:
    """I(x; z) of the top level in nats, E[log q(z|x) − log q(z)], q(z) the mean posterior over `rows` rows; its standard error.

    An estimate from n rows cannot exceed log n. Hoffman & Johnson, ELBO surgery, 2016.
    """
    generator = torch.Generator(model.device).manual_seed(mixed_seed(seed, 3))
    picked = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:rows]
    given = None if context is None else context[picked].to(model.device)
    node = model.infer(x[picked].to(model.device), 1, from_posterior(generator), given)[0]
    assert node.q is not None
    z = node.z[0]
    own = node.q.log_prob(node.z)[0]
    joint = torch.cat([torch.logsumexp(node.q.log_prob(piece.unsqueeze(1)), -1) for piece in z.split(100)])
    each = (own - joint + math.log(len(z))).double()
    return float(each.mean()), float(each.std() / math.sqrt(len(each))) if len(each) > 1 else math.nan
