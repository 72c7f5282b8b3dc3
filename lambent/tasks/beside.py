"""Two tables beside each other, as blocks of a report: how their columns fall, and how these hang together."""

import numpy as np
from numpy.typing import NDArray

from lambent.metrics.tables.coded import Coded, Coding
from lambent.tasks.sections import Block, Cell, Details, Group, Matrix, Shares, TableBlock

MOST_COLUMNS = 24  # of which charts are drawn
MOST_LEVELS = 8  # of a category, the rest together
BINS = 30
OUTSIDE = 0.005  # share of either end that the bins of a number leave to the first and the last

ASSOCIATION = (
    "√(1 − exp(−2 I)) of the mutual information of two columns of any kinds: 0 says nothing of the other, 1 settles it."
)
PAIRED = 40  # columns whose pairs are looked at

Tables = tuple[str, str]


def marginals(found: Coded, names: Tables, shapes: NDArray[np.float64]) -> list[Block]:
    """A chart for every column, those least alike first. names: what the first two tables are called."""
    order = np.argsort(np.where(np.isnan(shapes), 2.0, shapes), kind="stable")
    charts = []
    for j in order[:MOST_COLUMNS].tolist():
        first, second = (rows[:, j][~np.isnan(rows[:, j])] for rows in found.tables[:2])
        if len(first) and len(second):
            charts.append(_shares(found.columns[j], first, second, names, f"shape {shapes[j]:.3f}"))
    return [Group(charts)] if charts else []


def _shares(
    column: Coding, first: NDArray[np.float64], second: NDArray[np.float64], names: Tables, reading: str
) -> Shares:
    if column.category:
        kept = len(column.levels) if len(column.levels) <= MOST_LEVELS + 1 else MOST_LEVELS
        shares = [
            np.bincount(np.minimum(codes.astype(int), kept), minlength=kept + 1) / len(codes)
            for codes in (first, second)
        ]
        wide = kept + (len(column.levels) > kept)
        levels = [*column.levels[:kept], f"{len(column.levels) - kept:,} others"][:wide]
        one, two = (share[:wide].tolist() for share in shares)
        return Shares(column.name, names, one, two, names=[level or "(empty)" for level in levels], reading=reading)
    low, high = np.quantile(first, [OUTSIDE, 1 - OUTSIDE])
    if high <= low:
        low, high = float(first.min()), float(first.max())
    values = np.unique(first)
    steps = len(values) <= BINS and bool((values == np.rint(values)).all())
    edges = np.arange(low - 0.5, high + 1.0) if steps and high - low < BINS else np.linspace(low, high or 1.0, BINS + 1)
    if not edges[0] < edges[-1]:
        edges = np.array([low - 0.5, low + 0.5])
    shares = [np.histogram(np.clip(v, edges[0], edges[-1]), edges)[0] / len(v) for v in (first, second)]
    one, two = (share.tolist() for share in shares)
    return Shares(column.name, names, one, two, edges=edges.tolist(), times=column.kind == "time", reading=reading)


def associations(
    names: list[str], tables: Tables, first: NDArray[np.float64], second: NDArray[np.float64]
) -> list[Block]:
    """How much every column says about every other in either table, and the pairs that differ most."""
    charts = [
        Matrix(values.tolist(), names, f"{table[0].upper()}{table[1:]} rows")
        for table, values in zip(tables, (first, second), strict=True)
    ]
    return (
        [Group(charts), Details("The pairs that differ most", [_apart(names, tables, first, second)])]
        if len(names) > 1
        else []
    )


def _apart(names: list[str], tables: Tables, first: NDArray[np.float64], second: NDArray[np.float64]) -> TableBlock:
    i, j = np.tril_indices(len(names), -1)
    order = np.argsort(-np.abs(first - second)[i, j], kind="stable")[:10]
    rows = [
        (
            f"{names[b]} and {names[a]}",
            [Cell(float(values[a, b]), number=True) for values in (first, second)],
        )
        for a, b in zip(i[order].tolist(), j[order].tolist(), strict=True)
    ]
    return TableBlock(["Columns", *tables], rows, "The pairs that differ most")
