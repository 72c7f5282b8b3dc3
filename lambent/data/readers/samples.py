"""Samples: the values of a picture as its file has them, in all their bits; its transparency apart from them."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from lambent.errors import DataError

DEEPEST = 65535
_TURNED = {
    2: lambda v: v[..., ::-1],
    3: lambda v: v[..., ::-1, ::-1],
    4: lambda v: v[..., ::-1, :],
    5: lambda v: v.swapaxes(-1, -2),
    6: lambda v: np.rot90(v, -1, (-2, -1)),
    7: lambda v: v[..., ::-1, ::-1].swapaxes(-1, -2),
    8: lambda v: np.rot90(v, 1, (-2, -1)),
}


def is_deep(picture: Any) -> bool:
    """Whether an opened picture has more than 8 bits a sample; those of floats count as having 8."""
    return picture.mode == "I" or picture.mode.startswith("I;16") or _split(picture)


def _split(picture: Any) -> bool:
    """Whether it has several samples of 16 bits, of which Pillow drops the lower half."""
    return is_pair(picture) or any(_raw(tile) in SWAPPED for tile in picture.tile)


def is_pair(picture: Any) -> bool:
    """Whether it is grey with transparency, 16 bits each, of which Pillow makes colour."""
    return any(_raw(tile) == "LA;16B" for tile in picture.tile)


# A reader of the other byte order takes the lower byte of each sample where the right one takes the upper.
SWAPPED = {f"{m};16{a}": f"{m};16{b}" for m in ("RGB", "RGBX", "RGBA") for a, b in (("B", "L"), ("L", "B"))}
OTHER = "B" if sys.byteorder == "little" else "L"
SWAPPED |= {f"{m};16N": f"{m};16{OTHER}" for m in ("RGB", "RGBX", "RGBA")}


def _raw(tile: Any) -> str:
    return str(tile[3][0] if isinstance(tile[3], tuple) else tile[3])


def deep(picture: Any, path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """(values [1 or 3, height, width], transparency [height, width] or None) of a deep picture, uint16."""
    if not _split(picture):
        values = np.asarray(picture)
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > DEEPEST:
            raise DataError(f"{path}: its pixels go from {low} to {high}; 0…{DEEPEST} is what such a file may hold")
        return values[None].astype(np.uint16), None
    if is_pair(picture):  # two samples of 16 bits lie as four of 8 would
        parts = _decoded(path, {"LA;16B": "RGBA"}, "RGBA")
        grey, alpha = (parts[..., i].astype(np.uint16) << 8 | parts[..., i + 1] for i in (0, 2))
        return grey[None], alpha
    mode = picture.mode
    upper, lower = _decoded(path, {}, mode), _decoded(path, SWAPPED, mode)
    whole = (upper.astype(np.uint16) << 8 | lower).transpose(2, 0, 1)
    return whole[:3], whole[3] if mode == "RGBA" else None


def _decoded(path: Path, raw: dict[str, str], mode: str) -> np.ndarray:
    """The bytes that Pillow makes of a file, with its ways of unpacking replaced by others."""
    from PIL import Image as Pil

    with Pil.open(path) as picture:
        tiles: Any = picture
        tiles.tile = [_replaced(tile, raw) for tile in tiles.tile]
        if mode != picture.mode:
            tiles._mode = mode
        picture.load()
        return np.asarray(picture)


def _replaced(tile: Any, raw: dict[str, str]) -> Any:
    name = raw.get(_raw(tile), _raw(tile))
    arguments = (name, *tile[3][1:]) if isinstance(tile[3], tuple) else name
    return type(tile)(tile[0], tile[1], tile[2], arguments)


def turned(values: np.ndarray, turn: int) -> np.ndarray:
    """Values [..., height, width] upright, from how EXIF says that they lie (1 … 8)."""
    way = _TURNED.get(turn)
    return values if way is None else np.ascontiguousarray(way(values))
