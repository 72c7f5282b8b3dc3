"""Spaces of features: a model's codes, and what stands beside them: the rows themselves, their PCA, an autoencoder's codes."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lambent.errors import LambentError
from lambent.fitted import Fitted, Rows
from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.posteriors import Point
from lambent.model.priors import Standard
from lambent.objectives import Elbo
from lambent.seeds import stream
from lambent.tasks.explore import encode
from lambent.training.fitting import fit

Features = NDArray[np.float32]
WIDEST = 50_000  # numbers of a row, above which rows are not read as they are
OF_RUN = ("batch", "learning_rate", "weight_decay", "schedule", "warmup", "clip")  # settings that an autoencoder shares


def codes_of(fitted: Fitted, rows: Rows) -> Features:
    """Posterior means of all levels side by side, [rows, units]."""
    levels = encode(fitted, rows.x, rows.context)
    return np.asarray(torch.cat([level.flatten(1).float() for level in levels], 1).numpy(), np.float32)


@torch.no_grad()
def raw_of(fitted: Fitted, x: Tensor) -> Features | None:
    """Rows as the encoder sees them, scaled and one-hot, [rows, numbers]; None where these are too many to be read."""
    likelihood, device = fitted.model.likelihood, fitted.model.device

    def seen(part: Tensor) -> Tensor:
        return likelihood.seen(likelihood.observe(part.to(device))).flatten(1).float().cpu()

    if seen(x[:1]).shape[1] > WIDEST:
        return None
    return np.asarray(torch.cat([seen(part) for part in x.split(1000)]).numpy(), np.float32)


def autoencoder(fitted: Fitted, rows: Rows, units: int, epochs: int | None = None, seed: int = 0) -> Fitted:
    """An autoencoder of the same network with as many units, trained on rows: a `Point` posterior, nothing held to a prior.

    epochs and the settings of the loop are those of the model's own training where its record has them. Errors: those of `fit`.
    """
    latent = Flat(units, prior=Standard(), posterior=Point())
    changes = {"latent": latent.spec(), "members": 1, "missingness": None}
    spec = {name: value for name, value in fitted.model.spec().items() if name != "labelling"} | changes
    model = LatentModel.from_spec(spec)
    told = fitted.provenance.get("fit")
    own: dict[str, Any] = told if isinstance(told, dict) else {}
    settings = {name: own[name] for name in OF_RUN if own.get(name) is not None}
    modality = fitted.modality
    fit(
        model,
        Elbo(),
        rows.x,
        epochs=own.get("epochs") if epochs is None else epochs,
        context=rows.context,
        augment=None if modality is None else modality.augment,
        device=str(fitted.model.device),
        seed=stream(seed, "autoencoder beside") % 2**31,
        **settings,
    )
    return Fitted(model.eval(), modality)


def tried_autoencoder(fitted: Fitted, rows: Rows, units: int, epochs: int | None, seed: int) -> Fitted | str:
    """The same, or why there is none: a network may have no form for one vector."""
    try:
        return autoencoder(fitted, rows, units, epochs, seed)
    except LambentError as error:
        return str(error)
