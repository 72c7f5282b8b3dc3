"""Packed files: text inside gzip, such as .csv.gz, read as it is unpacked."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from lambent.errors import DataError

MARK = b"\x1f\x8b"


@contextmanager
def plain(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked where it is gzip; `DataError` where that is damaged."""
    with path.open("rb") as stream:
        packed = stream.read(2) == MARK
        stream.seek(0)
        try:
            yield cast(BinaryIO, gzip.GzipFile(fileobj=stream)) if packed else stream
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{path}: is damaged gzip or was cut short ({str(error)[:100]})") from None


def suffix(path: Path) -> str:
    """The suffix of a file's name, or of what is packed in it: .csv of table.csv.gz."""
    return Path(path.stem).suffix.lower() if path.suffix.lower() == ".gz" else path.suffix.lower()
