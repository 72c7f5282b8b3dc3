"""Series: one column of a frame as numpy values of few kinds, and what the frame declares of it."""

import datetime
import decimal
import importlib
from typing import Any

import numpy as np

from lambent.data.readers.typed import Declared

NUMBERS = (bool, int, float, decimal.Decimal, np.bool_, np.number)
LONGEST = 4000  # digits of an integer that Python is asked to write out


def arrow() -> Any:
    """pyarrow, which has no types of its own."""
    return importlib.import_module("pyarrow")


def declared(series: Any) -> Declared:
    """What the frame says of a narwhals series."""
    import narwhals as nw

    kind = series.dtype
    name = type_name(kind)
    native = series.to_native()
    dtype: Any = getattr(native, "type", None) or getattr(native, "dtype", "")
    own = f"string[{dtype.storage}]" if str(dtype) == "string" and hasattr(dtype, "storage") else str(dtype)
    if kind in (nw.Categorical, nw.Enum):
        return _of_categories(series, name)
    if kind in (nw.Object, nw.Unknown) or (own == "object" and name == "String"):
        return Declared(_loose(series)[1], native=own)
    return Declared(name, zone=getattr(kind, "time_zone", None), native=own)


def type_name(kind: Any) -> str:
    """The name of a narwhals type, without what it is made of."""
    return kind.__name__ if isinstance(kind, type) else type(kind).__name__


def _of_categories(series: Any, name: str) -> Declared:
    """Categories in their declared order; of polars' Categorical, which declares none, those that occur, sorted."""
    native = series.to_native()
    if hasattr(native, "cat") and hasattr(native.cat, "categories"):  # pandas
        levels = native.cat.categories
        return Declared(
            name, None, tuple(str(v) for v in levels), bool(native.cat.ordered), f"category[{levels.dtype}]"
        )
    kind = getattr(native, "type", None)
    if kind is not None:  # pyarrow
        whole = native.unify_dictionaries().combine_chunks() if hasattr(native, "unify_dictionaries") else native
        chunks = getattr(whole, "chunks", [whole])
        levels = chunks[0].dictionary.to_pylist() if chunks else []
        return Declared(name, None, tuple(str(v) for v in levels), bool(kind.ordered), str(kind))
    if name == "Enum":
        return Declared(name, None, tuple(native.dtype.categories), True, name)
    return Declared(name, None, tuple(sorted(native.drop_nulls().cast(str).unique())), False, name)


def values(series: Any) -> np.ndarray:
    """A narwhals series as booleans, integers, floats, datetime64[us] in UTC, timedelta64[us], or objects.

    Text is objects, each str or None. Booleans and integers with gaps are floats with NaN. Times of the day are the time
    since midnight. What is none of these stays as objects.
    """
    import narwhals as nw

    kind, missing = series.dtype, series.null_count() > 0
    if kind == nw.Boolean and not missing:
        return np.asarray(series.to_numpy(), bool)
    if kind in (nw.Int128, nw.UInt128):  # numpy has no such integers
        return loose(objects(series.to_list()))[0]
    if kind.is_numeric() or kind == nw.Boolean:
        if missing or kind.is_decimal():
            series = series.cast(nw.Float32 if kind == nw.Float32 else nw.Float64)
        found = np.asarray(series.to_numpy())
        return found if found.dtype.kind in "iuf" else found.astype(np.float64)
    if type_name(kind) in ("Datetime", "Date", "Duration", "Time"):
        return moments(series.to_arrow())
    words = text(series)
    return _loose(series)[0] if words is None else np.asarray(words.to_numpy(zero_copy_only=False), object)


def text(series: Any) -> Any | None:
    """Text and categories of a narwhals series as an arrow array of strings; None of anything else."""
    import narwhals as nw

    pa = arrow()
    if series.dtype not in (nw.Categorical, nw.Enum, nw.String):
        return None
    native = series.to_native()
    if hasattr(native, "cat") and hasattr(native.cat, "categories"):  # of pandas, which may be numbers, dates, …
        codes = np.asarray(native.cat.codes, np.int32)
        levels = pa.array([str(v) for v in native.cat.categories], pa.string())
        return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), levels).dictionary_decode()
    try:
        found = series.to_arrow()
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return None
    if isinstance(found, pa.ChunkedArray):  # as pandas keeps text of large files
        found = found.combine_chunks()
    if pa.types.is_dictionary(found.type):
        found = pa.DictionaryArray.from_arrays(found.indices, found.dictionary.cast(pa.string())).dictionary_decode()
    if pa.types.is_null(found.type):
        return None
    return found if found.type == pa.string() else found.cast(pa.string())


def strings(cells: np.ndarray) -> Any:
    """Text, str or None, as an arrow array."""
    return arrow().array(cells, arrow().string(), from_pandas=True)


def typed(found: np.ndarray) -> str:
    """The type of values that declare none, by narwhals' name."""
    if found.dtype.kind == "O":
        return loose(found)[1]
    kinds = {"b": "Boolean", "M": "Datetime", "m": "Duration"}
    name = str(found.dtype)
    return kinds.get(found.dtype.kind) or name[:1].upper() + name[1:].replace("int", "Int", 1 if name[0] == "u" else 0)


