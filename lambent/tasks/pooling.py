"""Pooling: one code of many rows, or of the tiles of a picture, that share it."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.distributions import Distribution


def pooled_mean(each: Iterable[Distribution]) -> Tensor:
    """The mean of Π_i N(μ_i, σ_i²) over all rows of all distributions, Σ_i μ_i/σ_i² / Σ_i 1/σ_i²: [1, units].

    each: batches of diagonal Gaussians [..., units]. Bouchacourt et al., Multi-Level Variational Autoencoder, 2018.
    """
    precision, moment = torch.zeros(2, dtype=torch.float64)
    for q in each:
        weight = 1 / q.variance.double().cpu().flatten(0, -2)
        precision = precision + weight.sum(0)
        moment = moment + (weight * q.mean.double().cpu().flatten(0, -2)).sum(0)
    found: Tensor = (moment / precision).unsqueeze(0)
    return found
