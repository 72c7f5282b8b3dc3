"""p(x | z): every likelihood, by the kind of data it holds."""

from lambent.model.likelihoods.autoregressive import Autoregressive
from lambent.model.likelihoods.base import Likelihood
from lambent.model.likelihoods.continuous import ContinuousBernoulli, Gaussian, JohnsonSU, Laplace, StudentT
from lambent.model.likelihoods.counts import NegativeBinomial, Poisson, ZeroInflatedNegativeBinomial
from lambent.model.likelihoods.discrete import Bernoulli, Categorical
from lambent.model.likelihoods.mixed import Mixed
from lambent.model.likelihoods.pixels import DiscretizedLogistics

__all__ = [
    "Autoregressive",
    "Bernoulli",
    "Categorical",
    "ContinuousBernoulli",
    "DiscretizedLogistics",
    "Gaussian",
    "JohnsonSU",
    "Laplace",
    "Likelihood",
    "Mixed",
    "NegativeBinomial",
    "Poisson",
    "StudentT",
    "ZeroInflatedNegativeBinomial",
]
