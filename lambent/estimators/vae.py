"""The scikit-learn face: a VAE with fit, transform, inverse_transform, sample, score_samples."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_array, check_is_fitted

from lambent.data.kinds.modality import Encoded, Modality
from lambent.data.kinds.table import Table
from lambent.errors import UsageError
from lambent.estimators.asking import asked, predicts, tells_levels, values_of
from lambent.estimators.assembly import assembled, is_plain, latent_spec, refuse_unknown
from lambent.estimators.intake import encoded as encoded_rows
from lambent.estimators.intake import parted
from lambent.estimators.precise import Precise, threaded
from lambent.estimators.suited import chosen_objective, settings_of, suits
from lambent.fitted import Fitted, Rows
from lambent.metrics.bound import SAMPLES
from lambent.model import LatentModel, ask_encoder
from lambent.objectives import Objective
from lambent.part import Spec, elements
from lambent.progress import shown
from lambent.tasks.calibration import calibrated
from lambent.tasks.explore import decode, encode, generate, reconstruct, rows_under
from lambent.tasks.predict import Prediction
from lambent.tasks.score import scored, scored_by_column
from lambent.tasks.synthesize import synthesize
from lambent.training.continued import Kept, one_pass
from lambent.training.fitting import fit
from lambent.training.settings import Training


class VAE(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A variational autoencoder with scikit-learn's verbs, for tables, images, files and folders.

    Args:
        latent: number of units, or a Latent part; by default what suits the data: 32 units for images, for tables one
            for each column, 16 at most.
        prior, posterior: parts or their names; put into `latent`. Unless that is a part, what suits the data: a Mixture
            prior, unless the posterior is Point or the objective was made for N(0, I), such as BetaTc.
        likelihood, network: parts or their names; by default what suits the data.
        objective: a part or its name; by default what suits the data and their likelihood, most often a plain Elbo.
        modality: how raw data become tensors; found from the data by default. Two-dimensional arrays are tables.
        condition: what the model is conditioned on, p(x | c): "label" (the `y` of `fit`, the folder, the label column), or
            names of columns of a table.
        members: models that are trained in one pass, each from its own start, and make one mixture: an ensemble; None: what
            suits, of density one.
        epochs, batch, learning_rate: as in `lambent.fit`; None: what suits the data, with the other settings of the loop.
        patience, validation, precision, threads, device: as there; with threads given, scores, codes and samples are computed
            by as many (auto: all, half or one, whichever was fastest at the first use).
            validation "auto" holds out a tenth of 50 to 10,000 rows, so that the best weights are kept.
        samples: K of the bound that `score_samples` returns.
        purpose: what those that are left open are to suit: density, outliers (to find rows that are odd among those trained
            on) or novelties (among others, where these are normal); the latter two as in `Detector`.
        preset: small, medium, large or constant, of pictures: parts, their sizes and the training's, by this machine.
        random_state: seed of weights, order and noise.
        verbose: a progress bar, in training and in whatever takes more than two seconds.

    Attributes: `model_`, `modality_`, `history_`; for tables `n_features_in_` and, where columns have names, `feature_names_in_`.

    The same rows give the same scores and codes, beside whatever others and in any order.
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
        members: int | None = None,
        epochs: int | None = None,
        batch: int | None = None,
        learning_rate: float | None = None,
        validation: Any = "auto",
        patience: Any = "auto",
        precision: str = "auto",
        threads: Any = None,
        device: str = "auto",
        samples: int = SAMPLES,
        purpose: str = "density",
        preset: str | None = None,
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
        self.members = members
        self.epochs = epochs
        self.batch = batch
        self.learning_rate = learning_rate
        self.validation = validation
        self.patience = patience
        self.precision = precision
        self.threads = threads
        self.device = device
        self.samples = samples
        self.purpose = purpose
        self.preset = preset
        self.random_state = random_state
        self.verbose = verbose

    # ---- training ------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, **unknown: Any) -> Self:
        """Train on raw data: an array, a frame, images, a path, a catalog name. `y`: labels, if they condition the model.

        Of rows that `validation` holds out nothing is learned, neither scales nor categories. The columns of a frame or a file
        are known by their names from then on, whatever their order; `DataWarning` tells of those that are left out.
        """
        refuse_unknown("fit", unknown)
        seed = self._seed()
        encoded, held_out = parted(self, X, y, seed)
        model = self._assembled(encoded)
        self._kept: Kept | None = None
        self.history_ = fit(
            model,
            self._objective(encoded.modality),
            encoded,
            **settings_of(encoded.modality, vars(self)),
            validation=held_out,
            patience=self.patience,
            precision=self.precision,  # type: ignore[arg-type]
            threads=self.threads,
            device=self.device,
            seed=seed,
            progress=self.verbose,
        )
        fitted = Fitted(model.cpu().eval(), encoded.modality, {"objective": self._objective(encoded.modality).spec()})
        if isinstance(held_out, Encoded):
            fitted.calibration = calibrated(fitted, held_out, seed=seed)
        self._adopt(fitted)
        return self

    def partial_fit(self, X: Any, y: Any = None, **unknown: Any) -> Self:
        """One more pass of training, over these rows; the first call decides scales and shapes. `y` as in `fit`.

        All calls are one training: weights, moments, opponent, averages and λ go on from where they were. What grows during a
        training, such as the weight of the KL, grows over the steps that `epochs` passes over the first call's rows make
        (None: as many as `fit` would make), and has its final value from then on; after `fit` or `load`, from the first call.
        `validation` and `patience` do not count here.
        """
        refuse_unknown("partial_fit", unknown)
        first = not hasattr(self, "model_")
        kept = getattr(self, "_kept", None)
        encoded = encoded_rows(self, X, y, reset=first)
        model = self._assembled(encoded) if first else self.model_
        settings = Training.of(
            **settings_of(encoded.modality, vars(self), endless=True),
            precision=self.precision,
            threads=self.threads,
            device=self.device,
            seed=self._seed() if kept is None else kept.seed,
        )
        self._kept = one_pass(model, self._objective(encoded.modality), encoded, settings, kept)
        self.history_ = self._kept.state["history"]
        self._adopt(Fitted(model.cpu().eval(), encoded.modality))
        return self

    # ---- using ---------------------------------------------------------------------------------------------------

    def fit_transform(self, X: Any, y: Any = None) -> NDArray[np.float64]:
        """`fit`, and the codes of the same rows under the same labels."""
        return self.fit(X, y).transform(X, y)

    @threaded
    def transform(self, X: Any, y: Any = None, given: Mapping[str, Any] | None = None) -> NDArray[np.float64]:
        """Posterior means, [rows, units]; levels of a hierarchy side by side, the top first."""
        rows = self._rows(X, y, given)
        with shown(self.verbose):
            codes = encode(self._precise(), rows.x, rows.context)
        return torch.cat([code.flatten(1) for code in codes], 1).double().numpy()

    @threaded
    def inverse_transform(self, X: Any, given: Mapping[str, Any] | None = None) -> Any:
        """Codes [rows, units] → the most likely rows, in raw form; under the conditions that are `given`."""
        check_is_fitted(self)
        codes = torch.from_numpy(check_array(X, dtype=np.float64))
        shapes = self.model_.code_shapes
        if codes.shape[1] != sum(sizes := [elements(shape) for shape in shapes]):
            raise UsageError(f"X has {codes.shape[1]} columns, but the codes of this model have {sum(sizes)}")
        levels = [c.unflatten(1, s) for c, s in zip(codes.split(sizes, 1), shapes, strict=True)]
        context = self.fitted_.given(given, len(codes))
        with shown(self.verbose):
            return self.fitted_.raw(decode(self._precise(), levels, context))

    @threaded
    def reconstruct(self, X: Any, y: Any = None, given: Mapping[str, Any] | None = None) -> Any:
        """Rows through the code and back, in raw form. given: conditions to decode under, in place of the rows' own."""
        rows, under = rows_under(self._precise(), encoded_rows(self, X, y), given)
        with shown(self.verbose):
            return self.fitted_.raw(reconstruct(self._precise(), rows.x, rows.context, under=under))

    @threaded
    def sample(
        self,
        n_samples: int = 1,
        temperature: float = 1.0,
        random_state: Any = None,
        given: Any = None,
        **of_tables: Any,
    ) -> Any:
        """New rows in raw form: z from the prior, x the mean of p(x|z) for images and a draw of it for the rest.

        given: values of the conditions, such as {"label": 3}; a conditioned model needs all of them. Of tables conditions on any
        column, too, and where, balance, complete and given_rows: see `lambent.synthesize`.
        """
        check_is_fitted(self)
        seed = self._seed() if random_state is None else self._seed(random_state)
        with shown(self.verbose):
            if isinstance(self.modality_, Table) and not self.fitted_.unnamed_context:
                settings = {"given": given or (), "temperature": temperature, "seed": seed, **of_tables}
                of_rows = n_samples == 1 and of_tables.get("given_rows") is not None
                return synthesize(self.fitted_, None if of_rows else n_samples, **settings)
            refuse_unknown("sample", of_tables)
            context = self.fitted_.given(given, n_samples)
            noise = not self.fitted_.of_bytes
            return self.fitted_.raw(generate(self.fitted_, n_samples, seed, temperature, context, noise=noise))

    @available_if(predicts)  # type: ignore[untyped-decorator]
    @threaded
    def predict(self, X: Any, target: str | None = None) -> NDArray[Any]:
        """A column of a table given whatever else is there, or a condition: the likeliest level, or the mean, [rows].

        The target's own cells are not looked at; X may lack columns, and have gaps. Without a name it is the only condition, else
        the last column. Of models of tables with gaps, and of those with conditions.
        """
        return values_of(asked(self, X, target))

    @available_if(tells_levels)  # type: ignore[untyped-decorator]
    @threaded
    def predict_proba(self, X: Any, target: str | None = None) -> NDArray[np.float64]:
        """The probability of each level of the target, [rows, levels], in the order of `lambent.predict(…).levels`."""
        found = asked(self, X, target, levels=True)
        if not isinstance(found, Prediction):
            raise UsageError(
                f"{target!r} is a column of numbers, and has no levels: lambent.predict gives its quantiles"
            )
        return found.probabilities

    @threaded
    def score_samples(
        self, X: Any, y: Any = None, given: Mapping[str, Any] | None = None, per_column: bool = False
    ) -> NDArray[np.float64]:
        """The K-sample bound on log p(x) of every row, in nats; of tables in the data's own units.

        What `lambent score` gives for the same K, to the bit: noise comes from seed 0 and from what each row holds.
        per_column: of a table the share of each column instead, [rows, columns]: E_q log p(column | z), which sum to the
        log-likelihood, the bound's part without the KL.
        """
        check_is_fitted(self)
        ask_encoder(self.model_)
        if not self.model_.latent.density:
            raise UsageError("a Point posterior has no density, so rows have no score: use the Diagonal posterior")
        rows = self._rows(X, y, given)
        with shown(self.verbose):
            if per_column:
                each = scored_by_column(self.fitted_, rows, self.samples).values()
                return np.stack([column.numpy() for column in each], 1)
            return scored(self.fitted_, rows, self.samples).bound.numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of `score_samples`. `y`: labels, if they condition the model."""
        return float(self.score_samples(X, y).mean())

    def save(self, path: str | Path) -> Path:
        """Write the model file; `lambent.load` gives a fitted VAE back."""
        check_is_fitted(self)
        parameters = {name: value for name, value in self.get_params().items() if is_plain(value)}
        of_face = {"estimator": {"parameters": parameters, "history": self.history_}}
        provenance = {**self.fitted_.provenance, "objective": self._objective().spec(), **of_face}
        return replace(self.fitted_, provenance=provenance).save(path)

    def __sklearn_tags__(self) -> Any:
        """Tables may have gaps and text, unless a modality was given that takes none."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = getattr(self.modality, "missing", "auto") != "no"
        tags.input_tags.string = tags.input_tags.categorical = True
        return tags

    # ---- inside --------------------------------------------------------------------------------------------------

    @property
    def _n_features_out(self) -> int:
        return sum(elements(shape) for shape in self.model_.code_shapes)

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
        assert isinstance(held, Fitted)
        return held

    def _seed(self, state: Any = None) -> int:
        state = self.random_state if state is None else state
        return state if isinstance(state, int) else int(check_random_state(state).randint(2**31 - 1))

    def _rows(self, X: Any, y: Any = None, given: Mapping[str, Any] | None = None) -> Rows:
        check_is_fitted(self)
        return self.fitted_.rows(encoded_rows(self, X, y), given=given)

    def _assembled(self, encoded: Encoded) -> LatentModel:
        suited = suits(encoded.modality, self.purpose, self.preset, self.device)
        return assembled(encoded.modality, self._latent_spec, self.likelihood, self.network, suited, self.members)

    def _latent_spec(self, suggested: Spec | None = None) -> Spec:
        return latent_spec(self.latent, self.prior, self.posterior, self._objective(), suggested)

    def _objective(self, modality: Modality | None = None) -> Objective:
        known = modality or getattr(vars(self).get("fitted_"), "modality", None)
        return chosen_objective(self.objective, known, self.likelihood, self.purpose)

    def _adopt(self, fitted: Fitted) -> None:
        self.fitted_ = fitted
        self._exact = Precise()

    def _precise(self) -> Fitted:
        """The model in float64, where a row's result does not hang on how many rows stand beside it."""
        check_is_fitted(self)
        return self._exact.of(self.fitted_)
