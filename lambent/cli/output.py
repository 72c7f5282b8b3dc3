"""Files that verbs write: a grid of pictures, arrays, or a table, by the suffix of their name."""

import contextlib
import io
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.data.kinds.depth import spread
from lambent.data.kinds.modality import Modality
from lambent.data.readers.framing import plain
from lambent.data.readers.series import objects, typed
from lambent.data.readers.typed import Declared, Typed
from lambent.data.writers import tables
from lambent.data.writers.png import sixteen_bits
from lambent.disk.whole import write_bytes
from lambent.errors import MachineError, UsageError
from lambent.part import registered

TABLES = (*tables.SUFFIXES, ".npz")
ALL = (".png", *TABLES)
FOLDER = ""  # the suffix of a folder
MOST_COLUMNS = 100_000
MOST_PIXELS = 100_000_000
GAP = 2  # pixels between pictures

NamedArrays = dict[str, Any]
Array = NDArray[Any]


def claim(
    out: str, suffixes: Sequence[str], force: bool, inputs: Sequence[str | Path | None], flag: str = "--out"
) -> Path:
    """The path to write to, once it is certain that it may be; checked before any work is done. flag: which names it."""
    path = Path(out)
    if path.suffix.lower() not in suffixes:
        known = ", ".join(suffix for suffix in suffixes if suffix != FOLDER)
        raise UsageError(
            f"{flag} {out}: cannot be written as {path.suffix or 'a file without suffix'}; it can end in {known}"
        )
    try:
        exists = os.path.lexists(path)
    except (OSError, ValueError):
        raise UsageError(f"{flag} {out}: is no name for a file") from None
    if path.is_dir() and path.suffix.lower() != FOLDER:
        raise UsageError(f"{flag} {out}: is a folder; name a file in it")
    exists = exists and not (path.is_dir() and FOLDER in suffixes and not any(path.iterdir()))
    for source in inputs:
        if source is not None and exists and _same(path, Path(source)):
            raise UsageError(f"{flag} {out}: is an input of this command; it would be overwritten")
    if exists and not force:
        raise UsageError(f"{flag} {out}: exists; add --force to replace it, or choose another name")
    above = next(p for p in path.absolute().parents if p.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise MachineError(f"{flag} {out}: cannot be written to {above}; choose another folder")
    return path


def with_own(suffixes: Sequence[str]) -> tuple[str, ...]:
    """Suffixes of files of any kind of rows, with those that single kinds of data have beside them."""
    own = (suffix for kind in registered(Modality).values() for suffix in kind.suffixes)
    return tuple(dict.fromkeys((*suffixes, *own)))


def with_beside(suffixes: Sequence[str]) -> tuple[str, ...]:
    """Suffixes of files of what is found of rows, with those that hold it beside the rows themselves."""
    own = (suffix for kind in registered(Modality).values() for suffix in kind.annotates)
    return tuple(dict.fromkeys((*suffixes, *own)))


def _same(path: Path, other: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return path.samefile(other)
    return False


def write(path: Path, arrays: NamedArrays, lead: NamedArrays, grid: Array | None, white: int = 255) -> Path:
    """Write by suffix: `grid` [rows, columns, H, W(, 3)] as a picture, else `lead` (a column per name) beside `arrays`.

    arrays: named arrays [rows, …], numbers for npz as they are; for tables each becomes one column per element.
    """
    suffix = path.suffix.lower()
    if suffix == ".png":
        return write_grid(path, grid, white)
    if suffix == ".npz":
        return write_bytes(path, _npz(lead | arrays))
    return tables.write_table(path, [{name: _typed(values) for name, values in (lead | flat(arrays)).items()}])


def write_rows(
    path: Path, rows: Any, lead: NamedArrays, names: Sequence[str] = (), declared: Mapping[str, Declared] | None = None
) -> Path:
    """Write a frame or an array of a table's rows, `lead` before it, with the types of its columns.

    names: those of an array's columns, where there are as many. declared: the types of columns as their source had them,
    where these are known better: the words of truth values, the digits of numbers.
    """
    columns = {name: _typed(values) for name, values in lead.items()} | tables.typed_columns(rows, names, declared)
    if path.suffix.lower() == ".png":
        return write_grid(path, None)
    if path.suffix.lower() == ".npz":
        return write_bytes(path, _npz({name: plain(column) for name, column in columns.items()}))
    return tables.write_table(path, [columns])


def _typed(values: Any) -> Typed:
    """A column of plain values, of text or of anything that is written out as such."""
    array = np.asarray(values)
    of_words = array.dtype.kind == "O" and (any(isinstance(v, str) for v in array) or all(v is None for v in array))
    if array.dtype.kind in "US" or of_words:
        return Typed(objects([v if v is None else str(v) for v in array.tolist()]), Declared("String"))
    return Typed(array, Declared(typed(array)))


def _npz(arrays: NamedArrays) -> bytes:
    """As numpy's own function for it, which takes no array of the name "file"."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in arrays.items():
            array = np.asarray(values)
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array.astype(str) if array.dtype.kind == "O" else array)
    return buffer.getvalue()


def flat(arrays: NamedArrays) -> NamedArrays:
    """Every array as columns of one number a row: x [rows, 3] as x0, x1, x2."""
    found: NamedArrays = {}
    for name, array in arrays.items():
        values = np.asarray(array)
        if values.ndim == 1:
            found[name] = values
            continue
        rows = values.reshape(len(values), -1)
        if rows.shape[1] > MOST_COLUMNS:
            raise UsageError(f"{rows.shape[1]:,} columns are too many for a table; write .npz")
        found |= {f"{name}{i}": rows[:, i] for i in range(rows.shape[1])}
    return found


def write_grid(path: Path, grid: Array | None, white: int = 255) -> Path:
    """Pictures [rows, columns, H, W(, C)] of 1 to 4 bands on a white sheet; uint16 in 16 bits, on which `white` is white.

    12 bits as they are, in a file of 16, are nearly black to whoever looks.
    """
    from PIL import Image

    if grid is None:
        raise UsageError(f"--out {path}: these rows are no pictures; write {', '.join(TABLES)}")
    rows, columns, high, wide = grid.shape[:4]
    if rows * (high + GAP) * columns * (wide + GAP) > MOST_PIXELS:
        raise UsageError(
            f"--out {path}: {rows * columns:,} pictures make a sheet too large; ask for fewer, or write .npz"
        )
    sheet = np.full((rows * (high + GAP) + GAP, columns * (wide + GAP) + GAP, *grid.shape[4:]), white, grid.dtype)
    for row in range(rows):
        for column in range(columns):
            top, left = GAP + row * (high + GAP), GAP + column * (wide + GAP)
            sheet[top : top + high, left : left + wide] = grid[row, column]
    if sheet.dtype == np.uint16:
        return write_bytes(path, sixteen_bits(spread(sheet, white, 65535)))
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "PNG", optimize=True)
    return write_bytes(path, buffer.getvalue())


def write_picture(path: Path, picture: Array, white: int = 255) -> Path:
    """One picture [H, W] or [H, W, 3] as it is, in 8 or 16 bits."""
    from PIL import Image

    if picture.dtype == np.uint16:
        return write_bytes(path, sixteen_bits(spread(picture, white, 65535)))
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return write_bytes(path, buffer.getvalue())


def sheet_of(pictures: Array, columns: int | None = None, white: int = 255) -> Array:
    """Pictures [n, H, W(, 3)] as a grid, about square unless told, filled up with white."""
    columns = min(len(pictures), columns or max(1, round(len(pictures) ** 0.5)))
    missing = -len(pictures) % columns
    blank = np.full((missing, *pictures.shape[1:]), white, pictures.dtype)
    return np.concatenate([pictures, blank]).reshape(-1, columns, *pictures.shape[1:])


def paired(above: Array, below: Array, columns: int = 10, white: int = 255) -> Array:
    """Pictures, each above its counterpart."""
    first, second = sheet_of(above, columns, white), sheet_of(below, columns, white)
    return np.stack([first, second], 1).reshape(-1, *first.shape[1:])
