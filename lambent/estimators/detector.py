"""Detector: scikit-learn's outlier detectors, by a VAE and rows that it was not trained on."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from lambent.detection import Detection
from lambent.errors import DataError, UsageError, nearest
from lambent.estimators.assembly import is_plain
from lambent.estimators.intake import encoded as encoded_rows
from lambent.estimators.naming import known_by_name
from lambent.estimators.parting import in_parts, joined
from lambent.estimators.precise import threaded
from lambent.estimators.suited import untrimmed
from lambent.estimators.vae import VAE
from lambent.fitted import Fitted
from lambent.metrics.conformal import averaged, benjamini_hochberg, e_benjamini_hochberg, e_values
from lambent.part import Part
from lambent.progress import shown
from lambent.seeds import mixed_seed, stream
from lambent.tasks.detection.calibrated import Scored, detector_of, learned_with_scores, scored_rows
from lambent.tasks.detection.decide import CHECKS, FDR, alarm_threshold, one_rule, share_threshold, usual_threshold
from lambent.tasks.detection.tails import tail_of


class Detector(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """Tells odd rows of tables, images, files and folders by a VAE, with a stated error, from rows that it held out.

    Args:
        vae: a VAE with settings of your own, of which a copy is fitted; None: what suits detection in such data.
        oddness: the score, a part or its name (`lambent parts Score`); None: what measurement found best for such data.
        clean: whether the rows of `fit` hold no anomalies. Else the default VAE leaves out of training what fits worst.
        calibration: share of the rows that nothing is learned from, whose scores others are compared with; copies of a row
            stay on one side. 0: none, which leaves `contamination` alone to decide.
        contamination, fdr, tail: one of them decides what `predict` flags. contamination: what is as odd as the most odd share of
            the rows of `fit`. fdr: rows with p ≤ fdr, judged each as if it stood alone (`select` judges them together); 0.1
            unless told. tail: rows beyond a score that this share of normal rows would pass.
        splits: how often rows are cut and a model is fitted; of more than one the e-values are averages over them.
        random_state: seed of the cut and, unless a VAE was given, of its training.
        threads, verbose: as in `VAE`, unless one was given.

    Attributes: `vae_`, the fitted VAE; `fitted_`; `threshold_`, `offset_` = −threshold_; of the rows of `fit` `decision_scores_`
    and `labels_` (1: odd), as PyOD has them; `n_features_in_` and, where columns have names, `feature_names_in_`.

    Of `decision_scores_`, `threshold_` and `lambent.detect` higher is odder; of `score_samples` and `decision_function`, as
    scikit-learn has it, higher is more normal.

    The same rows give the same bits, beside whatever others, in any order and any process.
    """

    def __init__(
        self,
        vae: Any = None,
        *,
        oddness: Any = None,
        clean: bool = False,
        calibration: float = 0.2,
        contamination: float | None = None,
        fdr: float | None = None,
        tail: float | None = None,
        splits: int = 1,
        random_state: Any = 0,
        threads: Any = None,
        verbose: bool = False,
    ) -> None:
        self.vae = vae
        self.oddness = oddness
        self.clean = clean
        self.calibration = calibration
        self.contamination = contamination
        self.fdr = fdr
        self.tail = tail
        self.splits = splits
        self.random_state = random_state
        self.threads = threads
        self.verbose = verbose

    # ---- training ------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on rows, of which a share is held out. `y` is not learned from: labels refuse a column that gives them away."""
        rule, value = self._rule()
        seed = self._seed()
        vae = self._vae(seed)
        parts = in_parts(vae, X, y, self.calibration, stream(seed, "held out to compare"))
        asked = vae.validation
        vae.set_params(validation=parts.validation).fit(parts.training).set_params(validation=asked)
        told = {"objective": vae._objective().spec()}  # by which a score knows which members left rows out
        fitted = replace(vae.fitted_, provenance=vae.fitted_.provenance | told)
        training = joined(fitted, parts)
        held_out = None if parts.held_out is None else fitted.rows(parts.held_out)
        detection, usual, fresh = learned_with_scores(fitted, training, held_out, self.oddness, seed, self.clean)
        self._scores = np.empty(len(parts.kept_numbers) + len(parts.held_numbers))
        self._scores[parts.kept_numbers], self._scores[parts.held_numbers] = usual.numpy(), fresh.numpy()
        detection.facts["threshold"] = self._edge(detection, rule, value, seed)
        if (self.contamination, self.fdr, self.tail) != (None, None, None):
            detection.facts["rule"] = {rule: value}
        self._adopt(vae, fitted, detection)
        self._fit_splits(X, y, seed)
        return self

    def fit_predict(self, X: Any, y: Any = None) -> NDArray[np.int64]:
        """`fit`, and −1 for each of the same rows that is odd, else 1."""
        return np.where(self.fit(X, y).labels_ == 1, -1, 1)

    # ---- using ---------------------------------------------------------------------------------------------------

    def predict(self, X: Any) -> NDArray[np.int64]:
        """−1 for rows that are odd, else 1, [rows]: each judged by itself."""
        return np.where(self._scored(X).scores > self.threshold_, -1, 1)

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """`score_samples` − `offset_`, [rows]: negative for odd rows."""
        return self.score_samples(X) - self.offset_

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """How normal rows are, [rows]: minus the score, so that higher is more normal."""
        return -self._scored(X).scores

    def p_values(self, X: Any) -> NDArray[np.float64]:
        """(1 + #{held-out rows as odd or odder}) / (n + 1), [rows]: of a normal row it is at most α with a chance of at most α.

        As far as normal rows and held-out ones are exchangeable. Of rows that were trained on, which look more normal than they
        are, it is on the large side.
        """
        p = self._scored(X).p
        if p is None:
            raise UsageError(
                "no rows were held out, so there are none to compare with: fit with a share of them, calibration=0.2"
            )
        return p

    def e_values(self, X: Any, alpha: float = FDR) -> NDArray[np.float64]:
        """The evidence that rows are odd, [rows], from all of them together, at the rate `alpha`: averages over the splits."""
        every = [self, *self.splits_]
        inner = alpha if len(every) == 1 else alpha / 2
        return averaged([e_values(each.p_values(X), len(each._detection.held_out), inner) for each in every])

    def select(self, X: Any, alpha: float = FDR, by: Literal["p", "e"] = "p") -> NDArray[np.bool_]:
        """Which rows are odd, [rows], judged together: of those flagged at most a share `alpha` is normal, on average.

        by: "p", Benjamini and Hochberg's procedure on p-values; "e", e-BH on e-values, which hangs less on how rows were split
        where `splits` are several. As far as normal rows and held-out ones are exchangeable.
        """
        if by not in ("p", "e"):
            raise UsageError(
                f"select decides by p-values or by e-values, not by {by!r}; {nearest(str(by), ('p', 'e'))}"
            )
        if by == "e":
            return e_benjamini_hochberg(self.e_values(X, alpha), alpha)
        return benjamini_hochberg(self.p_values(X), alpha)

    def save(self, path: str | Path) -> Path:
        """Write the model file; `lambent.load` gives a fitted Detector back, but for the scores of the rows it was fitted to."""
        check_is_fitted(self)
        if self.splits_:
            raise UsageError(
                "a file holds one model, and these are several: save each of detector.splits_, or fit with splits=1"
            )
        return self.vae_.save(path)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        vae = VAE() if self.vae is None else self.vae
        tags.input_tags = vae.__sklearn_tags__().input_tags
        tags.input_tags.categorical = False  # or its checks give rows of nothing but the labels, which is a leak
        return tags

    # ---- what is known once it is fitted -------------------------------------------------------------------------

    @property
    def fitted_(self) -> Fitted:
        """The trained model with its modality and its detection."""
        return self._held("vae_").fitted_  # type: ignore[no-any-return]

    @property
    def threshold_(self) -> float:
        """The score above which rows are flagged."""
        return usual_threshold(self._detection)

    @property
    def offset_(self) -> float:
        """Minus the threshold: what `decision_function` takes off."""
        return -self.threshold_

    @property
    def decision_scores_(self) -> NDArray[np.float64]:
        """The scores of the rows of `fit`, in their order; higher is odder."""
        scores: NDArray[np.float64] = self._held("_scores")
        return scores.copy()

    @property
    def labels_(self) -> NDArray[np.int64]:
        """1 for each of the rows of `fit` that is odd, else 0."""
        return np.asarray(self._held("_scores") > self.threshold_, np.int64)

    # ---- inside --------------------------------------------------------------------------------------------------

    @property
    def _detection(self) -> Detection:
        detection = self.fitted_.detection
        assert detection is not None
        return detection

    @classmethod
    def of(cls, vae: VAE) -> "Detector":
        """The fitted detector around a fitted VAE, such as one from a file."""
        detector_of(vae.fitted_)  # says so where its score is none that is known
        face = vae.fitted_.provenance.get("detector") or {}
        known = cls().get_params(deep=False)
        detector = cls(**{name: value for name, value in face.items() if name in known and name != "vae"})
        detector.vae_, detector.splits_ = vae, []
        known_by_name(detector, vae.modality_)
        return detector

    def _adopt(self, vae: VAE, fitted: Fitted, detection: Detection) -> None:
        own = {name: value for name, value in self.get_params(deep=False).items() if is_plain(value)}
        if isinstance(self.oddness, Part):
            own["oddness"] = self.oddness.spec()
        vae._adopt(replace(fitted, detection=detection, provenance=fitted.provenance | {"detector": own}))
        self.vae_ = vae
        known_by_name(vae, vae.modality_)
        known_by_name(self, vae.modality_)

    def _fit_splits(self, X: Any, y: Any, seed: int) -> None:
        if isinstance(self.splits, bool) or not isinstance(self.splits, int) or self.splits < 1:
            raise UsageError(f"splits must be a whole number from 1 on, not {self.splits!r}")
        again = stream(seed, "further splits")
        self.splits_ = [
            clone(self).set_params(splits=1, random_state=mixed_seed(again, each) % 2**31).fit(X, y)
            for each in range(1, self.splits)
        ]

    def _rule(self) -> tuple[str, float]:
        """The rule that was asked for, checked before any work is done."""
        given = {"contamination": self.contamination, "fdr": self.fdr, "tail": self.tail}
        rule, value = one_rule(**given) or ("fdr", FDR)
        value = CHECKS[rule](value)
        if not isinstance(self.clean, (bool, np.bool_)):
            raise UsageError(f"clean must be True (no anomalies among the rows of fit) or False, not {self.clean!r}")
        share = self.calibration
        if isinstance(share, bool) or not isinstance(share, (int, float, np.number)) or not 0 <= share < 1:
            raise UsageError(f"calibration must be a share of the rows in [0, 1), such as 0.2, not {share!r}")
        if not share and rule != "contamination":
            raise UsageError(f"calibration=0 leaves no rows that {rule} could compare with: give contamination instead")
        return rule, value

    def _vae(self, seed: int) -> VAE:
        if self.vae is None:
            purpose = "novelties" if self.clean else "outliers"
            return VAE(purpose=purpose, random_state=seed, threads=self.threads, verbose=self.verbose)
        if not isinstance(self.vae, VAE):
            raise UsageError(f"vae is a lambent.VAE, or None for what suits the data, not a {type(self.vae).__name__}")
        vae: VAE = clone(self.vae)
        return vae.set_params(objective=untrimmed(vae.objective)) if self.clean else vae

    def _edge(self, detection: Detection, rule: str, value: float, seed: int) -> float:
        if rule == "contamination":
            return share_threshold(self._scores, value)
        held_out = detection.held_out.numpy()
        return alarm_threshold(held_out, value) if rule == "fdr" else tail_of(held_out, value, seed).threshold

    def _scored(self, X: Any) -> Scored:
        check_is_fitted(self)
        with shown(self.verbose):
            return _computed(self.vae_, X)

    def _seed(self) -> int:
        state = self.random_state
        return state if isinstance(state, int) else int(check_random_state(state).randint(2**31 - 1))

    def _held(self, name: str) -> Any:
        check_is_fitted(self, "vae_")
        if name not in vars(self):
            raise AttributeError(
                f"this Detector lacks {name.strip('_')}: these are not kept in files: score_samples(X) gives them"
            )
        return vars(self)[name]


@threaded
def _computed(vae: VAE, X: Any) -> Scored:
    """By the threads that the VAE names."""
    columns = getattr(vae, "n_features_in_", None)
    if columns is not None and isinstance(X, np.ndarray) and X.ndim == 2 and X.shape[1] != columns:
        raise DataError(f"X has {X.shape[1]} features, but Detector is expecting {columns} features as input")
    return scored_rows(vae.fitted_, vae.fitted_.rows(encoded_rows(vae, X)))
