"""Columnar files: Parquet, and Feather, which is Arrow's own format."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lambent.data.readers import regular as files
from lambent.data.readers.frames import LIMIT_COLUMNS, Columns, from_frame
from lambent.errors import DataError

PARQUET = (".parquet", ".pq")
FEATHER = (".feather", ".arrow", ".ipc")


def read_parquet(path: Path) -> Columns:
    """A Parquet file; `DataError` for a damaged one, before memory is taken for what its footer claims."""
    parquet: Any = importlib.import_module("pyarrow.parquet")  # untyped
    with explained(path, "Parquet"), files.unchanged(files.regular(path)), path.open("rb") as stream:
        source = parquet.ParquetFile(stream)
        rows, columns = source.metadata.num_rows, source.metadata.num_columns
        if columns > LIMIT_COLUMNS or rows * columns * 8 > files.LIMIT_BYTES:
            raise DataError(f"{path}: its footer announces {rows:,} rows of {columns:,} columns, more than is read")
        table = source.read()
    return from_frame(table, str(path), "file")


def read_feather(path: Path) -> Columns:
    """A Feather file of version 2, which is an Arrow file, or a stream of Arrow; `DataError` for a damaged one."""
    arrow: Any = importlib.import_module("pyarrow")
    with explained(path, "Feather"), files.unchanged(files.regular(path)):
        if path.stat().st_size > files.LIMIT_BYTES:
            raise DataError(
                f"{path}: has {path.stat().st_size:,} bytes; at most {files.LIMIT_BYTES:,} are read at once"
            )
        with path.open("rb") as stream, opened_feather(stream) as reader:
            table = reader.read_all()
        if table.num_columns > LIMIT_COLUMNS:
            raise DataError(f"{path}: has {table.num_columns:,} columns; at most {LIMIT_COLUMNS:,} are taken")
        table.validate(full=True)  # offsets that point beyond the file would be read elsewhere
    return from_frame(arrow.table(table), str(path), "file")


def opened_feather(stream: Any) -> Any:
    """What reads an Arrow file, or a stream of Arrow."""
    ipc: Any = importlib.import_module("pyarrow.ipc")
    mark = stream.read(6)
    stream.seek(0)
    return ipc.open_file(stream) if mark == b"ARROW1" else ipc.open_stream(stream)


@contextmanager
def explained(path: Path, kind: str) -> Iterator[None]:
    """`DataError` in place of what pyarrow raises for a file that is damaged, or none of its kind."""
    try:
        yield
    except DataError:
        raise
    except (OSError, ValueError, KeyError, MemoryError, NotImplementedError) as error:  # ArrowInvalid is a ValueError
        raise DataError(f"{path}: is damaged or no {kind} file ({str(error)[:100]})") from None
