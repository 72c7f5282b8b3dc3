"""Texts: one a line of a file, one a file of a folder, a column of a table, a field of JSON lines, or strings in memory."""

import codecs
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lambent.data.notices import Notices
from lambent.data.readers import folders, frames, packed, tabular
from lambent.data.readers import regular as files
from lambent.data.readers.frames import Columns
from lambent.errors import DataError, nearest

LINES = (".txt", ".text", ".log", ".smi")  # a text a line
WHOLE = (".txt", ".text", ".md", ".log")  # of a folder: a text a file
JSON_LINES = (".jsonl", ".ndjson")
USUAL = ("text", "sentence", "content", "smiles", "message", "body")  # names of a column of texts
UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
BINARY = 0.1  # share of NUL bytes from which on a file is no text
SNIFFED = 1 << 16  # bytes that tell a text from a table
ENTRIES = 1000  # of a folder, that tell what it holds
REPLACED = "\N{REPLACEMENT CHARACTER}"


@dataclass
class Texts:
    """Texts as they were found, those of files without the empty ones, with what lay beside them.

    origin: a path or the type of an object, for messages. lines: the line of each in its file, from 1. files: the file of each.
    beside: columns [rows] by name. places: of each among all that there were, empty ones counted.
    """

    texts: list[str]
    origin: str
    places: np.ndarray
    lines: np.ndarray | None = None
    files: list[str] | None = None
    labels: np.ndarray | None = None
    label_names: list[str] | None = None
    beside: dict[str, np.ndarray] = field(default_factory=dict)
    notices: Notices = field(default_factory=Notices)

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: np.ndarray) -> "Texts":
        """The texts at `index`, which keep their numbers and lines; what was noticed is of the whole."""
        some = np.asarray(index).tolist()
        return Texts(
            [self.texts[i] for i in some],
            self.origin,
            self.places[index],
            None if self.lines is None else self.lines[index],
            None if self.files is None else [self.files[i] for i in some],
            None if self.labels is None else self.labels[index],
            self.label_names,
            {name: values[index] for name, values in self.beside.items()},
            self.notices,
        )


def texts_in(path: Path, column: str | None, beside: Sequence[str]) -> Texts:
    """The texts of a folder or a file, by what its name ends in.

    column: of a table or of JSON lines, the one that holds the texts; none: the one that is text. beside: other columns to keep.
    `DataError` names the file, and the line or the column, at fault.
    """
    if path.is_dir():
        return _folder(path)
    suffix = packed.suffix(files.regular(path))
    if suffix in JSON_LINES:
        return _of_records(path, column, beside)
    if suffix in LINES or not tabular.is_table(path):
        return _of_lines(path, first_field=suffix == ".smi")
    return of_table(tabular.read_table(path), column, beside)


def of_strings(values: Iterable[Any], origin: str) -> Texts:
    """Texts of strings in memory, empty ones too, as None and NaN count; `DataError` for the first value that is no string."""
    cells: list[str | None] = []
    for number, value in enumerate(values):
        missing = value is None or value != value or type(value).__name__ == "NAType"
        if not missing and not isinstance(value, str):
            raise DataError(f"{origin}: item {number} is a {type(value).__name__}; texts are strings (str)")
        cells.append(None if missing else str(value))
    if not cells:
        raise DataError(f"{origin}: is empty; give at least one text")
    return _clean([cell or "" for cell in cells], origin, np.arange(len(cells)))


def of_table(table: Columns, column: str | None, beside: Sequence[str]) -> Texts:
    """One column of a table as texts, with others beside it."""
    name = column or _likeliest(table.names, lambda name: table.values(name).dtype.kind == "O", table.origin)
    found = _kept(table.text(name).tolist(), table.origin)
    at = found.places
    found.beside = {other: table.values(other)[at] for other in beside if other in table}
    return found


def _likeliest(names: Sequence[str], of_text: Callable[[str], bool], origin: str) -> str:
    """The column of a usual name, or the only one that is text; `DataError` that asks where there are several or none."""
    usual = [name for wanted in USUAL for name in names if name.lower() == wanted]
    texts = [name for name in names if of_text(name)]
    if usual or len(texts) == 1:
        return (usual or texts)[0]
    what = f"columns {frames.listed(texts)} are text" if texts else f"no column of {frames.listed(list(names))} is text"
    raise DataError(f"{origin}: {what}; say which holds the texts: column= (--data.column NAME)")


def _kept(cells: Sequence[str | None], origin: str) -> Texts:
    """Texts without the empty ones, which are counted."""
    kept = [number for number, cell in enumerate(cells) if cell is not None and cell.strip()]
    if not kept:
        raise DataError(f"{origin}: holds no text, {len(cells):,} of {len(cells):,} are empty")
    found = _clean([str(cells[number]) for number in kept], origin, np.array(kept, np.int64))
    found.notices.update({"empty_texts": len(cells) - len(kept)} if len(kept) < len(cells) else {})
    return found


