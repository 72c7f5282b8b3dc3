"""Rotations of a code to axes that mean something: those of a covariance, or the simplest loadings."""

import torch
from torch import Tensor

from lambent.errors import UsageError

ROUNDS = 500
SETTLED = 1e-10


def covariance_axes(covariance: Tensor) -> Tensor:
    """The own axes of a covariance [units, units], as columns of an orthogonal matrix, that of the largest variance first.

    Each axis points to where its largest entry is positive.
    """
    _, vectors = torch.linalg.eigh(covariance.double())
    return _pointed(vectors.flip(1))


def varimax(loadings: Tensor) -> Tensor:
    """The orthogonal matrix R [units, units] that makes each column of loadings · R large in few places and small elsewhere.

    loadings: [columns, units], how each column of the data moves with each unit. It maximizes Σ_j Var_i((loadings · R)_ij²), by
    alternating singular value decompositions from the identity. Kaiser, The varimax criterion for analytic rotation in factor
    analysis, Psychometrika 1958. Columns come in the order of their Σ_i loadings², the largest first.
    Errors: `UsageError` for loadings that are no matrix.
    """
    if loadings.dim() != 2:
        raise UsageError(f"loadings are [columns, units], not {list(loadings.shape)}")
    own = loadings.double()
    rotation = torch.eye(own.shape[1], dtype=torch.float64)
    before = 0.0
    for _ in range(ROUNDS):
        turned = own @ rotation
        slope = own.T @ (turned**3 - turned * (turned**2).mean(0))
        u, s, v = torch.linalg.svd(slope)
        rotation = u @ v
        if float(s.sum()) <= before * (1 + SETTLED):
            break
        before = float(s.sum())
    order = ((own @ rotation) ** 2).sum(0).argsort(descending=True)
    return _pointed(rotation[:, order])


def _pointed(axes: Tensor) -> Tensor:
    largest = axes.abs().argmax(0)
    signs = axes[largest, torch.arange(axes.shape[1])].sign()
    return axes * torch.where(signs == 0, torch.ones_like(signs), signs)
