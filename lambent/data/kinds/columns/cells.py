"""Cells: one column as it came, brought to numbers or to words, with what is missing."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from lambent.data.condition import level_of
from lambent.data.readers.frames import LARGEST_INTEGER, Columns, numbers, refuse_cell
from lambent.data.readers.series import NUMBERS, absent, beyond
from lambent.data.readers.typed import Declared, Typed
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
EARLIEST, LATEST = -6.2e10, 2.5e11  # seconds from 1970 between which there are dates: the years 5 to 9892
TEXT = ("String", "Categorical", "Enum")


@dataclass(frozen=True)
class Cells:
    """One column of a table.

    values: float64 [rows], NaN where missing: numbers, 0 and 1 for false and true, seconds (since 1970, UTC) for times; of text
    the places in `words`, −1 where missing. single: whether they came in single precision.
    """

    form: Form
    values: np.ndarray
    words: list[str] = field(default_factory=list)
    single: bool = False

    def __len__(self) -> int:
        return len(self.values)

    @property
    def missing(self) -> np.ndarray:
        """Which cells hold nothing, bool [rows]."""
        return np.asarray(self.values < 0 if self.form == "text" else np.isnan(self.values))

    def spread(self, of_words: Sequence[float]) -> np.ndarray:
        """One number for each word → one for each row, NaN where the cell is missing."""
        return np.asarray(np.append(np.asarray(of_words, np.float64), np.nan)[self.values])


def cells(table: Columns, name: str) -> Cells:
    """The column of that name; `DataError` names a cell that is infinite, beyond 1e30 or of no type that has a place here."""
    declared = table.declared(name)
    if declared.type in TEXT:
        return _of_words(*table.coded(name))
    values = table.values(name)
    if values.dtype.kind in "Mm":
        return _of_times(values)
    if values.dtype.kind == "O" and all(value is None or isinstance(value, str) for value in values):
        return _of_words(*table.coded(name))
    if (values.dtype.kind == "O" and beyond(values).any()) or has_long(values):
        return _of_words(*table.coded(name))
    if values.dtype.kind == "O":
        told = (row for row, value in enumerate(values) if not absent(value) and not isinstance(value, (str, *NUMBERS)))
        refuse_cell(table, name, next(told, 0))
    form: Form = "boolean" if values.dtype.kind == "b" or declared.type == "Boolean" else "number"
    return Cells(form, numbers(table, name, gaps=True), single=values.dtype.kind == "f" and values.itemsize < 8)


def has_long(values: np.ndarray) -> bool:
    """Whether any is an integer beyond 2^53, which float64 does not hold: such are words, if anything."""
    if values.dtype.kind not in "iu" or values.itemsize < 8 or not len(values):
        return False
    return bool(values.max() > LARGEST_INTEGER or (values.dtype.kind == "i" and values.min() < -LARGEST_INTEGER))


def _of_times(values: np.ndarray) -> Cells:
    """datetime64 or timedelta64 in microseconds."""
    form: Form = "datetime" if values.dtype.kind == "M" else "duration"
    seconds = values.astype(f"{values.dtype.kind}8[us]").astype(np.int64) / SECONDS
    seconds[np.isnat(values)] = np.nan
    return Cells(form, seconds)


def _of_words(codes: np.ndarray, words: list[str]) -> Cells:
    """Text; blanks alone are no text: that is what an empty cell of CSV is."""
    kept = [place for place, word in enumerate(words) if word.strip()]
    if len(kept) == len(words):
        return Cells("text", codes.astype(np.int64), words)
    place = np.full(len(words) + 1, -1)
    place[kept] = np.arange(len(kept))
    return Cells("text", place[codes], [words[one] for one in kept])


def typed(values: np.ndarray, form: Form, declared: Declared) -> Typed:
    """Numbers, NaN where missing, as what they stand for: seconds as times to the microsecond."""
    if form in ("datetime", "duration"):
        missing = np.isnan(values)
        ticks = np.rint(np.where(missing, 0, np.clip(values, EARLIEST, LATEST)) * SECONDS).astype(np.int64)
        times = ticks.astype("M8[us]" if form == "datetime" else "m8[us]")
        times[missing] = "NaT"
        return Typed(times, declared)
    return Typed(values, declared)


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
