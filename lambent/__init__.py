"""Lambent: from a file of data to a trained variational autoencoder, and from there to everything one is good for."""

import importlib
from typing import TYPE_CHECKING, Any

from lambent.version import __version__ as __version__

_HOMES = {
    "lambent.objectives.bounds": ("Ciwae", "Iwae", "Miwae", "Piwae"),
    "lambent.comparing": ("compare",),
    "lambent.data": ("Audio", "CATALOG", "Encoded", "Image", "Modality", "Sprites", "Table", "Text"),
    "lambent.errors": (
        "ArtifactError", "DataError", "DataWarning", "DivergedError", "InterruptedRun", "LambentError", "MachineError",
        "UsageError",
    ),
    "lambent.estimators": ("Detector", "Imputer", "VAE", "Cells"),
    "lambent.estimators.codec": ("Codec",),
    "lambent.training.fitting": ("fit",),
    "lambent.model.latents": ("Codebook", "Flat", "Grid", "Ladder", "Latent", "Styled"),
    "lambent.model.likelihoods": (
        "Bernoulli", "Categorical", "ContinuousBernoulli", "DiscretizedLogistics", "Gaussian", "Hurdle", "ItakuraSaito",
        "JohnsonSU", "Laplace", "Likelihood", "Mixed", "NegativeBinomial", "Ordinal", "Perceptual", "Poisson",
        "RoundedLogistic", "Spectrogram", "StudentT", "Tokens", "ZeroInflatedNegativeBinomial",
    ),
    "lambent.model": ("LatentModel", "Trace"),
    "lambent.model.networks": ("Attention", "Conv", "Gru", "Mlp", "Network", "ResNet", "Wave"),
    "lambent.objectives": (
        "Adversarial", "BetaTc", "DipVae", "Elbo", "Gan", "InfoVae", "Invariant", "Lagging", "Loss", "Objective",
        "SemiSupervised", "VaeGan", "Wae",
    ),
    "lambent.papers": ("citation",),
    "lambent.part": ("Part",),
    "lambent.model.posteriors": ("Absent", "Constant", "Diagonal", "Full", "MisesFisher", "Point", "Posterior"),
    "lambent.model.priors": ("Diffusion", "Factorized", "Mixture", "Prior", "Sphere", "Standard", "Vamp"),
    "lambent.objectives.factor": ("Factor",),
    "lambent.objectives.missing": ("NotMiwae",),
    "lambent.model.missingness": ("LinearMasking", "Missingness", "MlpMasking", "SelfMasking"),
    "lambent.fitted": ("Fitted", "save"),
    "lambent.tasks.detection.detect": ("detect",),
    "lambent.tasks.detection.drift": ("drift",),
    "lambent.tasks.disentanglement.measure": ("disentangle",),
    "lambent.tasks.diagnosis": ("Diagnosis", "diagnose"),
    "lambent.tasks.evaluate": ("evaluate",),
    "lambent.tasks.features.cluster": ("cluster",),
    "lambent.tasks.features.probe": ("probe",),
    "lambent.tasks.impute": ("impute",),
    "lambent.tasks.invert": ("invert",),
    "lambent.tasks.judge": ("judge",),
    "lambent.tasks.judge_style": ("judge_style",),
    "lambent.tasks.map.mapping": ("map_codes",),
    "lambent.tasks.predict": ("predict",),
    "lambent.tasks.prior": ("fit_prior", "refine"),
    "lambent.tasks.restyle": ("restyle",),
    "lambent.tasks.samples.judge": ("judge_samples",),
    "lambent.tasks.synthesize": ("synthesize",),
    "lambent.tasks.tiles": ("Tiles",),
    "lambent.tasks.filling": ("fill",),
}  # fmt: skip
_RENAMED = {"load": ("lambent.estimators", "load_estimator")}
# Parts of one name in two families are told apart by these: posteriors.Flow and priors.Flow.
_MODULES = {
    "data": "lambent.data",
    "posteriors": "lambent.model.posteriors",
    "priors": "lambent.model.priors",
    "quantizers": "lambent.model.quantizers",
}
_FOUND = {name: (module, name) for module, names in _HOMES.items() for name in names} | _RENAMED

