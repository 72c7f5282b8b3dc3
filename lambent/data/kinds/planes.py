"""Arrays of pixels: any common layout and number type → bytes [N, C, H, W]."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lambent.errors import DataError

Size = tuple[int, int]
FitTo = Literal["crop", "pad", "stretch"]
CHUNK = 2**24  # values converted at a time, so that float arrays cost little extra memory


@dataclass
class Bytes:
    """Pixels as uint8 [N, C, H, W]; `unit`: they came as truth values or as numbers in [0, 1], times 255 here."""

    values: np.ndarray
    unit: bool = False

    @property
    def two_level(self) -> bool:
        """Whether the raw values were all 0 or 1."""
        return only(self.values, 255 if self.unit else 1)


def only(values: np.ndarray, high: int) -> bool:
    """Whether every byte is 0 or `high`."""
    flat = values.reshape(-1)
    return all(bool(((c == 0) | (c == high)).all()) for c in np.array_split(flat, max(1, flat.size // CHUNK)))


def layout(array: np.ndarray, size: Size | None) -> np.ndarray:
    """[N,H,W], [N,H,W,C], [N,C,H,W] or, with a size, flat [N, C·H·W] → a view [N, C, H, W] with C of 1, 3 or 4."""
    allowed = "images are [N,H,W], [N,H,W,C], [N,C,H,W] with C of 1, 3 or 4, or flat [N,H·W] with size set"
    if array.ndim == 2 and size is not None:
        for channels in (1, 3):
            if array.shape[1] == channels * size[0] * size[1]:
                return array.reshape(len(array), channels, *size)
        raise DataError(f"rows of {array.shape[1]} values are no images of {size[0]}×{size[1]}; {allowed}")
    if array.ndim == 3:
        return array[:, None]
    if array.ndim != 4:
        raise DataError(f"an array of shape {array.shape} holds no images; {allowed}")
    last, first = array.shape[3] in (1, 3, 4), array.shape[1] in (1, 3, 4)
    if last and first:  # only a size can tell; where it fits both, channels come last
        last, first = array.shape[1:3] == size, array.shape[2:4] == size
        if not last and not first:
            raise DataError(
                f"shape {array.shape} can be read as [N,H,W,C] and as [N,C,H,W]; set size to (height, width)"
            )
    if not last and not first:
        raise DataError(f"an array of shape {array.shape} holds no images; {allowed}")
    return array.transpose(0, 3, 1, 2) if last else array


def form(planes: np.ndarray) -> tuple[int, int, int]:
    """C, H, W of an array [N, C, H, W], transparency left out."""
    channels, height, width = planes.shape[1:]
    return 3 if channels == 4 else int(channels), int(height), int(width)


def as_bytes(array: np.ndarray, notices: Counter[str]) -> Bytes:
    """Numbers → bytes: integers 0…255 as they are, truth values and floats in [0, 1] as round(255·x).

    Raises `DataError` with the range found when it is another one.
    """
    kind = array.dtype.kind
    if kind not in "biuf":
        raise DataError(f"pixels of type {array.dtype}; truth values, integers 0…255 or floats in [0, 1] are taken")
    if kind == "b":
        return Bytes(array.astype(np.uint8) * np.uint8(255), unit=True)
    if array.dtype == np.uint8:
        return Bytes(array)
    low, high = _range(array)
    if kind == "f":
        if low < 0 or high > 1:
            raise DataError(f"pixel values from {low:g} to {high:g}; floats must lie in [0, 1]. {_remedy(low, high)}")
        return Bytes(_rounded(array, notices), unit=True)
    if low < 0 or high > 255:
        hint = "divide 16-bit values by 257" if array.dtype.itemsize > 1 and high <= 65535 else "rescale them"
        raise DataError(f"pixel values from {low:g} to {high:g}; integers must lie in 0…255: {hint}")
    return Bytes(array.astype(np.uint8))


def _range(array: np.ndarray) -> tuple[float, float]:
    if not array.size:
        return 0.0, 0.0
    low, high = float(array.min()), float(array.max())
    if np.isfinite(low) and np.isfinite(high):
        return low, high
    for row, image in enumerate(array):
        if not np.isfinite(image).all():
            raise DataError(f"image {row} holds NaN or infinite pixels; fill them or leave it out")
    raise AssertionError("a NaN that no row holds")


def _remedy(low: float, high: float) -> str:
    if low >= 0 and high <= 255:
        return "Divide by 255, or give them as uint8."
    if low >= -1 and high <= 1:
        return "They look centred on 0: give (x + 1) / 2."
    return "Rescale them."


def _rounded(array: np.ndarray, notices: Counter[str]) -> np.ndarray:
    values = np.empty(array.shape, np.uint8)
    step = max(1, CHUNK // max(1, int(np.prod(array.shape[1:]))))
    for start in range(0, len(array), step):
        scaled = array[start : start + step].astype(np.float64) * 255
        whole = np.rint(scaled)
        off_grid = (np.abs(scaled - whole) > 1e-2).reshape(len(whole), -1).any(axis=1)
        notices["rounded_to_bytes"] += int(off_grid.sum())
        values[start : start + step] = whole
    return values


def on_white(values: np.ndarray) -> np.ndarray:
    """RGBA bytes [N, 4, H, W] → RGB over a white ground: round((α·v + (255 − α)·255) / 255)."""
    alpha = values[:, 3:].astype(np.uint32)
    mixed = alpha * values[:, :3] + (255 - alpha) * 255
    whole: np.ndarray = (mixed + 127) // 255
    return whole.astype(np.uint8)


def grey(values: np.ndarray) -> np.ndarray:
    """RGB bytes [N, 3, H, W] → luma [N, 1, H, W], 0.299 R + 0.587 G + 0.114 B in Pillow's fixed point (ITU-R 601-2)."""
    red, green, blue = (values[:, i : i + 1].astype(np.uint32) for i in range(3))
    luma: np.ndarray = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
    return luma.astype(np.uint8)


