"""The scikit-learn face: a VAE with fit, transform, inverse_transform, sample, score_samples."""

import copy
import inspect
import typing
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, validate_data
from torch import Tensor

from lambent.data import encode_like, load
from lambent.data.kinds.modality import Encoded, Modality
from lambent.data.kinds.table import Table
from lambent.data.loading import raw_rows, suggested
from lambent.data.readers.frames import is_frame
from lambent.errors import ArtifactError, LambentError, UsageError
from lambent.fitted import Fitted, Rows
from lambent.fitted import load as load_fitted
from lambent.metrics.bound import bounds
from lambent.model import LatentModel
from lambent.model.likelihoods import Likelihood
from lambent.model.networks import Network
from lambent.objectives import Elbo, Objective, suggested_latent
from lambent.part import Part, Spec
from lambent.seeds import mixed_seed
from lambent.tasks.explore import decode, encode, generate, reconstruct
from lambent.training.fitting import fit
from lambent.training.loop import Loop


class VAE(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A variational autoencoder with scikit-learn's verbs, for tables, images, files and folders.

    Args:
        latent: number of units, or a Latent part; by default what suits the data: 32 units for images, else 16.
        prior, posterior: parts or their names; put into `latent`. Unless that is a part, what suits the data: for images a
            Mixture prior, unless the posterior is Point or the objective was made for N(0, I), such as BetaTc.
        likelihood, network: parts or their names; by default what suits the data.
        objective: a part or its name; Elbo by default.
        modality: how raw data become tensors; found from the data by default. Two-dimensional arrays are tables.
        condition: what the model is conditioned on, p(x | c): "label" (the `y` of `fit`, the folder, the label column), or
            names of columns of a table.
        epochs, batch, learning_rate, patience, validation, precision, device: as in `lambent.fit`.
        samples: K of the bound that `score_samples` returns.
        random_state: seed of weights, order and noise.
        verbose: a progress bar.

    Attributes: `model_`, `modality_`, `history_`, `n_features_in_` and `feature_names_in_` for tables.

    Scores and codes are computed in float64 with fixed noise: the same rows give the same numbers, in any order.
    """

    def __init__(
        self,
        latent: Any = None,
        *,
        prior: Any = None,
        posterior: Any = None,
        likelihood: Any = None,
        network: Any = None,
        objective: Any = None,
        modality: Any = None,
        condition: Any = None,
        epochs: int | None = None,
        batch: int = 128,
        learning_rate: float = 1e-3,
        validation: float = 0.0,
        patience: int = 0,
        precision: str = "auto",
        device: str = "auto",
        samples: int = 32,
        random_state: Any = 0,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.prior = prior
        self.posterior = posterior
        self.likelihood = likelihood
        self.network = network
        self.objective = objective
        self.modality = modality
        self.condition = condition
        self.epochs = epochs
        self.batch = batch
        self.learning_rate = learning_rate
        self.validation = validation
        self.patience = patience
        self.precision = precision
        self.device = device
        self.samples = samples
        self.random_state = random_state
        self.verbose = verbose

    # ---- training ------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on raw data: an array, a frame, images, a path, a catalog name. `y`: labels, if they condition the model."""
        encoded = self._encoded(X, y, reset=True)
        model = self._assembled(encoded)
        objective = self._objective()
        self.history_ = fit(
            model,
            objective,
            encoded,
            epochs=self.epochs,
            batch=self.batch,
            learning_rate=self.learning_rate,
            validation=self.validation,
            patience=self.patience,
            precision=self.precision,  # type: ignore[arg-type]
            device=self.device,
            seed=self._seed(),
            progress=self.verbose,
        )
        self._adopt(model, encoded.modality)
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """One more pass of training, over these rows; the first call decides scales and shapes. `y` as in `fit`."""
        first = not hasattr(self, "model_")
        encoded = self._encoded(X, y, reset=first)
        model = self._assembled(encoded) if first else self.model_
        loops: list[Loop] = []
        fit(
            model,
            self._objective(),
            encoded,
            epochs=1,
            batch=self.batch,
            learning_rate=self.learning_rate,
            average=0.0,
            precision=self.precision,  # type: ignore[arg-type]
            device=self.device,
            seed=mixed_seed(self._seed(), getattr(self, "passes_", 0)),
            callbacks=[_Continued(getattr(self, "_moments", None), loops)],
        )
        self._adopt(model, encoded.modality)
        self._moments = [loops[0].optimizer.state_dict()]
        self.passes_ = getattr(self, "passes_", 0) + 1
        return self

    # ---- using ---------------------------------------------------------------------------------------------------

    def transform(self, X: Any, y: Any = None, given: Mapping[str, Any] | None = None) -> NDArray[np.float64]:
        """Posterior means, [rows, units]; levels of a hierarchy side by side, the top first."""
        rows = self._rows(X, y, given)
        codes = encode(self._precise(), rows.x, rows.context)
        return torch.cat([code.flatten(1) for code in codes], 1).double().numpy()

    def inverse_transform(self, X: Any, given: Mapping[str, Any] | None = None) -> Any:
        """Codes [rows, units] → the most likely rows, in raw form; under the conditions that are `given`."""
        check_is_fitted(self)
        codes = torch.from_numpy(check_array(X, dtype=np.float64))
        latent = self.model_.latent
        sizes = list(latent.sizes_of_levels)
        if codes.shape[1] != sum(sizes):
            raise UsageError(f"X has {codes.shape[1]} columns, but the codes of this model have {sum(sizes)}")
        levels = [c.unflatten(1, s) for c, s in zip(codes.split(sizes, 1), latent.shapes_of_levels, strict=True)]
        context = self.fitted_.given(given, len(codes))
        return self.fitted_.raw(decode(self._precise(), levels, context))

    def reconstruct(self, X: Any, y: Any = None, given: Mapping[str, Any] | None = None) -> Any:
        """Rows through the code and back, in raw form. given: conditions to decode under, in place of the rows' own."""
        rows = self._rows(X, y, None if y is not None or self._has_conditions(X) else given)
        under = self.fitted_.given(given, len(rows)) if given else None
        return self.fitted_.raw(reconstruct(self._precise(), rows.x, rows.context, under=under))

    def sample(
        self,
        n_samples: int = 1,
        temperature: float = 1.0,
        random_state: Any = None,
        given: Mapping[str, Any] | None = None,
    ) -> Any:
        """New rows in raw form: z from the prior, x the mean of p(x|z) for images and a draw of it for the rest.

        given: values of the conditions, such as {"label": 3}; a conditioned model needs all of them.
        """
        check_is_fitted(self)
        seed = self._seed() if random_state is None else self._seed(random_state)
        context = self.fitted_.given(given, n_samples)
        noise = not self.fitted_.of_bytes
        return self.fitted_.raw(generate(self.fitted_, n_samples, seed, temperature, context, noise=noise))

    def score_samples(self, X: Any, y: Any = None, given: Mapping[str, Any] | None = None) -> NDArray[np.float64]:
        """The K-sample bound on log p(x) of every row, in nats; of the encoded rows, that is after scaling."""
        precise = self._precise()
        if not precise.model.latent.density:
            raise UsageError("a Point posterior has no density, so rows have no score: use the Diagonal posterior")
        rows = self._rows(X, y, given)
        return bounds(precise.model, rows.x, self.samples, context=rows.context, common=True).bound.numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of `score_samples`. `y`: labels, if they condition the model."""
        return float(self.score_samples(X, y).mean())

    def save(self, path: str | Path) -> Path:
        """Write the model file; `lambent.load` gives a fitted VAE back."""
        check_is_fitted(self)
        parameters = {name: value for name, value in self.get_params().items() if _is_plain(value)}
        names = getattr(self, "feature_names_in_", None)
        face = {
            "parameters": parameters,
            "history": self.history_,
            "n_features_in": getattr(self, "n_features_in_", None),
            "feature_names_in": None if names is None else [str(name) for name in names],
        }
        provenance = {**self.fitted_.provenance, "objective": self._objective().spec(), "estimator": face}
        return replace(self.fitted_, provenance=provenance).save(path)

    # ---- inside --------------------------------------------------------------------------------------------------

    @property
    def _n_features_out(self) -> int:
        return sum(self.model_.latent.sizes_of_levels)

    @property
    def model_(self) -> LatentModel:
        """The trained model."""
        return self._held().model

    @property
    def modality_(self) -> Modality:
        """How raw data become what the model takes."""
        modality = self._held().modality
        assert modality is not None
        return modality

    def _held(self) -> Fitted:
        held = vars(self).get("fitted_")
        if held is None:  # as any attribute that is not there yet, so that hasattr tells
            raise AttributeError("this VAE is not fitted yet: call fit first")
        return typing.cast(Fitted, held)

    def _seed(self, state: Any = None) -> int:
        state = self.random_state if state is None else state
        return state if isinstance(state, int) else int(check_random_state(state).randint(2**31 - 1))

    def _rows(self, X: Any, y: Any = None, given: Mapping[str, Any] | None = None) -> Rows:
        """Raw data as the model takes them: drawn, checked, conditioned."""
        check_is_fitted(self)
        return self.fitted_.rows(self._encoded(X, y), given=given)

    def _has_conditions(self, X: Any) -> bool:
        """Whether the rows themselves say what conditions them."""
        return bool(self.fitted_.conditions) and self._encoded(X).context is not None

    def _encoded(self, X: Any, y: Any = None, reset: bool = False) -> Encoded:
        """Raw data as tensors, by the modality; two-dimensional arrays pass scikit-learn's checks first."""
        if not reset:
            check_is_fitted(self)
        if isinstance(X, Encoded):
            return X
        modality = self._chosen_modality(X) if reset else self.modality_
        asked = modality.condition if isinstance(modality, Modality) else ()
        if _is_table(X) and not (asked and is_frame(X)):  # text may condition, which scikit-learn would refuse
            X = validate_data(
                self, X, reset=reset, dtype=[np.float64, np.float32], ensure_min_samples=2 if reset else 1
            )
        if y is not None and "label" in asked:
            X = replace(raw_rows(X), labels=np.asarray(y))
        return load(X, modality=modality) if reset else encode_like(self.modality_, X)

    def _chosen_modality(self, X: Any) -> Modality | None:
        """The modality to fit, with what conditions; None where the data are to suggest one."""
        chosen = self.modality
        if chosen is None and _is_table(X):
            chosen = Table()
        names = (self.condition,) if isinstance(self.condition, str) else tuple(self.condition or ())
        if chosen is None and names:
            chosen = suggested(X)
        if chosen is None:
            return None
        chosen = chosen if isinstance(chosen, Part) else Modality.from_spec(chosen)
        return Modality.from_spec(chosen.spec() | ({"condition": list(names)} if names else {}))

    def _assembled(self, encoded: Encoded) -> LatentModel:
        defaults = encoded.modality.defaults()
        spec: Spec = {"type": "LatentModel", "latent": self._latent_spec(defaults.get("latent"))}
        spec["context"] = encoded.modality.conditions.width
        kinds: tuple[tuple[str, type[Part]], ...] = (("likelihood", Likelihood), ("network", Network))
        for name, kind in kinds:
            given = getattr(self, name)
            spec[name] = _spec(kind, defaults[name] if given is None else given)
        return LatentModel.from_spec(spec)

    def _latent_spec(self, suggested: Spec | None = None) -> Spec:
        latent = self.latent
        counted = isinstance(latent, (int, np.integer)) and not isinstance(latent, bool)
        suggesting = counted or latent is None
        if suggesting:
            latent = {**(suggested or {"type": "Flat"}), **({"size": int(latent)} if counted else {})}
        spec: Spec = (
            latent.spec() if isinstance(latent, Part) else {"type": latent} if isinstance(latent, str) else dict(latent)
        )
        for name in ("prior", "posterior"):
            given = getattr(self, name)
            if given is not None:
                spec[name] = given.spec() if isinstance(given, Part) else given
        return suggested_latent(spec, spec, self._objective()) if suggesting and self.prior is None else spec

    def _objective(self) -> Objective:
        return Objective.from_spec(_spec(Objective, Elbo() if self.objective is None else self.objective))

    def _adopt(self, model: LatentModel, modality: Modality) -> None:
        self.fitted_ = Fitted(model.cpu().eval(), modality)
        self._exact: list[Fitted] = []  # filled on first use; a list, so that scoring changes no attribute

    def _precise(self) -> Fitted:
        """The model in float64, where a row's result does not hang on how many rows stand beside it."""
        check_is_fitted(self)
        if not self._exact:
            self._exact.append(replace(self.fitted_, model=copy.deepcopy(self.model_).double()))
        return self._exact[0]

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {name: [] if name == "_exact" else value for name, value in state.items()}


class _Continued:
    """Gives a new loop the moments of the one before, so that `partial_fit` goes on rather than starts again."""

    def __init__(self, moments: list[dict[str, Any]] | None, loops: list[Loop]) -> None:
        self.moments = moments
        self.loops = loops

    def on_start(self, loop: Loop) -> None:
        self.loops.append(loop)
        if self.moments:
            loop.optimizer.load_state_dict(self.moments[0])

    def on_epoch(self, loop: Loop) -> None: ...

    def on_end(self, loop: Loop) -> None: ...

    def on_interrupt(self, loop: Loop) -> None: ...


def load_estimator(path: str | Path, device: str = "cpu") -> VAE:
    """The fitted VAE in a model file; see `lambent.fitted.load` for what is refused."""
    stored = load_fitted(path, device)
    try:
        return _dressed(stored)
    except (LambentError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(f"{path} holds a model, but no estimator's settings that can be read: {error}") from None


def _dressed(stored: Fitted) -> VAE:
    """The model with the settings, the history and the columns that its file tells of."""
    face = stored.provenance.get("estimator") or {}
    known = inspect.signature(VAE.__init__).parameters
    parameters = {k: v for k, v in (face.get("parameters") or {}).items() if k in known and _is_plain(v)}
    spec = stored.model.spec()
    objective = stored.provenance.get("objective")
    if objective is not None:
        objective = Objective.from_spec(objective).spec()
    vae = VAE(
        **{**parameters, **{name: spec[name] for name in ("latent", "likelihood", "network")}, "objective": objective}
    )
    vae._adopt(stored.model, stored.modality or Table())
    vae.fitted_.provenance = stored.provenance
    vae.history_ = dict(face.get("history") or stored.provenance.get("history") or {})
    if face.get("n_features_in") is not None:
        vae.n_features_in_ = int(face["n_features_in"])
    if face.get("feature_names_in") is not None:
        vae.feature_names_in_ = np.asarray([str(name) for name in face["feature_names_in"]], dtype=object)
    return vae


def _spec(kind: type[Part], given: Any) -> Spec:
    return given.spec() if isinstance(given, Part) else kind.from_spec(given).spec()


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))


def _is_table(X: Any) -> bool:
    """Whether scikit-learn's own checks should see it: everything but files, encoded data and arrays of more than two axes."""
    if isinstance(X, (str, Path, Encoded)):
        return False
    if isinstance(X, Tensor) or hasattr(X, "shape"):
        return len(X.shape) <= 2
    return True
