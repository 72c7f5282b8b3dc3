"""disentangle: whether the units of a code keep known factors apart, by every published measure, each named by its variant."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lambent.errors import UsageError, nearest
from lambent.fitted import Fitted
from lambent.metrics.disentangle.dci import REGRESSORS, dci
from lambent.metrics.disentangle.factors import Factors
from lambent.metrics.disentangle.fixed import beta_vae, factor_vae
from lambent.metrics.disentangle.gaps import mig, mig_sup, robust
from lambent.metrics.disentangle.information import by_bins, by_neighbours, entropies, shuffled_floor
from lambent.metrics.disentangle.irs import irs
from lambent.metrics.disentangle.modularity import explicitness, modularity
from lambent.metrics.disentangle.sap import sap, sap_svm
from lambent.metrics.disentangle.udr import udr
from lambent.progress import counting
from lambent.tasks.disentanglement.codes import AXES, Coded, Rotation, coded
from lambent.tasks.disentanglement.named import factors_of
from lambent.tasks.disentanglement.remarks import remarks_on

ROWS = 5000  # that are measured unless told otherwise

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """A number from 0 to 1 with what it is. chance: what guessing gets, None where that is 0. each: by factor or unit."""

    value: float
    title: str
    meaning: str
    chance: float | None = None
    each: dict[str, float] | None = None


@dataclass(frozen=True)
class Disentanglement:
    """What was measured, by name. information: I(z_j; v_k) in nats, [units, K], by nearest neighbours, of one draw of q(z|x).

    codes: what it was measured on; factors: of the same rows; remarks: what a reader must know, in sentences. context: of the
    first row, [1, width]; None of a model without one.
    """

    scores: dict[str, Score]
    information: Numbers
    entropy: Numbers
    codes: Coded
    factors: Factors
    remarks: tuple[str, ...]
    context: Tensor | None = None

    def __getitem__(self, name: str) -> float:
        """The value of a score; `UsageError` with the nearest name."""
        if name not in self.scores:
            raise UsageError(f"no score is called {name!r}; {nearest(name, self.scores)}")
        return self.scores[name].value

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        scores = {
            name: {"value": one.value, "chance": one.chance, "each": one.each, "meaning": one.meaning}
            for name, one in self.scores.items()
        }
        return {
            "scores": scores,
            "rows": len(self.factors),
            "factors": list(self.factors.names),
            "entropy": self.entropy.tolist(),
            "units": list(self.codes.names),
            "active": [bool(one) for one in self.codes.active],
            "information": self.information.tolist(),
            "remarks": list(self.remarks),
        }


def disentangle(
    fitted: Any,
    data: Any,
    factors: Any = None,
    rotate: Rotation | None = None,
    others: Sequence[Any] = (),
    regressor: str = "forest",
    published: bool = False,
    rows: int | None = ROWS,
    seed: int = 0,
) -> Disentanglement:
    """Measure how far the units of a model's code keep known factors apart.

    factors: as for `factors_of`: names, {name: values}, values [rows, K]; None: what the data come with. rotate: "prior" or
    "varimax", the code turned to other axes first (`coded`). others: models trained alike with other seeds, for UDR, which needs
    no factors. regressor: of DCI, "forest", "boosting" or "lasso". published: beside the rest what disentanglement_lib takes for
    SAP and DCI, slowly. rows: at most so many, drawn by the seed.
    Errors: `UsageError` and `DataError` of `factors_of` and `coded`, and for a name that is not known.
    """
    fitted = Fitted.of(fitted)
    if rotate is not None and rotate not in AXES:
        raise UsageError(f"rotate knows no {rotate!r}; {nearest(rotate, AXES)}")
    if regressor not in REGRESSORS:
        raise UsageError(f"no regressor is called {regressor!r}; {nearest(regressor, REGRESSORS)}")
    taken = fitted.rows(data, seed)
    known = factors_of(taken.encoded, len(taken), factors)
    chosen = _drawn(len(taken), rows, seed)
    taken, known = taken.at(torch.from_numpy(chosen)), known if len(chosen) == len(known) else known.at(chosen)
    codes = coded(fitted, taken, rotate, seed)
    measured = _Measured(codes, known, seed)
    scores = measured.scores(regressor, published)
    if others:
        scores |= _udr(codes, [Fitted.of(other) for other in others], data, chosen, rotate, seed)
    context = None if taken.context is None else taken.context[:1]
    remarks = tuple(remarks_on(codes, known, rotate))
    return Disentanglement(scores, measured.information, measured.entropy, codes, known, remarks, context)


def _drawn(count: int, most: int | None, seed: int) -> NDArray[np.int64]:
    if most is None or most >= count:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).permutation(count)[:most])


class _Measured:
    """The scores of codes: what several need is computed once."""

    def __init__(self, codes: Coded, factors: Factors, seed: int) -> None:
        self.codes, self.factors, self.seed = codes, factors, seed
        self.entropy = entropies(factors)
        self.information = by_neighbours(codes.draws, factors, seed=seed)
        self.floor = shuffled_floor(codes.draws, factors, seed)

    def scores(self, regressor: str, published: bool) -> dict[str, Score]:
        """All of them, in their order."""
        parts: list[Callable[[], dict[str, Score]]] = [
            self._gaps, lambda: self._dci(regressor), self._predicted, self._fixed, self._modular,
        ]  # fmt: skip
        if published:
            parts.append(lambda: self._published(regressor))
        found: dict[str, Score] = {}
        with counting("measuring", len(parts)) as moved:
            for part in parts:
                found |= part()
                moved(1)
        return found

    def _of_factors(self, values: Numbers) -> dict[str, float]:
        return dict(zip(self.factors.names, map(float, values), strict=True))

    def _of_units(self, values: Numbers) -> dict[str, float]:
        return {n: float(v) for n, v in zip(self.codes.names, values, strict=True) if np.isfinite(v)}

    def _gaps(self) -> dict[str, Score]:
        gaps = mig(self.information, self.entropy)
        binned = mig(by_bins(self.codes.means, self.factors), self.entropy)
        noisy = robust(
            self.codes.draws if self.codes.scales is None else self.codes.means, self.factors, self.codes.scales
        )
        found = {
            "mig": Score(
                float(gaps.mean()), "MIG", "gap of I(z; v) / H(v) by nearest neighbours, z drawn from q(z|x)",
                each=self._of_factors(gaps),
            ),
            "mig_bins20": Score(
                float(binned.mean()), "MIG, 20 bins", "as disentanglement_lib: of means, cut into 20 bins of equal width",
                each=self._of_factors(binned),
            ),
            "rmig": Score(
                float(noisy.rmig.mean()), "RMIG", "gap of I(z; v) / H(v) with the exact share of q(z|x) in each of 20 bins",
                each=self._of_factors(noisy.rmig),
            ),
            "jemmig": Score(
                float(noisy.jemmig.mean()), "JEMMIG", "the same, less what the best unit says beside its factor",
                each=self._of_factors(noisy.jemmig),
            ),
        }  # fmt: skip
        if len(self.factors.names) > 1:
            of_units = mig_sup(self.information, self.entropy, self.information.max(1) > self.floor)
            found["mig_sup"] = Score(
                _mean(of_units), "MIG-sup", "gap between the two factors of each unit that says anything, as MIG",
                each=self._of_units(of_units),
            )  # fmt: skip
        return found

    def _dci(self, regressor: str) -> dict[str, Score]:
        found, by = dci(self.codes.means, self.factors, regressor, self.seed), f"by {regressor}"
        return {
            "dci_disentanglement": Score(
                found.disentanglement, "DCI disentanglement", f"is a unit of use for one factor alone, {by}"
            ),
            "dci_completeness": Score(
                found.completeness, "DCI completeness", f"is one unit alone of use for a factor, {by}",
                each=self._of_factors(found.of_factors),
            ),
            "dci_informativeness": Score(
                found.informativeness, "DCI informativeness", f"balanced accuracy on held-out rows above chance, {by}"
            ),
        }  # fmt: skip

    def _predicted(self) -> dict[str, Score]:
        gaps, told = (f(self.codes.means, self.factors, self.seed) for f in (sap, explicitness))
        return {
            "sap": Score(
                float(gaps.mean()), "SAP", "gap of R² of ordered factors, of balanced accuracy above chance of names",
                each=self._of_factors(gaps),
            ),
            "explicitness": Score(
                float(told.mean()), "Explicitness", "2 AUC − 1 of a logistic regression on held-out rows",
                each=self._of_factors(told),
            ),
        }  # fmt: skip

    def _fixed(self) -> dict[str, Score]:
        if len(self.factors.names) < 2:
            return {}
        of_factor = factor_vae(self.codes.means, self.factors, self.codes.active, self.seed)
        of_beta = beta_vae(self.codes.means, self.factors, self.seed)
        return {
            "factor_vae": Score(
                of_factor.value, "FactorVAE score",
                "does the active unit of least variance tell which factor 64 rows share", of_factor.chance,
            ),
            "beta_vae": Score(
                of_beta.value, "β-VAE score", "do mean differences of 64 pairs tell which factor each shares", of_beta.chance
            ),
        }  # fmt: skip

    def _modular(self) -> dict[str, Score]:
        still = irs(self.codes.means, self.factors)
        found = {}
        if len(self.factors.names) > 1:
            of_units = modularity(self.information, self.floor)
            found["modularity"] = Score(
                _mean(of_units), "Modularity", "is a unit of one factor, by squared information above what chance gives",
                each=self._of_units(of_units),
            )  # fmt: skip
        found["irs"] = Score(
            still.value, "IRS", "how still a unit stands while all factors but its own change",
            each=self._of_units(still.of_units),
        )  # fmt: skip
        return found

    def _published(self, regressor: str) -> dict[str, Score]:
        gaps = sap_svm(self.codes.means, self.factors, self.seed)
        found = {
            "sap_svm": Score(
                float(gaps.mean()), "SAP, linear SVM", "as disentanglement_lib: accuracies of a linear SVM of one unit",
                each=self._of_factors(gaps),
            )
        }  # fmt: skip
        if regressor == "boosting":
            return found
        return found | {
            f"{name}_boosting": Score(one.value, f"{one.title}, boosting", one.meaning, one.chance, one.each)
            for name, one in self._dci("boosting").items()
        }


def _udr(
    codes: Coded, others: list[Fitted], data: Any, chosen: NDArray[np.int64], rotate: Rotation | None, seed: int
) -> dict[str, Score]:
    every = [codes]
    every += [coded(one, one.rows(data, seed).at(torch.from_numpy(chosen)), rotate, seed) for one in others]
    found = udr([one.means for one in every], [one.active for one in every])
    each = {"this run": float(found[0])} | {f"run {i}": float(value) for i, value in enumerate(found[1:], 1)}
    runs = "another run" if len(others) == 1 else f"{len(others)} other runs"
    meaning = f"do its active units pair one to one with those of {runs}, by rank correlation"
    return {"udr": Score(float(found[0]), "UDR", meaning, each=each)}


def _mean(values: Numbers) -> float:
    """Over units that say something; 0 where none does."""
    kept = values[np.isfinite(values)]
    return float(kept.mean()) if len(kept) else 0.0
