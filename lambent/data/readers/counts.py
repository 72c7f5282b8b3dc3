"""Counts: molecules of genes in cells as they were found, sparse, with the names of both and what lies beside the cells."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy import sparse

from lambent.data.notices import Notices
from lambent.errors import DataError

EXACT = 2**24  # up to which float32 holds every whole number


@dataclass
class Counts:
    """Cells × genes.

    matrix: CSR, whole numbers from 0 on, nothing stored that is nought. genes, cells: their names; named: whether the genes'
    are the data's own. obs: columns beside the cells. numbers: the place of each cell in the data, from which some were left out.
    annotated: whether they came as AnnData, or from one of its files.
    """

    matrix: Any
    genes: list[str]
    cells: list[str]
    obs: dict[str, np.ndarray]
    origin: str
    numbers: np.ndarray
    named: bool = True
    annotated: bool = False
    notices: Notices = field(default_factory=Notices)

    def __len__(self) -> int:
        return int(self.matrix.shape[0])

    def __getitem__(self, index: Any) -> "Counts":
        """Some of the cells, by number, slice or truth value."""
        rows = np.arange(len(self))[index]
        return replace(
            self,
            matrix=self.matrix[rows],
            cells=[self.cells[row] for row in rows],
            obs={name: values[rows] for name, values in self.obs.items()},
            numbers=self.numbers[rows],
        )

    @property
    def totals(self) -> np.ndarray:
        """The counts of each cell, over all genes."""
        return np.asarray(self.matrix.sum(1), np.float64).reshape(-1)

    def with_counts(self, least: int) -> "Counts":
        """Without the cells of fewer counts, which are told; `DataError` if none is left."""
        kept = self.totals >= least
        if kept.all():
            return self
        if not kept.any():
            raise DataError(f"{self.origin}: no cell has {least:,} counts; every one would be left out (least_counts)")
        notices = Notices(self.notices, self.notices.names)
        notices["cells_left_out"] = int((~kept).sum())
        notices.names["cells_left_out"] = [str(least)]
        return replace(self[kept], notices=notices)


def counts_of(
    matrix: Any,
    origin: str,
    genes: Iterable[str] | None = None,
    cells: Iterable[str] | None = None,
    obs: Mapping[str, np.ndarray] | None = None,
    annotated: bool = False,
) -> Counts:
    """A matrix [cells, genes], dense or sparse, as counts; `DataError` names the cell and gene that hold none."""
    found = sparse.csr_array(matrix)
    if found.ndim != 2:
        raise DataError(f"{origin}: holds no matrix of cells × genes")
    rows, width = found.shape
    named = None if genes is None else [str(name) for name in genes]
    notices = Notices()
    names = named if named is not None else [f"gene{i}" for i in range(width)]
    own = [str(name) for name in cells] if cells is not None else [str(i) for i in range(rows)]
    for what, held, wanted in (("genes", names, width), ("cells", own, rows)):
        if len(held) != wanted:
            raise DataError(f"{origin}: names {len(held):,} {what} for {wanted:,}")
    for name, values in (obs or {}).items():
        if len(values) != rows:
            raise DataError(f"{origin}: has {len(values):,} values of {name!r} for {rows:,} cells")
    found = _canonical(found, notices)
    _refuse_no_counts(found, names, own, origin)
    return Counts(
        found,
        _unique(names, notices),
        own,
        dict(obs or {}),
        origin,
        np.arange(rows),
        named is not None,
        annotated,
        notices,
    )


def compressed(data: Any, indices: Any, indptr: Any, shape: Any, origin: str) -> Any:
    """CSR parts as they stand in a file, as a matrix; `DataError` where they do not fit together."""
    data, indices, indptr = (np.asarray(part) for part in (data, indices, indptr))
    try:
        rows, width = (int(n) for n in np.asarray(shape).reshape(-1))
    except (TypeError, ValueError):
        raise DataError(f"{origin}: its sparse matrix has no shape of two numbers") from None
    whole = indices.dtype.kind in "iu" and indptr.dtype.kind in "iu" and data.dtype.kind in "biuf"
    if not whole or data.ndim != 1 or data.shape != indices.shape or indptr.shape != (rows + 1,) or rows < 0:
        raise DataError(f"{origin}: data, indices, indptr and shape are no parts of one sparse matrix")
    starts = indptr.astype(np.int64)
    if starts[0] != 0 or starts[-1] != len(data) or bool((np.diff(starts) < 0).any()):
        raise DataError(f"{origin}: indptr of its sparse matrix does not lead through its {len(data):,} values")
    if len(indices) and (int(indices.min()) < 0 or int(indices.max()) >= width):
        raise DataError(f"{origin}: its sparse matrix has values beyond its {width:,} columns")
    return sparse.csr_array((data, indices.astype(np.int32), starts), shape=(rows, width))


def _canonical(matrix: Any, notices: Notices) -> Any:
    """Columns in order, each once, and nothing stored that is nought; the given matrix is left as it is."""
    zeros = int((matrix.data == 0).sum())
    if not zeros and matrix.has_canonical_format:
        return matrix
    matrix = matrix.copy()
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    if zeros:
        notices["stored_zeros"] = zeros
    return matrix


def _refuse_no_counts(matrix: Any, genes: list[str], cells: list[str], origin: str) -> None:
    values = matrix.data
    if values.dtype.kind in "bu":
        wrong = values > EXACT
    else:
        with np.errstate(invalid="ignore"):
            wrong = ~((values >= 0) & (values == np.rint(values)) & (values <= EXACT))
    if not wrong.any():
        return
    place = int(wrong.argmax())
    row = int(np.searchsorted(matrix.indptr, place, "right")) - 1
    value, gene = float(values[place]), genes[int(matrix.indices[place])]
    more = int(wrong.sum()) - 1
    others = f", and {more:,} other{'s are' if more > 1 else ' is'} none either" if more else ""
    why = "counts are not negative" if value < 0 else "counts are whole numbers"
    if EXACT < value < np.inf:
        why = f"a count is at most {EXACT:,}"
    raise DataError(
        f"{origin}: cell {row} ({cells[row]}), gene {gene}: {value:g} is no count, {why}{others}. Give the counts as they were "
        "measured, not normalized or log-transformed; in AnnData they often lie in a layer (layer=counts) or in raw (layer=raw)"
    )


def are_counts(matrix: Any) -> bool:
    """Whether the first values of a matrix, dense or sparse, are whole numbers from 0 on."""
    values = matrix.data if sparse.issparse(matrix) else np.asarray(matrix)[:100]
    values = np.asarray(values).reshape(-1)[:100_000]
    return bool(values.dtype.kind in "biuf" and (values >= 0).all() and (values == np.rint(values)).all())


def _unique(names: list[str], notices: Notices) -> list[str]:
    """Names of genes, of which each is there once: those that come again get a number, as AnnData does it."""
    seen: dict[str, int] = {}
    taken = set(names)
    found = []
    for name in names:
        again = seen.get(name)
        if again is None:
            seen[name] = 0
            found.append(name)
            continue
        notices.note("repeated_genes", name)
        while (numbered := f"{name}-{seen[name] + 1}") in taken:
            seen[name] += 1
        seen[name] += 1
        taken.add(numbered)
        found.append(numbered)
    return found
