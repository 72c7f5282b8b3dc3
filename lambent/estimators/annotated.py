"""What a model of cells writes into an AnnData, and reads beside the cells."""

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.data.kinds.modality import Encoded
from lambent.errors import DataError, MachineError, UsageError, nearest
from lambent.fitted import Rows
from lambent.tasks.predict import Prediction

CODES, EXPRESSION = "X_lambent", "lambent_normalized"
LABEL, PROBABILITIES = "lambent_label", "lambent_probabilities"


def pandas() -> Any:
    """The module; `MachineError` with the line that installs it."""
    try:
        return importlib.import_module("pandas")
    except ImportError:
        raise MachineError("frames of genes need the package pandas: pip install 'lambent[cells]'") from None


def is_annotated(source: Any) -> bool:
    """Whether it is an AnnData object; nothing is imported to tell."""
    return type(source).__name__ == "AnnData" and hasattr(source, "obsm")


def annotate(
    adata: Any,
    encoded: Encoded,
    codes: NDArray[np.float64],
    expression: NDArray[np.float32] | None,
    genes: list[str],
    told: Prediction | None = None,
) -> Any:
    """Write codes into obsm and expression into layers, or into obsm as a frame where not all genes were kept; see `Cells`.

    told: the label of each cell, into obs, and the probabilities of all, into obsm as a frame.
    """
    if not is_annotated(adata):
        raise UsageError(f"codes are written into an AnnData, not into a {type(adata).__name__}: transform gives them")
    places = np.arange(len(encoded)) if encoded.numbers is None else encoded.numbers
    adata.obsm[CODES] = _placed(codes.astype(np.float32), places, adata.n_obs)
    for held in (adata.layers, adata.obsm):  # what an earlier model wrote
        if EXPRESSION in held:
            del held[EXPRESSION]
    if told is not None:
        chances = _placed(told.probabilities.astype(np.float32), places, adata.n_obs)
        adata.obsm[PROBABILITIES] = pandas().DataFrame(chances, index=adata.obs_names, columns=told.levels)
        labels = np.full(adata.n_obs, None, object)
        labels[places] = told.likeliest
        adata.obs[LABEL] = pandas().Categorical(labels, categories=told.levels)
    if expression is None:
        return adata
    whole = _placed(expression, places, adata.n_obs)
    order = {str(name): place for place, name in enumerate(adata.var_names)}
    if len(genes) == adata.n_vars and all(name in order for name in genes):
        layer = np.empty_like(whole)
        layer[:, [order[name] for name in genes]] = whole
        adata.layers[EXPRESSION] = layer
    else:
        adata.obsm[EXPRESSION] = pandas().DataFrame(whole, index=adata.obs_names, columns=genes)
    return adata


def _placed(values: NDArray[np.float32], places: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    """Rows at their places among all cells; NaN for cells that were left out."""
    whole = np.full((count, values.shape[1]), np.nan, np.float32)
    whole[places] = values
    return whole


def column_of(encoded: Encoded, name: str) -> NDArray[Any]:
    """A column beside the cells, [cells]; `UsageError` names those there are."""
    if name not in encoded.beside:
        raise UsageError(f"these cells have no column {name!r} beside them; {nearest(name, encoded.beside)}")
    return np.asarray(encoded.beside[name])


def groups_of(encoded: Encoded, groupby: str | None, group1: Any, group2: Any) -> list[NDArray[np.bool_]]:
    """Which of the cells are of either group, [cells] each: by a column beside them, or as given by number or truth value."""
    if groupby is None:
        first = _chosen(group1, encoded, "group1")
        return [first, ~first if group2 is None else _chosen(group2, encoded, "group2")]
    values = np.array([str(value) for value in column_of(encoded, groupby)])
    levels = sorted(set(values))
    if group1 is None:
        raise UsageError(f"which group is compared? group1 is one of {groupby}: {', '.join(levels[:12])}")
    for group in (group1, group2):
        if group is not None and str(group) not in levels:
            raise UsageError(f"no cell has {groupby} = {group!r}; {nearest(str(group), levels)}")
    first = values == str(group1)
    return [first, ~first if group2 is None else values == str(group2)]


def _chosen(group: Any, encoded: Encoded, name: str) -> NDArray[np.bool_]:
    """Cells given by truth values or numbers of the data, as truth values of the cells that were kept."""
    if group is None:
        raise UsageError(
            "which cells are compared? Give groupby and group1, or group1 as truth values or numbers of cells"
        )
    places = np.arange(len(encoded)) if encoded.numbers is None else encoded.numbers
    given = np.asarray(group)
    if given.dtype == bool:
        if given.shape != (int(places.max()) + 1,) and len(given) <= int(places.max()):
            raise DataError(f"{name} has {len(given)} truth values, and the cells go on to number {int(places.max())}")
        return np.asarray(given[places])
    if given.ndim != 1 or given.dtype.kind not in "iu":
        raise UsageError(f"{name} is truth values or numbers of cells where no groupby is given, not {group!r}")
    return np.isin(places, given)


def observed_mean(rows: Rows, per: float) -> NDArray[np.float64]:
    """The mean share of each gene in the counts themselves, times `per`, [genes]."""
    total = np.zeros(rows.x.shape[1])
    for part in rows.x.split(1024):
        x = part.double()
        total += (x / x.sum(1, keepdim=True).clamp_min(1)).sum(0).numpy()
    return np.asarray(total * per / max(1, len(rows)))
