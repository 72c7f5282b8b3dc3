"""Rows of a table of which columns may be missing altogether, or are to be left unread."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from lambent.data.kinds.matching import matched
from lambent.data.kinds.modality import Encoded
from lambent.data.kinds.table import Table
from lambent.data.notices import Notices
from lambent.data.readers.frames import Columns
from lambent.data.readers.typed import Declared
from lambent.errors import UsageError, nearest
from lambent.fitted import Fitted, Rows


@dataclass(frozen=True)
class Partial:
    """Rows known in part: the table as it was opened, its columns called as the model calls them; the rows; what it lacks."""

    opened: Columns | None
    rows: Rows
    lacking: list[str]


def table_of(fitted: Fitted) -> Table:
    """The table that a model was trained on; `UsageError` for a model of anything else."""
    if not isinstance(fitted.modality, Table):
        kind = "rows without a description" if fitted.modality is None else type(fitted.modality).__name__
        raise UsageError(
            f"this is for tables, whose columns can be asked one by one, and the model was trained on {kind}"
        )
    return fitted.modality


def place_of(table: Table, name: str) -> int:
    """The number of the encoded column of that name; `UsageError` with the nearest, or where it is no part of the model."""
    column = table.column(name)
    if not column.width:
        modelled = [one.name for one in table.columns if one.width]
        raise UsageError(f"column {name!r} is {column.kind}, and no part of the model; {nearest(name, modelled)}")
    return table.names.index(name)


def partly(fitted: Fitted, data: Any, seed: int = 0, unread: Collection[str] = ()) -> Partial:
    """Data as the model takes them, columns that they lack taken as missing, and those that are `unread` likewise.

    Errors as for `Fitted.rows`, which speaks of data that have no column of the table at all.
    """
    table = table_of(fitted)
    if table.window > 1:
        raise UsageError(
            "rows known in part are asked one by one, and this model takes windows of them: train one without"
        )
    if isinstance(data, (Rows, Encoded)):
        rows = fitted.rows(data, seed)
        return Partial(None, _emptied(rows, table, unread), [])
    opened = table.open(data)
    needed, lacking = table.encoding.needed(), []
    if table.named and opened.named:
        lacking = [name for name in needed if name not in opened]
    elif len(opened.names) == len(table.columns):
        opened = matched(opened, [column.name for column in table.columns], table.named, (), Notices())
    if lacking and len(lacking) < len(needed):
        opened = _widened(opened, lacking)
    rows = fitted.rows(opened, seed)
    return Partial(opened, _emptied(rows, table, unread), lacking)


def _emptied(rows: Rows, table: Table, unread: Collection[str]) -> Rows:
    if not unread:
        return rows
    x = rows.x.clone()
    for name in unread:
        x[:, place_of(table, name)] = torch.nan
    return replace(rows, x=x)


def _widened(opened: Columns, lacking: list[str]) -> Columns:
    """The table with columns of nothing but gaps behind its own."""
    own = len(opened.names)
    return replace(
        opened,
        names=[*opened.names, *lacking],
        read=lambda place: opened.read(place) if place < own else np.full(opened.rows, np.nan),
        declare=lambda place: opened.declared(opened.names[place]) if place < own else Declared("Unknown"),
        strings=lambda place: opened.strings(place) if place < own else None,
    )
