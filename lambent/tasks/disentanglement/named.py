"""Where the factors of rows come from: what data say of themselves, columns by name, or values that are given."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lambent.data import Encoded
from lambent.data.leading import factor_columns, label_column
from lambent.errors import DataError, UsageError, nearest
from lambent.metrics.disentangle.factors import Factors


def factors_of(encoded: Encoded | None, rows: int, wanted: Any = None) -> Factors:
    """The factors of rows.

    wanted: None, all that the data come with (the factors of sprites), or else their labels; names of them, of labels ("label"),
    or of columns that lie beside the rows; {name: values}; or values [rows, K], with names where they are a frame's.
    Errors: `UsageError` for a name that is not there, `DataError` for values of another number of rows.
    """
    if wanted is None or isinstance(wanted, str) or _are_names(wanted):
        known, plain = _known(encoded)
        names = _default(encoded, known) if wanted is None else [wanted] if isinstance(wanted, str) else list(wanted)
        for name in names:
            if name not in known:
                raise UsageError(f"these rows have no factor {name!r}; {nearest(str(name), known) if known else NONE}")
        return Factors.of({name: known[name] for name in names}, tuple(plain))
    columns = _columns(wanted)
    for name, values in columns.items():
        if len(values) != rows:
            raise DataError(f"factor {name!r} has {len(values):,} values, for {rows:,} rows")
    return Factors.of(columns)


NONE = (
    "none comes with them: give factors={name: values}, or on the command line --factors-from FILE, a table with a line for "
    "each row"
)


def _are_names(wanted: Any) -> bool:
    return (
        isinstance(wanted, Sequence)
        and not isinstance(wanted, (str, bytes))
        and len(wanted) > 0
        and all(isinstance(name, str) for name in wanted)
    )


def _known(encoded: Encoded | None) -> tuple[dict[str, Any], list[str]]:
    """All columns that may be factors, and which of those made of numbers are names for all that."""
    if encoded is None:
        return {}, []
    known: dict[str, Any] = dict(encoded.beside)
    plain = []
    if encoded.labels is not None:
        known["label"] = label_column(encoded)
        plain.append("label")
    own = factor_columns(encoded)
    return known | own, plain + [name for name in own if name in NAMES]


NAMES = ("shape", "color")  # of sprites: their classes are numbered, and stand in no order


def _default(encoded: Encoded | None, known: dict[str, Any]) -> list[str]:
    if encoded is not None and encoded.factors is not None:
        return list(factor_columns(encoded))
    if "label" in known:
        return ["label"]
    raise UsageError(f"these rows come with no factors; {'name some of ' + ', '.join(known) if known else NONE}")


def _columns(wanted: Any) -> dict[str, Any]:
    if isinstance(wanted, Mapping):
        return {str(name): np.asarray(values) for name, values in wanted.items()}
    if hasattr(wanted, "columns"):  # a frame, of pandas or polars
        return {str(name): np.asarray(wanted[name]) for name in wanted.columns}
    values = np.asarray(wanted)
    if values.ndim == 1:
        return {"factor 0": values}
    if values.ndim != 2:
        raise UsageError(f"factors are values [rows, K], not {values.shape}; or names, or {{name: values}}")
    return {f"factor {k}": values[:, k] for k in range(values.shape[1])}
