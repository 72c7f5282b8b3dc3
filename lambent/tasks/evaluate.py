"""evaluate: the bounds, their parts and the state of the codes, each with its unit and a standard error."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from lambent.data.batches import as_tensor
from lambent.data.kinds.modality import Encoded
from lambent.errors import DataError, UsageError
from lambent.metrics.bound import Bounds, bounds
from lambent.metrics.collapse import LevelUsage, levels, mutual_information
from lambent.model import LatentModel
from lambent.part import elements
from lambent.seeds import mixed_seed

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
    model: LatentModel, data: Any, samples: int = 100, seed: int = 0, context: Any = None, limit: int | None = None
) -> Evaluation:
    """Evaluate a model on rows it has not been trained on.

    samples: K of the K-sample bound, 1 … 5000; memory does not grow with it. limit: only the first so many rows. Data that
    are drawn anew for each batch in training (dynamic binarization) are drawn once, from `seed`.
    Errors: `UsageError` for K out of range, `DataError` for rows of another shape or outside the likelihood's support.
    """
    if not 1 <= samples <= MOST_SAMPLES:
        raise UsageError(f"samples (K of the bound) must lie in 1 … {MOST_SAMPLES}, not {samples}")
    x = rows_of(model, data, seed, limit)
    given = None if context is None else as_tensor(context)[: len(x)]
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


def rows_of(model: LatentModel, data: Any, seed: int = 0, limit: int | None = None) -> Tensor:
    """Rows ready for the model: checked, and where training draws them anew, drawn once from `seed`."""
    if isinstance(data, Encoded):
        x = data.x[:limit]
        x = data.modality.transform(x, torch.Generator().manual_seed(mixed_seed(seed, 0xDA7A)))
    else:
        x = as_tensor(data)[:limit]
    if tuple(x.shape[1:]) != model.event_shape:
        raise DataError(f"this model takes rows of shape {list(model.event_shape)}; these have {list(x.shape[1:])}")
    if not len(x):
        raise DataError("there are no rows to evaluate")
    model.likelihood.check(x)
    return x


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
