"""Matching: the columns of new rows, by name, as those that a table was learned from."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lambent.data.kinds.columns.base import Column
from lambent.data.kinds.columns.left_out import Constant
from lambent.data.notices import Notices
from lambent.data.readers.frames import Columns, listed
from lambent.errors import DataError, nearest, nearest_name


def matched(
    table: Columns, names: Sequence[str], named: bool, known: Collection[str | None], notices: Notices
) -> Columns:
    """The table with every column of `names`, in whatever order it has them.

    named: whether these names are the data's own. Where one side has none, as arrays have not, columns are matched by their
    place; a table that numbers its columns, as frames made of arrays do, by these numbers. known: other columns that are
    expected; those that are not are noted. `DataError` lists columns that are missing, each with the nearest name.
    """
    numbered = [str(place) for place in range(len(names))]
    if not named and table.named and sorted(table.names) == sorted(numbered):
        renamed = [names[int(name)] for name in table.names]
        return replace(table, names=renamed)
    if named != table.named and (not table.named or any(name not in table for name in names)):
        return _by_place(table, names, named and list(names) != numbered, notices)
    missing = [name for name in names if name not in table]
    if missing and not table.named and len(table.names) == len(names):
        return replace(table, names=list(names))
    if missing:
        raise DataError(_lacking(table, names, missing))
    _note_others(table, {*names, *known}, notices)
    return table


def _by_place(table: Columns, names: Sequence[str], worth_telling: bool, notices: Notices) -> Columns:
    if len(table.names) != len(names):
        missing = [name for name in names if name not in table]
        raise DataError(_lacking(table, names, missing or list(names)))
    if table.named:
        told = (
            f"the model was trained on rows without names of columns: those of {table.origin} were taken in their order"
        )
        notices.note("by_position", f"{told}, {listed(table.names)}")
    elif worth_telling:
        told = f"{table.origin} has no names of columns: its {len(names)} were taken in the order of those trained on"
        notices.note("by_position", f"{told}, {listed(names)}")
    return replace(table, names=list(names))


def _lacking(table: Columns, names: Sequence[str], missing: Sequence[str]) -> str:
    """What is missing, in words; for rows without names how many columns there should be."""
    if not table.named:
        word = "lacks columns" if len(table.names) < len(names) else "has too many columns"
        return (
            f"{table.origin}: {word}: X has {len(table.names)} features, but VAE is expecting {len(names)} features as input, "
            f"one for each column that it was trained on: {listed(names)}"
        )
    there = [name for name in table.names[:200] if name]
    close = {name: nearest_name(name, [one for one in there if one not in names]) for name in missing[:8]}
    shown = ", ".join(repr(name) + (f" (there is {near!r})" if near else "") for name, near in close.items())
    more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
    return f"{table.origin}: lacks {len(missing)} of {len(names)} columns: {shown}{more}; {nearest(missing[0], there)}"


def _note_others(table: Columns, known: set[str | None], notices: Notices) -> None:
    index = table.index_like()
    for name in table.names:
        if name not in known:
            notices.note("dropped_index" if name == index else "ignored_columns", name)


def note_changed(table: Columns, column: Constant, notices: Notices) -> None:
    """Note the rows that differ from what every row had that was learned from."""
    rows = column.changed(table)
    if not len(rows):
        return
    values = table.values(column.name)
    cells = [f"row {table.place(int(row)) + 1} is {_shown(values[row])}" for row in rows[:3]]
    more = f" and {len(rows) - 3:,} more" if len(rows) > 3 else ""
    notices["changed"] += len(rows)
    notices.names.setdefault("changed", []).append(
        f"column {column.name!r} was {_shown(column.value)} in every row that was learned from, and is not here: "
        f"{', '.join(cells)}{more}. The model knows nothing of this column, and no score counts it"
    )


def _shown(value: Any) -> str:
    return f"{float(value):g}" if isinstance(value, (bool, int, float, np.number, np.bool_)) else repr(str(value)[:40])


def refuse_gaps(table: Columns, columns: Sequence[Column], out: np.ndarray) -> None:
    """`DataError` for the first cell of encoded columns that is missing, [rows, columns], where none may be."""
    for place in np.flatnonzero(np.isnan(out).any(0)).tolist():
        name = columns[place].name
        row = int(np.isnan(out[:, place]).argmax())
        more = int(np.isnan(out[:, place]).sum()) - 1
        others = f" ({more} more in this column)" if more else ""
        raise DataError(
            f"{table.cell(name, row)}: is missing or not a number{others}, and this table was learned without gaps; fill or "
            "leave out such cells, or learn it with gaps: missing=yes (--data.missing yes)"
        )
