"""Tables as files: CSV, TSV, Parquet and Feather by the suffix of their name, a piece at a time."""

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lambent.data.readers.frames import from_array, from_frame, is_frame
from lambent.data.readers.framing import arrow_table
from lambent.data.readers.typed import Declared, Typed
from lambent.data.writers.delimited import rows_of_text
from lambent.disk.whole import write_whole
from lambent.errors import UsageError

DELIMITERS = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (*DELIMITERS, ".parquet", ".feather", ".arrow")


def write_table(path: Path, pieces: Iterable[Mapping[str, Typed]]) -> Path:
    """Write rows that come in pieces of the same columns; the file is there when all of them are, or not at all.

    Raises `UsageError` for a suffix that is none of these formats, `MachineError` where the disk refuses.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{path}: cannot be written as {suffix or 'a file without suffix'}; {', '.join(SUFFIXES)} can")
    if suffix in DELIMITERS:
        return write_whole(path, lambda place: _write_text(place, pieces, DELIMITERS[suffix]))
    return write_whole(path, lambda place: _write_arrow(place, pieces, suffix == ".parquet"))


def typed_columns(
    rows: Any, names: Sequence[str] = (), declared: Mapping[str, Declared] | None = None
) -> dict[str, Typed]:
    """The columns of a frame or a 2-D array with their types.

    names: those of an array's columns, where there are as many. declared: the types of columns where these are known better.
    """
    table = from_frame(rows) if is_frame(rows) else from_array(rows.reshape(len(rows), -1))
    if not table.named and len(names) == len(table.names):
        table = replace(table, names=list(names))
    known = declared or {}
    return {name: Typed(table.values(name), known.get(name) or table.declared(name)) for name in table.names}


def _write_text(place: Path, pieces: Iterable[Mapping[str, Typed]], delimiter: str) -> None:
    with open(place, "x", encoding="utf-8", errors="surrogateescape", newline="") as file:
        for number, columns in enumerate(pieces):
            file.write(rows_of_text(columns, delimiter, head=number == 0))


def _write_arrow(place: Path, pieces: Iterable[Mapping[str, Typed]], parquet: bool) -> None:
    """All pieces in the types of the first."""
    arrow: Any = importlib.import_module("pyarrow" + (".parquet" if parquet else ""))
    writer: Any = None
    try:
        for columns in pieces:
            table = arrow_table(columns)
            if writer is None:
                schema = table.schema
                writer = arrow.ParquetWriter(place, schema) if parquet else arrow.ipc.new_file(str(place), schema)
            writer.write_table(table if table.schema.equals(schema) else table.cast(schema))
    finally:
        if writer is not None:
            writer.close()
