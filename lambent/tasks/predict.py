"""predict: what a column is, given any others; or a condition, by Bayes' rule: one trained model as classifier and regressor."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lambent.data.condition import Category, level_of
from lambent.data.kinds.table import Table
from lambent.errors import UsageError, nearest
from lambent.fitted import Fitted, Rows
from lambent.metrics.bound import SAMPLES, bounds
from lambent.model import ask_encoder
from lambent.model.bounded import want_bound
from lambent.model.labelling import told_labels
from lambent.progress import counting
from lambent.tasks.conditional import SAMPLES as CODES
from lambent.tasks.conditional import conditionals
from lambent.tasks.estimates import Estimate, LevelEstimate, NumberEstimate, estimated, in_type
from lambent.tasks.partial import partly, place_of, table_of

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Prediction:
    """For each row and level: log P(level | the rest), [rows, levels], in nats.

    levels: their names, in the order of the columns, as text; values: as the data have them. evidence: a bound on
    log p(the rest), the level summed out, [rows]; None where the model tells labels without one. log_likelihood: of a condition
    a bound on log p(x | level), [rows, levels]; None of a column and without evidence. effective: of a column, how many codes of
    the K each row is worth, [rows].
    """

    levels: list[str]
    log_posterior: Tensor
    evidence: Tensor | None = None
    log_likelihood: Tensor | None = None
    values: Sequence[Any] | None = None
    effective: Tensor | None = None

    @property
    def likeliest(self) -> list[str]:
        """The level of the highest posterior for each row."""
        return [self.levels[i] for i in self.log_posterior.argmax(1).tolist()]

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """P(level | the rest), [rows, levels]."""
        return np.asarray(self.log_posterior.exp().numpy(), np.float64)


@dataclass(frozen=True)
class NumberPrediction:
    """For each row the distribution of a number or a time given the rest, in the data's own units.

    mean, median: [rows]; quantiles: [rows, shares] at `shares`. evidence, effective: as in `Prediction`.
    """

    name: str
    mean: NDArray[Any]
    median: NDArray[Any]
    quantiles: NDArray[Any]
    shares: tuple[float, ...]
    evidence: Tensor
    effective: Tensor


def predict(
    fitted: Any,
    data: Any,
    name: str = "label",
    samples: int | None = None,
    seed: int = 0,
    quantiles: Sequence[float] = QUANTILES,
    bayes: bool = False,
) -> Prediction | NumberPrediction:
    """What the column `name` of a table is, given whatever else the rows have; or which level a condition of that name has.

    A column: P(column | the rest) as a mixture over K = `samples` codes of what is there (50), weighed by importance. Its own
    cells, if there are any, are not looked at; any others may be missing, and so may columns.
    A condition: P(level | x) ∝ p(x | level) P(level), p(x | level) by the K-sample bound (K = 32), P(level) as often as in
    training; a row has the same noise under every level, so that these are compared with little error. Rows keep the other
    conditions that they have. A model of the SemiSupervised objective tells the labels that it learned by its own q(level | x),
    in one pass, unless bayes is true.
    Errors: `UsageError` for a name that is neither, a model without gaps or without a density, or quantiles outside 0 … 1.
    """
    fitted = Fitted.of(fitted)
    ask_encoder(fitted.model)
    columns = fitted.column_names or []
    if name in fitted.conditions.names or name not in columns:
        if name not in fitted.conditions.names and columns:
            _refuse(fitted, name)
        return _of_condition(fitted, data, name, samples or SAMPLES, seed, bayes)
    wanted = tuple(float(share) for share in quantiles)
    if not all(0 < share < 1 for share in wanted):
        raise UsageError(f"quantiles lie between 0 and 1, such as 0.05 or 0.5, not {list(quantiles)}")
    return _of_column(fitted, data, name, samples or CODES, seed, wanted)


def _refuse(fitted: Fitted, name: str) -> None:
    """Refuse a name that is neither a column nor a condition."""
    table = fitted.modality
    own = [one.name for one in table.columns if one.width] if isinstance(table, Table) else fitted.column_names or []
    known = [*fitted.conditions.names, *own]
    if isinstance(table, Table) and any(column.name == name for column in table.columns):
        place_of(table, name)  # which says why it is no part of the model
    raise UsageError(f"there is neither a column nor a condition {name!r} to predict; {nearest(name, known)}")


def _of_column(
    fitted: Fitted, data: Any, name: str, samples: int, seed: int, shares: tuple[float, ...]
) -> Prediction | NumberPrediction:
    table = table_of(fitted)
    place, column = place_of(table, name), table.column(name)
    rows = partly(fitted, data, seed, unread=[name]).rows
    evidence, effective = torch.zeros(2, len(rows), dtype=torch.float64)
    parts: list[tuple[Tensor, Estimate]] = []
    for index, conditional in conditionals(fitted, rows, samples, seed, f"predicting {name}"):
        parts.append((index, estimated(conditional, column, place, fitted.calibration)))
        evidence[index], effective[index] = conditional.evidence, conditional.effective
    evidence += fitted.log_slope(rows.x)
    first = parts[0][1]
    if isinstance(first, LevelEstimate):
        chances = torch.empty(len(rows), len(first.tokens), dtype=torch.float64)
        for index, one in parts:
            assert isinstance(one, LevelEstimate)
            chances[index] = torch.from_numpy(one.probabilities)
        names = [level_of(value) for value in first.names]
        return Prediction(names, chances.log(), evidence, values=first.names, effective=effective)
    numbers = np.empty((len(rows), 2 + len(shares)))
    for index, one in parts:
        assert isinstance(one, NumberEstimate)
        numbers[index.numpy()] = np.stack([one.mean, *(one.quantile(share) for share in (0.5, *shares))], 1)
    mean, median, *ends = (in_type(column, each) for each in numbers.T)
    return NumberPrediction(name, mean, median, np.stack(ends, 1), shares, evidence, effective)


def _of_condition(fitted: Fitted, data: Any, name: str, samples: int, seed: int, bayes: bool) -> Prediction:
    own = fitted.model.labelling if fitted.told == name else None
    if own is None or bayes:
        want_bound(fitted.model, "no level has a probability")
    condition = fitted.conditions.category(name)
    rows = _rows(fitted, data, condition, seed)
    if rows.context is None:
        raise UsageError("these rows were taken without what conditions the model: give the data that they come from")
    if own is not None and not bayes:
        return Prediction(condition.levels, told_labels(fitted.model, rows.x, rows.context))
    columns = []
    with counting(f"levels of {name}", len(condition.levels)) as add:
        for level in condition.levels:
            context = fitted.conditions.replaced(rows.context, {name: level})
            columns.append(bounds(fitted.model, rows.x, samples, seed, context).bound)
            add(1)
    log_likelihood = torch.stack(columns, 1) + fitted.log_slope(rows.x).unsqueeze(1)
    joint = log_likelihood + (condition.log_frequencies if own is None else own.log_shares.double().cpu())
    evidence = torch.logsumexp(joint, 1)
    return Prediction(condition.levels, joint - evidence.unsqueeze(1), evidence, log_likelihood)


def _rows(fitted: Fitted, data: Any, condition: Category, seed: int) -> Rows:
    """The rows; those that do not tell the level in question take any, for every level is tried."""
    if isinstance(data, Rows):
        return data
    return fitted.rows(data, seed, given={condition.name: condition.levels[0]})
