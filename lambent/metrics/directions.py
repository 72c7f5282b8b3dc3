"""Principal directions of a code: what to look at where its units mean nothing alone."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from lambent.distributions import DiagonalNormal, FullNormal, NormalMixture, PowerSpherical, vector
from lambent.model.trace import Node

LEAST = 1e-12  # share of the largest variance of q(z|x), added to each so that none is nought


class Directions(NamedTuple):
    """z = centre + axes · a, with coordinates a that are uncorrelated over q(z) and have variance 1 there.

    q(z): the aggregate posterior, the mean of q(z|x) over rows. centre: [units]. axes: [units, directions], what one standard
    deviation of q(z) along a direction changes in z while the other coordinates stand still; those that carry most first.
    """

    centre: Tensor
    axes: Tensor

    def moved(self, z: Tensor, direction: int, values: Tensor) -> Tensor:
        """The code z [units] with one coordinate set to each of `values`: [values, units]."""
        axes = self.axes.to(z.dtype)
        own = torch.linalg.solve(self.axes, (z - self.centre).double())[direction].to(z.dtype)
        moved: Tensor = z + (values.to(z.dtype) - own).unsqueeze(1) * axes[:, direction]
        return moved


def turning(node: Node) -> bool:
    """Whether this level's code may be turned, so that units mean nothing alone: a full covariance, or a sphere."""
    p, q = vector(node.p), None if node.q is None else vector(node.q)
    components = p.components if isinstance(p, NormalMixture) else p
    return isinstance(components, FullNormal) or isinstance(q, FullNormal | PowerSpherical)


def summed_covariance(q: Distribution, rows: int) -> Tensor:
    """Σ_x Cov(q(z|x)) of a Gaussian posterior, or one over a sphere, [units, units] in float64."""
    if isinstance(q, FullNormal):
        factors = q.factor.reshape(-1, *q.factor.shape[-2:]).double()
        beside = factors.transpose(0, 1).flatten(1)  # all factors in a row: [units, rows · units]
        return (beside @ beside.T).cpu() * (rows / len(factors))
    if isinstance(q, PowerSpherical):
        along, across = (spread.reshape(-1) for spread in q.spreads)
        centres = q.location.double().reshape(-1, q.event_shape[-1])
        even = torch.eye(q.event_shape[-1], dtype=torch.float64, device=centres.device) * across.sum()
        return (even + (centres.T * (along - across)) @ centres).cpu() * (rows / len(centres))
    assert isinstance(q, DiagonalNormal)
    variances = q.variance.double().reshape(-1, q.event_shape[-1])
    return torch.diag(variances.sum(0)).cpu() * (rows / len(variances))


def principal(centres: Tensor, noise: Tensor | None) -> tuple[Directions, Tensor]:
    """The directions of a code, and the variance of the centre along each in units of the noise's there, the largest first.

    They solve C v = (1 + m) W v, with C = Cov_x(E[z|x]) + W the covariance of the aggregate posterior and W = E_x Cov(q(z|x))
    its mean noise: principal components of the code as seen in units of its own noise, which no scaling or turning of the units
    changes. Along them both the centres and the noise are uncorrelated. Of Gaussian codes with one covariance for all rows
    ½ Σ log(1 + m) is I(x; z). noise: None for codes without any, of which these are the plain principal components.
    """
    centre = centres.mean(0)
    spread = (centres - centre).T @ (centres - centre) / len(centres)
    if noise is None:
        variances, vectors = torch.linalg.eigh(spread)
        movement = variances.flip(0).clamp_min(0.0)
        scales = movement.clamp_min(LEAST * float(movement.max()) + torch.finfo(movement.dtype).tiny).sqrt()
        return Directions(centre, vectors.flip(1) * scales), movement
    least = LEAST * float(noise.diagonal().max())
    lower = torch.linalg.cholesky(noise + least * torch.eye(len(noise), dtype=noise.dtype))
    half = torch.linalg.solve_triangular(lower, spread, upper=False)
    whitened = torch.linalg.solve_triangular(lower, half.T, upper=False)
    ratios, vectors = torch.linalg.eigh(0.5 * (whitened + whitened.T))
    movement = ratios.flip(0).clamp_min(0.0)
    return Directions(centre, (lower @ vectors.flip(1)) * (1 + movement).sqrt()), movement
