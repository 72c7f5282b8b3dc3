"""Any form of single-cell counts → `Counts`: .h5ad, .h5, .mtx with its lists, .npz of CSR parts, CSV, AnnData, matrices."""

import gzip
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy import io as scipy_io
from scipy import sparse
from torch import Tensor

from lambent.data.readers import annotated, arrays, frames, tabular
from lambent.data.readers import regular as files
from lambent.data.readers.counts import Counts, compressed, counts_of
from lambent.data.readers.frames import Columns, numbers
from lambent.errors import DataError, LambentError

PARTS = {"data", "indices", "indptr", "shape"}
GENES = ("genes", "var_names", "gene_names", "features")
CELLS = ("cells", "obs_names", "barcodes")
SMALLEST = 4  # bytes of an entry of a matrix in text: a row, a column, a count


def claims(source: Any) -> bool:
    """Whether the form of a source says that it holds single cells."""
    if isinstance(source, (str, Path)):
        path = Path(source)
        name = path.name.lower()
        if name.endswith((".h5ad", ".h5", ".hdf5")):
            return _begins(path, b"" if name.endswith(".h5ad") else annotated.MAGIC)
        if name.endswith((".mtx", ".mtx.gz")):
            return _begins(path, b"")
        return _is_compressed(path) if name.endswith(".npz") else bool(_matrices(path))
    return annotated.is_annotated(source)  # a sparse matrix may count anything, words for one


def opened(raw: Any, layer: str | None = None, beside: tuple[str, ...] = ()) -> Counts:
    """Counts of any form; beside: columns of a table that are no genes. `DataError` for what holds none."""
    if isinstance(raw, Counts):
        return raw
    if isinstance(raw, (str, Path)) and (found := _from_path(Path(raw), layer)) is not None:
        return found
    if annotated.is_annotated(raw):
        return annotated.from_annotated(raw, layer)
    if sparse.issparse(raw):
        return counts_of(raw.tocsr(), "the sparse matrix")
    if isinstance(raw, (np.ndarray, Tensor)) and raw.ndim == 2 and not getattr(raw.dtype, "names", None):
        values = raw.detach().cpu().numpy() if isinstance(raw, Tensor) else raw
        if values.dtype.kind not in "biuf":
            raise DataError(f"an array of {values.dtype} holds no counts of cells × genes")
        return counts_of(values, "the array")
    if isinstance(raw, (str, Path)):
        return _from_table(tabular.read_table(raw), beside)
    if isinstance(raw, Columns) or frames.is_frame(raw):
        return _from_table(raw if isinstance(raw, Columns) else frames.from_frame(raw), beside)
    raise DataError(
        f"a {type(raw).__name__} holds no counts of cells × genes: give an AnnData, a sparse matrix, an array, a data frame, or "
        "the path of .h5ad, .h5, .mtx, .npz or .csv"
    )


def _from_path(path: Path, layer: str | None) -> Counts | None:
    """The counts of a file or a folder; None of a table."""
    name = path.name.lower()
    if path.is_dir():
        return _read_mtx(_one_matrix(path))
    files.regular(path)
    if name.endswith((".mtx", ".mtx.gz")):
        return _read_mtx(path)
    if name.endswith(".npz"):
        return _read_npz(path)
    if _begins(path, annotated.MAGIC):
        return annotated.read_h5ad(path, layer) if name.endswith(".h5ad") else annotated.read_10x(path)
    if name.endswith((".h5ad", ".h5", ".hdf5")):
        raise DataError(f"{path}: is damaged: it does not begin as a file of HDF5 does")
    return None


def _begins(path: Path, start: bytes) -> bool:
    try:
        with files.regular(path).open("rb") as file:
            return file.read(len(start)) == start
    except (DataError, OSError, ValueError):
        return False


# ---- .npz ------------------------------------------------------------------------------------------------------------


def _is_compressed(path: Path) -> bool:
    try:
        with zipfile.ZipFile(files.regular(path)) as archive:
            return {f"{part}.npy" for part in PARTS} <= set(archive.namelist())
    except (DataError, OSError, zipfile.BadZipFile):
        return False


