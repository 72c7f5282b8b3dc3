"""score: bounds on log p(x) of rows, in the units of the data."""

from torch import Tensor

from lambent.errors import UsageError
from lambent.fitted import Fitted, Rows
from lambent.metrics.bound import SAMPLES, Bounds, bounds
from lambent.metrics.by_column import column_terms


def scored(fitted: Fitted, rows: Rows, samples: int = SAMPLES, seed: int = 0) -> Bounds:
    """`bounds` of rows in the data's own units: log p(data) = log p(x) + log |dx / d data|, x as the model takes it."""
    found = bounds(fitted.model, rows.x, samples, seed, rows.context)
    slope = fitted.log_slope(rows.x)
    return Bounds(found.elbo + slope, found.bound + slope, found.log_px + slope, found.kl)


def scored_by_column(fitted: Fitted, rows: Rows, samples: int = SAMPLES, seed: int = 0) -> dict[str, Tensor]:
    """E_q[log p(column | z)] of every column by name, each [rows], in nats and the data's own units: their sum is `log_px`.

    Gaps of a column that had some in training count as columns of their own, `NAME is missing`.
    Raises `UsageError` for rows that are no table.
    """
    names = fitted.column_names
    if names is None:
        raise UsageError("a score of each column is for tables, and these rows are none")
    terms = column_terms(fitted.model, rows.x, samples, seed, rows.context)
    slopes = None if fitted.modality is None else fitted.modality.log_slope(rows.x)
    if slopes is not None:
        terms = terms + slopes.double()
    return {name: terms[:, place] for place, name in enumerate(names)}
