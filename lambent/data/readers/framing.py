"""Framing: typed columns → a frame of any library, with the data types that they came with."""

import importlib
import importlib.util
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lambent.data.readers.series import arrow, objects, written
from lambent.data.readers.typed import Declared, Typed

_UNIT = re.compile(r"\b(s|ms|us|ns)\b")


def framed(columns: Mapping[str, Typed], backend: str) -> Any:
    """A frame of pandas, polars or pyarrow with these columns; for "array" a 2-D array of floats, or of objects.

    Each column has the type that it was declared with where its values allow it: integers with gaps in pandas, for one,
    are Int64. Of other backends, such as "file", it is a frame of the first of these libraries that is installed.
    """
    if backend == "array":
        return _array(columns)
    library = installed(backend)
    if library == "pyarrow":
        return _arrow(columns, backend == library)
    return FRAMES[library](columns, backend == library)


def installed(backend: str) -> str:
    """The library whose frames stand for a backend: itself, or the first that is there."""
    return next(name for name in (backend, *FRAMES) if name in FRAMES and importlib.util.find_spec(name) is not None)


def _array(columns: Mapping[str, Typed]) -> np.ndarray:
    """[rows, columns]: floats where all are numbers, else objects."""
    if all(one.levels is None and one.values.dtype.kind in "biuf" for one in columns.values()):
        return np.stack([one.values.astype(np.float64) for one in columns.values()], axis=1)
    return np.stack([objects(plain(one).tolist()) for one in columns.values()], axis=1)


def plain(column: Typed) -> np.ndarray:
    """The values of a column, those of text as objects: str or None."""
    if column.levels is None:
        return column.values
    words: np.ndarray = objects([*column.levels, None])[column.values]  # −1 is the last
    return words


def arrow_table(columns: Mapping[str, Typed]) -> Any:
    """The columns as an arrow table of the types that narwhals' names stand for, with nulls for what is missing."""
    return arrow().table({name: arrow_array(column) for name, column in columns.items()})


def arrow_array(column: Typed) -> Any:
    """A column as an arrow array of its declared type, or of the plain one where the values do not fit it."""
    pa = arrow()
    declared, kind = column.declared, column.declared.type
    if kind in ("Categorical", "Enum"):
        codes, levels = by_level(column)
        codes = pa.array(codes, mask=codes < 0)
        return pa.DictionaryArray.from_arrays(codes, pa.array(levels, pa.string()), ordered=declared.ordered)
    if column.levels is not None:
        codes = pa.array(column.values, pa.int32(), mask=column.values < 0)
        return pa.DictionaryArray.from_arrays(codes, pa.array(list(column.levels), pa.string())).dictionary_decode()
    values = column.values
    if values.dtype.kind == "O":
        return _of_objects(values, kind)
    if values.dtype.kind in "Mm":
        return _of_moments(values, declared)
    missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
    if kind == "Unknown" and missing.all():
        return pa.nulls(len(values))
    if kind == "Boolean":
        return pa.array(np.where(missing, 0, values).astype(bool), mask=missing)
    if kind == "Decimal":
        return _decimals(values, declared.native)
    if "Int" in kind and _whole(values):
        return _integers(values, missing, kind)
    if kind == "Float32":
        return pa.array(values.astype(np.float32), mask=missing)
    return pa.array(values, mask=missing)


def _of_objects(values: np.ndarray, kind: str) -> Any:
    pa = arrow()
    return (
        pa.nulls(len(values))
        if kind == "Unknown" and all(v is None for v in values)
        else pa.array(written(values), pa.string())
    )


def _of_moments(values: np.ndarray, declared: Declared) -> Any:
    """Dates, times and durations, in the unit that they came in if none is beyond it."""
    pa = arrow()
    found = pa.array(values)
    named = _UNIT.search(declared.native)
    unit = named.group() if named else "us"
    if values.dtype.kind == "m":
        if declared.type == "Time":
            return found.cast(pa.duration("us")).cast(pa.int64()).cast(pa.time64("us"))
        wanted = pa.duration(unit)
    else:
        wanted = pa.date32() if declared.type == "Date" else pa.timestamp(unit, declared.zone)
    try:
        return found.cast(wanted, safe=unit == "ns")  # nanoseconds end in 2262; seconds cut fractions off
    except pa.ArrowInvalid:
        return found.cast(pa.duration("us") if values.dtype.kind == "m" else pa.timestamp("us", declared.zone))


def _whole(values: np.ndarray) -> bool:
    if values.dtype.kind != "f":
        return True
    there = values[~np.isnan(values)]
    return bool((there == np.rint(there)).all()) and bool((np.abs(there) < 2**63).all())


def _integers(values: np.ndarray, missing: np.ndarray, kind: str) -> Any:
    """Whole numbers in their own width, or in 64 bits where one does not fit."""
    pa = arrow()
    whole = np.where(missing, 0, values).astype(values.dtype if values.dtype.kind in "iu" else np.int64)
    found = pa.array(whole, mask=missing)
    try:
        return found.cast(getattr(pa, kind.lower())())
    except (AttributeError, pa.ArrowInvalid):
        return found


