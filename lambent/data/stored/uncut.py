"""Photographs of any size, decoded once, of which crops are read: in a file, or in memory."""

import os
import tempfile
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lambent.data.kinds import crops, filed
from lambent.data.kinds.image import Image
from lambent.data.readers.pictures import Pictures
from lambent.data.stored.ondisk import OnDisk
from lambent.data.stored.stores import FlatFile, Store
from lambent.disk.whole import write_whole
from lambent.errors import DataError

Tell = Callable[[str, float], None]
BAND = 2**21  # numbers of a photograph that are read at once


class Uncut(Store):
    """Crops of levels, cut at places that a seed draws, else about the centre; as the modality encodes them.

    sizes: (height, width) of each photograph. window: a photograph's number, place and side → levels [C, side, side].
    """

    def __init__(
        self,
        modality: Image,
        sizes: list[tuple[int, int]],
        window: Callable[[int, crops.Place], np.ndarray],
        digest: str,
        files: list[str] | None = None,
    ) -> None:
        assert modality.crop is not None
        self.modality, self.sizes, self.window = modality, sizes, window
        self.digest, self.files = digest, files
        self.rows, self.event = len(sizes), modality.event
        self.dtype = np.dtype(np.uint8 if modality.white == 255 or modality.binarize == "threshold" else np.uint16)

    def read(self, numbers: np.ndarray, seed: int | None = None) -> np.ndarray:
        if not len(numbers):
            return np.empty((0, *self.event), self.dtype)
        assert self.modality.crop is not None
        rows = numbers.tolist()
        at = crops.places([self.sizes[row] for row in rows], self.modality.crop, numbers, seed)
        levels = np.stack([self.window(row, place) for row, place in zip(rows, at, strict=True)])
        return self.modality.as_rows(levels, "a photograph").numpy().astype(self.dtype, copy=False)


def in_memory(modality: Image, levels: np.ndarray, digest: str) -> Uncut:
    """Of an array of levels [N, C, H, W]."""
    size, crop = (levels.shape[2], levels.shape[3]), modality.crop
    assert crop is not None
    return Uncut(modality, [size] * len(levels), lambda row, at: crops.cut(levels[row], crop, at), digest)


def in_file(
    modality: Image, found: Pictures, path: Path, digest: str, root: Path, tell: Tell | None = None, anew: bool = True
) -> Uncut:
    """Of pictures in files, each decoded once into one file at `path`, and from there read as far as a crop needs.

    The file holds the levels of one after the other, [H, W, C] each; its table of sizes lies beside it. anew: whether it is
    made, else it is there. root: the folder that names of files are told within.
    """
    beside = path.with_suffix(".sizes.npy")
    if anew:
        sizes = _decoded(modality, found, path, tell)
        write_whole(beside, lambda temporary: _saved(temporary, sizes))
    try:
        sizes = np.load(beside)
    except (OSError, ValueError):
        raise DataError(f"{beside}: is damaged; take it away, and it is made again") from None
    files = [os.path.relpath(each, root) for each in found.files]
    return Uncut(modality, [(int(h), int(w)) for h, w in sizes], _Windows(modality, sizes, path), digest, files)


class _Windows:
    """A photograph's number and a place → levels [C, crop, crop], read from the file row by row."""

    def __init__(self, modality: Image, sizes: np.ndarray, path: Path) -> None:
        assert modality.crop is not None
        self.crop, self.bands = modality.crop, modality.event[0]
        kind = np.dtype(np.uint8 if modality.white == 255 else np.uint16)
        pixels = sizes[:, 0].astype(np.int64) * sizes[:, 1]
        self.starts, self.widths = np.concatenate(([0], np.cumsum(pixels))), sizes[:, 1].astype(np.int64)
        self.file = FlatFile(path, (int(self.starts[-1]), self.bands), kind)

    def __call__(self, row: int, at: crops.Place) -> np.ndarray:
        width, first = int(self.widths[row]), int(self.starts[row]) + at[0] * int(self.widths[row]) + at[1]
        lines = min(self.crop, max(1, BAND // (width * self.bands)))  # that are read together, with what lies between
        out = np.empty((self.crop, self.crop, self.bands), self.file.dtype)
        for line in range(0, self.crop, lines):
            count = min(lines, self.crop - line)
            band = np.empty((count * width, self.bands), self.file.dtype)
            wanted = band[: (count - 1) * width + self.crop]
            self.file.fill(wanted.reshape(-1).view(np.uint8).data, first + line * width)
            out[line : line + count] = band.reshape(count, width, self.bands)[:, : self.crop]
        return np.ascontiguousarray(out.transpose(2, 0, 1))


def _decoded(modality: Image, found: Pictures, path: Path, tell: Tell | None) -> np.ndarray:
    """Write the levels of all pictures; their sizes [N, 2]."""
    sizes: list[tuple[int, int]] = []
    assert modality.crop is not None
    crop = modality.crop

    def write(temporary: Path) -> None:
        with open(temporary, "xb") as file:
            for place, values in enumerate(filed.each_decoded(found.files, modality.target, Counter())):
                crops.refuse_small((values.shape[1], values.shape[2]), crop, str(found.files[place]))
                file.write(np.ascontiguousarray(values.transpose(1, 2, 0)).reshape(-1).view(np.uint8).data)
                sizes.append((values.shape[1], values.shape[2]))
                if tell is not None:
                    tell("decoding the photographs, once", (place + 1) / len(found))

    write_whole(path, write)
    return np.array(sizes, np.int32).reshape(-1, 2)


def _saved(path: Path, array: np.ndarray) -> None:
    with open(path, "xb") as file:
        np.save(file, array)


def crops_of(modality: Any, uncut: Pictures | np.ndarray, source: dict[str, Any]) -> OnDisk:
    """What rows in memory were cut out of, as rows whose crops training draws anew: decoded in a file of this process alone."""
    digest = str(source.get("sha256"))
    if isinstance(uncut, np.ndarray):
        return OnDisk(in_memory(modality, uncut, digest), modality, source=source)
    folder = tempfile.TemporaryDirectory(prefix="lambent-", ignore_cleanup_errors=True)
    store = in_file(modality, uncut, Path(folder.name) / "photographs.levels", digest, uncut.files[0].parent)
    weakref.finalize(store, folder.cleanup)
    return OnDisk(store, modality, source=source)
