"""by_column: what the report of a table shows of its columns: kinds, nats, gaps, and how drawn rows fall beside real ones."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lambent.data.kinds.columns.base import NAMED, Column
from lambent.data.kinds.modality import Encoded
from lambent.data.kinds.table import Table
from lambent.fitted import Fitted, Rows
from lambent.metrics.tables import fidelity
from lambent.metrics.tables.coded import Coded, coded
from lambent.seeds import stream
from lambent.tasks import beside, explore
from lambent.tasks.score import scored_by_column
from lambent.tasks.sections import Block, Cell, Paragraph, Section, TableBlock

DRAWN = 5000  # rows of the model, at most
SCORED = 1000  # rows whose nats are taken column by column
SAMPLES = 8
MOST = 200  # columns that a table names
WORSE = -0.01  # nats gained, below which a column is marked
NAMES = ("real", "drawn")


def by_column(fitted: Fitted, rows: Encoded, seed: int = 0) -> list[Section]:
    """Sections about the columns of a table, for rows that it was not trained on; none for what is no table."""
    modality = fitted.modality
    if not isinstance(modality, Table) or len(rows) < 2:
        return []
    taken = fitted.rows(rows, seed)
    x = drawn(fitted, min(DRAWN, max(SCORED, len(rows))), seed)
    found = [_kinds(modality, taken.x, x)]
    known = fitted.column_names is not None and fitted.model.latent.density
    found += [_nats(fitted, modality, taken, x, seed)] if known else []
    if min(len(taken), len(x)) < 2:
        return found
    tables = [modality.open(fitted.raw(each)) for each in (taken.x[:DRAWN], x)]
    left_out = [column.name for column in modality.columns if not column.width]
    both = coded(tables, left_out, named(modality))
    return [*found, _fall(both), *_hang_together(both)]


def named(modality: Table) -> list[str]:
    """The columns whose values are names, whatever type they have."""
    return [column.name for column in modality.columns if column.kind in NAMED]


@torch.no_grad()
def drawn(fitted: Fitted, count: int, seed: int = 0) -> Tensor:
    """New rows as the model has them, x drawn from p(x|z); what conditions them is drawn as often as in training."""
    generator = torch.Generator().manual_seed(stream(seed, "judge"))
    context = fitted.conditions.typical(count, generator) if fitted.conditions else None
    if context is None and fitted.model.context:
        context = torch.zeros(count, fitted.model.context)
    return explore.generate(fitted, count, seed, context=context, noise=True)


def _kinds(modality: Table, x: Tensor, new: Tensor) -> Section:
    """What each column is and why, what the model does with it, and how many of its cells are missing."""
    gaps = _gaps(modality, x), _gaps(modality, new)
    gappy = any(any(one.values()) for one in gaps)
    rows = []
    for column in modality.columns[:MOST]:
        cells = [Cell(column.kind), Cell(column.use), Cell(column.why)]
        if gappy:
            cells += [
                Cell(one[column.name], number=True) if column.name in one else Cell("–", number=True) for one in gaps
            ]
        rows.append((column.name, cells))
    heads = ["Column", "Kind", "In the model", "Why", *(["Gaps, real", "Gaps, drawn"] if gappy else [])]
    many = len(modality.columns)
    note = f"The first {MOST} of {many:,} columns." if many > MOST else ""
    lead = "What each column was taken for. Where that is wrong, say so: --data.kinds column=kind."
    return Section("columns", "Columns", lead, [TableBlock(heads, rows, "The columns and their kinds", note)])


def _gaps(modality: Table, x: Tensor) -> dict[str, float]:
    """The share of missing cells of every modelled column: of real rows where x is, of drawn ones where their indicator says."""
    names = modality.names
    missing = torch.isnan(x).double().mean(0).tolist()
    found = dict(zip(names, missing, strict=True))
    for place, name in enumerate(names):
        column = name.removesuffix(" is missing")
        if column != name and column in found and bool((~torch.isnan(x[:, place])).any()):
            found[column] = float((x[:, place] >= 1).double().mean())
    return {column.name: found[column.name] for column in modality.columns if column.name in found}


class Told(NamedTuple):
    """A column in nats and its own units: under the model, and by its own distribution alone."""

    name: str
    nats: float
    alone: float

    @property
    def gain(self) -> float:
        """What the code and the other columns say of it."""
        return self.nats - self.alone


def _nats(fitted: Fitted, modality: Table, rows: Rows, new: Tensor, seed: int) -> Section:
    """The columns that the model knows least of first."""
    some = rows.at(torch.arange(min(SCORED, len(rows))))
    told = told_by_column(fitted, modality, some, new, seed)
    lines = [
        (
            one.name,
            [
                Cell(one.nats, number=True),
                Cell(one.alone, number=True),
                Cell(one.gain, number=True, odd=one.gain < WORSE),
            ],
        )
        for one in sorted(told, key=lambda one: one.gain)[:MOST]
    ]
    heads = ["Column", "log p, nats", "By itself, nats", "Gained"]
    lead = "How well each column is known, those least gained first: a column that gains nothing is drawn as if alone."
    note = (
        "log p: E log p(column | code, columns before it), the mean over test rows, in the data's own units. By itself: of the "
        "column's own distribution alone. Gained: the difference; below 0 the model knows less than that. Where columns see "
        "columns, the first of their order gains by the code alone."
    )
    table = TableBlock(heads, lines, "The columns in nats, those least gained first")
    return Section("nats", "Column by column", lead, [table, Paragraph(note, "note")])


def told_by_column(fitted: Fitted, modality: Table, rows: Rows, new: Tensor, seed: int = 0) -> list[Told]:
    """Every encoded column in nats per row, beside the column by itself: of tokens as `new` rows have them, else a Gaussian."""
    scores = scored_by_column(fitted, rows, SAMPLES, seed)
    slopes = modality.log_slope(rows.x)
    by_name = {column.name: column for column in modality.columns}
    found = []
    for place, (name, terms) in enumerate(scores.items()):
        x, y = rows.x[:, place].double().numpy(), new[:, place].double().numpy()
        if np.isnan(x).all():
            continue
        slope = slopes[:, place].double().numpy()
        found.append(
            Told(name, float(terms.mean()), _alone(by_name.get(name), x, y) + float(np.nan_to_num(slope).mean()))
        )
    return found


def _alone(column: Column | None, x: NDArray[np.float64], new: NDArray[np.float64]) -> float:
    """Mean log-probability of encoded values under the column's own distribution, missing ones counting nothing."""
    there = ~np.isnan(x)
    values, share = x[there], float(there.mean())
    if column is not None and column.tokens:
        tokens = np.floor(new[~np.isnan(new)]).astype(int).clip(0, column.tokens - 1)
        counts = np.bincount(tokens, minlength=column.tokens) + 0.5
        log = np.log(counts / counts.sum())
        return share * float(log[np.floor(values).astype(int).clip(0, column.tokens - 1)].mean())
    variance = max(float(values.var()), 1e-12)
    return -0.5 * share * (math.log(2 * math.pi * variance) + 1)


def _fall(both: Coded) -> Section:
    shapes = fidelity.shape(both.tables[0], both.tables[1], both.categories)
    lead = "How the values of each column fall: real rows in grey, drawn ones in colour; those least alike first."
    body: list[Any] = beside.marginals(both, NAMES, shapes)
    return Section("marginals", "Real and drawn", lead, body)


def _hang_together(both: Coded) -> list[Section]:
    names = [column.name for column in both.columns]
    if len(names) < 2:
        return []
    first, second = (fidelity.association(rows[:, : beside.PAIRED], both.categories) for rows in both.tables)
    body: list[Block] = beside.associations(names[: beside.PAIRED], NAMES, first, second)
    lead = "Which columns say something about which: drawn rows should show the same pattern as real ones."
    return [Section("associations", "Pair by pair", lead, [*body, Paragraph(beside.ASSOCIATION, "note")])]
