"""From what a user gives an estimator to the modality and the parts of a model."""

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from lambent.data.kinds.image import Image
from lambent.data.kinds.modality import Encoded, Modality
from lambent.data.kinds.presets import framing
from lambent.data.kinds.table import Table
from lambent.data.loading import claimed, raw_rows, suggested
from lambent.errors import UsageError, nearest
from lambent.model import LatentModel
from lambent.model.likelihoods import Likelihood
from lambent.model.networks import Network
from lambent.objectives import Objective, suggested_latent, without_encoder
from lambent.part import Part, Spec


def chosen_modality(
    given: Any, condition: Any, X: Any, likelihood: Any = None, preset: str | None = None
) -> Modality | None:
    """The modality to fit, with what conditions the model, and as it suits likelihood and preset; None: the data suggest one."""
    if given is None and preset is not None and not is_table(X) and (fields := framing(preset, raw_rows(X).rows)):
        given = Image(**fields)
    names = (condition,) if isinstance(condition, str) else tuple(condition or ())
    if given is None and is_table(X):
        given = Table()
    if given is None and (names or likelihood is not None):
        given = suggested(X)
    if given is None:
        return None
    spec = given.spec() if isinstance(given, Part) else Modality.from_spec(copy.deepcopy(given)).spec()
    modality = Modality.from_spec(spec | ({"condition": list(names)} if names else {}))
    return modality if likelihood is None else modality.suited(Likelihood.from_spec(likelihood).encoding)


def assembled(
    modality: Modality,
    latent: Callable[[Spec | None], Spec],
    likelihood: Any,
    network: Any,
    defaults: dict[str, Spec] | None = None,
    members: int | None = None,
) -> LatentModel:
    """The model of the given parts, or of those that suit the data: of `defaults`, or those of the modality."""
    defaults = modality.defaults() if defaults is None else defaults
    suggestion, whole = defaults.get("latent"), defaults.get("model", {})
    if members is not None:
        whole = {**whole, "members": members}
        if members > 1 and suggestion is not None:  # what one model's codes suggest is not for those of several
            suggestion = {name: value for name, value in suggestion.items() if name not in ("prior", "posterior")}
    spec: Spec = {"type": "LatentModel", **whole, "latent": latent(suggestion)}
    spec |= {"context": modality.conditions.width, "white": modality.white, "gaps": modality.gaps}
    kinds: tuple[tuple[str, type[Part], Any], ...] = (
        ("likelihood", Likelihood, likelihood),
        ("network", Network, network),
    )
    for name, kind, given in kinds:
        spec[name] = kind.from_spec(defaults[name] if given is None else given).spec()
    own = Likelihood.from_spec(spec["likelihood"])
    if (
        own.told and likelihood == type(own).__name__ == defaults["likelihood"]["type"]
    ):  # the bare name of what the data suggest
        own = Likelihood.from_spec(defaults["likelihood"])
    spec["likelihood"] = own.told_by(defaults["likelihood"]).of_columns(modality.likelihoods).spec()
    return LatentModel.from_spec(spec)


def latent_spec(latent: Any, prior: Any, posterior: Any, objective: Objective, suggestion: Spec | None = None) -> Spec:
    """The latent that was asked for: a number of units, a part or its name, or nothing, with prior and posterior put into it."""
    counted = isinstance(latent, (int, np.integer)) and not isinstance(latent, bool)
    suggesting = counted or latent is None
    if suggesting:
        latent = {**(suggestion or {"type": "Flat"}), **({"size": int(latent)} if counted else {})}
    spec: Spec = (
        latent.spec() if isinstance(latent, Part) else {"type": latent} if isinstance(latent, str) else dict(latent)
    )
    if not objective.encodes:  # before what was chosen is laid on it
        spec = suggested_latent(spec, spec, objective) if suggesting else without_encoder(spec)
    for name, given in (("prior", prior), ("posterior", posterior)):
        if given is not None:
            spec[name] = given.spec() if isinstance(given, Part) else given
    settled = prior is not None or not objective.encodes
    return suggested_latent(spec, spec, objective) if suggesting and not settled else spec


def is_table(X: Any) -> bool:
    """Whether it is a table by its form: all but files, encoded data, arrays of more axes, and what another kind claims."""
    if isinstance(X, (str, Path, Encoded)) or claimed(X) is not None:
        return False
    if isinstance(X, Tensor) or hasattr(X, "shape"):
        return len(X.shape) <= 2
    return True


def refuse_unknown(verb: str, given: Mapping[str, Any]) -> None:
    """Refuse arguments that a verb does not take; weights of rows, which scikit-learn's own estimators often do, with a way."""
    if "sample_weight" in given:
        raise UsageError(
            f"{verb} takes no sample_weight: every row counts once. Draw rows as often as they weigh instead: "
            "X[numpy.random.default_rng(0).choice(len(X), len(X), p=w / w.sum())]"
        )
    for name in given:
        raise UsageError(f"{verb} takes no argument {name!r}; {nearest(name, ('X', 'y'))} Settings are given to VAE(…)")


def is_plain(value: Any) -> bool:
    """Whether a setting is one that JSON holds as it is."""
    return value is None or isinstance(value, (bool, int, float, str))
