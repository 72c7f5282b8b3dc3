"""Filling: the gaps of a table as it was given, with all else as it was, to the bit."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lambent.data.readers.frames import Columns, is_frame
from lambent.data.readers.framing import arrow_array, framed, plain
from lambent.data.readers.series import arrow
from lambent.data.readers.typed import Typed


def there(column: Typed) -> np.ndarray:
    """Which cells of a column hold something, bool [rows]."""
    values: np.ndarray = column.values
    if column.levels is not None:
        return np.asarray(values >= 0)
    if values.dtype.kind in "Mm":
        return np.asarray(~np.isnat(values))
    if values.dtype.kind == "O":
        return np.array([value is not None for value in values])
    return np.asarray(~np.isnan(values)) if values.dtype.kind == "f" else np.ones(len(values), bool)


def filled(raw: Any, opened: Columns, fills: Mapping[str, Typed], beside: Mapping[str, Typed]) -> Any:
    """A copy of `raw` (an array, a frame, or the frame of a file) with what `fills` hold put into it, and columns behind it.

    opened: its columns by the names that `fills` have for them, in its own order; fills: of every row, missing where nothing is
    to be put. Of a file it is a frame of the first library that is installed.
    """
    if is_frame(raw) and opened.backend in _FRAMES:
        return _FRAMES[opened.backend](raw, opened, fills, beside)
    if is_frame(raw) or isinstance(raw, (str, Path, Columns)):
        return framed(merged_columns(opened, fills, beside), opened.backend)
    return _array(np.asarray(raw) if isinstance(raw, (list, tuple)) else raw, opened, fills, beside)


def _array(raw: Any, opened: Columns, fills: Mapping[str, Typed], beside: Mapping[str, Typed]) -> np.ndarray:
    given = raw.detach().cpu().numpy() if hasattr(raw, "detach") else raw
    mask = np.ma.getmaskarray(given) if isinstance(given, np.ma.MaskedArray) else None
    array = np.array(given.filled(0) if mask is not None else given)
    if mask is not None and mask.any() and array.dtype.kind in "biu":
        array = array.astype(np.float64)
    for name, column in fills.items():
        rows, place = there(column), opened.names.index(name)
        array[rows, place] = plain(column)[rows]
    if not beside:
        return array
    return np.concatenate([array, framed(beside, "array").astype(array.dtype)], 1)


def _pandas(raw: Any, opened: Columns, fills: Mapping[str, Typed], beside: Mapping[str, Typed]) -> Any:
    frame = raw.copy()
    for name, column in fills.items():
        rows, place = there(column), opened.names.index(name)
        own = frame.iloc[:, place].copy()
        frame.isetitem(place, _put(own, rows, framed({name: column}, "pandas")[name], column))
    for name, column in beside.items():
        frame[name] = framed({name: column}, "pandas")[name].to_numpy()
    return frame


def _put(own: Any, rows: np.ndarray, made: Any, column: Typed) -> Any:
    """A pandas series with the cells of some rows; its type stays unless it cannot hold them."""
    if hasattr(own.dtype, "categories"):
        lacking = [value for value in dict.fromkeys(made[rows]) if value not in own.dtype.categories]
        own = own.cat.add_categories(lacking) if lacking else own
    values = made[rows]
    try:
        own[rows] = values.astype(own.dtype).array if own.dtype.kind in "fM" else values.array
    except (TypeError, ValueError):
        own = own.astype(object)
        own[rows] = plain(column)[rows]
    return own


def _polars(raw: Any, opened: Columns, fills: Mapping[str, Typed], beside: Mapping[str, Typed]) -> Any:
    pl: Any = importlib.import_module("polars")
    frame = raw.collect() if hasattr(raw, "collect") and not hasattr(raw, "height") else raw
    changed = []
    for name, column in fills.items():
        own = frame.to_series(opened.names.index(name))
        made = pl.Series(own.name, framed({name: column}, "polars")[name])
        if own.dtype != made.dtype:
            made = made.cast(own.dtype, strict=False)
        changed.append(made.zip_with(pl.Series(there(column)), own))
    own_frame = frame.with_columns(changed)
    return own_frame.with_columns([framed({name: one}, "polars")[name] for name, one in beside.items()])


def _pyarrow(raw: Any, opened: Columns, fills: Mapping[str, Typed], beside: Mapping[str, Typed]) -> Any:
    pa = arrow()
    compute: Any = importlib.import_module("pyarrow.compute")
    frame = raw
    for name, column in fills.items():
        place = opened.names.index(name)
        field, own = frame.field(place), frame.column(place).combine_chunks()
        made, encoded = arrow_array(column), pa.types.is_dictionary(frame.field(place).type)
        if encoded:
            own = own.cast(field.type.value_type)
        if pa.types.is_dictionary(made.type):
            made = made.cast(made.type.value_type)
        joined = compute.if_else(pa.array(there(column)), made.cast(own.type, safe=False), own)
        frame = frame.set_column(place, field, joined.dictionary_encode().cast(field.type) if encoded else joined)
    for name, column in beside.items():
        frame = frame.append_column(name, arrow_array(column))
    return frame


def merged(own: Typed, fill: Typed) -> Typed:
    """A column with what `fill` holds put into it."""
    rows = there(fill)
    values, new = plain(own), plain(fill)
    if values.dtype.kind == "O" or (new.dtype.kind == "O" and rows.any()):
        values = values.astype(object)
    elif values.dtype.kind in "Mm":
        new = new.astype(values.dtype)
    values = values.copy() if values.dtype.kind in "OMmf" else values.astype(np.float64)
    values[rows] = new[rows]
    return Typed(values, own.declared if own.declared.type != "Unknown" else fill.declared)


def merged_columns(opened: Columns, fills: Mapping[str, Typed], beside: Mapping[str, Typed]) -> dict[str, Typed]:
    """All columns of a table, filled, and those beside them."""
    own = {name: Typed(opened.values(name), opened.declared(name)) for name in opened.names}
    return {name: merged(one, fills[name]) if name in fills else one for name, one in own.items()} | dict(beside)


_FRAMES = {"pandas": _pandas, "polars": _polars, "pyarrow": _pyarrow}
