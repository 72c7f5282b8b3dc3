"""Tabular files: which reader opens a table, by what its file begins with and by its name."""

from pathlib import Path

from lambent.data.readers import arrays, packed
from lambent.data.readers import regular as files
from lambent.data.readers.columnar import FEATHER, PARQUET, read_feather, read_parquet
from lambent.data.readers.delimited import read_csv
from lambent.data.readers.frames import Columns, from_array
from lambent.errors import DataError

DELIMITED = (".csv", ".tsv", ".txt", ".data")
SUFFIXES = (*DELIMITED, *PARQUET, *FEATHER)


def is_table(path: Path) -> bool:
    """Whether a file's name says that it is a table."""
    packs = path.suffix.lower() == ".gz" and packed.suffix(path) in DELIMITED
    return packs or path.suffix.lower() in SUFFIXES


def format_of(path: Path) -> str:
    """parquet, feather or text, by the first bytes of a file or, where these say nothing, by its name."""
    with files.regular(path).open("rb") as stream:
        start = stream.read(6)
    if start.startswith(b"PAR1") or path.suffix.lower() in PARQUET:
        return "parquet"  # whose reader says what is wrong with it
    if start == b"ARROW1" or path.suffix.lower() in FEATHER:
        return "feather"
    if start.startswith(b"FEA1"):
        raise DataError(f"{path}: is Feather of version 1; save it anew, as version 2 or as Parquet")
    if start.startswith(b"PK\3\4"):
        raise DataError(f"{path}: is a workbook or zip inside; unpack it, or save it as CSV or Parquet")
    return "text"


def read_table(
    source: str | Path, delimiter: str | None = None, header: str = "auto", decimal: str = "auto"
) -> Columns:
    """A file of rows: CSV and other delimited text, packed or not, Parquet, Feather, or an array.

    delimiter, header, decimal: see `read_csv`. Raises `DataError` for a file that is damaged or of another kind.
    """
    if arrays.is_array_file(source):
        return from_array(arrays.read(source).rows)
    path = Path(source)
    kind = format_of(path)
    if kind == "text":
        return read_csv(path, delimiter, header, decimal)
    return read_parquet(path) if kind == "parquet" else read_feather(path)
