"""Settling: columns that were tallied as columns that encode; and the same from their stored state."""

import math
from typing import Any, get_args

from lambent.data.kinds.columns.base import NAMED, Column, Kind
from lambent.data.kinds.columns.binning import TOKENS
from lambent.data.kinds.columns.cells import Form
from lambent.data.kinds.columns.left_out import Constant, Empty, FreeText, Identifier
from lambent.data.kinds.columns.levels import MOST, Levels
from lambent.data.kinds.columns.numeric import MOST_DECIMALS, Numeric
from lambent.data.kinds.columns.ranked import Ranked
from lambent.data.kinds.columns.tally import Tally
from lambent.data.kinds.columns.warped import Leaf, Warped
from lambent.data.kinds.columns.warps import MOST_KNOTS
from lambent.data.readers.typed import Declared
from lambent.errors import ArtifactError

TYPES: dict[str, type[Column]] = {
    one.tag: one for one in (Numeric, Constant, Levels, Ranked, Warped, Identifier, FreeText, Empty)
}


def column_of(tally: Tally, kind: Kind, leaves: bool = False) -> Column:
    """The column of that kind; leaves: encoded for a likelihood of its own values, and not by ranks."""
    name, why = kind
    if name == "empty":
        return Empty(tally.name, why=why, declared=tally.declared)
    if name == "text":
        return FreeText(tally.name, why=why, declared=tally.declared)
    if name == "constant":
        return Constant.learned(tally, why)
    if name == "identifier":
        return Identifier.learned(tally, why)
    if name in NAMED:
        order = tally.declared.levels if name == "ordinal" and tally.form == "text" else None
        return Levels.learned(tally, name, why, order, whole=leaves)
    return Warped.learned(tally, name, why) if leaves else Ranked.learned(tally, name, why)


def restored(state: dict[str, Any]) -> Column:
    """The column that `state` describes; `ArtifactError` if it describes none, or one that cannot be."""
    try:
        fields = dict(state)
        column = _made(TYPES[fields.pop("column", None) or fields.pop("kind")], fields)
        column.name, column.kind, column.why = str(column.name), str(column.kind), str(column.why)
        fault = _fault(column)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError):
        raise ArtifactError(f"the stored state of Table has a damaged column: {str(state)[:200]}") from None
    if fault is not None:
        raise ArtifactError(f"the stored state of Table {fault}")
    return column


def _made(kind: type[Column], fields: dict[str, Any]) -> Column:
    for name in fields.keys() & {"declared", "source"}:
        fields[name] = Declared.restored(fields[name])
    if "form" in fields and fields["form"] not in get_args(Form):
        raise ValueError(fields["form"])
    for name, value in fields.items():
        if isinstance(value, list) and len(value) > 2 * MOST:
            raise ValueError(name)
    return kind(**fields)


def _fault(column: Column) -> str | None:
    """What cannot be in a column."""
    if isinstance(column, Numeric) and not (math.isfinite(column.centre) and 0 < column.scale < math.inf):
        return f"scales column {column.name!r} by {column.scale}"
    if isinstance(column, Numeric) and not _is_range(column):
        return f"has a range of column {column.name!r} that cannot be"
    if isinstance(column, Constant) and not (isinstance(column.value, str) or math.isfinite(column.value)):
        return f"has column {column.name!r} constant at {column.value}"
    if isinstance(column, Levels) and not _are_levels(column):
        return f"has levels of column {column.name!r} that cannot be"
    if isinstance(column, Ranked) and not _are_tokens(column):
        return f"has tokens of column {column.name!r} that are not in order"
    if isinstance(column, Warped) and not _are_maps(column):
        return f"has a map of column {column.name!r} that does not rise"
    if isinstance(column, Identifier) and not _are_shapes(column):
        return f"has formats of column {column.name!r} that cannot be"
    return None


def _is_range(column: Numeric) -> bool:
    if column.least is None or column.most is None:
        return column.least is column.most
    within = math.isfinite(column.least) and math.isfinite(column.most) and column.least <= column.most
    return within and (column.decimals is None or 0 <= int(column.decimals) <= MOST_DECIMALS)


def _are_levels(column: Levels) -> bool:
    every = [*column.levels, *column.rare]
    kind = str if column.form == "text" else float
    right = all(isinstance(level, kind) for level in every) and len(set(every)) == len(every)
    shares = all(isinstance(share, float) and 0 < share <= 1 for share in column.shares)
    counts = all(isinstance(count, int) and count >= 0 for count in column.counts)
    finite = kind is str or all(math.isfinite(float(level)) for level in every)
    return right and shares and counts and finite and 0 < len(column.levels) == len(column.counts) <= MOST


def _are_tokens(column: Ranked) -> bool:
    numbers = [*column.low, *column.high, *column.inflated, column.step, column.unit]
    if not all(isinstance(value, (int, float)) and math.isfinite(value) for value in numbers):
        return False
    ordered = all(low <= high for low, high in zip(column.low, column.high, strict=True))
    ordered = ordered and all(a < b for a, b in zip(column.low[:-1], column.low[1:], strict=True))
    ordered = ordered and all(high <= low for high, low in zip(column.high[:-1], column.low[1:], strict=True))
    return ordered and 0 < len(column.low) < TOKENS and column.step >= 0 and column.unit > 0 and column.form != "text"


def _are_maps(column: Warped) -> bool:
    numbers = [*column.knots, *column.spikes, column.centre, column.scale, column.step, column.unit]
    if not all(isinstance(value, (int, float)) and math.isfinite(value) for value in numbers):
        return False
    positive = column.scale > 0 and column.step >= 0 and column.unit > 0 and column.form != "text"
    gridded = column.leaf == "density" or (column.step > 0 and not column.spikes)
    gridded = gridded and column.leaf in get_args(Leaf)
    return positive and gridded and len(column.spikes) <= TOKENS and len(column.knots) <= 2 * MOST_KNOTS


def _are_shapes(column: Identifier) -> bool:
    shapes = all(isinstance(part, str) and part for shape in column.shapes for part in shape)
    counted = column.after is None or (isinstance(column.after, int) and column.after >= 0)
    shares = len(column.shares) == len(column.shapes) and all(0 < share <= 1 for share in column.shares)
    return (
        shapes and counted and shares and (column.after is not None or (bool(column.shapes) and column.form == "text"))
    )