def _clean(cells: Sequence[str], origin: str, places: np.ndarray) -> Texts:
    """Texts of which every character is one that Unicode allows alone; others are replaced, and counted."""
    notices, texts = Notices(), []
    for text in cells:
        if not text.isascii():
            clean = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
            notices.update({"surrogates": 1} if clean != text else {})
            texts.append(clean)
        else:
            texts.append(text)
    return Texts(texts, origin, places, notices=notices)


def _decoded(path: Path) -> tuple[str, int]:
    """A file's characters, and how many bytes in it were replaced, for they are no UTF-8; unpacked where it is gzip."""
    with files.unchanged(files.regular(path)), packed.plain(path) as stream:
        content = stream.read(files.LIMIT_BYTES + 1)
    if len(content) > files.LIMIT_BYTES:
        raise DataError(f"{path}: is larger than {files.LIMIT_BYTES:,} bytes; give it in parts")
    coding = UTF16.get(content[:2])
    if coding is not None:
        text = content[2:].decode(coding, "replace")
        return text, text.count(REPLACED)
    if content.count(0) > BINARY * len(content):
        raise DataError(f"{path}: {content.count(0):,} of its {len(content):,} bytes are NUL: it is no text")
    text = content.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace")
    return text, text.count(REPLACED) - content.count(REPLACED.encode())


def _of_lines(path: Path, first_field: bool) -> Texts:
    """A text a line. first_field: names stand behind the texts, as in files of molecules, and are left out."""
    whole, replaced = _decoded(path)
    lines = [line.removesuffix("\r") for line in whole.split("\n")]
    if lines and not lines[-1]:
        lines.pop()  # behind the last line break there is no line
    if first_field:
        lines = [(line.split(maxsplit=1) or [""])[0] for line in lines]
    found = _kept(lines, str(path))
    found.lines = found.places + 1
    found.notices.update({"replaced_bytes": replaced} if replaced else {})
    return found


def _folder(path: Path) -> Texts:
    """A text a file, labelled by the folders where these are classes."""
    paths, notices = folders.files_below(path, WHOLE + tuple(f"{suffix}.gz" for suffix in WHOLE) + (".gz",))
    paths = [one for one in paths if packed.suffix(one) in WHOLE]
    if not paths:
        raise DataError(f"{path}: holds no texts; files ending in {', '.join(WHOLE)} are read, a text each")
    decoded = [_decoded(one) for one in paths]
    found = _kept([text.removesuffix("\n") for text, _ in decoded], str(path))
    found.files = [str(paths[i]) for i in found.places]
    codes, names, uneven = folders.classes([one.relative_to(path).parts for one in paths])
    if codes is not None:
        found.labels, found.label_names = codes[found.places], names
    found.notices.update(notices + uneven)
    replaced = sum(count for _, count in decoded)
    found.notices.update({"replaced_bytes": replaced} if replaced else {})
    return found


def _of_records(path: Path, column: str | None, beside: Sequence[str]) -> Texts:
    """A field of JSON objects, one a line; or strings, one a line."""
    whole, replaced = _decoded(path)
    numbered = [(number, line) for number, line in enumerate(whole.split("\n"), 1) if line.strip()]
    records = [_record(path, number, line) for number, line in numbered]
    names = list(dict.fromkeys(name for record in records if isinstance(record, dict) for name in record))
    if names and column is not None and column not in names:
        raise DataError(f"{path}: no line has a field {column!r}; {nearest(column, names)}")
    name = column or (_likeliest(names, _of_text(records), str(path)) if names else "")
    cells = [record.get(name) if isinstance(record, dict) else record for record in records]
    for (number, _), cell in zip(numbered, cells, strict=True):
        if cell is not None and not isinstance(cell, str):
            raise DataError(f"{path}, line {number}: {name!r} is {json.dumps(cell)[:40]}, and no text")
    found = _kept(cells, str(path))
    found.lines = np.array([numbered[i][0] for i in found.places], np.int64)
    kept = [records[i] for i in found.places]
    found.beside = {
        other: np.array([one.get(other) if isinstance(one, dict) else None for one in kept], object)
        for other in beside
        if other in names
    }
    found.notices.update({"replaced_bytes": replaced} if replaced else {})
    return found


def _record(path: Path, number: int, line: str) -> dict[str, Any] | str:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}, line {number}: is no JSON ({str(error)[:80]}); each line holds one object") from None
    if not isinstance(found, (dict, str)):
        raise DataError(f"{path}, line {number}: holds a {type(found).__name__}; each line is an object or a string")
    return found


def _of_text(records: Sequence[Any]) -> Callable[[str], bool]:
    def of_text(name: str) -> bool:
        return any(isinstance(one, dict) and isinstance(one.get(name), str) for one in records[:ENTRIES])

    return of_text
