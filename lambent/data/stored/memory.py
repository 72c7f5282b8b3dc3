"""How much memory rows would take, before they are read."""

from functools import singledispatch
from pathlib import Path

import numpy as np

from lambent.data.kinds.audio import Audio
from lambent.data.kinds.image import Image
from lambent.data.kinds.modality import Modality
from lambent.data.loading import folder_of
from lambent.data.readers import arrays, pictures
from lambent.data.readers.pieces import Pieces
from lambent.data.readers.piecewise import pieces_of
from lambent.errors import DataError

LOOKED = 200  # sounds whose headers tell how long all are


def needed(source: str, split: str, modality: Modality) -> int | None:
    """About how many bytes the rows of a path would take in memory; None of what is not read from disk."""
    path = Path(source)
    if path.is_dir() or modality.claims(path):
        try:
            return _of_files(modality, folder_of(path, split) or path)
        except DataError:
            return None
    reader = reader_of(source, split, modality)
    return None if reader is None else reader.needs(1 if modality.of_bytes else 4)


def reader_of(source: str, split: str, modality: Modality) -> Pieces | None:
    """What reads a file a piece at a time; None where nothing does, or where the file is at fault, which loading it tells."""
    file, _ = arrays.divided(source)
    if not file.is_file():
        return None
    try:
        return pieces_of(source, split, getattr(modality, "delimiter", None), getattr(modality, "header", "auto"))
    except DataError:
        return None


@singledispatch
def _of_files(modality: Modality, folder: Path) -> int | None:
    """Of rows that lie in files of their own; None of kinds that do not."""
    return None


@_of_files.register
def _(modality: Audio, folder: Path) -> int | None:
    found = modality.open(folder)
    some = found[np.unique(np.linspace(0, len(found) - 1, min(len(found), LOOKED)).astype(np.int64))]
    return 4 * len(found) * int(np.prod(modality.event_of(some)))


@_of_files.register
def _(modality: Image, folder: Path) -> int | None:
    files = pictures.pictures_in(folder).files
    with pictures.decoding():
        first = pictures.look(files[0])
    bands = {"auto": first.bands, "grey": 1, "rgb": 3}[modality.colour]
    itemsize = 4 if first.deep and modality.depth != 8 else 1
    return len(files) * int(np.prod(modality.size or first.size)) * bands * itemsize
