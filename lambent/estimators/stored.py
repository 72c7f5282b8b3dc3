"""A fitted VAE, or Detector, from a model file."""

import inspect
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lambent.data.kinds.modality import Modality
from lambent.data.kinds.table import Table
from lambent.errors import ArtifactError, LambentError
from lambent.estimators.assembly import is_plain
from lambent.estimators.cells import Cells
from lambent.estimators.detector import Detector
from lambent.estimators.naming import known_by_name
from lambent.estimators.vae import VAE
from lambent.fitted import Fitted
from lambent.fitted import load as load_fitted
from lambent.objectives import Objective


def load_estimator(path: str | Path, device: str = "cpu") -> VAE | Detector | Cells:
    """The fitted VAE in a model file, or the fitted Detector or Cells; see `lambent.fitted.load` for what is refused."""
    stored = load_fitted(path, device)
    try:
        vae = dressed(stored)
        if "cells" in stored.provenance:
            return Cells.of(vae)
        return vae if stored.detection is None else Detector.of(vae)
    except (LambentError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(f"{path} holds a model, but no estimator's settings that can be read: {error}") from None


def dressed(stored: Fitted) -> VAE:
    """The model, where it lies, with the settings, the history and the columns that its file tells of."""
    face = stored.provenance.get("estimator") or {}
    known = inspect.signature(VAE.__init__).parameters
    parameters = {k: v for k, v in (face.get("parameters") or {}).items() if k in known and is_plain(v)}
    spec = stored.model.spec()
    objective = stored.provenance.get("objective")
    if objective is not None:
        objective = Objective.from_spec(objective).spec()
    if stored.conditions:
        names = stored.conditions.names
        parameters["condition"] = names[0] if len(names) == 1 else tuple(names)
    vae = VAE(
        **{**parameters, **{name: spec[name] for name in ("latent", "likelihood", "network")}, "objective": objective}
    )
    vae._adopt(replace(stored, modality=stored.modality or Table()))
    vae.history_ = dict(face.get("history") or stored.provenance.get("history") or {})
    if stored.modality is not None:
        _named(stored.modality, face.get("feature_names_in"))
        known_by_name(vae, stored.modality)
    return vae


def _named(modality: Modality, names: Sequence[str] | None) -> None:
    """Give the columns the names that older files keep beside the modality, which knew them as x0, x1, …"""
    if names is None or not isinstance(modality, Table) or modality.named or len(names) != len(modality.columns):
        return
    for column, name in zip(modality.columns, names, strict=True):
        column.name = str(name)
    modality.named = True
