"""CSV: delimited text, parsed by pyarrow; Python's slower parser then finds the line of a fault."""

import codecs
import csv
import importlib
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lambent.data.readers import packed
from lambent.data.readers import regular as files
from lambent.data.readers.forms import form_of, freed
from lambent.data.readers.frames import LARGEST_INTEGER, LIMIT_COLUMNS, Columns, from_frame
from lambent.errors import DataError, UsageError

LIMIT_LINE = 2**24  # bytes
HEAD = 2**18  # bytes of a file by which it is told how its columns are written
DELIMITERS = ",;\t|"
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_COMMA_OR_WHOLE = r"[+-]?(\d+,?\d*|,\d+)([eE][+-]?\d+)?"
_COMMAED = re.compile(rf"\s*{_COMMA_OR_WHOLE}\s*")
_WHOLE = re.compile(r"\s*[+-]?\d+\s*")


def read_csv(path: Path, delimiter: str | None = None, header: str = "auto", decimal: str = "auto") -> Columns:
    """A CSV file as columns; header is "first-row", "none" or "auto" (a first row of numbers is data).

    decimal: what stands before the fraction of a number, "." or ","; "auto": a comma where that is plain (see `commas`).
    Raises `DataError` with the line for ragged rows, lines and tables beyond the limits, and undecodable text.
    """
    with files.unchanged(files.regular(path)):
        content = _read(path)
    text, legacy = utf8(content, path)
    del content
    delimiter, named = form(text, path, delimiter, header)
    table, decimal, commaed = with_decimals(text, path, delimiter, named, decimal)
    table = tidied(with_long_integers(table, text, path, delimiter, named))
    columns = columns_of(table, path, named, forms_in(text, path, delimiter, named, table))
    columns.line = lambda row: _line(text, path, delimiter, row + named)
    for place in commaed:
        columns.notices.note("decimal_comma", columns.names[place])
    columns.notices.update({"read_as_latin1": 1} if legacy else {})
    columns.notices.update({} if named else {"no_header": 1})
    return columns


def cells_in(path: Path, delimiter: str | None = None, header: str = "auto") -> tuple[bool, Iterator[list[str]]]:
    """(whether the first row names the columns, every row as the text of its cells), blank lines left out."""
    with files.unchanged(files.regular(path)):
        text, _ = utf8(_read(path), path)
    delimiter, named = form(text, path, delimiter, header)
    return named, (fields for _, fields in _rows(text, path, delimiter))


def form(text: bytes, path: Path, delimiter: str | None, header: str) -> tuple[str, bool]:
    """(what separates the fields, whether the first row names the columns), found from the first row unless told."""
    first = _first_row(text, path, delimiter)
    delimiter = delimiter or _likeliest(first)
    try:
        fields = next(csv.reader([first], delimiter=delimiter), [])
    except csv.Error as error:
        raise DataError(f"{path}, line 1: {error}; is it a CSV file?") from None
    if len(fields) > LIMIT_COLUMNS:
        raise DataError(f"{path}: its first line has {len(fields):,} fields; at most {LIMIT_COLUMNS:,} are taken")
    return delimiter, header == "first-row" or (header == "auto" and not _is_data(fields, delimiter))


def _read(path: Path) -> bytes:
    """The whole file, unpacked where it is gzip; given up as soon as one line or all of it passes the limit."""
    size, pieces, open_line = 0, [], 0
    with packed.plain(path) as stream:
        while piece := stream.read(2**22):
            size = max(path.stat().st_size, size + len(piece))
            if size > files.LIMIT_BYTES:
                raise DataError(
                    f"{path}: has {size:,} bytes or more; at most {files.LIMIT_BYTES:,} are read. Parquet takes less room"
                )
            codes = np.frombuffer(piece, np.uint8)
            ends = np.flatnonzero((codes == 10) | (codes == 13))
            inner = int(np.diff(ends).max(initial=0))
            head = open_line + (int(ends[0]) if len(ends) else len(piece))
            open_line = len(piece) - int(ends[-1]) - 1 if len(ends) else head
            if max(inner, head, open_line) > LIMIT_LINE:
                raise DataError(f"{path}: has a line longer than {LIMIT_LINE:,} bytes; is it a CSV file?")
            pieces.append(piece)
    return b"".join(pieces)


def utf8(content: bytes, path: Path) -> tuple[bytes, bool]:
    """(the text as UTF-8 without a mark, whether it had to be taken for Latin-1)."""
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            try:
                return content.decode(encoding).encode(), False
            except UnicodeError as error:
                raise DataError(f"{path}: begins as {encoding} but breaks off ({error})") from None
    if b"\0" in content:
        raise DataError(f"{path}: holds NUL bytes; it is binary, or UTF-16 without a mark: save it as UTF-8")
    try:
        decoder = codecs.getincrementaldecoder("utf-8")()
        for start in range(0, len(content), 2**24):
            decoder.decode(content[start : start + 2**24])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return content.decode("latin-1").encode(), True
    return content, False


