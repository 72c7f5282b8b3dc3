"""Rotations of a code to axes that mean something: those of a covariance, or the simplest loadings."""

import itertools
import math

import torch
from torch import Tensor

from lambent.errors import UsageError

ROUNDS = 200
SETTLED = 1e-8  # radians


def covariance_axes(covariance: Tensor) -> Tensor:
    """The own axes of a covariance [units, units], as columns of an orthogonal matrix, that of the largest variance first.

    Each axis points to where its largest entry is positive.
    """
    _, vectors = torch.linalg.eigh(covariance.double())
    return _pointed(vectors.flip(1))


def varimax(loadings: Tensor) -> Tensor:
    """The orthogonal matrix R [units, units] that makes each column of loadings · R large in few places and small elsewhere.

    loadings: [columns, units], how each column of the data moves with each unit. It maximizes Σ_j Var_i((loadings · R)_ij²), two
    units at a time by the best angle in their plane, in rounds until none turns. Kaiser, The varimax criterion for analytic
    rotation in factor analysis, Psychometrika 1958. Columns come in the order of their Σ_i loadings², the largest first.
    Errors: `UsageError` for loadings that are no matrix.
    """
    if loadings.dim() != 2:
        raise UsageError(f"loadings are [columns, units], not {list(loadings.shape)}")
    turned = loadings.double().clone()
    rotation = torch.eye(turned.shape[1], dtype=torch.float64)
    for _ in range(ROUNDS):
        most = 0.0
        for j, k in itertools.combinations(range(turned.shape[1]), 2):
            angle = _best_angle(turned[:, j], turned[:, k])
            if abs(angle) > SETTLED:
                for both in (turned, rotation):
                    _turn(both, j, k, angle)
                most = max(most, abs(angle))
        if not most:
            break
    return _pointed(rotation[:, turned.square().sum(0).argsort(descending=True)])


def _best_angle(a: Tensor, b: Tensor) -> float:
    """The angle of the plane rotation of two columns that leaves their squares with the greatest variances."""
    u, v = a.square() - b.square(), 2 * a * b
    above = 2 * (u * v).mean() - 2 * u.mean() * v.mean()
    along = (u.square() - v.square()).mean() - (u.mean() ** 2 - v.mean() ** 2)
    if float(above.abs() + along.abs()) <= torch.finfo(torch.float64).eps * float((u.square() + v.square()).mean()):
        return 0.0  # all angles are alike
    return float(torch.atan2(above, along)) / 4


def _turn(columns: Tensor, j: int, k: int, angle: float) -> None:
    a, b = columns[:, j].clone(), columns[:, k].clone()
    columns[:, j] = math.cos(angle) * a + math.sin(angle) * b
    columns[:, k] = math.cos(angle) * b - math.sin(angle) * a


def _pointed(axes: Tensor) -> Tensor:
    largest = axes.abs().argmax(0)
    signs = axes[largest, torch.arange(axes.shape[1])].sign()
    return axes * torch.where(signs == 0, torch.ones_like(signs), signs)
