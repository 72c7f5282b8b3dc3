"""Cells: a VAE with a biologist's verbs, on AnnData, sparse counts and their files."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from lambent.data.kinds.cells import Cells as CellsData
from lambent.data.kinds.modality import Encoded
from lambent.errors import UsageError
from lambent.estimators.annotated import annotate, column_of, groups_of, is_annotated, observed_mean, pandas
from lambent.estimators.assembly import is_plain
from lambent.estimators.intake import encoded as encoded_rows
from lambent.estimators.vae import VAE
from lambent.fitted import Fitted, Rows
from lambent.model.likelihoods import Likelihood
from lambent.model.likelihoods.counts import Overdispersed
from lambent.objectives import Objective, SemiSupervised
from lambent.part import Part, Spec, registered
from lambent.progress import shown
from lambent.tasks.expression.differential import CHANGE, DRAWS, RATE, differential
from lambent.tasks.expression.doublets import RATIO, doublet_scores
from lambent.tasks.expression.kinds import Kinds
from lambent.tasks.expression.normalized import PER, normalized
from lambent.tasks.predict import Prediction, predict


class Cells(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Counts of genes in single cells → codes without depth and batch, expression without noise, genes that differ, kinds.

    Takes AnnData, files (.h5ad, 10x .h5 and .mtx, CSV), sparse matrices and arrays, [cells, genes]; needs
    `pip install 'lambent[cells]'` for AnnData and .h5ad.

    Args:
        latent: number of units, or a Latent part; by default ten under N(0, I).
        condition: columns of obs that the model is conditioned on, such as "batch": codes are freed of them.
        label: the column of obs that names kinds of cells, for `predict`; never trained on.
        labels: in its place, a column of obs with the kinds of some cells, trained on: the SemiSupervised objective, around
            `objective` where that is given, learns from all cells, and tells the kind of each, as scANVI does. Codes are then
            freed of the kind, too. unlabelled: a value in that column that stands for no label, such as "Unknown".
        genes: how many of the most variable genes are kept; 0: all.
        likelihood: a part or its name; by default NegativeBinomial(library="observed"), a dispersion for each gene.
        prior, posterior, network, objective: as in `VAE`. modality: `lambent.data.Cells` with settings of your own.
        epochs, batch, learning_rate, validation, patience, precision, threads, device, random_state, verbose: as there.

    Attributes: `vae_`, the fitted VAE; `fitted_`; `genes_`, the names of the genes in the order of `normalized`.
    """

    def __init__(
        self,
        latent: Any = None,
        *,
        condition: Any = None,
        label: str | None = None,
        labels: str | None = None,
        unlabelled: str | None = None,
        genes: int = 0,
        likelihood: Any = None,
        prior: Any = None,
        posterior: Any = None,
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
        random_state: Any = 0,
        verbose: bool = False,
    ) -> None:
        self.latent = latent
        self.condition = condition
        self.label = label
        self.labels = labels
        self.unlabelled = unlabelled
        self.genes = genes
        self.likelihood = likelihood
        self.prior = prior
        self.posterior = posterior
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
        self.random_state = random_state
        self.verbose = verbose

    # ---- training ------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, write: bool = True) -> Self:
        """Train on counts. write: into an AnnData what `annotate` does."""
        settings = self.get_params(deep=False)
        for own in ("label", "labels", "unlabelled", "genes"):
            del settings[own]
        if self.labels:
            settings |= self._semi_supervised()
        if isinstance(self.likelihood, str) and issubclass(
            registered(Likelihood).get(self.likelihood, Likelihood), Overdispersed
        ):
            settings["likelihood"] = {
                "type": self.likelihood,
                "library": "observed",
                "effects": bool(settings["condition"]),
            }
        self.vae_ = VAE(**settings | {"modality": self._modality()}).fit(X, y)
        self._kinds: Kinds | None = None
        if write and is_annotated(X):
            self.annotate(X)
        self._learn_kinds(X)
        return self

    def annotate(self, adata: Any) -> Any:
        """Write codes and normalized expression into an AnnData, which is returned; cells that were left out get NaN.

        `obsm["X_lambent"]` [cells, units], float32; `layers["lambent_normalized"]` [cells, genes], a cell of 10,000 counts, or
        `obsm["lambent_normalized"]`, a frame with the names of the genes, where not all genes were kept. Codes alone of a model
        that has no shares (a likelihood without library="observed"). With `labels`, `obs["lambent_label"]`, the kind of each
        cell, and `obsm["lambent_probabilities"]`, a frame of the probability of every kind.
        """
        encoded = self._encoded(adata)
        shares = getattr(self.fitted_.model.likelihood, "library", None) == "observed"
        expression = self._of(encoded) if shares else None
        told = self._told(encoded) if self.fitted_.told else None
        return annotate(adata, encoded, self.transform(encoded), expression, self.genes_, told)

    # ---- using ---------------------------------------------------------------------------------------------------

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Posterior means, [cells, units]."""
        return np.asarray(self._vae.transform(self._encoded(X)))

    def fit_transform(self, X: Any, y: Any = None, **unknown: Any) -> NDArray[np.float64]:
        """`fit`, and the codes of the same cells."""
        return self.fit(X, y, **unknown).transform(X)

    def normalized(
        self, X: Any, given: Mapping[str, Any] | None = None, samples: int = 0, per: float = PER
    ) -> NDArray[np.float32]:
        """Expression without noise and depth, [cells, genes], of cells of `per` counts; given a batch, all as if of that one."""
        return self._of(self._encoded(X), given, samples, per)

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """The bound on log p(counts | library size) of every cell, in nats: low where a cell is odd."""
        return np.asarray(self._vae.score_samples(self._encoded(X)))

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of `score_samples`."""
        return float(self.score_samples(X).mean())

    def doublet_scores(self, X: Any, expected: float = 0.06, ratio: float = RATIO) -> NDArray[np.float64]:
        """How probable each cell is two that were measured as one, [cells]: see `lambent.tasks.expression.doublets`."""
        with shown(self.verbose):
            return doublet_scores(self.fitted_, self._rows(X), ratio, expected, self._vae._seed())

    def differential_expression(
        self,
        X: Any,
        groupby: str | None = None,
        group1: Any = None,
        group2: Any = None,
        change: float = CHANGE,
        draws: int = DRAWS,
        fdr: float = RATE,
    ) -> Any:
        """Which genes two groups express differently, batches set equal: a pandas DataFrame by gene, the surest first.

        groupby: a column of obs; group1, group2: its values, or, without groupby, which cells [cells] (truth values or numbers);
        group2 None: all other cells. change: the log2 fold that counts for one. fdr: of the genes flagged, `is_de`, at most this
        share is expected to be none.
        Columns: probability, bayes_factor, log2_fold with low and high (central 95 %), mean1 and mean2 (of 10,000 counts),
        observed1 and observed2 (the same of the counts themselves), expected_fdr, is_de. See
        `lambent.tasks.expression.differential`.
        """
        if not 0 < fdr < 1:
            raise UsageError(f"fdr is a share of what is flagged, between 0 and 1, not {fdr}")
        encoded = self._encoded(X)
        rows = self._rows(encoded)
        chosen = groups_of(encoded, groupby, group1, group2)
        groups = first, second = [rows.at(torch.from_numpy(np.flatnonzero(each))) for each in chosen]
        with shown(self.verbose):
            found = differential(self.fitted_, first, second, change=change, draws=draws, seed=self._vae._seed())
        columns = {
            "probability": found.probability,
            "bayes_factor": found.bayes_factor,
            "log2_fold": found.fold,
            "low": found.low,
            "high": found.high,
            "mean1": found.first,
            "mean2": found.second,
            **{f"observed{number}": observed_mean(group, PER) for number, group in enumerate(groups, 1)},
            "expected_fdr": found.expected,
            "is_de": found.expected <= fdr,
        }
        frame = pandas().DataFrame(columns, index=pandas().Index(self.genes_, name="gene"))
        return frame.iloc[np.lexsort((-np.abs(found.fold), -found.probability))]

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest kind of each cell, [cells], by those whose kind was known in `fit`, and what all cells taught."""
        chances = self.predict_proba(X)
        return np.asarray(np.asarray(self.classes_, dtype=object)[chances.argmax(1)])

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probability of each kind, [cells, kinds], in the order of `classes_`."""
        if self._vae.fitted_.told:
            return self._told(X).probabilities
        return self._known().probabilities(self.transform(X))

    @property
    def classes_(self) -> list[str]:
        """The kinds of cells that were known in `fit`."""
        if told := self._vae.fitted_.told:
            return self.fitted_.conditions.category(told).levels
        return self._known().levels

    # ---- files ---------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write the model file; `lambent.load` gives the fitted Cells back, with the kinds that it knows."""
        own = {name: value for name, value in self.get_params(deep=False).items() if is_plain(value)}
        told = {"parameters": own, **({"kinds": self._kinds.state()} if self._kinds else {})}
        vae = self._vae
        kept, vae.fitted_ = vae.fitted_, replace(vae.fitted_, provenance={**vae.fitted_.provenance, "cells": told})
        try:
            return vae.save(path)
        finally:
            vae.fitted_ = kept

    @classmethod
    def of(cls, given: Any) -> "Cells":
        """The face of a model of cells: of a fitted VAE, or what else `lambent.load` gives of a run on cells."""
        vae = given
        if not isinstance(vae, VAE) or not isinstance(vae.modality_, CellsData):
            raise UsageError(
                f"Cells.of takes a fitted VAE of cells, such as lambent.load(run) gives, not {type(given).__name__}"
            )
        told = vae.fitted_.provenance.get("cells") or {}
        known = cls().get_params(deep=False)
        cells = cls(**{name: value for name, value in (told.get("parameters") or {}).items() if name in known})
        cells.vae_, cells._kinds = vae, Kinds.restored(told["kinds"]) if told.get("kinds") else None
        return cells

    # ---- inside --------------------------------------------------------------------------------------------------

    @property
    def fitted_(self) -> Fitted:
        """The trained model with its modality."""
        held = vars(self).get("vae_")
        if held is None:
            raise AttributeError("this Cells is not fitted yet: call fit first")
        return held.fitted_  # type: ignore[no-any-return]

    @property
    def genes_(self) -> list[str]:
        """The names of the genes, in the order of `normalized`."""
        modality = self.fitted_.modality
        assert isinstance(modality, CellsData)
        return list(modality.names)

    @property
    def _vae(self) -> VAE:
        check_is_fitted(self, "vae_")
        return self.vae_

    def _modality(self) -> CellsData:
        given = self.modality if isinstance(self.modality, Part) else CellsData()
        if not isinstance(given, CellsData):
            raise UsageError(
                f"Cells takes counts of genes, and {type(given).__name__} is another kind of data: use lambent.data.Cells"
            )
        own: dict[str, Any] = {"label": self.label} if self.label else {}
        if self.genes:
            own["genes"] = self.genes
        if self.unlabelled is not None:
            own["unlabelled"] = self.unlabelled
        return CellsData.from_spec(given.spec() | own)

    def _semi_supervised(self) -> dict[str, Any]:
        """The condition and the objective that learn the kinds of cells with their codes."""
        if self.label is not None:
            raise UsageError(
                f"Cells is given label={self.label!r}, never trained on, and labels={self.labels!r}, trained on: leave one out"
            )
        others = [self.condition] if isinstance(self.condition, str) else list(self.condition or ())
        return {
            "condition": [*(name for name in others if name != self.labels), self.labels],
            "objective": self._around(self.objective),
        }

    def _around(self, objective: Any) -> Spec:
        """SemiSupervised by the labels, around another objective where there is one."""
        given = None if objective is None else Objective.from_spec(objective).spec()
        if given is not None and given["type"] == SemiSupervised.__name__:
            return {"label": self.labels} | given
        return {"type": SemiSupervised.__name__, "label": self.labels} | ({} if given is None else {"of": given})

    def _told(self, X: Any) -> Prediction:
        """What the model itself tells of the kinds of cells."""
        found = predict(self.fitted_, self._encoded(X), str(self.fitted_.told))
        assert isinstance(found, Prediction)
        return found

    def _encoded(self, X: Any) -> Encoded:
        return X if isinstance(X, Encoded) else encoded_rows(self._vae, X)

    def _rows(self, X: Any) -> Rows:
        return self.fitted_.rows(self._encoded(X))

    def _of(
        self, encoded: Encoded, given: Mapping[str, Any] | None = None, samples: int = 0, per: float = PER
    ) -> NDArray[np.float32]:
        rows = self.fitted_.rows(encoded, given=given if encoded.context is None else None)
        with shown(self.verbose):
            return normalized(self.fitted_, rows, given, samples, self._vae._seed(), per).float().numpy()

    def _learn_kinds(self, X: Any) -> None:
        if self.label is None:
            return
        encoded = self._encoded(X)
        self._kinds = Kinds(self.transform(encoded), column_of(encoded, self.label))

    def _known(self) -> Kinds:
        self._vae  # noqa: B018 - which says that it is not fitted
        if self._kinds is None:
            raise UsageError(
                'no kinds of cells were known in fit: name their column of obs, Cells(label="cell_type") or labels='
            )
        return self._kinds
