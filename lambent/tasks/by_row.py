"""by_row: how an evaluation's numbers spread over the rows, and over their labels, as a section of a report."""

import math
from collections.abc import Sequence

import numpy as np

from lambent.data.kinds.modality import Encoded
from lambent.tasks.evaluate import Evaluation
from lambent.tasks.sections import Block, Cell, Histogram, Section, TableBlock

MOST_LABELS = 50

CAPTIONS = {
    "bound": "The lower bound on log p(x) of every row. A tail at the left holds the rows that the model thinks least likely.",
    "reconstruction": "−E log p(x|z) of every row. A tail at the right holds the rows that the code does not keep.",
}
TITLES = {"bound": "K-sample bound", "reconstruction": "Reconstruction"}


def by_row(found: Evaluation, labels: Sequence[str] | None = None) -> list[Section]:
    """The bound of every row as a histogram (without a density its reconstruction), and each label's means; none without either.

    labels: one a row, in the order in which they were evaluated. Units: nats per row.
    """
    if not found.by_row:
        return []
    name = "bound" if "bound" in found.by_row else "reconstruction"
    body: list[Block] = [Histogram(found.by_row[name], TITLES[name], "nats per row", CAPTIONS[name])]
    lead = "How the mean over the rows comes about. In a good run the rows lie close together, in one heap."
    if labels is not None and len(set(labels)) > 1:
        lead += " No label stands far apart from the others."
        body.append(_by_label(found.by_row, list(labels)))
    return [Section("rows", "Row by row", lead, body)]


def labels_of(rows: Encoded) -> list[str] | None:
    """The labels of rows as words: their names where these are known, else their numbers; None where there are none."""
    if rows.labels is None:
        return None
    names = rows.label_names
    return [str(names[i]) if names and 0 <= i < len(names) else str(i) for i in rows.labels.tolist()]


def _by_label(by_row: dict[str, list[float]], labels: list[str]) -> TableBlock:
    """Mean and standard error of each number for each label, those least well modelled first."""
    names = np.array(labels)
    shown = [name for name in TITLES if name in by_row]
    columns = {name: np.array(by_row[name][: len(labels)]) for name in shown}
    rows = []
    for label in dict.fromkeys(labels):
        mine = {name: values[names[: len(values)] == label] for name, values in columns.items()}
        rows.append((label, len(mine[shown[0]]), {name: _mean(values) for name, values in mine.items()}))
    worst = -1 if shown[0] == "reconstruction" else 1
    rows.sort(key=lambda row: (worst * row[2][shown[0]][0], row[0]))
    cells = [
        (label, [Cell(size, number=True), *(Cell(v, number=True) for name in shown for v in means[name])])
        for label, size, means in rows[:MOST_LABELS]
    ]
    heads = ["Label", "Rows", *(head for name in shown for head in (f"{TITLES[name]}, nats", "± s.e."))]
    note = f"The {MOST_LABELS} least well modelled of {len(rows):,} labels." if len(rows) > MOST_LABELS else ""
    return TableBlock(heads, cells, "Means of every label", note)


def _mean(values: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> tuple[float, float]:
    error = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan
    return float(values.mean()), error
