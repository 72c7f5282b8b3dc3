"""Pictures in files, many at once: what they have in common, and their decoding by several threads."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from lambent.data.kinds import crops
from lambent.data.kinds.depth import DEEPEST, Depth, Scale, white_of
from lambent.data.kinds.planes import KEEP, Size
from lambent.data.readers import arrays, idx, pictures
from lambent.data.readers import regular as files
from lambent.data.readers.pictures import Pictures
from lambent.errors import DataError

T = TypeVar("T")
LAID = "alpha_on_white"
AT_ONCE = 256  # files that are begun together, so that a bad one stops the rest


def opened(raw: Any) -> Pictures | np.ndarray:
    """Any raw form of images → pictures on disk, or one array; `DataError` for what is neither."""
    if isinstance(raw, Pictures):
        return raw
    if isinstance(raw, (str, Path)):
        if arrays.is_array_file(raw):
            return arrays.read(raw).array
        return idx.read_idx(raw) if idx.is_idx_file(raw) else pictures.pictures_in(raw)
    if isinstance(raw, (list, tuple)) and (not raw or isinstance(raw[0], (str, Path))):
        return pictures.pictures_in(raw)
    if isinstance(raw, Tensor):
        raw = raw.detach().cpu()
        raw = (raw.float() if raw.dtype == torch.bfloat16 else raw).numpy()
    if isinstance(raw, np.ma.MaskedArray) and np.ma.is_masked(raw):
        raise DataError("an array with masked pixels; fill them, array.filled(value)")
    try:
        return np.asarray(raw)
    except (ValueError, TypeError):
        kind = type(raw).__name__
        raise DataError(f"a {kind} holds no images; give a folder, a list of files, or an array") from None


@dataclass
class Looked:
    """What the headers of many files have in common, and what was noticed.

    bands: how many are data, 1 where all are grey, without transparency. alpha: whether that is one more.
    """

    sizes: Counter[Size] = field(default_factory=Counter)
    smallest: list[tuple[Path, Size]] = field(default_factory=list)  # the least high file, and the least wide
    notices: Counter[str] = field(default_factory=Counter)
    bands: int = 1
    alpha: bool = False
    two_level: bool = True
    deep: list[Path] = field(default_factory=list)

    def size(self, asked: Size | None, crop: int | None = None) -> Size:
        """The size that was asked for, or of crops, or that all share; `DataError` where they do not, or are too small."""
        if crop is not None:
            for path, size in self.smallest:
                crops.refuse_small(size, crop, str(path))
            return crop, crop
        if len(self.sizes) > 1 and asked is None:
            shown = ", ".join(f"{h}×{w} ({n})" for (h, w), n in self.sizes.most_common(4))
            raise DataError(
                f"the images have {len(self.sizes)} sizes, height × width: {shown}; set size to bring them to one"
            )
        return asked or next(iter(self.sizes))

    def scale(self, asked: Depth) -> Scale:
        """The scale of their pixels: of files with 16 bits a sample the least that holds all of them."""
        if not self.deep:
            return Scale() if self.two_level else Scale.found(255, asked, "the images")
        if asked != "auto" and asked != 8:
            return Scale(white_of(asked))  # what lies beyond is found, and its file named, when it is decoded
        top = 0
        for value in _each(_highest, self.deep):
            top = max(top, value or 0)
            if top.bit_length() > 12:
                break
        return Scale.found(min(top, DEEPEST), asked, "the images")


def looked(paths: Sequence[Path], every: bool, skip_bad: bool) -> Looked:
    """The headers of all files. every: whether bands that are neither grey nor RGB are taken."""
    found = Looked()
    with pictures.decoding():
        for path in paths:
            try:
                header = pictures.look(path)
            except DataError:
                if not skip_bad:
                    raise
                found.notices["skipped_bad"] += 1
                continue
            if header.bands not in (1, 3) and not every:
                raise DataError(f"{path}: has {header.bands} bands, of which it names none as transparency: {KEEP}")
            found.sizes[header.size] += 1
            least = [*found.smallest, (path, header.size)]
            found.smallest = [min(least, key=lambda one: one[1][axis]) for axis in (0, 1)]
            found.bands = max(found.bands, header.bands)
            found.two_level = found.two_level and header.two_level
            found.deep += [path] if header.deep else []
            found.alpha = found.alpha or (every and LAID in header.conversions)
            found.notices.update("alpha_kept" if every and name == LAID else name for name in header.conversions)
    if not found.sizes:
        raise DataError(f"none of the {len(paths)} files could be decoded")
    return found


def decoded(
    paths: Sequence[Path],
    target: pictures.Target,
    skip_bad: bool,
    notices: Counter[str],
    size: tuple[int, ...],
    crop: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """(levels [kept, C, *size], the indices kept); conversions are counted in `notices`. crop: what of each is kept."""
    shape = (len(paths), target.channels, *size)
    out = files.empty(shape, target.scale.dtype, f"{len(paths)} images")

    def one(row: int) -> list[str] | None:
        try:
            values, conversions = pictures.decode(paths[row], target)
            out[row] = values if crop is None else crops.centred(values, crop, str(paths[row]))
        except DataError:
            if skip_bad:
                return None
            raise
        return conversions

    outcomes = list(_each(one, range(len(paths))))
    kept = np.array([row for row, outcome in enumerate(outcomes) if outcome is not None], np.int64)
    for outcome in outcomes:
        notices.update(["skipped_bad"] if outcome is None else outcome)
    if not len(kept):
        raise DataError(f"none of the {len(out)} files could be decoded")
    return (out if len(kept) == len(out) else out[kept]), kept


def each_decoded(paths: Sequence[Path], target: pictures.Target, notices: Counter[str]) -> Iterator[np.ndarray]:
    """Levels [C, H, W] of one file after the other, a few at a time in memory, for pictures may be large."""

    def one(path: Path) -> tuple[np.ndarray, list[str]]:
        return pictures.decode(path, target)

    for values, conversions in _each(one, paths, os.cpu_count() or 1):
        notices.update(conversions)
        yield values


def _highest(path: Path) -> int | None:
    try:
        return pictures.highest(path)
    except DataError:  # which is told, or passed over, when it is decoded
        return None


def _each(task: Callable[..., T], items: Sequence[Any], at_once: int = AT_ONCE) -> Iterator[T]:
    """The task on every item, in parallel and in order: decoders let go of the lock."""
    with pictures.decoding(), ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        for start in range(0, len(items), at_once):
            yield from pool.map(task, items[start : start + at_once])
