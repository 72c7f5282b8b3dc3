"""Cells: one column as it came, brought to numbers or to words, with what is missing."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from lambent.data.condition import level_of
from lambent.data.readers.frames import Columns, numbers, refuse_cell
from lambent.errors import DataError

Form = Literal["boolean", "number", "text", "datetime", "duration"]
IN_WORDS = {
    "boolean": "true or false",
    "number": "numbers",
    "text": "text",
    "datetime": "dates or times",
    "duration": "durations",
}
SECONDS = 1e6  # microseconds in one


@dataclass(frozen=True)
class Cells:
    """One column of a table.

    values: float64 [rows], NaN where missing: numbers, 0 and 1 for false and true, seconds (since 1970, UTC) for times; of text
    the places in `words`, −1 where missing. single: whether they came in single precision. zone: of times that have one.
    """

    form: Form
    values: np.ndarray
    words: list[str] = field(default_factory=list)
    single: bool = False
    zone: str | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def missing(self) -> np.ndarray:
        """Which cells hold nothing, bool [rows]."""
        return self.values < 0 if self.form == "text" else np.isnan(self.values)

    def spread(self, of_words: Sequence[float]) -> np.ndarray:
        """One number for each word → one for each row, NaN where the cell is missing."""
        return np.append(np.asarray(of_words, np.float64), np.nan)[self.values]


def cells(table: Columns, name: str) -> Cells:
    """The column of that name; `DataError` names a cell that is infinite, beyond 1e30 or of no type that has a place here."""
    values = table.values(name)
    if values.dtype.kind in "biuf":
        form: Form = "boolean" if values.dtype.kind == "b" else "number"
        return Cells(form, numbers(table, name, gaps=True), single=values.dtype.itemsize < 8)
    if values.dtype.kind in "Mm":
        return _of_times(values)
    return _of_objects(table, name, values)


def _of_times(values: np.ndarray, zone: str | None = None) -> Cells:
    """datetime64 or timedelta64 of any unit."""
    form: Form = "datetime" if values.dtype.kind == "M" else "duration"
    ticks = values.astype(f"{values.dtype.kind}8[us]")
    seconds = ticks.astype(np.int64) / SECONDS
    seconds[np.isnat(ticks)] = np.nan
    return Cells(form, seconds, zone=zone)


def _of_objects(table: Columns, name: str, values: np.ndarray) -> Cells:
    arrow: Any = importlib.import_module("pyarrow")  # untyped
    try:
        held = arrow.array(values, from_pandas=True)
    except (arrow.ArrowException, OverflowError, ValueError, TypeError):
        return _of_strings(arrow.array(_as_text(table, name, values), arrow.string()))
    kind, types = held.type, arrow.types
    if types.is_null(kind):
        return Cells("number", np.full(len(values), np.nan))
    if types.is_string(kind) or types.is_large_string(kind):
        return _of_strings(held)
    if types.is_boolean(kind):
        return Cells("boolean", _floats(held.cast(arrow.int8())))
    if types.is_timestamp(kind) or types.is_date(kind):
        return _of_times(_numpy(held.cast(arrow.timestamp("us"))), getattr(kind, "tz", None))
    if types.is_duration(kind):
        return _of_times(_numpy(held.cast(arrow.duration("us"))))
    if types.is_time(kind):
        return _of_strings(held.cast(arrow.string()))
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        plain = replace(table, names=[name], read=lambda _: _floats(held), notices=table.notices)
        return Cells("number", numbers(plain, name, gaps=True))
    row = next(row for row, value in enumerate(values) if value is not None)
    refuse_cell(table, name, row)


def _numpy(held: Any) -> np.ndarray:
    return np.asarray(held.to_numpy(zero_copy_only=False))


def _floats(held: Any) -> np.ndarray:
    arrow: Any = importlib.import_module("pyarrow")
    return np.asarray(_numpy(held.cast(arrow.float64(), safe=False)), np.float64)


def _as_text(table: Columns, name: str, values: np.ndarray) -> list[str | None]:
    """Cells of several types as text; `CellError` for one that is none."""
    made: list[str | None] = []
    for row, value in enumerate(values):
        if value is None or value != value:
            made.append(None)
        elif isinstance(value, (str, int, float, np.number, np.bool_)) or hasattr(value, "isoformat"):
            made.append(value if isinstance(value, str) else level_of(value))
        else:
            refuse_cell(table, name, row)
    return made


def _of_strings(held: Any) -> Cells:
    """Text; blanks alone are no text: that is what an empty cell of CSV is."""
    coded = held.dictionary_encode()
    words = coded.dictionary.to_pylist()
    codes = np.asarray(_numpy(coded.indices.fill_null(-1)), np.int64)
    place = np.full(len(words) + 1, -1)
    kept = [word for word in words if word.strip()]
    place[[i for i, word in enumerate(words) if word.strip()]] = np.arange(len(kept))
    return Cells("text", place[codes], kept)


def read_as(found: Cells, form: Form, table: Columns, name: str) -> Cells:
    """Cells in another form, where all can be read so; `DataError` names the first that cannot.

    Text is read as a number, a date or a time, or as true or false; numbers as text, whole ones without a point.
    """
    if found.form == form or not len(found) or found.missing.all():
        return found if found.form == form else _nothing(found, form)
    if form == "text":
        return _written(found)
    if found.form == "boolean" and form == "number":
        return replace(found, form="number")
    if found.form == "number" and form == "boolean" and np.isin(found.values[~found.missing], (0, 1)).all():
        return replace(found, form="boolean")
    if found.form == "text":
        read, bad = read_words(found.words, form)
        if bad is None:
            return Cells(form, found.spread(read))
        row = int(np.flatnonzero(found.values == bad)[0])
    else:
        row = int(np.flatnonzero(~found.missing)[0])
    raise DataError(f"{table.cell(name, row)}: {shown(table.values(name)[row])} is {LACKING[form]}")


LACKING = {
    "number": "no number",
    "boolean": "neither true nor false",
    "datetime": "no date or time",
    "duration": "no duration",
}


def shown(value: Any) -> str:
    """A cell in a message."""
    return repr(str(value)[:40])


def _nothing(found: Cells, form: Form) -> Cells:
    """As many cells of which none holds anything."""
    return Cells(form, np.full(len(found), -1) if form == "text" else np.full(len(found), np.nan))


def _written(found: Cells) -> Cells:
    present = ~found.missing
    different, places = np.unique(found.values[present], return_inverse=True)
    codes = np.full(len(found), -1)
    codes[present] = places
    return Cells("text", codes, [as_word(value, found.form) for value in different])


def as_word(value: float, form: Form) -> str:
    """A number, a truth or a time as text."""
    if form == "boolean":
        return level_of(bool(value))
    if form == "datetime":
        return str(np.datetime64(round(value * SECONDS), "us").astype("M8[s]"))
    return level_of(float(value))


def read_words(words: Sequence[str], form: Form) -> tuple[list[float], int | None]:
    """(the number that each word stands for, the place of the first that stands for none)."""
    read: list[float] = []
    for place, word in enumerate(words):
        value = read_word(word, form)
        if value is None:
            return read, place
        read.append(value)
    return read, None


def read_word(word: str, form: Form) -> float | None:
    """The number that text stands for; None if it stands for none."""
    word = word.strip()
    try:
        if form == "datetime":
            seconds = np.datetime64(word.replace(" ", "T", 1), "us").astype(np.int64) / SECONDS
            return float(seconds) if word and word != "NaT" else None
        if form == "boolean":
            return {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "yes": 1.0, "no": 0.0}.get(word.lower())
        value = float(word)
    except ValueError:
        return None
    return value if abs(value) <= 1e30 else None  # NaN and infinities too have no place
