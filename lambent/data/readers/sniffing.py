"""Sniffing: whether a path or an object holds texts, by its name and, where that is not enough, by how it begins."""

import os
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lambent.data.readers import folders, packed
from lambent.data.readers.texts import ENTRIES, JSON_LINES, LINES, SNIFFED, WHOLE
from lambent.errors import DataError

_FILE = re.compile(r"\S*[\w)]\.[A-Za-z][A-Za-z0-9]{1,5}(\.gz)?")  # a name of a file, and no sentence
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?|nan|NaN|NA")
SHOWN = 50  # lines that are looked at


def of_texts(source: Any) -> bool:
    """Whether these are texts by their form: a file or a folder of them, or strings in memory."""
    if isinstance(source, Path):
        return _path(source)
    if isinstance(source, (list, tuple)):
        first = source[:ENTRIES]
        return bool(first) and all(isinstance(one, str) for one in first) and not any(map(_is_file, first[:3]))
    if isinstance(source, np.ndarray):
        return source.ndim == 1 and source.dtype.names is None and _strings(source[:ENTRIES].tolist())
    if hasattr(source, "to_list") and hasattr(source, "dtype") and hasattr(source, "name"):
        return _strings(source.head(ENTRIES).to_list())  # a Series of pandas or polars
    return False


def _is_file(text: str) -> bool:
    """Whether a string is the name of a file rather than a text."""
    return _FILE.fullmatch(text) is not None or (len(text) < 4096 and "\0" not in text and os.path.exists(text))


def _strings(values: Sequence[Any]) -> bool:
    there = [value for value in values if value is not None and value == value]
    return bool(there) and all(isinstance(value, str) for value in there)


def _path(path: Path) -> bool:
    try:
        if path.is_dir():
            return _folder(path)
        if not path.is_file():
            return False
    except (OSError, ValueError):
        return False
    suffix = packed.suffix(path)
    if suffix == ".txt":
        return not _tabular(path)
    return suffix in (*LINES, *JSON_LINES)


def _folder(path: Path) -> bool:
    """Whether most of the first files of a folder are texts; below it, where it holds nothing but folders."""
    texts = others = 0
    for place, inner, names in os.walk(path):
        inner[:] = sorted(name for name in inner if folders.passed_by(name) is None)
        for name in names:
            if folders.passed_by(name) is None:
                of_text = packed.suffix(Path(name)) in WHOLE
                texts, others = texts + of_text, others + (not of_text)
        if texts + others >= ENTRIES or (texts + others and place != str(path)):
            break
    return texts > others


def _tabular(path: Path) -> bool:
    """Whether the first lines of a file have as many fields each, parted by a mark or, some being numbers, by blanks."""
    try:
        with packed.plain(path) as stream:
            start = stream.read(SNIFFED)
    except (OSError, EOFError, zlib.error, DataError):
        return False
    lines = start.decode("utf-8", "replace").split("\n")
    lines = [line.strip() for line in (lines[:-1] if len(start) == SNIFFED else lines) if line.strip()][:SHOWN]
    for mark in (None, ",", ";", "\t", "|"):
        rows = [line.split(mark) for line in lines]
        widths = {len(row) for row in rows}
        if len(widths) != 1 or not rows or (widths == {1} and mark is not None):
            continue
        body = rows[1:] or rows  # the first may hold names
        of_numbers = [all(_NUMBER.fullmatch(row[i].strip()) for row in body) for i in range(widths.pop())]
        if any(of_numbers) or (mark is not None and len(rows) > 1):
            return True
    return False
