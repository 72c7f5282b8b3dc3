"""IDX: the file format of MNIST, plain or gzipped.

Two zero bytes, a type code, the number of axes, one big-endian uint32 length per axis, then the values in C order
(LeCun, Cortes, Burges, "The MNIST database").
"""

import gzip
import struct
import zlib
from pathlib import Path
from typing import IO, cast

import numpy as np

from lambent.data.readers import regular as files
from lambent.data.readers.arrays import fill, shaped, whole_split
from lambent.data.readers.raw import Raw
from lambent.errors import DataError

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
LIMIT_AXES = 8
DEFLATE_AT_MOST = 1032  # the largest ratio that deflate can reach


def is_idx_file(path: str | Path) -> bool:
    """Whether the file begins as an IDX file does, inside gzip or not."""
    try:
        with files.regular(path).open("rb") as raw, _plain(raw) as stream:
            start = stream.read(4)
    except (DataError, OSError, EOFError, zlib.error):
        return False
    return len(start) == 4 and start[:2] == b"\0\0" and start[2] in TYPES and 1 <= start[3] <= LIMIT_AXES


def read_idx(path: str | Path) -> np.ndarray:
    """The array in an IDX file; `DataError` for a wrong magic number, count or size, before anything is allocated."""
    path = files.regular(path)
    with files.unchanged(path), path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        try:
            with _plain(raw) as stream:
                return _values(stream, path, packed)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path}: is damaged gzip or was cut short ({error})") from None


def header(array: np.ndarray) -> bytes:
    """What stands before the values of an array, big-endian of one of the types, in an IDX file."""
    code = next(code for code, name in TYPES.items() if np.dtype(name) == array.dtype)
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)


def read(path: str | Path, split: str | None = None) -> Raw:
    """The rows of an IDX file, with the labels of the sibling that MNIST's naming implies, where it exists."""
    path = Path(path)
    whole_split(split, path)
    sibling = path.with_name(path.name.replace("images-idx3", "labels-idx1").replace("images.idx3", "labels.idx1"))
    labels = read_idx(sibling) if sibling != path and sibling.is_file() else None
    return Raw(read_idx(path), labels, facts={"path": str(path)})


def _plain(raw: IO[bytes]) -> IO[bytes]:
    packed = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    return cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if packed else raw


def _values(stream: IO[bytes], path: Path, packed: bool) -> np.ndarray:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES or not 1 <= magic[3] <= LIMIT_AXES:
        raise DataError(f"{path}: is no IDX file (it begins with {magic.hex()}; 00 00 <type> <axes> is expected)")
    lengths = stream.read(4 * magic[3])
    if len(lengths) < 4 * magic[3]:
        raise DataError(f"{path}: ends inside its header")
    shape, dtype = struct.unpack(f">{magic[3]}I", lengths), np.dtype(TYPES[magic[2]])
    claimed = dtype.itemsize
    for length in shape:
        claimed *= length
    size = path.stat().st_size
    held = size * DEFLATE_AT_MOST if packed else size - 4 - len(lengths)
    if claimed > held or (claimed != held and not packed):
        raise DataError(f"{path}: its header claims {claimed:,} bytes of values for the shape {shape}; not there")
    flat = files.empty((claimed // dtype.itemsize,), dtype, str(path))
    fill(stream, flat, str(path))
    return shaped(flat, shape, str(path))