def _decimals(values: np.ndarray, native: str) -> Any:
    """Decimals of so many digits, as the name of the type says."""
    from decimal import Decimal

    pa = arrow()
    digits = [int(number) for number in re.findall(r"\d+", native.replace("decimal128", "").replace("decimal256", ""))]
    precision, scale = (digits[0], digits[1]) if len(digits) > 1 else (38, 10)
    cells = [None if value != value else Decimal(f"{value:.{scale}f}") for value in values.astype(np.float64)]
    return pa.array(cells, pa.decimal128(min(38, precision), scale))


def by_level(column: Typed) -> tuple[np.ndarray, list[str]]:
    """A column's numbers of levels, −1 where it is missing, and its levels: those declared, in their order, then others."""
    levels = list(column.declared.levels or ())
    if column.levels is None:
        cells = written(column.values)
        own, codes = np.unique(
            np.array([cell for cell in cells if cell is not None], object).astype(str), return_inverse=True
        )
        held = np.full(len(cells), -1)
        held[[cell is not None for cell in cells]] = codes
        names = own.tolist()
    else:
        held, names = column.values, list(column.levels)
    used = {names[code] for code in np.unique(held) if code >= 0}
    place = {name: number for number, name in enumerate(levels)}
    for name in names:
        if name not in place and name in used:
            place[name] = len(place)
            levels.append(name)
    at = np.array([place.get(name, -1) for name in names] + [-1], np.int32)
    return at[held], levels


def _arrow(columns: Mapping[str, Typed], own: bool) -> Any:
    pa = arrow()
    arrays = {}
    for name, column in columns.items():
        found, native = arrow_array(column), column.declared.native
        if own and native in ("large_string", "string_view", "large_binary"):
            found = found.cast(pa.type_for_alias(native))
        arrays[name] = found
    return pa.table(arrays)


def _polars(columns: Mapping[str, Typed], own: bool) -> Any:
    pl: Any = importlib.import_module("polars")
    series = {}
    for name, column in columns.items():
        found = pl.Series(name, pl.from_arrow(arrow_array(column)))
        if column.declared.type == "Enum":
            found = found.cast(pl.String).cast(pl.Enum(by_level(column)[1]))
        elif column.declared.type in ("Int128", "UInt128") and hasattr(pl, column.declared.type):
            found = found.cast(getattr(pl, column.declared.type))
        elif own and column.declared.native in ("Int8", "Int16", "UInt8", "UInt16"):
            found = found.cast(getattr(pl, column.declared.native), strict=False) if found.dtype.is_integer() else found
        series[name] = found
    return pl.DataFrame(series)


def _pandas(columns: Mapping[str, Typed], own: bool) -> Any:
    pd: Any = importlib.import_module("pandas")
    series = {name: _pandas_series(pd, column, own) for name, column in columns.items()}
    return pd.DataFrame(series)


def _pandas_series(pd: Any, column: Typed, own: bool) -> Any:
    """One column as pandas had it; of files, in its nullable types where there are gaps."""
    native = column.declared.native if own else ""
    found = arrow_array(column)
    kind = column.declared.type
    if native.endswith("[pyarrow]") and kind != "String":
        return pd.Series(pd.arrays.ArrowExtensionArray(found))
    if kind in ("Categorical", "Enum"):
        codes, levels = by_level(column)
        return pd.Series(
            pd.Categorical.from_codes(codes, _categories(pd, levels, native), ordered=column.declared.ordered)
        )
    if kind == "Unknown" and found.null_count == len(found):
        return pd.Series([None] * len(found), dtype="float64" if native == "float64" else object)
    gaps = found.null_count > 0
    if gaps and arrow().types.is_integer(found.type) and native != "object":
        native = str(found.type).replace("u", "U").replace("int", "Int")
    elif gaps and kind == "Boolean" and native != "object":
        native = "boolean"
    plainly = found.to_pandas(date_as_object=True)
    if not native or str(plainly.dtype) == native or kind == "Decimal":
        return plainly
    return _as(pd, found, plainly, native)


def _as(pd: Any, found: Any, plainly: Any, native: str) -> Any:
    """A series of a dtype by its name; as arrow makes it where its values do not fit."""
    try:
        if native == "object" or native.startswith(("string", "str", "Int", "UInt", "Float", "boolean")):
            return pd.Series(objects(found.to_pylist()), dtype=native)
        return plainly.astype(native)
    except (TypeError, ValueError, OverflowError):
        return plainly


def _categories(pd: Any, levels: list[str], native: str) -> Any:
    """The index of categories, in the type they had: category[int64] → integers."""
    kind = native.removeprefix("category[").removesuffix("]") if native.startswith("category[") else ""
    try:
        if kind == "bool":
            return pd.Index([level == "True" for level in levels])
        return pd.Index(levels).astype(kind) if kind else pd.Index(levels)
    except (TypeError, ValueError):
        return pd.Index(levels)


FRAMES: dict[str, Callable[[Mapping[str, Typed], bool], Any]] = {
    "pandas": _pandas,
    "polars": _polars,
    "pyarrow": _arrow,
}