def _read_npz(path: Path) -> Counts:
    """CSR or CSC parts (as `scipy.sparse.save_npz` writes them), with labels and names beside them where there are any."""
    held = arrays.members(path)
    if not held.keys() >= PARTS:
        raise DataError(f"{path}: holds no sparse matrix of cells × genes ({', '.join(sorted(PARTS))})")
    if held["shape"].size != 2 or held["shape"].dtype.kind not in "iu":
        raise DataError(f"{path}: its sparse matrix has no shape of two numbers")
    rows, width = held["shape"].reshape(-1).tolist()
    by_columns = "format" in held and held["format"].tolist() in (b"csc", "csc")
    matrix = compressed(
        held["data"], held["indices"], held["indptr"], (width, rows) if by_columns else (rows, width), str(path)
    )
    if by_columns:
        matrix = matrix.T.tocsr()
    genes = next((held[key] for key in GENES if key in held), None)
    cells = next((held[key] for key in CELLS if key in held), None)
    taken = {*PARTS, "format", "_is_array", *GENES, *CELLS}
    obs = {key: values for key, values in held.items() if key not in taken and values.shape == (rows,)}
    labels = [key for key in arrays.LABEL_KEYS if key in obs]
    if len(labels) == 1:
        obs["label"] = obs.pop(labels[0])
    return counts_of(matrix, str(path), genes, cells, obs)


# ---- .mtx ------------------------------------------------------------------------------------------------------------


def _matrices(folder: Path) -> list[Path]:
    try:
        if not folder.is_dir():
            return []
        return sorted(path for path in folder.iterdir() if path.name.lower().endswith(("matrix.mtx", "matrix.mtx.gz")))
    except (OSError, ValueError):  # a name too long, or with a NUL
        return []


def _one_matrix(folder: Path) -> Path:
    found = _matrices(folder)
    if len(found) != 1:
        what = f"holds {len(found)} matrices: name one of them" if found else "holds no matrix.mtx or matrix.mtx.gz"
        raise DataError(f"{folder}: {what}")
    return found[0]


def _read_mtx(path: Path) -> Counts:
    """A matrix of genes × cells, as 10x Genomics writes it, with its barcodes.tsv and features.tsv (or genes.tsv)."""
    stem = path.name.removesuffix(".gz").removesuffix(".mtx").removesuffix("matrix")
    barcodes = [line.split("\t")[0] for line in _list(path, stem, ("barcodes",))]
    features = [line.split("\t") for line in _list(path, stem, ("features", "genes"))]
    try:
        with files.unchanged(files.regular(path)):
            genes, cells, entries, form, *_ = scipy_io.mminfo(path)
            if form != "coordinate" or entries * 16 > files.LIMIT_BYTES or _claims_too_much(path, entries):
                raise DataError(f"{path}: claims {entries:,} entries in {form} form, which it does not hold")
            matrix = sparse.csr_array(scipy_io.mmread(path).T)
    except (LambentError, MemoryError):
        raise
    except Exception as error:
        raise DataError(f"{path}: is damaged, or no matrix of Matrix Market ({str(error)[:100]})") from None
    if (len(features), len(barcodes)) != (genes, cells):
        raise DataError(
            f"{path}: is {genes:,} × {cells:,}, beside lists of {len(features):,} genes and {len(barcodes):,} cells"
        )
    names = [line[1] if len(line) > 1 else line[0] for line in features]
    kinds = [line[2] for line in features] if all(len(line) > 2 for line in features) else []
    return annotated.of_genes(matrix, names, kinds, barcodes, str(path))


def _claims_too_much(path: Path, entries: int) -> bool:
    return path.suffix.lower() != ".gz" and entries * SMALLEST > path.stat().st_size


def _list(path: Path, stem: str, names: tuple[str, ...]) -> list[str]:
    """The lines of a list beside a matrix, gzipped or not."""
    for name in names:
        for end in (".tsv.gz", ".tsv"):
            beside = path.with_name(f"{stem}{name}{end}")
            if beside.is_file():
                try:
                    data = beside.read_bytes()
                    return (gzip.decompress(data) if end.endswith(".gz") else data).decode("utf-8").splitlines()
                except (OSError, EOFError, UnicodeDecodeError) as error:
                    raise DataError(f"{beside}: cannot be read ({str(error)[:100]})") from None
    raise DataError(
        f"{path}: has no {stem}{names[0]}.tsv or {stem}{names[0]}.tsv.gz beside it, which says what it holds"
    )


# ---- tables ----------------------------------------------------------------------------------------------------------


def _from_table(table: Columns, beside: tuple[str, ...]) -> Counts:
    """A table with a row for each cell: a first column of words names the cells, other columns of words stand beside them."""
    words = {
        name: table.values(name)
        for name in table.names
        if name in beside or table.values(name).dtype.kind not in "biuf"
    }
    first = table.names[0] if table.names else None
    cells = (
        words.pop(first) if first in words and first not in beside and len(set(words[first])) == table.rows else None
    )
    genes = [name for name in table.names if name not in words and not (cells is not None and name == first)]
    if not genes:
        raise DataError(f"{table.origin}: has no columns of counts")
    matrix = sparse.csr_array(np.stack([numbers(table, name) for name in genes], 1))
    return counts_of(matrix, table.origin, genes if table.named else None, cells, words)