def _first_row(text: bytes, path: Path, delimiter: str | None) -> str:
    if delimiter is not None and len(delimiter.encode()) != 1:
        raise UsageError(f"the delimiter must be one ASCII character, not {delimiter!r}")
    for line in io.BytesIO(text):
        if line.strip():
            return line.decode().strip("\r\n").split("\r")[0]
    raise DataError(f"{path}: is empty")


def _likeliest(line: str) -> str:
    """The delimiter that the first line holds most of, outside quotes; commas within its numbers are none."""
    bare = re.sub(r'"[^"]*"', "", line)
    others = [one for one in DELIMITERS.replace(",", "") if one in bare and "," in bare]
    within = [one for one in others if all(_COMMAED.fullmatch(field) for field in bare.split(one) if "," in field)]
    return max(within or DELIMITERS, key=bare.count)


def _is_data(fields: list[str], delimiter: str) -> bool:
    """Whether a first row is data: it holds numbers that are no names, as ascending column numbers or years are."""
    if delimiter != ",":
        fields = [field.replace(",", ".") if _COMMAED.fullmatch(field) else field for field in fields]
    steps = np.diff([float(f) for f in fields if _NUMBER.fullmatch(f)])
    count = sum(_NUMBER.fullmatch(f) is not None for f in fields)
    if count == len(fields):
        whole = all(_WHOLE.fullmatch(f) for f in fields)
        return not (whole and len(steps) > 0 and steps[0] > 0 and bool((steps == steps[0]).all()))
    return any(_NUMBER.fullmatch(f) and not _WHOLE.fullmatch(f) for f in fields) or bool((steps <= 0).any())


def parsed(text: bytes, path: Path, delimiter: str, named: bool, **convert: Any) -> Any:
    arrow: Any = importlib.import_module("pyarrow")  # untyped
    reader: Any = importlib.import_module("pyarrow.csv")
    # One block as large as the file: types are then inferred from all rows, not from the first megabyte.
    block = min(len(text) + 1, 2**30)
    try:
        return reader.read_csv(
            arrow.BufferReader(text),
            read_options=reader.ReadOptions(block_size=block, autogenerate_column_names=not named),
            parse_options=reader.ParseOptions(delimiter=delimiter, newlines_in_values=b'"' in text),
            convert_options=reader.ConvertOptions(strings_can_be_null=False, **convert),
        )
    except arrow.ArrowException as error:
        _explain_ragged(text, path, delimiter)
        raise DataError(f"{path}: cannot be parsed as CSV ({str(error)[:200]})") from None


def with_decimals(
    text: bytes, path: Path, delimiter: str, named: bool, decimal: str, **convert: Any
) -> tuple[Any, str, list[int]]:
    """The parsed table, what stands before the fractions of its numbers, and the columns where that is a comma."""
    if decimal == ",":
        plain = parsed(text, path, delimiter, named, **convert)
        table = parsed(text, path, delimiter, named, decimal_point=",", **convert)
        return table, ",", [i for i in range(len(plain.schema)) if plain.schema.types[i] != table.schema.types[i]]
    table = parsed(text, path, delimiter, named, **convert)
    found = commas(table, path, named) if decimal == "auto" and delimiter != "," else []
    if found:
        table = parsed(text, path, delimiter, named, decimal_point=",", **convert)
    return table, "," if found else ".", found


def commas(table: Any, path: Path, named: bool) -> list[int]:
    """The columns whose cells are all numbers with a decimal comma, such as -1,5, or whole ones.

    Where all such cells could as well be thousands (1,234) it is asked for: `DataError`. Cells with two commas, or with a
    comma and a point, are not read as decimals.
    """
    arrow: Any = importlib.import_module("pyarrow")
    compute: Any = importlib.import_module("pyarrow.compute")
    found, plain, doubtful = [], False, ""
    for place, kind in enumerate(table.schema.types):
        if not arrow.types.is_string(kind):
            continue
        cells = compute.utf8_trim_whitespace(table.column(place))
        cells = cells.filter(compute.not_equal(cells, ""))
        if not len(cells) or not compute.all(compute.match_substring_regex(cells, f"^{_COMMA_OR_WHOLE}$")).as_py():
            continue
        found.append(place)
        written = cells.filter(compute.match_substring(cells, ","))
        plain = plain or not compute.all(compute.match_substring_regex(written, r"^[+-]?[1-9]\d{0,2},\d{3}$")).as_py()
        doubtful = doubtful or f"column {table.column_names[place] if named else f'x{place}'!r}: {written[0].as_py()!r}"
    if found and not plain:
        whole = doubtful.rpartition(" ")[2].strip("'")
        raise DataError(
            f"{path}: {doubtful} may be {whole.replace(',', '.')} or {whole.replace(',', '')}, and so may all of its kind: say "
            "--data.decimal , if the comma stands before the fraction, or save the file without separators of thousands"
        )
    return found


