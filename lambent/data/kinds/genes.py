"""Genes: which vary most between cells, and the genes of later data matched with those learned from."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lambent.data.notices import Notices
from lambent.data.readers.counts import Counts
from lambent.errors import DataError, nearest_name

OVERDISPERSION = 100.0  # θ of the null model, m + m² / θ: what is left of a gene's variance where it does not vary
AT_ONCE = 2**23  # numbers that are dense at a time


def variances(matrix: Any) -> np.ndarray:
    """The variance of each gene's Pearson residuals over the cells, [genes]: what of it depth and chance do not explain.

    r = (x − m) / √(m + m² / θ) with m = (the cell's counts) · (the gene's share), cut off at ± √cells. Lause et al., 2021.
    """
    rows, width = matrix.shape
    totals = np.asarray(matrix.sum(1), np.float64).reshape(-1, 1)
    shares = np.asarray(matrix.sum(0), np.float64).reshape(-1) / max(1.0, float(totals.sum()))
    by_column, most = matrix.tocsc(), float(np.sqrt(rows))
    found = np.zeros(width)
    step = max(1, AT_ONCE // max(1, rows))
    for start in range(0, width, step):
        part = slice(start, min(start + step, width))
        mean = totals * shares[part]
        with np.errstate(invalid="ignore", divide="ignore"):
            residuals = (by_column[:, part].toarray() - mean) / np.sqrt(mean + mean**2 / OVERDISPERSION)
        found[part] = np.nan_to_num(residuals).clip(-most, most).var(0)
    return found


def most_variable(counts: Counts, count: int) -> np.ndarray:
    """The numbers of the genes that vary most, in the order that the data have them."""
    order = np.argsort(-variances(counts.matrix), kind="stable")
    return np.sort(order[:count])


def matched(counts: Counts, genes: Sequence[str], named: bool, absent: str, notices: Notices) -> Any:
    """The columns of these genes, in this order, as a CSR matrix [cells, genes].

    Where one side has no names they are taken by their place. Genes that the data lack are refused (absent="refuse"), or are
    columns of noughts (absent="nought"), and told. `DataError` lists them.
    """
    if named != counts.named and len(counts.genes) == len(genes):
        side = counts.origin if named else "what was learned from"
        notices.note("by_position", f"{side} has no names of genes: its {len(genes):,} were taken in their order")
        return counts.matrix
    place = {name: i for i, name in enumerate(counts.genes)}
    missing = [name for name in genes if name not in place]
    if missing and (absent == "refuse" or len(missing) == len(genes)):
        raise DataError(_lacking(counts, genes, missing))
    for name in missing:
        notices.note("absent_genes", name)
    if not missing:
        return counts.matrix[:, [place[name] for name in genes]]
    columns = counts.matrix.tocsc()
    there = [place[name] for name in genes if name in place]
    kept = columns[:, there]
    starts = np.zeros(len(genes) + 1, np.int64)
    starts[1:][[name in place for name in genes]] = np.diff(kept.indptr)
    made = type(kept)((kept.data, kept.indices, starts.cumsum()), shape=(len(counts), len(genes)))
    return made.tocsr()


def _lacking(counts: Counts, genes: Sequence[str], missing: Sequence[str]) -> str:
    if not counts.named:
        return f"{counts.origin}: has {len(counts.genes):,} genes without names, the model knows {len(genes):,}: give the names"
    some = counts.genes[:5000]
    close = {name: nearest_name(name, some) for name in missing[:5]}
    shown = ", ".join(name + (f" (there is {near})" if near else "") for name, near in close.items())
    more = f" and {len(missing) - 5:,} more" if len(missing) > 5 else ""
    way = "" if len(missing) == len(genes) else (
        ". A model trained with absent=nought (--data.absent nought) takes genes that data lack as never seen"
    )  # fmt: skip
    return f"{counts.origin}: lacks {len(missing):,} of {len(genes):,} genes: {shown}{more}{way}"
