"""heads: how a likelihood's raw output becomes the picture that it is looked at by, in words that a page can carry out."""

from functools import singledispatch
from typing import Any

from lambent.model.likelihoods import (
    Bernoulli,
    ContinuousBernoulli,
    DiscretizedLogistics,
    Gaussian,
    Laplace,
    Likelihood,
    Perceptual,
    StudentT,
)

Head = dict[str, Any]


@singledispatch
def head_of(likelihood: Likelihood) -> Head | None:
    """The name of a function and its numbers, or None where a page has none for this likelihood.

    Of all but logistics the first numbers of the raw output, one for each of the event, are what the function is of.
    """
    return None


@head_of.register(Gaussian)
@head_of.register(Laplace)
@head_of.register(StudentT)
def _(likelihood: Likelihood) -> Head:
    return {"head": "location"}


@head_of.register(Bernoulli)
@head_of.register(Perceptual)
def _(likelihood: Likelihood) -> Head:
    return {"head": "chance"}


@head_of.register
def _(likelihood: ContinuousBernoulli) -> Head:
    return {"head": "interval"}


@head_of.register
def _(likelihood: DiscretizedLogistics) -> Head:
    return {
        "head": "logistics",
        "components": likelihood.components,
        "levels": likelihood.levels,
        "couplings": likelihood.couplings,
    }
