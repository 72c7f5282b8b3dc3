"""predict: which level of a condition a row most likely has, by Bayes' rule: a conditioned model as a classifier."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lambent.data.condition import Category
from lambent.errors import UsageError
from lambent.fitted import Fitted, Rows
from lambent.metrics.bound import SAMPLES, bounds
from lambent.progress import counting


@dataclass(frozen=True)
class Prediction:
    """For each row and level: a bound on log p(x | level) and log P(level | x), both [rows, levels], in nats.

    levels: their names, in the order of the columns. evidence: log p(x) with the level summed out, [rows].
    """

    levels: list[str]
    log_likelihood: Tensor
    log_posterior: Tensor
    evidence: Tensor

    @property
    def likeliest(self) -> list[str]:
        """The level of the highest posterior for each row."""
        return [self.levels[i] for i in self.log_posterior.argmax(1).tolist()]


def predict(fitted: Any, data: Any, name: str = "label", samples: int = SAMPLES, seed: int = 0) -> Prediction:
    """P(level | x) ∝ p(x | level) P(level) for every row, p(x | level) by the K-sample bound, P(level) as often as in training.

    name: one of the model's conditions, of levels; rows keep the others that they have. samples: K. A row has the same
    noise under every level, so that these are compared with little error.
    Errors: `UsageError` for a model that is not conditioned on levels of that name, or has no density.
    """
    fitted = Fitted.of(fitted)
    if not fitted.model.latent.density:
        raise UsageError(
            f"a {fitted.model.latent.inference} posterior has no density, so no level has a probability: use Diagonal"
        )
    condition = fitted.conditions.category(name)
    rows = _rows(fitted, data, condition, seed)
    if rows.context is None:
        raise UsageError("these rows were taken without what conditions the model: give the data that they come from")
    columns = []
    with counting(f"levels of {name}", len(condition.levels)) as add:
        for level in condition.levels:
            context = fitted.conditions.replaced(rows.context, {name: level})
            columns.append(bounds(fitted.model, rows.x, samples, seed, context).bound)
            add(1)
    log_likelihood = torch.stack(columns, 1)
    joint = log_likelihood + condition.log_frequencies
    evidence = torch.logsumexp(joint, 1)
    return Prediction(condition.levels, log_likelihood, joint - evidence.unsqueeze(1), evidence)


def _rows(fitted: Fitted, data: Any, condition: Category, seed: int) -> Rows:
    """The rows; those that do not tell the level in question take any, for every level is tried."""
    if isinstance(data, Rows):
        return data
    return fitted.rows(data, seed, given={condition.name: condition.levels[0]})
