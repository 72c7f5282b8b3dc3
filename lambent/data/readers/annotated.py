"""Files of AnnData (.h5ad) and of 10x Genomics (.h5), and AnnData objects: counts with what is known of the cells."""

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lambent.data.readers import regular as files
from lambent.data.readers.counts import Counts, are_counts, compressed, counts_of
from lambent.errors import DataError, LambentError, MachineError, UsageError, nearest

MAGIC = b"\x89HDF\r\n\x1a\n"
LAYERS = ("counts", "raw_counts", "spliced_counts")  # as layers of counts are called


def package(name: str) -> Any:
    """anndata or h5py; `MachineError` with the line that installs it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MachineError(f"files of single cells need the package {name}: pip install 'lambent[cells]'") from None


def quietly(call: Any, *arguments: Any, **named: Any) -> Any:
    """Without the libraries' advice on names and formats, which is not for who has only read a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*arguments, **named)


def is_annotated(source: Any) -> bool:
    """Whether it is an AnnData object; nothing is imported to tell."""
    return type(source).__name__ == "AnnData" and all(hasattr(source, part) for part in ("X", "obs", "var", "layers"))


def from_annotated(adata: Any, layer: str | None) -> Counts:
    """The counts of an AnnData object: of a layer, of X, of raw; None: the first that holds counts."""
    there: dict[str, Any] = {"X": adata.X, **{name: adata.layers[name] for name in adata.layers if name}}
    if adata.raw is not None:
        there["raw"] = adata.raw.X
    name = _layer(there, layer, "the AnnData", are_counts)
    genes = adata.raw.var_names if name == "raw" else adata.var_names
    return _counted(there[name], name, layer, "the AnnData", genes, adata.obs_names, columns_of(adata.obs))


def read_h5ad(path: Path, layer: str | None) -> Counts:
    """The counts of an .h5ad file, of which only they, the names and obs are read."""
    read = partial(quietly, package("anndata").io.read_elem)
    with _opened(path) as file:
        if "obs" not in file or "var" not in file:
            raise DataError(f"{path}: has no obs and var, so that it is no file of AnnData")
        there = {name: (file, name) for name in ("X",) if name in file}
        there |= {name: (file["layers"], name) for name in file.get("layers", ())}
        if "raw" in file and "X" in file["raw"]:
            there["raw"] = (file["raw"], "X")
        held: dict[str, Any] = {}

        def counted(where: tuple[Any, str]) -> bool:
            return are_counts(held.setdefault(where[0].name + where[1], read(where[0][where[1]])))

        name = _layer(there, layer, str(path), counted)
        group, key = there[name]
        matrix = held.get(group.name + key)
        matrix = read(group[key]) if matrix is None else matrix
        var = read(file["raw"]["var"] if name == "raw" else file["var"])
        obs = read(file["obs"])
        return _counted(matrix, name, layer, str(path), var.index, obs.index, columns_of(obs))


def read_10x(path: Path) -> Counts:
    """The counts of a .h5 file of 10x Genomics, of version 2 (a group for a genome) or 3 (matrix, with features)."""
    with _opened(path) as file:
        groups = [
            name for name in file if all(part in file[name] for part in ("barcodes", "data", "indices", "indptr"))
        ]
        if len(groups) != 1:
            what = (
                f"has matrices of several genomes ({', '.join(groups)})" if groups else "is no matrix of 10x Genomics"
            )
            raise DataError(f"{path}: {what}; one group with barcodes, data, indices, indptr and shape is read")
        group = file[groups[0]]
        features = group.get("features")
        names = _words(features["name"] if features is not None else group["gene_names"])
        genes, cells = (int(n) for n in group["shape"][:])
        data, indices, indptr = (group[part][:] for part in ("data", "indices", "indptr"))
        matrix = compressed(data, indices, indptr, (cells, genes), str(path))
        kinds = _words(features["feature_type"]) if features is not None and "feature_type" in features else []
        barcodes = _words(group["barcodes"])
    return of_genes(matrix, names, kinds, barcodes, str(path))


def of_genes(matrix: Any, names: list[str], kinds: list[str], barcodes: list[str], origin: str) -> Counts:
    """The features of 10x that are genes, where it says which are; those of antibodies and guides are left out, and told."""
    if len(names) != matrix.shape[1]:
        raise DataError(f"{origin}: names {len(names):,} genes for {matrix.shape[1]:,}")
    kept = [i for i, kind in enumerate(kinds) if kind == "Gene Expression"] if kinds else []
    others = sorted({kind for kind in kinds if kind != "Gene Expression"})
    if kept and others:
        matrix, names = matrix[:, kept], [names[i] for i in kept]
    found = counts_of(matrix, origin, names, barcodes, annotated=True)
    if kept and others:
        found.notices["other_features"] = len(kinds) - len(kept)
        found.notices.names["other_features"] = others
    return found


def columns_of(frame: Any) -> dict[str, np.ndarray]:
    """The columns of obs by name: numbers as they are, words and categories as objects, missing ones as NaN."""
    found = {}
    for name in frame.columns:
        series = frame[name]
        of_numbers = isinstance(series.dtype, np.dtype) and series.dtype.kind in "biuf"
        values = np.array(series) if of_numbers else np.array(series.astype(object), dtype=object)
        if not of_numbers:
            values[np.asarray(series.isna())] = np.nan
        found[str(name)] = values
    return found


def _counted(matrix: Any, name: str, asked: str | None, origin: str, genes: Any, cells: Any, obs: Any) -> Counts:
    matrix = matrix[:] if hasattr(matrix, "to_memory") or type(matrix).__name__ == "Dataset" else matrix
    found = counts_of(matrix, origin if name == "X" else f"{origin}, {name}", genes, cells, obs, annotated=True)
    if asked is None and name != "X":
        found.notices.note("from_layer", name)
    return found


def _layer(there: dict[str, Any], asked: str | None, origin: str, counted: Any) -> str:
    """Where the counts are; of X where nothing holds any, so that its refusal tells why."""
    if asked is not None:
        if asked not in there:
            raise UsageError(f"{origin}: has no layer {asked!r}; {nearest(asked, there)}")
        return asked
    if not there:
        raise DataError(f"{origin}: has no X and no layers, and so no counts")
    order = [name for name in ("X", *LAYERS, "raw") if name in there and there[name] is not None]
    return next((name for name in order if counted(there[name])), order[0] if order else next(iter(there)))


def _words(values: Any) -> list[str]:
    return [
        value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in values[:].tolist()
    ]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """An HDF5 file to read from; what is wrong with it is a `DataError`."""
    library = package("h5py")
    try:
        with files.unchanged(files.regular(path)), library.File(path, "r") as file:
            yield file
    except (LambentError, MemoryError):
        raise
    except Exception as error:
        raise DataError(f"{path}: is damaged, or no file of single cells ({str(error)[:100]})") from None
