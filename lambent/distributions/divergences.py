"""Closed Kullback-Leibler divergences between distributions over codes, whole and of each unit; registered with torch."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution, kl_divergence, register_kl

from lambent.distributions import (
    Delta,
    DiagonalNormal,
    EntryMaps,
    FullNormal,
    PowerSpherical,
    QuantizedMap,
    StandardNormal,
    UniformSphere,
    vector,
)


def unit_kl(q: Distribution, p: Distribution) -> Tensor | None:
    """KL(q ‖ p) of each unit, [*batch, size], where both factorize; None elsewhere. Maps are taken as vectors.

    ½(σ²/s² + (μ−m)²/s² − 1) − log σ/s
    """
    q, p = vector(q), vector(p)
    if not isinstance(q, DiagonalNormal):
        return None
    if isinstance(p, StandardNormal):
        squares = torch.addcmul(q.location.square(), q.scale, q.scale)
        return 0.5 * squares - q.log_scale - 0.5
    if isinstance(p, DiagonalNormal):
        precision = (-2 * p.log_scale).exp()
        spread = (q.location - p.location).square() + q.variance
        return 0.5 * (spread * precision - 1) + p.log_scale - q.log_scale
    return None


def _kl_diagonal_standard(q: DiagonalNormal, p: StandardNormal) -> Tensor:
    # In the step of every model with the standard prior: as few operations as will do.
    squares = torch.addcmul(q.location.square(), q.scale, q.scale)
    return 0.5 * (torch.sub(squares, q.log_scale, alpha=2).sum(-1) - q.event_shape[0])


def _kl_diagonal(q: DiagonalNormal, p: Distribution) -> Tensor:
    units = unit_kl(q, p)
    assert units is not None
    return units.sum(-1)


def _kl_full_standard(q: FullNormal, p: StandardNormal) -> Tensor:
    squares = q.location.square().sum(-1) + q.factor.square().sum((-2, -1))
    return 0.5 * (squares - q.event_shape[0]) - q.log_determinant


def _kl_full_diagonal(q: FullNormal, p: DiagonalNormal) -> Tensor:
    precision = (-2 * p.log_scale).exp()
    spread = ((q.location - p.location).square() + q.variance) * precision
    return 0.5 * (spread.sum(-1) - q.event_shape[0]) + p.log_scale.sum(-1) - q.log_determinant


def _kl_delta(q: Delta, p: Distribution) -> Tensor:
    return q.point.new_zeros(q.batch_shape)


def _kl_spherical(q: PowerSpherical, p: UniformSphere) -> Tensor:
    return p.entropy() - q.entropy()


def _kl_quantized(q: QuantizedMap, p: EntryMaps) -> Tensor:
    return -p.log_prob_of(q.numbers)  # all of q's probability is there


def joint_kl(pairs: Sequence[tuple[Distribution, Distribution]]) -> Tensor:
    """Σ KL(q ‖ p) over pairs of diagonal normals of one batch shape, side by side as one pair: a few operations for them all."""
    qs, ps = zip(*((vector(q), vector(p)) for q, p in pairs), strict=True)
    q, p = (
        DiagonalNormal(torch.cat([d.location for d in each], -1), torch.cat([d.log_scale for d in each], -1))
        for each in (qs, ps)
    )
    return _kl_diagonal(q, p)


def are_diagonal(q: Distribution, p: Distribution) -> bool:
    """Whether both are diagonal normals that lie in one batch."""
    q, p = vector(q), vector(p)
    return isinstance(q, DiagonalNormal) and isinstance(p, DiagonalNormal) and q.batch_shape == p.batch_shape


CLOSED: dict[tuple[type[Distribution], type[Distribution]], Callable[..., Tensor]] = {
    (DiagonalNormal, StandardNormal): _kl_diagonal_standard,
    (DiagonalNormal, DiagonalNormal): _kl_diagonal,
    (FullNormal, StandardNormal): _kl_full_standard,
    (FullNormal, DiagonalNormal): _kl_full_diagonal,
    (PowerSpherical, UniformSphere): _kl_spherical,
    (Delta, Distribution): _kl_delta,
    (QuantizedMap, EntryMaps): _kl_quantized,
}
for (q_kind, p_kind), closed in CLOSED.items():
    register_kl(q_kind, p_kind)(closed)

_unknown: set[tuple[type, type]] = set()


def closed_kl(q: Distribution, p: Distribution) -> Tensor | None:
    """KL(q ‖ p) in closed form, in nats, or None where none is known."""
    q, p = vector(q), vector(p)
    pair = (type(q), type(p))
    if pair in _unknown:
        return None
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        _unknown.add(pair)
        return None
