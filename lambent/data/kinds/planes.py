"""Arrays of pixels: any common layout and number type → levels [N, C, H, W], bytes or whole numbers of more bits."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import numpy as np

from lambent.data.kinds.depth import CHUNK, DEEPEST, Depth, Scale, Unit
from lambent.errors import ArtifactError, DataError, UsageError
from lambent.part import Shape

Size = tuple[int, int]
FitTo = Literal["crop", "pad", "stretch"]
MOST_BANDS = 1024
LONGEST = 16384  # pixels of a side
LAYOUTS = "images are [N,H,W], [N,H,W,C], [N,C,H,W] with C of 1 or 3, or flat [N,H·W] with size set"
KEEP = "keep all bands as data with --data.bands all (in Python: Image(bands='all'))"


@dataclass
class Found:
    """What an array holds: its unit, its greatest whole number (255 of floats and truth values), and whether all are 0 or 1."""

    unit: Unit
    highest: int
    two_level: bool


def only(values: np.ndarray, high: int) -> bool:
    """Whether every value is 0 or `high`."""
    flat = values.reshape(-1)
    return all(bool(((c == 0) | (c == high)).all()) for c in np.array_split(flat, max(1, flat.size // CHUNK)))


def refuse_grey(values: np.ndarray, where: str) -> None:
    """Raise `DataError` for levels between black and white."""
    if not only(values, 255):
        raise DataError(
            f"{where}: holds pixels between black and white, but Image was fitted on two-level images; "
            "threshold them first, or fit with binarize='threshold' on images of many levels"
        )


def layout(array: np.ndarray, size: Size | None, every: bool = False) -> np.ndarray:
    """[N,H,W], [N,H,W,C], [N,C,H,W] or, with a size, flat [N, C·H·W] → a view [N, C, H, W].

    C is 1 or 3; with `every`, any number that is less than height and width, or that a size tells. Raises `DataError`, which
    says of other bands how to keep them.
    """
    if array.ndim == 2 and size is not None:
        return _unfolded(array, size, every)
    if array.ndim == 3:
        return array[:, None]
    if array.ndim != 4:
        raise DataError(f"an array of shape {array.shape} holds no images; {LAYOUTS}")
    last, first = _bands_at(array.shape, 3, size, every), _bands_at(array.shape, 1, size, every)
    if last and first:  # only a size can tell; where it fits both, channels come last
        last, first = array.shape[1:3] == size, array.shape[2:4] == size
        if not last and not first:
            raise DataError(
                f"shape {array.shape} can be read as [N,H,W,C] and as [N,C,H,W]; set size to (height, width)"
            )
    if not last and not first:
        _refused(array.shape)
    planes: np.ndarray = array.transpose(0, 3, 1, 2) if last else array
    if not every and planes.shape[1] == 4:
        raise DataError(
            f"an array of shape {array.shape} has 4 channels, and whether the fourth is transparency an array cannot say: "
            f"{KEEP}, or give three channels, with transparency laid on a ground"
        )
    return planes


def _bands_at(shape: tuple[int, ...], axis: int, size: Size | None, every: bool) -> bool:
    """Whether that axis, the first or the last of a picture's, can be the one of the bands."""
    bands, others = shape[axis], shape[1:3] if axis == 3 else shape[2:4]
    if not every:
        return bands in (1, 3, 4)
    return 0 < bands <= MOST_BANDS and (others == size or bands < min(others))


def _unfolded(array: np.ndarray, size: Size, every: bool) -> np.ndarray:
    channels, rest = divmod(array.shape[1], size[0] * size[1])
    if rest or not channels or not (every or channels in (1, 3)):
        raise DataError(f"rows of {array.shape[1]} values are no images of {size[0]}×{size[1]}; {LAYOUTS}")
    return array.reshape(len(array), channels, *size)


def _refused(shape: tuple[int, ...]) -> NoReturn:
    bands = min(shape[1], shape[3])
    few = 0 < bands < min(shape[2], max(shape[1], shape[3]))
    hint = f"; {KEEP} if these are {bands} bands" if few else ""
    raise DataError(f"an array of shape {shape} holds no images; {LAYOUTS}{hint}")


def planar(shape: Shape, dtype: np.dtype, size: Size | None, every: bool) -> Shape | None:
    """C, H, W of pictures of this shape that lie so in memory; None of others, such as those whose channels come last."""
    try:
        laid = layout(np.empty((0, *shape), dtype), size, every).shape[1:]
    except DataError:
        return None
    return laid if laid == (shape if len(shape) == 3 else (1, *shape)) else None


def form(planes: np.ndarray) -> tuple[int, int, int]:
    """C, H, W of an array [N, C, H, W]."""
    channels, height, width = planes.shape[1:]
    return int(channels), int(height), int(width)


def surveyed(array: np.ndarray) -> Found:
    """What kind of numbers an array holds; `DataError` with the range found for those that are no pixels."""
    kind = array.dtype.kind
    if kind not in "biuf":
        raise DataError(f"pixels of type {array.dtype}; truth values, whole numbers or floats in [0, 1] are taken")
    if kind == "b":
        return Found("truth", 255, True)
    low, high = _range(array)
    if kind == "f":
        if low < 0 or high > 1:
            raise DataError(f"pixel values from {low:g} to {high:g}; floats must lie in [0, 1]. {_remedy(low, high)}")
        return Found("fractions", 255, only(array, 1))
    if low < 0 or high > DEEPEST:
        raise DataError(f"pixel values from {low:g} to {high:g}; integers must lie in 0…{DEEPEST}: rescale them")
    two_level = high <= 1
    return Found("bits" if two_level else "levels", int(high), two_level)


