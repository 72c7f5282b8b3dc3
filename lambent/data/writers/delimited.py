"""Delimited text: typed columns as the cells of CSV and TSV."""

import csv
import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from lambent.data.readers.forms import harmless, moments, truths
from lambent.data.readers.series import absent
from lambent.data.readers.typed import Declared, Typed


def rows_of_text(columns: Mapping[str, Typed], delimiter: str = ",", head: bool = True) -> str:
    """Lines of delimited text, the first of which names the columns; cells that are missing are empty.

    Numbers, truth values and moments are written as their columns declare, else in the fewest digits that tell them from
    others and in ISO form. Text that a spreadsheet would run as a formula gets an apostrophe before it, which reading takes
    away again: what begins with =, @, a tab or a return, or with + or - before letters or brackets.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\n")
    if head:
        writer.writerow([harmless(name) for name in columns])
    writer.writerows(zip(*(cells(column) for column in columns.values()), strict=True))
    return buffer.getvalue()


def cells(column: Typed) -> list[Any]:
    """The cells of one column, "" for what is missing."""
    if column.levels is not None:
        words = [harmless(level) for level in column.levels] + [""]  # −1, missing, is the last
        return [words[code] for code in column.values]
    values, declared = column.values, column.declared
    if values.dtype.kind == "O":
        return ["" if absent(cell) else harmless(cell) if isinstance(cell, str) else cell for cell in values]
    if values.dtype.kind in "Mm":
        missing = np.isnat(values)
        found = moments_or_spans(values, declared)
    else:
        missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
        found = _numbers(values, missing, declared)
    return ["" if gap else cell for cell, gap in zip(found, missing, strict=True)] if missing.any() else found


def moments_or_spans(values: np.ndarray, declared: Declared) -> list[str]:
    """Moments in ISO form, those with a zone in UTC; times of the day as 03:04:05, durations as 1 days 00:00:03."""
    if values.dtype.kind == "M":
        return moments(values, declared.form, declared.type, declared.zone is not None)
    return [_span(int(one), declared.type == "Time") for one in values.astype("m8[us]").astype(np.int64)]


def _span(microseconds: int, of_day: bool) -> str:
    days, rest = divmod(microseconds, 86_400_000_000)
    seconds, fraction = divmod(rest, 1_000_000)
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}" + (
        f".{fraction:06d}" if fraction else ""
    )
    return clock if of_day else f"{days} days {clock}"


def _numbers(values: np.ndarray, missing: np.ndarray, declared: Declared) -> list[Any]:
    """Numbers and truth values; float32 in its own shortest digits, not in those of the nearest float64."""
    if values.dtype.kind == "b" or declared.type == "Boolean":
        return truths(np.where(missing, 0, values).astype(bool).tolist(), declared.form)
    filled = np.where(missing, values.dtype.type(0), values) if missing.any() else values
    whole = "Int" in declared.type and (values.dtype.kind in "iu" or bool((filled == np.rint(filled)).all()))
    if whole:
        listed = [int(value) for value in filled.tolist()]
        return [format(value, declared.form) for value in listed] if declared.form.endswith("d") else listed
    if declared.form.endswith("f"):
        return [format(value, declared.form) for value in filled.tolist()]
    return list(filled.astype(str) if values.dtype.kind == "f" else filled.tolist())
