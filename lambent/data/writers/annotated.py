"""AnnData of cells that are made, or of cells with what was found of them; and their files, .h5ad."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lambent.data.readers.annotated import MAGIC, package, quietly
from lambent.disk.whole import write_whole
from lambent.errors import DataError

if TYPE_CHECKING:
    from lambent.data.readers.counts import Counts

CODES = "X_lambent"  # in obsm
LAYER = "lambent"
PREFIX = "lambent_"  # of columns of obs


def made(matrix: Any, genes: Sequence[str], obs: Mapping[str, Any] | None = None, names: Any = None) -> Any:
    """An AnnData of a matrix [cells, genes], with columns beside the cells."""
    import pandas as pd

    rows = matrix.shape[0]
    index = [f"cell{i}" for i in range(rows)] if names is None else [str(name) for name in names]
    columns = {str(name): _storable(np.asarray(values)) for name, values in (obs or {}).items()}
    frame = pd.DataFrame(columns, index=pd.Index(index, dtype=str))
    var = pd.DataFrame(index=pd.Index([str(name) for name in genes], dtype=str))
    return quietly(package("anndata").AnnData, matrix, obs=frame, var=var)


def of_counts(counts: "Counts") -> Any:
    """Counts of any source as an AnnData."""
    from scipy import sparse

    return made(sparse.csr_matrix(counts.matrix), counts.genes, counts.obs, counts.cells)


def whole(path: Path) -> Any:
    """All of an .h5ad file; `DataError` where it is damaged."""
    anndata = package("anndata")
    try:
        return quietly(anndata.read_h5ad, path)
    except Exception as error:
        raise DataError(f"{path}: is damaged, or no file of AnnData ({str(error)[:100]})") from None


def is_whole(path: Path) -> bool:
    """Whether a file is one of AnnData, of which all is kept."""
    with path.open("rb") as file:
        return path.suffix.lower() == ".h5ad" and file.read(len(MAGIC)) == MAGIC


def with_found(adata: Any, numbers: np.ndarray, found: Mapping[str, np.ndarray]) -> Any:
    """Codes [cells, units] in obsm, columns [cells] in obs, of the cells of these numbers; NaN and no name of the others."""
    for name, values in found.items():
        values = np.asarray(values)
        if values.ndim == 2:
            placed = np.full((adata.n_obs, values.shape[1]), np.nan, np.float32)
            placed[numbers] = values
            adata.obsm[CODES if name in ("z", "level1_z") else f"{CODES}_{name}"] = placed
            continue
        complete = len(numbers) == adata.n_obs
        kind = values.dtype if complete or values.dtype.kind == "f" else object
        column = (
            np.full(adata.n_obs, np.nan, kind) if kind != values.dtype or not complete else np.empty(adata.n_obs, kind)
        )
        column[numbers] = values
        adata.obs[PREFIX + name] = _storable(column)
    return adata


def with_layer(adata: Any, numbers: np.ndarray, genes: Sequence[str], named: bool, values: np.ndarray) -> Any:
    """The cells of these numbers and the genes of these names, with a layer of made values."""
    if named:
        place: dict[str, int] = {}
        for i, name in enumerate(adata.var_names):
            place.setdefault(str(name), i)
        columns = [place.get(name, -1) for name in genes]
    else:
        columns = [int(name.removeprefix("gene")) for name in genes]
    if min(columns) < 0:
        there = [i for i, column in enumerate(columns) if column >= 0]
        columns, values = [columns[i] for i in there], values[:, there]
    kept = adata[numbers][:, columns].copy()
    kept.layers[LAYER] = values
    return kept


def write(path: Path, adata: Any) -> None:
    """Write an AnnData to an .h5ad file, whole or not at all."""
    write_whole(path, lambda temporary: quietly(adata.write_h5ad, temporary))


def _storable(values: np.ndarray) -> Any:
    """A column as a file of AnnData takes it: what is neither number nor truth value as words, gaps as gaps."""
    import pandas as pd

    if values.dtype.kind in "biuf":
        return values
    missing = np.array([value is None or value != value for value in values.tolist()], bool)
    if all(isinstance(value, (bool, np.bool_)) for value in values[~missing]):
        return pd.array(
            [None if gone else bool(value) for value, gone in zip(values, missing, strict=True)], dtype="boolean"
        )
    words = [None if gone else str(value) for value, gone in zip(values.tolist(), missing, strict=True)]
    return pd.Categorical(words)
