"""The scikit-learn face: a VAE with fit, transform, inverse_transform, sample, score_samples."""

import copy
import inspect
from numbers import Real
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, validate_data
from torch import Tensor

from lambent import fitted as store
from lambent.data import encode_like, load, load_parted
from lambent.data.kinds.modality import Encoded, Modality
from lambent.data.kinds.table import Table
from lambent.errors import ArtifactError, LambentError, UsageError
from lambent.metrics.bound import bounds
from lambent.model import LatentModel
from lambent.model.likelihoods import Likelihood
from lambent.model.networks import Network
from lambent.objectives import Elbo, Objective, suggested_latent
from lambent.part import Part, Spec
from lambent.seeds import stream
from lambent.tasks.explore import decode, encode, generate
from lambent.training.continued import Kept, one_pass
from lambent.training.fitting import fit
from lambent.training.settings import Training


class VAE(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A variational autoencoder with scikit-learn's verbs, for tables, images, files and folders.

    Args:
        latent: number of units, or a Latent part; by default what suits the data: 32 units for images, else 16.
        prior, posterior: parts or their names; put into `latent`. Unless that is a part, what suits the data: for images a
            Mixture prior, unless the posterior is Point or the objective was made for N(0, I), such as BetaTc.
        likelihood, network: parts or their names; by default what suits the data.
        objective: a part or its name; Elbo by default.
        modality: how raw data become tensors; found from the data by default. Two-dimensional arrays are tables.
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
        epochs: int | None = None,
        batch: int = 128,
        learning_rate: float = 1e-3,
        validation: Any = 0.0,
        patience: Any = "auto",
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
        """Train on raw data: an array, a frame, images, a path, a catalog name. `y` is ignored.

        Of rows that `validation` holds out nothing is learned, neither scales nor categories.
        """
        seed = self._seed()
        encoded, held_out = self._parted(X, seed)
        model = self._assembled(encoded)
        self._kept: Kept | None = None
        self.history_ = fit(
            model,
            self._objective(),
            encoded,
            epochs=self.epochs,
            batch=self.batch,
            learning_rate=self.learning_rate,
            validation=held_out,
            patience=self.patience,
            precision=self.precision,  # type: ignore[arg-type]
            device=self.device,
            seed=seed,
            progress=self.verbose,
        )
        self._adopt(model, encoded.modality)
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """One more pass of training, over these rows; the first call decides scales and shapes. `y` is ignored.

        All calls are one training: weights, moments, opponent, averages and λ go on from where they were. What grows during a
        training, such as the weight of the KL, grows over the steps that `epochs` passes over the first call's rows make
        (None: as many as `fit` would make), and has its final value from then on; after `fit` or `load`, from the first call.
        `validation` and `patience` do not count here.
        """
        first = not hasattr(self, "model_")
        kept = getattr(self, "_kept", None)
        encoded = self._encoded(X, reset=first)
        model = self._assembled(encoded) if first else self.model_
        settings = Training.of(
            epochs=self.epochs,
            batch=self.batch,
            learning_rate=self.learning_rate,
            precision=self.precision,
            device=self.device,
            seed=self._seed() if kept is None else kept.seed,
        )
        self._kept = one_pass(model, self._objective(), encoded, settings, kept)
        self.history_ = self._kept.state["history"]
        self._adopt(model, encoded.modality)
        return self

    # ---- using ---------------------------------------------------------------------------------------------------

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Posterior means, [rows, units]; levels of a hierarchy side by side, the top first."""
        x = self._encoded(X).x
        return torch.cat(encode(self._precise(), x), 1).double().numpy()

    def inverse_transform(self, X: Any) -> Any:
        """Codes [rows, units] → the most likely rows, in raw form."""
        check_is_fitted(self)
        codes = torch.from_numpy(check_array(X, dtype=np.float64))
        sizes = self.model_.latent.sizes_of_levels
        if codes.shape[1] != sum(sizes):
            raise UsageError(f"X has {codes.shape[1]} columns, but the codes of this model have {sum(sizes)}")
        rows = decode(self._precise(), list(codes.split(list(sizes), 1)), of_bytes=self._of_bytes)
        return self.modality_.decode(rows)

    def reconstruct(self, X: Any) -> Any:
        """Rows through the code and back, in raw form."""
        return self.inverse_transform(self.transform(X))

    def sample(self, n_samples: int = 1, temperature: float = 1.0, random_state: Any = None) -> Any:
        """New rows in raw form: z from the prior, x the mean of p(x|z) for images and a draw of it for the rest."""
        check_is_fitted(self)
        seed = self._seed() if random_state is None else self._seed(random_state)
        noise = not self._of_bytes
        rows = generate(self.model_, n_samples, seed, temperature, of_bytes=self._of_bytes, noise=noise)
        return self.modality_.decode(rows)

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """The K-sample bound on log p(x) of every row, in nats; of the encoded rows, that is after scaling."""
        model = self._precise()
        if not model.latent.posterior.density:
            raise UsageError("a Point posterior has no density, so rows have no score: use the Diagonal posterior")
        return bounds(model, self._encoded(X).x, self.samples, common=True).bound.numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of `score_samples`. `y` is ignored."""
        return float(self.score_samples(X).mean())

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
        return store.save(path, self.model_, self.modality_, {"objective": self._objective().spec(), "estimator": face})

    # ---- inside --------------------------------------------------------------------------------------------------

    @property
    def _n_features_out(self) -> int:
        return sum(self.model_.latent.sizes_of_levels)

    @property
    def _of_bytes(self) -> bool:
        return bool(self.modality_.of_bytes)

    def _seed(self, state: Any = None) -> int:
        state = self.random_state if state is None else state
        return state if isinstance(state, int) else int(check_random_state(state).randint(2**31 - 1))

    def _encoded(self, X: Any, reset: bool = False) -> Encoded:
        """Raw data as tensors, by the modality."""
        if not reset:
            check_is_fitted(self)
        X, modality = self._checked(X, reset)
        if isinstance(X, Encoded):
            return X
        return load(X, modality=modality) if reset else encode_like(self.modality_, X)

    def _checked(self, X: Any, reset: bool) -> tuple[Any, Modality | None]:
        """Raw data, of which two-dimensional arrays have passed scikit-learn's checks, and the modality to be fitted to them."""
        if not _is_table(X):
            return X, copy.deepcopy(self.modality)
        X = validate_data(self, X, reset=reset, dtype=[np.float64, np.float32], ensure_min_samples=2 if reset else 1)
        modality = self.modality or Table()
        return X, Modality.from_spec(modality.spec() if isinstance(modality, Part) else modality)

    def _parted(self, X: Any, seed: int) -> tuple[Encoded, Any]:
        """Rows to train on, and those to validate on (or 0.0): a share is cut off before the modality is fitted."""
        if not isinstance(self.validation, Real):
            encoded = self._encoded(X, reset=True)
            rows = self.validation
            alike = rows if isinstance(rows, (Encoded, tuple)) else encode_like(encoded.modality, rows)
            return encoded, alike
        if not self.validation or isinstance(X, Encoded):
            return self._encoded(X, reset=True), self.validation
        share = Training.of(validation=self.validation).validation
        X, modality = self._checked(X, reset=True)
        kept, held_out = load_parted(X, share, stream(seed, "validation share"), modality=modality)
        return kept, held_out

    def _assembled(self, encoded: Encoded) -> LatentModel:
        defaults = encoded.modality.defaults()
        spec: Spec = {"type": "LatentModel", "latent": self._latent_spec(defaults.get("latent"))}
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
        self.model_ = model.cpu().eval()
        self.modality_ = modality
        self._exact: list[LatentModel] = []  # filled on first use; a list, so that scoring changes no attribute

    def _precise(self) -> LatentModel:
        """The model in float64, where a row's result does not hang on how many rows stand beside it."""
        check_is_fitted(self)
        if not self._exact:
            self._exact.append(copy.deepcopy(self.model_).double())
        return self._exact[0]

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {name: [] if name == "_exact" else value for name, value in state.items()}


def load_estimator(path: str | Path, device: str = "cpu") -> VAE:
    """The fitted VAE in a model file; see `lambent.fitted.load` for what is refused."""
    stored = store.load(path, device)
    try:
        return _dressed(stored)
    except (LambentError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(f"{path} holds a model, but no estimator's settings that can be read: {error}") from None


def _dressed(stored: store.Stored) -> VAE:
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