def _rows(text: bytes, path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """(line on which the row begins, its fields), blank lines left out."""
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(text), "utf-8", newline=""), delimiter=delimiter)
    before = 0
    try:
        for fields in reader:
            if fields:
                yield before + 1, fields
            before = reader.line_num
    except csv.Error as error:
        raise DataError(f"{path}, line {before + 1}: {error}") from None


def _explain_ragged(text: bytes, path: Path, delimiter: str) -> None:
    expected: int | None = None
    for line, fields in _rows(text, path, delimiter):
        expected = len(fields) if expected is None else expected
        if len(fields) != expected:
            raise DataError(f"{path}, line {line}: has {len(fields)} fields where the first line has {expected}")


def _line(text: bytes, path: Path, delimiter: str, row: int) -> int | None:
    for position, (line, _) in enumerate(_rows(text, path, delimiter)):
        if position == row:
            return line
    return None


def with_long_integers(table: Any, text: bytes, path: Path, delimiter: str, named: bool) -> Any:
    """The table with columns of integers beyond 2^63 as text: as floats they would be rounded unseen."""
    arrow: Any = importlib.import_module("pyarrow")
    for place, kind in enumerate(table.schema.types):
        if not arrow.types.is_floating(kind):
            continue
        values = table.column(place).to_numpy()
        large = np.flatnonzero(np.abs(values) >= LARGEST_INTEGER)
        if not len(large):
            continue
        raw = table.column_names[place]
        kept = {"include_columns": [raw], "column_types": {raw: arrow.string()}}
        written = parsed(text, path, delimiter, named, **kept).column(0)
        cells = (written[int(row)].as_py() for row in large)
        if any(_WHOLE.fullmatch(cell) and (len(cell) > 40 or abs(int(cell)) > LARGEST_INTEGER) for cell in cells):
            table = table.set_column(place, raw, written)
    return table


def tidied(table: Any) -> Any:
    """The table with nulls for empty cells of text, and without the apostrophes that exports put before formulas."""
    arrow: Any = importlib.import_module("pyarrow")
    compute: Any = importlib.import_module("pyarrow.compute")
    for place, kind in enumerate(table.schema.types):
        if not arrow.types.is_string(kind):
            continue
        cells = table.column(place)
        if compute.any(compute.starts_with(cells, "'")).as_py():
            coded = cells.combine_chunks().dictionary_encode()
            levels = arrow.array([freed(level) for level in coded.dictionary.to_pylist()], arrow.string())
            cells = levels.take(coded.indices)
        cells = compute.if_else(compute.equal(cells, ""), arrow.scalar(None, arrow.string()), cells)
        table = table.set_column(place, table.column_names[place], cells)
    return table


def forms_in(text: bytes, path: Path, delimiter: str, named: bool, table: Any) -> list[str]:
    """How the columns of a file are written, by its first rows."""
    arrow: Any = importlib.import_module("pyarrow")
    head = text[:HEAD] if len(text) <= HEAD else text[: text.rfind(b"\n", 0, HEAD) + 1]
    plain = {name: arrow.string() for name in raw_names(table, named)}
    try:
        written = parsed(head, path, delimiter, named, column_types=plain)
    except DataError:  # the head may end within a quoted cell
        return [""] * table.num_columns
    types = arrow.types
    found = []
    for place, kind in enumerate(table.schema.types):
        kinds = {"b": types.is_boolean, "M": types.is_timestamp, "i": types.is_integer, "f": types.is_floating}
        held = next((letter for letter, fits in kinds.items() if fits(kind)), None)
        found.append(form_of(written.column(place).to_pylist(), held) if held else "")
    return found


def raw_names(table: Any, named: bool) -> list[str]:
    """The names of a file's columns as pyarrow has them."""
    return list(table.column_names) if named else [f"f{place}" for place in range(table.num_columns)]


def columns_of(table: Any, path: Path, named: bool, forms: list[str]) -> Columns:
    """A parsed table as columns, which know how the file writes them."""
    if not named:
        table = table.rename_columns([f"x{i}" for i in range(table.num_columns)])
    columns = from_frame(table, str(path), "file")
    declare = columns.declare
    assert declare is not None
    return replace(columns, named=named, declare=lambda place: replace(declare(place), form=forms[place]))
