"""Imputer: a scikit-learn transformer that fills gaps."""

import copy
from typing import Any, Self

from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from lambent.data.kinds.modality import Modality
from lambent.data.kinds.table import Table
from lambent.errors import UsageError
from lambent.estimators.vae import VAE
from lambent.part import Part
from lambent.progress import shown
from lambent.tasks.conditional import SAMPLES
from lambent.tasks.impute import impute

HIDDEN = 0.3  # share of the rows that lose cells while it is trained, more than for a model that also makes rows


class Imputer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Fills the gaps of a table, each given all that is there in its row, by a VAE that was trained on rows with gaps.

    Numbers get their mean, levels the likeliest, under importance weights of `codes` codes; what was there comes back to the bit,
    in the form that the table came in: arrays and frames, of numbers alone or of any kinds of columns. While it is trained, cells
    are hidden at random, so that it learns to fill in any from any others. Mattei and Frellsen, MIWAE, 2019.

    Args:
        latent, prior, posterior, likelihood, network, objective, modality: as in `VAE`.
        epochs, batch, learning_rate, validation, patience, precision, threads, device, random_state, verbose: as there.
        codes: K of the importance weights; more make the fills steadier, and cost as much more.

    Attributes: `vae_`, the fitted VAE; `n_features_in_` and, where columns have names, `feature_names_in_`.

    The same rows are filled alike, beside whatever others and in any order. For several draws of each gap and for intervals see
    `lambent.impute(imputer, X, draws=5)`.
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
        batch: int | None = None,
        learning_rate: float | None = None,
        validation: Any = "auto",
        patience: Any = "auto",
        precision: str = "auto",
        threads: Any = None,
        device: str = "auto",
        codes: int = SAMPLES,
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
        self.threads = threads
        self.device = device
        self.codes = codes
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on a table with gaps, or without: an array, a frame or a file. `y` is not looked at."""
        settings = {name: value for name, value in self.get_params(deep=False).items() if name != "codes"}
        self.vae_ = VAE(**settings | {"modality": self._gappy()}).fit(X)
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.vae_, name):
                setattr(self, name, getattr(self.vae_, name))
            elif hasattr(self, name):
                delattr(self, name)
        return self

    def transform(self, X: Any) -> Any:
        """The rows with their gaps filled, and all else to the bit as it was."""
        check_is_fitted(self)
        with shown(self.verbose):
            return impute(self.vae_.fitted_, X, samples=self.codes)

    def fit_transform(self, X: Any, y: Any = None, **unknown: Any) -> Any:
        """`fit`, and the same rows filled."""
        return self.fit(X, y, **unknown).transform(X)

    @property
    def fitted_(self) -> Any:
        """The trained model with its table."""
        held = vars(self).get("vae_")
        if held is None:
            raise AttributeError("this Imputer is not fitted yet: call fit first")
        return held.fitted_

    def _gappy(self) -> Modality:
        """The table that was asked for, with gaps."""
        given = Table(hidden=HIDDEN) if self.modality is None else self.modality
        spec = given.spec() if isinstance(given, Part) else Modality.from_spec(copy.deepcopy(given)).spec()
        if spec.get("type") != "Table":
            raise UsageError(f"Imputer fills the gaps of tables, and {spec.get('type')} is another kind of data")
        return Modality.from_spec(spec | {"missing": "yes"})

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        return tags
