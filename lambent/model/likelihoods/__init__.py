"""p(x | z): every likelihood, by the kind of data it holds."""

from lambent.model.likelihoods.autoregressive import Autoregressive
from lambent.model.likelihoods.base import Likelihood
from lambent.model.likelihoods.continuous import ContinuousBernoulli, Gaussian, JohnsonSU, Laplace, StudentT
from lambent.model.likelihoods.counts import NegativeBinomial, Poisson, ZeroInflatedNegativeBinomial
from lambent.model.likelihoods.discrete import Bernoulli, Categorical, Ordinal
from lambent.model.likelihoods.mixed import Mixed
from lambent.model.likelihoods.perceptual import Perceptual
from lambent.model.likelihoods.pixels import DiscretizedLogistics
from lambent.model.likelihoods.rounded import RoundedLogistic
from lambent.model.likelihoods.spectral import ItakuraSaito
from lambent.model.likelihoods.spectrogram import Spectrogram
from lambent.model.likelihoods.spikes import Hurdle
from lambent.model.likelihoods.tokens import Tokens

__all__ = [
    "Autoregressive",
    "Bernoulli",
    "Categorical",
    "ContinuousBernoulli",
    "DiscretizedLogistics",
    "Gaussian",
    "Hurdle",
    "ItakuraSaito",
    "JohnsonSU",
    "Laplace",
    "Likelihood",
    "Mixed",
    "NegativeBinomial",
    "Ordinal",
    "Perceptual",
    "Poisson",
    "RoundedLogistic",
    "Spectrogram",
    "StudentT",
    "Tokens",
    "ZeroInflatedNegativeBinomial",
]