def scale_of(array: np.ndarray, depth: Depth) -> tuple[Scale, bool]:
    """The scale of an array's pixels, and whether they have but two levels."""
    found = surveyed(array)
    if found.two_level:
        return Scale(unit=found.unit), True
    if found.unit == "fractions" or array.dtype == np.uint8:
        return Scale.found(255, depth, "the array", found.unit), False
    return Scale.found(found.highest, depth, "the array"), False


def as_levels(array: np.ndarray, scale: Scale, two_level: bool, notices: Counter[str]) -> np.ndarray:
    """Numbers → levels of a scale: whole numbers as they are, truth values and floats in [0, 1] as round(white · x).

    two_level: whole numbers 0 and 1 are black and white.
    """
    found = surveyed(array)
    if found.unit == "fractions":
        return scale.fractions(array, notices)
    if found.unit == "truth" or (two_level and found.two_level):
        white: np.ndarray = array.astype(scale.dtype) * scale.dtype.type(scale.white)
        return white
    if array.dtype == np.uint8 and scale.white != 255:
        notices["spread from 8 bits"] += len(array)
    if array.dtype != np.uint8 and found.highest <= 255 and scale.white == 255 and scale.deep is None:
        array = array.astype(np.uint8)
    return scale.levels(array, "the array")


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


def on_white(values: np.ndarray, alpha: np.ndarray, white: int, opaque: int) -> np.ndarray:
    """Levels [C, H, W] over a white ground: round((α·v + (opaque − α)·white) / opaque), α of 0 … opaque, [H, W]."""
    share = alpha.astype(np.float64) / opaque
    mixed: np.ndarray = np.rint(share * values + (1 - share) * white)
    return mixed.astype(values.dtype)


def looked_at(values: np.ndarray, alpha: bool) -> np.ndarray:
    """Pictures [N, H, W(, C)] with as many bands as a picture file has: of more than 3 the first 3, of 2 the first.

    alpha: the last band is transparency, which stays beside these.
    """
    if values.ndim == 3 or values.shape[-1] == 3:
        return values
    if alpha:
        return values if values.shape[-1] in (2, 4) else values[..., [0, 1, 2, -1]]
    return np.ascontiguousarray(values[..., 0] if values.shape[-1] == 2 else values[..., :3])


def over_white(levels: np.ndarray, white: int) -> np.ndarray:
    """Pictures [N, H, W, C + 1] of levels whose last band is transparency → [N, H, W(, C)] over a white ground."""
    share = levels[..., -1:].astype(np.float64) / white
    mixed: np.ndarray = np.rint(share * levels[..., :-1] + (1 - share) * white).astype(levels.dtype)
    return mixed[..., 0] if mixed.shape[-1] == 1 else mixed


def grey(values: np.ndarray) -> np.ndarray:
    """RGB [N, 3, H, W] → luma [N, 1, H, W], 0.299 R + 0.587 G + 0.114 B in Pillow's fixed point (ITU-R 601-2)."""
    red, green, blue = (values[:, i : i + 1].astype(np.uint32) for i in range(3))
    luma: np.ndarray = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
    return luma.astype(values.dtype)


def with_channels(values: np.ndarray, channels: int, notices: Counter[str]) -> np.ndarray:
    """Levels [N, C, H, W] → exactly `channels`; grey to colour or back, which is counted. Other bands must be as many."""
    found = values.shape[1]
    if found == channels:
        return values
    if {found, channels} != {1, 3}:
        hint = f"; {KEEP}" if channels in (1, 3) else ""
        raise DataError(f"images of {found} bands, not {channels} as fitted{hint}")
    notices["colour_to_grey" if channels == 1 else "grey_to_colour"] += len(values)
    return grey(values) if channels == 1 else np.repeat(values, 3, axis=1)


def kept_channels(colour: str, bands: int) -> int:
    """How many channels of so many bands are kept; `UsageError` where only grey or RGB images were asked for."""
    if colour == "auto":
        return bands
    if bands not in (1, 3):
        raise UsageError(f"colour={colour!r} is for grey and RGB images, not for {bands} bands: leave it at auto")
    return {"grey": 1, "rgb": 3}[colour]


def refuse_stored(event: tuple[int, int, int], every: bool) -> None:
    """Raise `ArtifactError` for a shape that no fitted images have."""
    fits = 0 < event[0] <= MOST_BANDS if every else event[0] in (1, 3)
    if not fits or not all(0 < side <= LONGEST for side in event[1:]):
        raise ArtifactError(f"the stored state of Image gives the shape {'×'.join(map(str, event))}")


def resized(
    values: np.ndarray, size: Size, fit_to: FitTo, exact: bool, notices: Counter[str], white: int = 255
) -> np.ndarray:
    """Levels [N, C, H, W] at another size; `exact` takes the nearest pixel, so that two levels stay two."""
    if values.shape[2:] == size:
        return values
    from PIL import Image as Pil

    notices["resized"] += len(values)
    out = np.empty((*values.shape[:2], *size), values.dtype)
    for row, image in enumerate(values):
        for channel, plane in enumerate(image):
            plane = np.ascontiguousarray(plane)
            if plane.dtype != np.uint8:  # Pillow resamples 16 bits as floats only
                plane = plane.astype(np.float32)
            made = np.asarray(resample(Pil.fromarray(plane), size, fit_to, exact))
            out[row, channel] = made if made.dtype == np.uint8 else np.rint(made).clip(0, white)
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
