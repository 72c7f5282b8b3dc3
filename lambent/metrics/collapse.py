"""How much the codes carry, and which units, or which directions of the code, carry it."""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from lambent.distributions import DiagonalNormal, EntryMaps, FullNormal, NormalMixture, PowerSpherical, centre, vector
from lambent.distributions.divergences import unit_kl
from lambent.metrics.directions import Directions, principal, summed_covariance, turning
from lambent.model import LatentModel
from lambent.model.trace import Node, beside, from_posterior, information, mean
from lambent.progress import chunks
from lambent.seeds import stream

ACTIVE = 0.01  # variance over the rows of a unit's centre, above which it counts as active
# The same share of a code's variance in nats: where a prior learns its own scales, a variance says nothing.
CARRYING = -0.5 * math.log1p(-ACTIVE)

COLLAPSED = 0.1  # nats: a code with less KL in all carries nothing
NEARLY = 0.1  # share of active units below which the code has all but collapsed
POINTS = 7.0  # nats per unit in use: a posterior a thousand times narrower than the codes are spread

Measure = Literal["kl", "matched", "direction"]


class LevelUsage(NamedTuple):
    """What each unit of one latent level carries, and what moves in it; or each direction, where units mean nothing alone.

    movement: [units], the variance over rows of the posterior's centre less the prior's, both given the centres of the levels
    above (and the context), so that no sampling noise counts; of a direction, in units of the mean variance of q(z|x) along it.
    measure, nats: [units], in nats,
    "kl": E_x KL(q(z_j|x) ‖ p(z_j)), where q and p factorize; over the units it sums to the level's KL;
    "matched": E_x KL(q(z_j|x) ‖ N(m_j, s_j²)) with the mean and variance of q(z_j), where q is Gaussian and no "kl" exists:
    no less than the information I(x; z_j), and not a part of the KL to the prior;
    "direction": ½ log(1 + movement), the largest first;
    None and None: no measure of a single unit is known.
    directions: where the prior or the posterior has full covariances, or codes lie on a sphere.
    """

    movement: Tensor
    measure: Measure | None
    nats: Tensor | None
    directions: Directions | None = None

    @property
    def active(self) -> Tensor:
        """Where the drawn measure is one of the code's own scale, it decides; else the movement does."""
        if self.measure in ("matched", "direction") and self.nats is not None:
            return self.nats > CARRYING
        return self.movement > ACTIVE


class _Pieces:
    """One level's numbers, gathered chunk by chunk, each [rows, units]."""

    def __init__(self) -> None:
        self.moved: list[Tensor] = []
        self.centres: list[Tensor] = []
        self.spreads: list[Tensor | None] = []
        self.kls: list[Tensor | None] = []
        self.turning = False
        self.noise: Tensor | None = None  # the sum over rows of the covariances of q(z|x), where the code may turn

    def add(self, still: Node, drawn: Node) -> None:
        """still: the node of a pass by centres; drawn: that of a pass by draws."""
        assert still.q is not None
        assert drawn.q is not None
        middle = beside(still.z)
        # A prior that is the same for all rows moves nothing: there this is the variance of the centre alone.
        # Nor does one over entries of a codebook, which are names and no numbers.
        same = not still.p.batch_shape or isinstance(still.p, EntryMaps)
        moved = middle if same else beside(still.z - centre(still.p))
        known = unit_kl(drawn.q, _factor(drawn.p))
        spread = still.q.variance if isinstance(vector(still.q), DiagonalNormal | FullNormal | PowerSpherical) else None
        self.moved.append(_plain(moved))
        self.centres.append(_plain(middle))
        self.spreads.append(None if spread is None else _plain(beside(spread.expand(still.z.shape))))
        self.kls.append(None if known is None else _plain(beside(known.expand(*drawn.shape, -1))))
        self.turning = turning(still)
        if self.turning and spread is not None:
            summed = summed_covariance(vector(still.q), len(self.moved[-1]))
            self.noise = summed if self.noise is None else self.noise + summed

    def usage(self) -> LevelUsage:
        if self.turning:
            return self._by_direction()
        movement = torch.cat(self.moved).var(0, unbiased=False)
        kls, spreads = _whole(self.kls), _whole(self.spreads)
        if kls is not None:
            return LevelUsage(movement, "kl", kls.mean(0))
        if spreads is not None:
            return LevelUsage(movement, "matched", _against_marginal(torch.cat(self.centres), spreads))
        return LevelUsage(movement, None, None)

    def _by_direction(self) -> LevelUsage:
        moved = torch.cat(self.moved)
        found, movement = principal(moved, None if self.noise is None else self.noise / len(moved))
        found = found._replace(centre=torch.cat(self.centres).mean(0))
        if self.noise is None:
            return LevelUsage(movement, None, None, found)
        return LevelUsage(movement, "direction", 0.5 * movement.log1p(), found)