if TYPE_CHECKING:
    from lambent import data
    from lambent.comparing import compare
    from lambent.data import CATALOG, Audio, Encoded, Image, Modality, Sprites, Table, Text
    from lambent.errors import (
        ArtifactError,
        DataError,
        DataWarning,
        DivergedError,
        InterruptedRun,
        LambentError,
        MachineError,
        UsageError,
    )
    from lambent.estimators import VAE, Cells, Detector, Imputer
    from lambent.estimators import load_estimator as load
    from lambent.estimators.codec import Codec
    from lambent.fitted import Fitted, save
    from lambent.model import LatentModel, Trace, posteriors, priors, quantizers
    from lambent.model.latents import Codebook, Flat, Grid, Ladder, Latent, Styled
    from lambent.model.likelihoods import (
        Bernoulli,
        Categorical,
        ContinuousBernoulli,
        DiscretizedLogistics,
        Gaussian,
        Hurdle,
        ItakuraSaito,
        JohnsonSU,
        Laplace,
        Likelihood,
        Mixed,
        NegativeBinomial,
        Ordinal,
        Perceptual,
        Poisson,
        RoundedLogistic,
        Spectrogram,
        StudentT,
        Tokens,
        ZeroInflatedNegativeBinomial,
    )
    from lambent.model.missingness import LinearMasking, Missingness, MlpMasking, SelfMasking
    from lambent.model.networks import Attention, Conv, Gru, Mlp, Network, ResNet, Wave
    from lambent.model.posteriors import Absent, Constant, Diagonal, Full, MisesFisher, Point, Posterior
    from lambent.model.priors import Diffusion, Factorized, Mixture, Prior, Sphere, Standard, Vamp
    from lambent.objectives import (
        Adversarial,
        BetaTc,
        DipVae,
        Elbo,
        Gan,
        InfoVae,
        Invariant,
        Lagging,
        Loss,
        Objective,
        SemiSupervised,
        VaeGan,
        Wae,
    )
    from lambent.objectives.bounds import Ciwae, Iwae, Miwae, Piwae
    from lambent.objectives.factor import Factor
    from lambent.objectives.missing import NotMiwae
    from lambent.papers import citation
    from lambent.part import Part
    from lambent.tasks.detection.detect import detect
    from lambent.tasks.detection.drift import drift
    from lambent.tasks.diagnosis import Diagnosis, diagnose
    from lambent.tasks.disentanglement.measure import disentangle
    from lambent.tasks.evaluate import evaluate
    from lambent.tasks.features.cluster import cluster
    from lambent.tasks.features.probe import probe
    from lambent.tasks.filling import fill
    from lambent.tasks.impute import impute
    from lambent.tasks.invert import invert
    from lambent.tasks.judge import judge
    from lambent.tasks.judge_style import judge_style
    from lambent.tasks.map.mapping import map_codes
    from lambent.tasks.predict import predict
    from lambent.tasks.prior import fit_prior, refine
    from lambent.tasks.restyle import restyle
    from lambent.tasks.samples.judge import judge_samples
    from lambent.tasks.synthesize import synthesize
    from lambent.training.fitting import fit

__all__ = [
    "CATALOG", "VAE", "Absent", "Adversarial", "ArtifactError", "Attention", "Audio", "Bernoulli", "BetaTc",
    "Categorical", "Cells", "Ciwae", "Codebook", "Codec", "Constant", "ContinuousBernoulli", "Conv", "DataError",
    "DataWarning", "Detector", "Diagnosis", "Diagonal", "Diffusion", "DipVae", "DiscretizedLogistics",
    "DivergedError", "Elbo", "Encoded", "Factor", "Factorized", "Fitted", "Flat", "Full", "Gan", "Gaussian", "Grid",
    "Gru", "Hurdle", "Image", "Imputer", "InfoVae", "InterruptedRun", "Invariant", "ItakuraSaito", "Iwae",
    "JohnsonSU", "Ladder", "Lagging", "LambentError", "Laplace", "Latent", "LatentModel", "Likelihood",
    "LinearMasking", "Loss", "MachineError", "MisesFisher", "Missingness", "Miwae", "Mixed", "Mixture", "Mlp",
    "MlpMasking", "Modality", "NegativeBinomial", "Network", "NotMiwae", "Objective", "Ordinal", "Part",
    "Perceptual", "Piwae", "Point", "Poisson", "Posterior", "Prior", "ResNet", "RoundedLogistic", "SelfMasking",
    "SemiSupervised", "Spectrogram", "Sphere", "Sprites", "Standard", "StudentT", "Styled", "Table", "Text",
    "Tiles", "Tokens", "Trace", "UsageError", "VaeGan", "Vamp", "Wae", "Wave", "ZeroInflatedNegativeBinomial",
    "citation", "cluster", "compare", "data", "detect", "diagnose", "disentangle", "drift", "evaluate", "fill",
    "fit", "fit_prior", "impute", "invert", "judge", "judge_samples", "judge_style", "load", "map_codes",
    "posteriors", "predict", "priors", "probe", "quantizers", "refine", "restyle", "save", "synthesize",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name not in _FOUND:
        raise AttributeError(f"module 'lambent' has no attribute {name!r}")
    module, attribute = _FOUND[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
