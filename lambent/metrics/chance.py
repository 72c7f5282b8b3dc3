"""What a model reaches that knows nothing of a row: the line below which a bound says that training failed."""

import math
from functools import singledispatch
from typing import NamedTuple

import torch
from torch import Tensor

from lambent.model.likelihoods import (
    Bernoulli,
    Categorical,
    DiscretizedLogistics,
    Gaussian,
    Laplace,
    Likelihood,
    Mixed,
    Poisson,
    StudentT,
)


class Chance(NamedTuple):
    """Mean log p(x) in nats per row of a model without a code, what model that is, and how many values an element can take.

    levels: None where the values are real or have no end.
    """

    nats: float
    words: str
    levels: int | None = None


@singledispatch
def chance(likelihood: Likelihood, x: Tensor) -> Chance | None:
    """For rows [rows, *event] as they are stored; None where no such model is known.

    Real numbers: independent Gaussians, log p = −½ Σ_j (log 2π s_j² + 1) less 2/n a column (Akaike), as the s_j are those of
    the same n rows; a constant column adds nothing. Counts: independent Poissons. A finite number of values: all alike.
    """
    return None


@chance.register
def _(likelihood: Gaussian | Laplace | StudentT, x: Tensor) -> Chance | None:
    values = likelihood.observe(x).flatten(1).double()
    there = ~torch.isnan(values)
    rows = there.sum(0).clamp_min(1)
    mean = values.nansum(0) / rows
    variance = (values - mean).square().nansum(0) / rows
    each = -0.5 * ((2 * math.pi * variance).log() + 1) - 2 / rows
    share = rows / len(values)
    return Chance(float((each * share)[variance > 0].sum()), "independent Gaussians, one a column")


@chance.register
def _(likelihood: Poisson, x: Tensor) -> Chance | None:
    values = likelihood.observe(x).flatten(1).double()
    mean = values.nanmean(0)
    each = torch.xlogy(values, mean) - mean - torch.lgamma(values + 1)
    return Chance(float(each.nansum(1).mean()), "independent Poisson counts, one a column")


@chance.register
def _(likelihood: Bernoulli, x: Tensor) -> Chance | None:
    return _even(x, 2)


@chance.register
def _(likelihood: Categorical, x: Tensor) -> Chance | None:
    return _even(x, likelihood.levels)


@chance.register
def _(likelihood: DiscretizedLogistics, x: Tensor) -> Chance | None:
    return _even(x, int(getattr(likelihood, "levels", 256)))


@chance.register
def _(likelihood: Mixed, x: Tensor) -> Chance | None:
    parts = [chance(part, x[:, group]) for part, group in zip(likelihood.groups, likelihood.places, strict=True)]
    if any(part is None for part in parts):
        return None
    return Chance(sum(part.nats for part in parts if part is not None), "columns each by itself")


def _even(x: Tensor, levels: int) -> Chance:
    """Each element has one of so many values, all as likely."""
    there = float((~torch.isnan(x)).flatten(1).sum(1).double().mean()) if x.is_floating_point() else x[:1].numel()
    return Chance(-there * math.log(levels), f"{levels} values, all as likely", levels)
