"""Cells: counts of genes in single cells, kept sparse."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from lambent.data.kinds.genes import matched, most_variable
from lambent.data.kinds.modality import Encoded, Modality
from lambent.data.notices import Notices
from lambent.data.readers import cells
from lambent.data.readers.counts import Counts
from lambent.data.sparse import SparseRows
from lambent.data.splitting import as_labels, digest
from lambent.data.writers import annotated
from lambent.errors import ArtifactError, DataError, UsageError, nearest
from lambent.part import Shape, Spec, option

UNITS = 10
BATCH = 128
STEPS = 2_000


class Cells(Modality):
    """Counts of genes in cells, float32 [cells, genes], sparse in memory and dense by the batch.

    Takes .h5ad and AnnData, .h5 and .mtx of 10x Genomics, .npz of CSR parts, tables (a row for each cell, its name first), sparse
    matrices and arrays. Counts are whole numbers from 0 on: normalized ones are refused. Later data are matched by the names of
    their genes, in any order; genes that were not learned from are left out.
    """

    no_paper = "a kind of data"
    noun: ClassVar[str] = "cells"
    counts_rows: ClassVar[bool] = True
    numbered: ClassVar[bool] = True
    suffixes: ClassVar[tuple[str, ...]] = (".h5ad",)
    annotates: ClassVar[tuple[str, ...]] = (".h5ad",)

    genes: int = option(
        "how many genes are kept, those that vary most between cells beyond depth and chance; 0: all",
        default=0,
        minimum=0,
        maximum=10**9,
        papers={...: "lause2021analytic"},
    )
    least_counts: int = option("cells with fewer counts are left out, and told", default=1, minimum=0, maximum=10**9)
    least_cells: int = option(
        "genes that are found in fewer cells are left out, and told", default=1, minimum=0, maximum=10**9
    )
    layer: str | None = option(
        "where AnnData hold the counts: X, raw or the name of a layer; none: the first of X, layers called counts, and raw that "
        "holds whole numbers",
        default=None,
    )
    label: str | None = option(
        "the column of obs that names the type of a cell: kept beside, never trained on", default=None
    )
    absent: Literal["refuse", "nought"] = option(
        "what becomes of genes that later data lack: refused, or taken as never found in them", default="refuse"
    )

    unlabelled: str | None = option(
        "the value that stands for none in the columns of obs that condition, such as Unknown", default=None
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.names: list[str] = []
        self.named, self.annotated, self._rows = True, False, 0
        self.notices: dict[str, int] = {}
        self.noticed: dict[str, list[str]] = {}

    @classmethod
    def claims(cls, source: Any) -> bool:
        return cells.claims(source)

    @property
    def event(self) -> Shape:
        """(genes,)."""
        if not self.names:
            raise UsageError("Cells: call fit first; until then its genes are not known")
        return (len(self.names),)

    def open(self, raw: Any) -> Counts:
        """Any accepted form → counts, of which cells with too few are left out."""
        beside = (*self.condition, *([self.label] if self.label else []))
        counts = cells.opened(raw, self.layer, beside).with_counts(self.least_counts)
        if self.unlabelled is None:
            return counts
        return replace(counts, obs={name: self._known(name, values) for name, values in counts.obs.items()})

    def _known(self, name: str, values: np.ndarray) -> np.ndarray:
        """A column of obs with nothing in the place of what stands for none."""
        if name not in self.condition or values.dtype.kind in "iuf":
            return values
        return np.array([None if str(value) == self.unlabelled else value for value in values], object)

    # ---- learning ------------------------------------------------------------------------------------------------

    def fit(self, raw: Any) -> Self:
        """Learn which genes there are, and which of them vary; `DataError` for what are no counts."""
        counts = self.open(raw)
        if not len(counts):
            raise DataError(f"{counts.origin}: there are no cells to learn from")
        notices = Notices(counts.notices, counts.notices.names)
        kept = self._found_often(counts, notices)
        if self.genes and self.genes < len(kept):
            some = Counts(counts.matrix[:, kept], [], [], {}, counts.origin, counts.numbers)
            chosen = kept[most_variable(some, self.genes)]
            notices["less_variable_genes"] = len(kept) - len(chosen)
            kept = chosen
        self.names = [counts.genes[i] for i in kept]
        self.named, self.annotated, self._rows = counts.named, counts.annotated, len(counts)
        if self.label and self.label in counts.obs:
            self.label_names = as_labels(counts.obs[self.label])[1]
        self.notices, self.noticed = dict(notices), notices.names
        return self

    def _found_often(self, counts: Counts, notices: Notices) -> np.ndarray:
        """The numbers of the genes that enough cells have."""
        found_in = np.bincount(counts.matrix.indices, minlength=len(counts.genes))
        kept = np.flatnonzero(found_in >= self.least_cells)
        if not len(kept):
            raise DataError(f"{counts.origin}: no gene is found in {self.least_cells:,} cells (least_cells)")
        if rare := len(counts.genes) - len(kept):
            notices["rare_genes"] = rare
            notices.names["rare_genes"] = [str(self.least_cells)]
        return kept

    # ---- encoding and decoding -----------------------------------------------------------------------------------

    def encode(self, raw: Any) -> Tensor:
        """Counts → float32 [cells, genes], sparse (`SparseRows`); `DataError` names genes that are missing."""
        return self.read(raw).x

    def read(self, raw: Any) -> Encoded:
        """`encode`, with the types of the cells as labels and all columns of obs beside them."""
        width = self.event[0]
        counts = self.open(raw)
        notices = Notices(counts.notices, counts.notices.names)
        matrix = sparse.csr_array(matched(counts, self.names, self.named, self.absent, notices))
        matrix.sort_indices()
        parts = (matrix.data.astype(np.float32), matrix.indices.astype(np.int32), matrix.indptr.astype(np.int64))
        values, columns, starts = (torch.from_numpy(np.ascontiguousarray(part)) for part in parts)
        x = SparseRows(values, columns, starts, width)
        labels, label_names = self._labels(counts)
        source = {"rows": len(x), "sha256": digest(x), **notices.facts()}
        return Encoded(
            x, self, labels, label_names, source=source, beside=dict(counts.obs), numbers=counts.numbers,
            names=np.array(counts.cells, object),
        )  # fmt: skip

    def _labels(self, counts: Counts) -> tuple[np.ndarray | None, list[str] | None]:
        name = self.label or ("label" if "label" in counts.obs else None)
        if name is None:
            return None, None
        if name not in counts.obs:
            if self.learned_labels:
                return None, None  # later data need not have what is asked of them
            raise UsageError(f"{counts.origin}: has no column {name!r} beside the cells; {nearest(name, counts.obs)}")
        try:
            return as_labels(counts.obs[name], self.label_names)
        except DataError as error:
            raise DataError(f"{counts.origin}: column {name!r}: {error}") from None

    @property
    def learned_labels(self) -> bool:
        """Whether the data that were learned from named types of cells."""
        return self.label_names is not None

    def decode(self, x: Tensor) -> Any:
        """[cells, genes] → an AnnData with the names of the genes, if it was fitted on one, else an array."""
        if x.ndim != 2 or x.shape[1] != self.event[0]:
            raise DataError(f"cells to decode have shape {tuple(x.shape)}; [N, {self.event[0]}] fits")
        if self.annotated:
            return annotated.made(self.table(x), self.names)
        values: np.ndarray = x.detach().cpu().numpy()
        return values

    def table(self, x: Tensor) -> Any:
        """Rows as the model has them as AnnData hold them: counts sparse, means of counts dense."""
        values = x.detach().cpu().numpy()
        return values if (values != np.rint(values)).any() else sparse.csr_matrix(values)

    def as_columns(self, x: Tensor) -> dict[str, Any]:
        """A column for each gene."""
        values = x.detach().cpu().numpy()
        return {name: values[:, i] for i, name in enumerate(self.names)}

    def write(self, path: Path, x: Tensor, lead: dict[str, Any]) -> None:
        """An .h5ad file of made cells, with `lead` in obs."""
        annotated.write(path, annotated.made(self.table(x), self.names, lead))

    def annotate(self, path: Path, rows: Encoded, found: Mapping[str, np.ndarray], made: Tensor | None = None) -> None:
        """An .h5ad file of the cells that rows came from, with all that they had there.

        Codes stand in obsm["X_lambent"], columns in obs, as lambent_score; cells that were left out have NaN there. Made rows
        stand in layers["lambent"]: of the modelled genes, and of the cells that were not left out, which then are all there is.
        """
        numbers = np.arange(len(rows)) if rows.numbers is None else rows.numbers
        if rows.source.get("path") is not None:
            path_of_rows = Path(rows.source["path"])
            one = annotated.is_whole(path_of_rows)
            whole = (
                annotated.whole(path_of_rows) if one else annotated.of_counts(cells.opened(path_of_rows, self.layer))
            )
        else:
            whole = annotated.made(self.table(rows.x), self.names, rows.beside, rows.names)
            numbers = np.arange(len(rows))
        if made is not None:
            whole = annotated.with_layer(whole, numbers, self.names, self.named, made.detach().cpu().numpy())
        annotated.write(path, annotated.with_found(whole, numbers, found))

    def summary(self, x: Tensor) -> dict[str, str]:
        """How deep cells are, and how many of their counts are not nought."""
        totals = x.sum(1).double().numpy()
        found = torch.diff(x.starts).numpy() if isinstance(x, SparseRows) else (x > 0).sum(1).numpy()
        share = found.sum() / max(1, x.numel())
        return {
            "counts of a cell": f"{np.median(totals):,.0f} (median), from {totals.min():,.0f} to {totals.max():,.0f}",
            "genes of a cell": f"{np.median(found):,.0f} (median); {100 * share:.3g} % of all counts are not nought",
        }

    # ---- what suits it, and its state ----------------------------------------------------------------------------

    def defaults(self) -> dict[str, Spec]:
        """Shares of the library size under a negative binomial, a dispersion for each gene, which batches move gene by gene; ten
        units under N(0, I), a network of one layer, 2,000 steps at high and falling rates. Chosen by `benchmarks/cells.py`.
        """
        steps = max(1, -(-self._rows // BATCH))
        return {
            "likelihood": {"type": "NegativeBinomial", "library": "observed", "effects": bool(self.condition)},
            "latent": {"type": "Flat", "size": UNITS, "prior": {"type": "Standard"}},
            "network": {"type": "Mlp", "width": 128, "depth": 1},
            "fit": {
                "epochs": min(150, max(10, -(-STEPS // steps))),
                "batch": BATCH,
                "learning_rate": 2e-3,
                "schedule": "cosine",
                "warmup": 0.1,
            },
        }

    def state(self) -> dict[str, Any]:
        """{"genes": names, "named", "annotated", "rows", "label_names", "notices", "noticed"}."""
        self.event  # noqa: B018 - which says that there is none yet
        return {
            "genes": self.names,
            "named": self.named,
            "annotated": self.annotated,
            "rows": self._rows,
            "label_names": self.label_names,
            "notices": dict(self.notices),
            "noticed": self.noticed,
        }

    def restore(self, state: dict[str, Any]) -> Self:
        """The inverse of `state`; `ArtifactError` if it is no such state."""
        try:
            names, labels = [str(name) for name in state["genes"]], state["label_names"]
            named, was_annotated, rows = bool(state["named"]), bool(state["annotated"]), int(state["rows"])
            label_names = None if labels is None else [str(name) for name in labels]
            notices = {str(k): int(v) for k, v in state["notices"].items()}
            noticed = {str(k): [str(name) for name in v] for k, v in state["noticed"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtifactError(f"the stored state of Cells is damaged ({error!r})") from None
        if not names or len(set(names)) != len(names):
            raise ArtifactError("the stored state of Cells is damaged: its genes are none, or repeated")
        self.names, self.named, self.annotated, self._rows = names, named, was_annotated, rows
        self.label_names, self.notices, self.noticed = label_names, notices, noticed
        return self
