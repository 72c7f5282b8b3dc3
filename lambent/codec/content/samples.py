"""Samples of picture files as a codec keeps them: every band to the bit, or not at all."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lambent.data.readers import pictures
from lambent.data.writers.png import sixteen_bits
from lambent.errors import ArtifactError, DataError

MODES = (
    "1",
    "L",
    "LA",
    "P",
    "RGB",
    "RGBA",
    "I",
    "I;16",
    "I;16B",
    "I;16L",
)  # of Pillow, whose samples come back as they are
PALETTES = ("P",)
LONGEST = 1 << 20  # pixels of a side
MOST_PIXELS = pictures.LIMIT_PIXELS


@dataclass(frozen=True)
class Form:
    """What a picture is beside its levels: bands (1 grey, 2 grey and transparency, 3 RGB, 4 RGBA), bits of a sample, size.

    kept: bands that are told; of equal colours one, and none of a transparency that is opaque throughout.
    """

    bands: int
    bits: int
    height: int
    width: int
    kept: int

    @property
    def deep(self) -> bool:
        return self.bits == 16

    @property
    def size(self) -> int:
        """Bytes of the bands that are kept."""
        return self.kept * self.height * self.width * (2 if self.deep else 1)

    def plain(self) -> list[int]:
        """As plain JSON."""
        return [self.bands, self.bits, self.height, self.width, self.kept]

    @classmethod
    def restored(cls, said: Any) -> Self:
        """The inverse of `plain`; `ArtifactError` for what no picture has."""
        right = isinstance(said, list) and len(said) == 5 and all(type(n) is int for n in said)
        if right:
            bands, bits, height, width, kept = said
            right = bands in (1, 2, 3, 4) and bits in (1, 8, 16) and kept in (1, 3, bands) and kept <= bands
            right = right and 0 < height <= LONGEST and 0 < width <= LONGEST and height * width <= MOST_PIXELS
        if not right:
            raise ArtifactError(f"the archive describes a picture as {str(said)[:60]}, which none is")
        return cls(bands, bits, height, width, kept)


@dataclass(frozen=True)
class Samples:
    """A picture: its form, and the levels [kept, H, W] that are told, uint8 or uint16; black and white are 0 and 255.

    hard: it comes from a file that a coder of pixels hardly betters, of lossy compression or a palette.
    """

    form: Form
    levels: NDArray[Any]
    hard: bool = False


def read(path: Path) -> Samples | None:
    """A picture's samples; None of a file whose samples alone would not bring it back: animated, turned, CMYK, damaged."""
    if path.suffix.lower() not in pictures.SUFFIXES:
        return None
    try:
        with pictures.opened(path) as picture:
            held, mode = picture.format, picture.mode
            hard = held in ("JPEG", "MPO", "GIF") or mode in PALETTES or (held == "WEBP" and _is_lossy(path))
        values, alpha, conversions = pictures.values_of(path, True)
    except DataError:
        return None
    if mode not in MODES or not set(conversions) <= {"palette", "alpha_on_white"}:
        return None
    deep = values.dtype == np.uint16
    if values.dtype not in (np.uint8, np.uint16) and mode != "1":
        return None
    whole = _of_bytes(values) if not deep else values
    if len(whole) == 3 and bool((whole[0] == whole[1]).all()) and bool((whole[0] == whole[2]).all()):
        told = whole[:1]
    else:
        told = whole
    bands = len(whole) + (alpha is not None)
    if alpha is not None and not bool((alpha == np.iinfo(values.dtype).max).all()):
        told = np.concatenate([whole, alpha[None].astype(whole.dtype)])
    bits = 1 if mode == "1" else 16 if deep else 8
    return Samples(Form(bands, bits, told.shape[1], told.shape[2], len(told)), np.ascontiguousarray(told), hard)


def _of_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    return values.astype(np.uint8) * np.uint8(255) if values.dtype == np.bool_ else values.astype(np.uint8)


def _is_lossy(path: Path) -> bool:
    """Whether a WebP file is of the lossy kind: its first chunk says so, or in an extended file one of the first."""
    with path.open("rb") as file:
        return b"VP8 " in file.read(256)


def picture_of(form: Form, levels: NDArray[Any]) -> NDArray[Any]:
    """Levels [kept, H, W] → the picture as an array [H, W] or [H, W, bands]; truth values of one bit."""
    colours = form.bands - (form.bands in (2, 4))
    whole = levels
    if form.kept == 1 and colours == 3:
        whole = np.repeat(levels, 3, 0)
    if form.kept < form.bands and form.bands in (2, 4):
        opaque = np.full((1, form.height, form.width), np.iinfo(levels.dtype).max, levels.dtype)
        whole = np.concatenate([whole[:colours], opaque])
    found = whole[0] if form.bands == 1 else whole.transpose(1, 2, 0)
    return found > 127 if form.bits == 1 else found


def as_png(form: Form, levels: NDArray[Any]) -> bytes:
    """The picture as the bytes of a PNG file, to the bit of every sample."""
    from PIL import Image

    picture = picture_of(form, levels)
    if form.deep:
        return sixteen_bits(picture)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "PNG")
    return buffer.getvalue()
