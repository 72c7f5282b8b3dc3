"""evaluate: the bounds, their parts and the state of the codes, each with its unit and a standard error."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from lambent.errors import UsageError
from lambent.fitted import Fitted
from lambent.metrics.bound import Bounds, bounds
from lambent.metrics.collapse import LevelUsage, levels, mutual_information
from lambent.model import LatentModel
from lambent.part import elements

MOST_SAMPLES = 5000


@dataclass(frozen=True)
class Metric:
    """A number that says what it is."""

    value: float
    unit: str
    standard_error: float | None
    meaning: str


@dataclass(frozen=True)
class Evaluation:
    """The metrics by name, and per level the KL of each unit, in nats, and whether it is active."""

    metrics: dict[str, Metric]
    kl_per_unit: list[list[float]]
    active: list[list[bool]]
    rows: int
    samples: int
    seed: int

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def evaluate(
    fitted: Fitted | LatentModel,
    data: Any,
    samples: int = 100,
    seed: int = 0,
    context: Any = None,
    limit: int | None = None,
) -> Evaluation:
    """Evaluate a model on rows it has not been trained on.

    fitted: a trained model, alone or in a `Fitted` or an estimator. data: whatever `Fitted.rows` takes.
    samples: K of the K-sample bound, 1 … 5000; memory does not grow with it. limit: only the first so many rows. Data that
    are drawn anew for each batch in training (dynamic binarization) are drawn once, from `seed`. context: [rows, width], for
    a model whose context has no names.
    Errors: `UsageError` for K out of range, `DataError` for rows of another shape or outside the likelihood's support.
    """
    if not 1 <= samples <= MOST_SAMPLES:
        raise UsageError(f"samples (K of the bound) must lie in 1 … {MOST_SAMPLES}, not {samples}")
    fitted = Fitted.of(fitted)
    model, rows = fitted.model, fitted.rows(data, seed, context=context, limit=limit)
    x, given = rows.x, rows.context
    training = model.training
    model.eval()
    try:
        found = bounds(model, x, samples, seed, given)
        units = levels(model, x, seed, given)
        metrics = _bound_metrics(model, found, samples)
        metrics |= _code_metrics(model, x, units, found, seed, given)
    finally:
        model.train(training)
    return Evaluation(
        metrics, [u.kl.tolist() for u in units], [u.active.tolist() for u in units], len(x), samples, seed
    )


def _measured(values: Tensor, unit: str, meaning: str, scale: float = 1.0) -> Metric:
    values = values.double() * scale
    error = float(values.std() / math.sqrt(len(values))) if len(values) > 1 else None
    return Metric(float(values.mean()), unit, error, meaning)


def _bound_metrics(model: LatentModel, found: Bounds, samples: int) -> dict[str, Metric]:
    per_row = "nats per row"
    reconstruction = _measured(-found.log_px, per_row, "−E log p(x|z), the reconstruction term")
    if not model.latent.density:
        return {"reconstruction": reconstruction}
    metrics = {
        "elbo": _measured(found.elbo, per_row, "lower bound on log p(x), reconstruction and KL together"),
        "bound": _measured(found.bound, per_row, f"tighter lower bound on log p(x), of {samples} samples"),
    }
    if model.likelihood.discrete:
        scale = -1 / (elements(model.event_shape) * math.log(2))
        metrics["bits_per_dim"] = _measured(
            found.bound, "bits per dimension", "the K-sample bound as a code length", scale
        )
    return metrics | {"reconstruction": reconstruction, "kl": _measured(found.kl, per_row, "KL(q(z|x) ‖ p(z))")}


def _code_metrics(
    model: LatentModel, x: Tensor, units: list[LevelUsage], found: Bounds, seed: int, context: Tensor | None
) -> dict[str, Metric]:
    total = sum(len(u.kl) for u in units)
    active = sum(int(u.active.sum()) for u in units)
    metrics = {
        "active_units": Metric(
            active, f"of {total} units", None, "units whose posterior mean varies over the rows by more than 0.01"
        )
    }
    if model.latent.density and len(x) > 1:
        value, error = mutual_information(model, x, seed, context)
        ceiling = math.log(min(1000, len(x)))
        metrics["mutual_information"] = Metric(
            value, "nats", error, f"I(x; z) of the top level; this estimate cannot exceed {ceiling:.2f}"
        )
    return metrics
