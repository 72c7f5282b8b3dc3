"""p(x | z): every likelihood, by the kind of data it holds."""

from lambent.likelihoods.base import Likelihood
from lambent.likelihoods.continuous import ContinuousBernoulli, Gaussian, Laplace, StudentT
from lambent.likelihoods.counts import NegativeBinomial, Poisson, ZeroInflatedNegativeBinomial
from lambent.likelihoods.discrete import Bernoulli, Categorical, most_likely
from lambent.likelihoods.pixels import DiscretizedLogistics
from lambent.likelihoods.rows import Mixed

__all__ = [
    "Bernoulli",
    "Categorical",
    "ContinuousBernoulli",
    "DiscretizedLogistics",
    "Gaussian",
    "Laplace",
    "Likelihood",
    "Mixed",
    "NegativeBinomial",
    "Poisson",
    "StudentT",
    "ZeroInflatedNegativeBinomial",
    "most_likely",
]