def coded(found: Any) -> tuple[np.ndarray, list[str]]:
    """An arrow array of strings as numbers of levels [rows] int32, −1 where it is missing, and the levels as they come."""
    encoded = found.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
    return codes, encoded.dictionary.to_pylist()


def moments(found: Any) -> np.ndarray:
    """An arrow array of dates and times → datetime64[us] in UTC, of durations and times of the day → timedelta64[us]."""
    pa = arrow()
    if pa.types.is_time(found.type):
        found = found.cast(pa.time64("us")).cast(pa.int64()).cast(pa.duration("us"))
    elif pa.types.is_duration(found.type):
        found = found.cast(pa.duration("us"), safe=False)
    else:
        found = found.cast(pa.timestamp("us", getattr(found.type, "tz", None)), safe=False)
    return np.asarray(found.to_numpy(zero_copy_only=False))


def objects(cells: list[Any]) -> np.ndarray:
    """Cells as a flat array of objects, also where they are lists themselves."""
    found = np.empty(len(cells), object)
    found[:] = cells if not any(isinstance(cell, (list, np.ndarray)) for cell in cells) else None
    if len(cells) and any(isinstance(cell, (list, np.ndarray)) for cell in cells):
        for place, cell in enumerate(cells):
            found[place] = cell
    return found


def _loose(series: Any) -> tuple[np.ndarray, str]:
    return loose(objects(series.to_list()))


def loose(cells: np.ndarray) -> tuple[np.ndarray, str]:
    """Objects as the values that they are, and the name of their type: numbers, dates, text; else as they came.

    Numbers among text are written out, so that all is text. Integers that no float holds stay as they are, to be refused.
    """
    pa = arrow()
    try:
        found = pa.array(cells, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return _uneven(cells)
    kind, missing = found.type, found.null_count > 0
    if pa.types.is_null(kind):
        return np.full(len(cells), np.nan), "Unknown"
    if pa.types.is_boolean(kind):
        plain = found.cast(pa.int8()).to_numpy(zero_copy_only=False)
        return (plain.astype(np.float64) if missing else plain.astype(bool)), "Boolean"
    if pa.types.is_integer(kind) and not missing:
        return found.to_numpy(), "Int64"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        if beyond(cells).any():
            return cells, "Int64"
        return found.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), (
            "Int64" if pa.types.is_integer(kind) else "Float64"
        )
    if pa.types.is_decimal(kind):
        return found.cast(pa.float64()).to_numpy(zero_copy_only=False), "Decimal"
    if pa.types.is_temporal(kind):
        name = {"timestamp": "Datetime", "duration": "Duration"}.get(str(kind).split("[")[0])
        return moments(found), name or ("Date" if pa.types.is_date(kind) else "Time")
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return np.asarray(found.to_numpy(zero_copy_only=False), object), "String"
    return cells, "Object"


def _uneven(cells: np.ndarray) -> tuple[np.ndarray, str]:
    """Cells of several types: all numbers → floats; numbers and text → text; anything else as it came."""
    there = [cell for cell in cells if not absent(cell)]
    if all(isinstance(cell, NUMBERS) for cell in there):
        if beyond(cells).any():
            return cells, "Int64"
        return np.array([np.nan if absent(cell) else float(cell) for cell in cells]), "Float64"
    if all(isinstance(cell, (str, *NUMBERS)) for cell in there) and not beyond(cells, 10**LONGEST).any():
        return objects([None if absent(cell) else str(cell) for cell in cells]), "String"
    return cells, "Object"


def absent(cell: Any) -> bool:
    """Whether a cell is missing: None, NaN, NaT or pandas' NA."""
    return cell is None or type(cell).__name__ in ("NAType", "NaTType") or (isinstance(cell, float) and cell != cell)


def beyond(cells: np.ndarray, most: int = 2**53) -> np.ndarray:
    """Which of some objects are integers that are larger, as numbers or in digits."""
    return np.array([_larger(cell, most) for cell in cells], bool)


def _larger(cell: Any, most: int) -> bool:
    if isinstance(cell, str):
        digits = cell.strip().lstrip("+-")
        return digits.isdecimal() and (len(digits) > LONGEST or int(digits) > most)
    return isinstance(cell, int) and abs(cell) > most


def written(found: np.ndarray, kind: str = "") -> np.ndarray:
    """Values of any kind as text, None where they are missing: numbers in their shortest digits, dates in ISO form.

    kind: the type that was declared, for integers, truth values and dates that came as other values.
    """
    if found.dtype.kind == "O":
        return objects([None if absent(cell) else _word(cell) for cell in found])
    gaps = np.isnat(found) if found.dtype.kind in "Mm" else np.isnan(found)
    if kind == "Boolean":
        words = [str(bool(v)) for v in found]
    elif found.dtype.kind == "f" and "Int" in kind:
        words = [str(int(v)) for v in np.where(gaps, 0, found)]
    elif found.dtype.kind == "M":
        words = list(np.datetime_as_string(found, unit="D" if kind == "Date" else "auto"))
    else:
        words = list(found.astype(str) if found.dtype.kind != "m" else map(str, found))
    return objects([None if gap else str(word) for word, gap in zip(words, gaps, strict=True)])


def _word(cell: Any) -> str:
    if isinstance(cell, (datetime.datetime, datetime.date)):
        return cell.isoformat()
    return hex(cell) if isinstance(cell, int) and abs(cell) > 10**LONGEST else str(cell)
