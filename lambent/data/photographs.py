"""Photographs whole: pictures in files at their own size, as a modality encodes crops of them, and back."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from lambent.data.kinds import filed, tensors
from lambent.data.kinds import planes as pixels
from lambent.data.kinds.image import Image
from lambent.data.kinds.modality import Modality
from lambent.data.loading import raw_rows
from lambent.data.readers.pictures import Pictures, decode, decoding
from lambent.errors import DataError, UsageError

STRIPE = 2**20  # pixels that are brought back at a time


def pictured(modality: Modality | None) -> Image:
    """The modality, which must be of images; `UsageError` if it is none."""
    if not isinstance(modality, Image):
        raise UsageError(
            "photographs are for a model that was trained on pictures, with the record of how these are read"
        )
    return modality


def photographs(modality: Modality | None, source: Any) -> Iterator[tuple[str | None, Tensor]]:
    """Each photograph of a file, a folder, a list of files or an array, whole: its path, and levels [1, C, height, width].

    One at a time is in memory. Errors: `DataError` for what cannot be read, or has other bands than the model.
    """
    image = pictured(modality)
    found, whole = filed.opened(raw_rows(source, several=False).rows), replace(image.target, size=None)
    if not isinstance(found, Pictures):
        for planes in pixels.layout(found, None, image.bands == "all"):
            yield None, _row(image, planes)
        return
    for path in found.files:
        with decoding():
            values = decode(path, whole)[0]
        yield str(path), image.as_rows(values[None], str(path))


def photograph(modality: Modality | None, pixels_of_it: np.ndarray) -> Tensor:
    """One photograph as an array [height, width] or [height, width, bands]: its row of levels [1, C, height, width]."""
    image = pictured(modality)
    if pixels_of_it.ndim not in (2, 3):
        raise DataError(
            f"a photograph is an array [height, width] or [height, width, bands], and this has shape {list(pixels_of_it.shape)}"
        )
    return _row(image, pixels_of_it[None] if pixels_of_it.ndim == 2 else np.moveaxis(pixels_of_it, -1, 0))


def _row(image: Image, planes: np.ndarray) -> Tensor:
    """Planes [C, height, width] as a row."""
    whole = replace(image.target, size=None)
    levels = pixels.as_levels(planes[None], whole.scale, whole.exact, Counter())
    return image.as_rows(pixels.with_channels(levels, image.event[0], Counter()), "the array")


def picture(modality: Modality | None, x: Tensor) -> np.ndarray:
    """A photograph in stored units [1, C, height, width] as levels, [height, width] or [height, width, 3 or C].

    uint8, or uint16 of more than 8 bits.
    """
    image = pictured(modality)
    if x.dim() != 4 or len(x) != 1:
        raise DataError(f"a photograph is one row [1, channels, height, width], and this has shape {list(x.shape)}")
    lines = max(1, STRIPE // x.shape[3])
    stripes = [x[:, :, top : top + lines] for top in range(0, x.shape[2], lines)]
    shown = [tensors.shown(part, tuple(part.shape[1:]), image.white, of_one=image.binary) for part in stripes]
    kind = np.uint8 if image.white == 255 else np.uint16
    return np.concatenate([np.rint(part[0]).astype(kind) for part in shown])