@torch.no_grad()
def levels(model: LatentModel, x: Tensor, seed: int = 0, context: Tensor | None = None) -> list[LevelUsage]:
    """What the units of every level carry, the top first; principal directions where units mean nothing alone.

    Of an ensemble the units are those of all members side by side.

    Active: Var_x(E[z_j|x]) > 0.01 (Burda et al., Importance Weighted Autoencoders, 2016), or, where the prior sets the scale of
    the code itself, more than the nats of a Gaussian code whose centre makes 0.01 of its variance; below the top of a hierarchy
    the centre is taken given the centres above, and less the prior's, so that a level which copies its prior is not active.
    """
    generator = torch.Generator(model.device).manual_seed(stream(seed, "levels"))
    found: list[_Pieces] = []
    for part in chunks("measuring units", len(x), 512):
        rows = x[part].to(model.device)
        given = None if context is None else context[part].to(model.device)
        still = model.infer(rows, 1, mean, given)
        drawn = still if len(still) == 1 else model.infer(rows, 1, from_posterior(generator), given)
        found = found or [_Pieces() for _ in still]
        for pieces, quiet, noisy in zip(found, still, drawn, strict=True):
            pieces.add(quiet, noisy)
    return [pieces.usage() for pieces in found]


def _plain(values: Tensor) -> Tensor:
    return values.flatten(1).cpu().double()


def _whole(chunks: list[Tensor | None]) -> Tensor | None:
    known = [chunk for chunk in chunks if chunk is not None]
    return torch.cat(known) if len(known) == len(chunks) else None


def _factor(p: Distribution) -> Distribution:
    """A mixture of one component is that component, which may factorize."""
    p = vector(p)
    if not isinstance(p, NormalMixture) or p.log_weights.shape[-1] != 1:
        return p
    only = p.components
    if not isinstance(only, DiagonalNormal):
        return p
    return DiagonalNormal(only.location.squeeze(-2), only.log_scale.squeeze(-2))


def _against_marginal(centres: Tensor, spreads: Tensor) -> Tensor:
    """E_x KL(N(μ_j, σ_j²) ‖ N(m_j, s_j²)) with m, s² the moments of q(z_j): ½ (log s² − E log σ²)."""
    total = centres.var(0, unbiased=False) + spreads.mean(0)
    return 0.5 * (total.log() - spreads.log().mean(0))


@torch.no_grad()
def mutual_information(
    model: LatentModel, x: Tensor, seed: int = 0, context: Tensor | None = None, rows: int = 1000
) -> tuple[float, float]:
    """I(x; z) of the top level in nats, E[log q(z|x) − log q(z)], q(z) the mean posterior over `rows` rows; its standard error.

    An estimate from n rows cannot exceed log n. Of an ensemble the mean over its members, and that of their errors, which are of
    the same rows. Hoffman & Johnson, ELBO surgery, 2016.
    """
    if model.members > 1:
        each = [mutual_information(model.member(m), x, seed, context, rows) for m in range(model.members)]
        value, error = (sum(numbers) / model.members for numbers in zip(*each, strict=True))
        return value, error
    generator = torch.Generator(model.device).manual_seed(stream(seed, "mutual information"))
    picked = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:rows]
    given = None if context is None else context[picked].to(model.device)
    node = model.infer(x[picked].to(model.device), 1, from_posterior(generator), given)[0]
    found = information(node).double()
    return float(found.mean()), float(found.std() / math.sqrt(len(found))) if len(found) > 1 else math.nan