def with_channels(values: np.ndarray, channels: int, notices: Counter[str]) -> np.ndarray:
    """Bytes [N, 1, 3 or 4, H, W] → exactly `channels` (1 or 3); what was converted is counted."""
    if values.shape[1] == 4:
        notices["alpha_on_white"] += len(values)
        values = on_white(values)
    if values.shape[1] == channels:
        return values
    notices["colour_to_grey" if channels == 1 else "grey_to_colour"] += len(values)
    return grey(values) if channels == 1 else np.repeat(values, 3, axis=1)


def resized(values: np.ndarray, size: Size, fit_to: FitTo, exact: bool, notices: Counter[str]) -> np.ndarray:
    """Bytes [N, C, H, W] at another size; `exact` takes the nearest pixel, so that two levels stay two."""
    if values.shape[2:] == size:
        return values
    from PIL import Image as Pil

    notices["resized"] += len(values)
    out = np.empty((*values.shape[:2], *size), np.uint8)
    for row, image in enumerate(values):
        for channel, plane in enumerate(image):
            out[row, channel] = np.asarray(resample(Pil.fromarray(np.ascontiguousarray(plane)), size, fit_to, exact))
    return out


def resample(picture: Any, size: Size, fit_to: FitTo, exact: bool = False) -> Any:
    """A Pillow image at (height, width): cropped about its centre, padded with black, or stretched; bicubic."""
    from PIL import Image as Pil
    from PIL import ImageOps

    target = size[1], size[0]
    if picture.size == target:
        return picture
    method = Pil.Resampling.NEAREST if exact else Pil.Resampling.BICUBIC
    if fit_to == "crop":
        return ImageOps.fit(picture, target, method)
    if fit_to == "pad":
        return ImageOps.pad(picture, target, method)
    return picture.resize(target, method)
