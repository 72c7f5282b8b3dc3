"""Arrays on disk: .npy and .npz, read without pickle and without trusting what their headers claim.

An .npz holds rows under one of `ROW_KEYS` and labels under one of `LABEL_KEYS`; a file whose keys name splits
(MedMNIST: train_images, val_labels, …; Keras: x_train, y_test) is read by split. "file.npz:key" picks any key.
"""

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np
from numpy.lib import format as npy

from lambent.data.readers import regular as files
from lambent.data.readers.raw import Raw
from lambent.errors import DataError, LambentError, nearest

ROW_KEYS = ("x", "X", "images", "imgs", "data", "features", "arr_0")
LABEL_KEYS = ("y", "Y", "labels", "label", "targets", "target")
SPLITS = {"train": "train", "val": "valid", "valid": "valid", "validation": "valid", "test": "test"}
KINDS = "biufUS"  # booleans, integers, floats, text; never objects, whose bytes are a pickle
LIMIT_MEMBERS = 10_000
LIMIT_RATIO = 500  # inflated to deflated; pictures stay far below, dSprites (one bit a byte) reaches 116
RATIO_MATTERS = 64 * 2**20  # below this many bytes any ratio is harmless


def is_array_file(path: str | Path) -> bool:
    """Whether the path names a .npy file, by its first bytes, or a zip called .npz; "file.npz:key" counts."""
    file, _ = divided(path)
    try:
        with files.regular(file).open("rb") as stream:
            start = stream.read(6)
    except (DataError, OSError):
        return False
    return start == npy.MAGIC_PREFIX or (start[:2] == b"PK" and file.suffix.lower() == ".npz")


def divided(path: str | Path) -> tuple[Path, str | None]:
    """ "file.npz:key" → (file.npz, key); a path that exists as it stands has no key."""
    whole = Path(path)
    file, colon, key = str(path).rpartition(":")
    if colon and file and not whole.exists() and Path(file).suffix.lower() == ".npz":
        return Path(file), key
    return whole, None


def read(path: str | Path, split: str | None = None) -> Raw:
    """The rows, and labels where there are any, of a .npy or .npz file.

    Raises `DataError` for a damaged, hostile or ambiguous file and for a split that it does not hold.
    """
    file, key = divided(path)
    with files.unchanged(files.regular(file)), explained(file), file.open("rb") as stream:
        if stream.read(6) == npy.MAGIC_PREFIX:
            stream.seek(0)
            whole_split(split, file)
            return Raw(_array(stream, file.stat().st_size, str(file)), facts={"path": str(path)})
        with zipfile.ZipFile(stream) as archive:
            return _choose(archive, file, key, split)


def members(path: str | Path) -> dict[str, np.ndarray]:
    """Every array of an .npz file by name; `DataError` for a damaged or hostile one."""
    file = files.regular(path)
    with files.unchanged(file), explained(file), zipfile.ZipFile(file) as archive:
        return {name: _member(archive, info, file) for name, info in _listed(archive, file).items()}


def holds(path: str | Path, split: str) -> bool:
    """Whether an array file has a split of that name, by the names of its arrays alone; a file without splits is "train"."""
    file, key = divided(path)
    with explained(file), file.open("rb") as stream:
        if key is None and stream.read(2) == b"PK":
            with zipfile.ZipFile(stream) as archive:
                if named := _splits(_members(archive, file)):
                    return SPLITS.get(split, split) in named
    return split == "train"


def whole_split(split: str | None, path: Path) -> None:
    """Refuse a named split of a source that has none: all its rows are "train"."""
    if split not in (None, "train", "all"):
        raise DataError(f"{path}: has no split {split!r}; all its rows are 'train'. Cut it with lambent.data.split")


@contextmanager
def explained(file: Path) -> Iterator[None]:
    try:
        yield
    except (LambentError, MemoryError):
        raise
    except Exception as error:
        raise DataError(f"{file}: is damaged or no archive of arrays ({str(error)[:100]})") from None


def _choose(archive: zipfile.ZipFile, file: Path, key: str | None, split: str | None) -> Raw:
    rows, labels, facts = chosen(archive, file, key, split)
    held = None if labels is None else _member(archive, labels, file)
    return Raw(_member(archive, rows, file), held, facts=facts)


def chosen(
    archive: zipfile.ZipFile, file: Path, key: str | None, split: str | None
) -> tuple[zipfile.ZipInfo, zipfile.ZipInfo | None, dict[str, str]]:
    """The members that hold the rows and the labels of a split, or of a key, and the facts of them."""
    members = _members(archive, file)
    facts = {"path": str(file)}
    splits = _splits(members)
    if key is not None:
        if key not in members:
            raise DataError(f"{file}: holds no array {key!r}; {nearest(key, members)}")
        whole_split(split, file)
        label_key = None if key in LABEL_KEYS else _label_key(members)
    elif splits:
        wanted = SPLITS.get(split or "train", split or "train")
        if wanted not in splits:
            raise DataError(f"{file}: has no split {split!r}; {nearest(str(split), splits)}")
        key, label_key = splits[wanted]
        facts["split"] = wanted
    else:
        whole_split(split, file)
        key, label_key = _row_key(members, file), _label_key(members)
    return members[key], members[label_key] if label_key else None, facts | {"key": key}


def _members(archive: zipfile.ZipFile, file: Path) -> dict[str, zipfile.ZipInfo]:
    members = _listed(archive, file)
    if {"data", "indices", "indptr"} <= members.keys():
        raise DataError(
            f"{file}: holds a sparse matrix (data, indices, indptr), which only counts of single cells may (data.type=Cells, "
            "--data Cells); give a dense array of rows"
        )
    return members


def _listed(archive: zipfile.ZipFile, file: Path) -> dict[str, zipfile.ZipInfo]:
    listed = archive.infolist()
    if len(listed) > LIMIT_MEMBERS:
        raise DataError(f"{file}: holds {len(listed):,} members; at most {LIMIT_MEMBERS:,} are read")
    members = {info.filename.removesuffix(".npy"): info for info in listed if info.filename.endswith(".npy")}
    if not members:
        raise DataError(f"{file}: holds no arrays (no member ends in .npy)")
    return members


def _splits(members: dict[str, zipfile.ZipInfo]) -> dict[str, tuple[str, str | None]]:
    """{split: (key of the rows, key of the labels)} of the layouts that name their splits."""
    found: dict[str, tuple[str, str | None]] = {}
    for name, split in SPLITS.items():
        pairs = [(f"{name}_images", f"{name}_labels"), (f"x_{name}", f"y_{name}"), (f"X_{name}", f"y_{name}")]
        pairs += [(f"{name}_x", f"{name}_y"), (f"{name}_data", f"{name}_labels")]
        for rows, labels in pairs:
            if rows in members:
                found[split] = (rows, labels if labels in members else None)
    return found


def _row_key(members: dict[str, zipfile.ZipInfo], file: Path) -> str:
    preferred = [k for k in ROW_KEYS if k in members]
    candidates = preferred or [k for k in members if k not in LABEL_KEYS]
    if len(candidates) != 1:
        raise DataError(f"{file}: which array holds the rows? Name it as '{file}:KEY'. Keys: {', '.join(members)}")
    return candidates[0]


def _label_key(members: dict[str, zipfile.ZipInfo]) -> str | None:
    present = [k for k in LABEL_KEYS if k in members]
    return present[0] if len(present) == 1 else None


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: Path) -> np.ndarray:
    with member(archive, info, file) as (stream, where):
        return _array(stream, info.file_size, where)


@contextmanager
def member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: Path) -> Iterator[tuple[IO[bytes], str]]:
    """A member of an archive as a stream of bytes, and its name in messages; zip bombs are refused."""
    where = f"{file}:{info.filename.removesuffix('.npy')}"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{where}: is packed with a method other than deflate; save it with numpy.savez_compressed")
    ratio = info.file_size / max(info.compress_size, 1)
    if info.file_size > RATIO_MATTERS and ratio > LIMIT_RATIO:
        raise DataError(f"{where}: would inflate {ratio:,.0f}-fold to {info.file_size:,} bytes; refused as a zip bomb")
    with archive.open(info) as stream:
        yield stream, where


@dataclass(frozen=True)
class Heading:
    """What a .npy file says before its values: their shape, order and type, and at which byte they begin."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    start: int

    @property
    def size(self) -> int:
        """Bytes of the values."""
        return self.dtype.itemsize * math.prod(self.shape)


def _array(stream: IO[bytes], size: int, where: str) -> np.ndarray:
    """One array in .npy form out of a stream of `size` bytes; nothing is allocated before its header is checked."""
    found = heading(stream, size, where)
    flat = files.empty((found.size // found.dtype.itemsize,), found.dtype, where)
    fill(stream, flat, where)
    return shaped(flat, found.shape, where, "F" if found.fortran else "C")


def heading(stream: IO[bytes], size: int, where: str) -> Heading:
    """The header of an array in .npy form, held against the `size` bytes of its stream, which then stands at its values."""
    try:
        version = npy.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise DataError(f"{where}: is in .npy format {version[0]}.{version[1]}; 1.0 and 2.0 are read")
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = header(stream)
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{where}: has a damaged .npy header ({str(error)[:100]})") from None
    if dtype.hasobject or dtype.kind not in KINDS or dtype.itemsize == 0:
        raise DataError(f"{where}: holds {dtype} values; numbers, booleans and text are read, never pickled objects")
    if not all(isinstance(n, int) and n >= 0 for n in shape):
        raise DataError(f"{where}: claims the shape {shape}")
    found = Heading(shape, bool(fortran), dtype, stream.tell())
    held = size - found.start
    if found.size != held:
        raise DataError(f"{where}: its header claims {found.size:,} bytes of values, {held:,} are there")
    return found


def shaped(flat: np.ndarray, shape: tuple[int, ...], where: str, order: Literal["C", "F"] = "C") -> np.ndarray:
    """Values as read → an array of that shape in this machine's byte order and in C order."""
    try:
        shaped = flat.reshape(shape, order=order)
    except ValueError:  # with an axis of length 0 the others may be absurd
        raise DataError(f"{where}: claims the shape {shape}") from None
    return np.asarray(shaped, flat.dtype.newbyteorder("="), order="C")


def fill(stream: IO[bytes], flat: np.ndarray, where: str) -> None:
    """Read exactly as many bytes as the array holds; `DataError` if the stream ends early or goes on."""
    advance(stream, flat, where)
    if stream.read(1):
        raise DataError(f"{where}: goes on after the {flat.nbytes:,} bytes that its header announces")


def advance(stream: IO[bytes], flat: np.ndarray, where: str) -> None:
    """Read as many bytes as the array holds; `DataError` if the stream ends before."""
    view, position = flat.view(np.uint8).data if flat.size else memoryview(b""), 0
    while position < len(view):
        piece = stream.read(min(2**20, len(view) - position))
        if not piece:
            raise DataError(f"{where}: ends after {position:,} of {len(view):,} bytes; it was cut short")
        view[position : position + len(piece)] = piece
        position += len(piece)
