"""TIFF with bands that no colour model names: 2, 4, 5 or more, read as they lie, 8 or 16 bits each.

Uncompressed and deflated files, in strips or tiles, with bands together or apart, with or without differencing. Other
compressions are left to `tifffile`, where it is installed.
"""

import importlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lambent.data.readers import regular as files
from lambent.errors import DataError, LambentError, MachineError

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
LIMIT_BANDS = 1024
DEFLATE = (8, 32946)
GREY, RGB = (0, 1), (2,)  # values of PhotometricInterpretation; others are palettes, inks and the like


@dataclass(frozen=True)
class Heading:
    """What a TIFF's first directory says, by the names of its tags."""

    path: Path
    order: str  # of bytes, < or >
    tags: dict[int, Any]
    more: bool  # whether other pictures follow

    def number(self, tag: int, default: int = 0) -> int:
        value = self.tags.get(tag, default)
        return int(value[0] if isinstance(value, tuple) else value)

    def numbers(self, tag: int) -> tuple[int, ...]:
        value = self.tags.get(tag, ())
        return tuple(int(n) for n in (value if isinstance(value, tuple) else (value,)))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width as they lie, before any rotation."""
        return self.number(257), self.number(256)

    @property
    def samples(self) -> int:
        return self.number(277, 1)

    @property
    def alpha(self) -> bool:
        """Whether the last band is transparency: only where the tag ExtraSamples says so."""
        extra = self.numbers(338)
        return bool(extra) and extra[-1] in (1, 2)

    @property
    def bands(self) -> int:
        """How many bands are data."""
        return self.samples - self.alpha

    @property
    def bits(self) -> int:
        return max(self.numbers(258), default=1)

    @property
    def plain(self) -> bool:
        """Whether it is a grey, a colour or a palette picture, as any reader knows them."""
        kind = self.number(262, 1)
        return kind not in (*GREY, *RGB) or self.bands == (1 if kind in GREY else 3)


def heading(path: Path) -> Heading | None:
    """The heading of a TIFF; None of a file of another kind, or one so damaged that Pillow should say how."""
    from PIL import TiffImagePlugin

    with files.regular(path).open("rb") as stream:
        start = stream.read(4)
        if start not in MAGIC:
            return None
        start += stream.read(12 if start[2] == 43 or start[3] == 43 else 4)
        try:
            directory = TiffImagePlugin.ImageFileDirectory_v2(start)
            stream.seek(directory.next)
            directory.load(stream)
            found = Heading(path, "<" if start[:2] == b"II" else ">", dict(directory), bool(directory.next))
            return found if min(found.size) > 0 and found.samples > 0 else None
        except MemoryError:
            raise
        except Exception:  # Pillow's readers of TIFF raise errors of many kinds
            return None


def read(found: Heading) -> np.ndarray:
    """All bands of it, [bands, height, width], uint8 or uint16; the last is transparency where `alpha` says so."""
    height, width = found.size
    formats, bits = set(found.numbers(339)) or {1}, set(found.numbers(258))
    if found.samples > LIMIT_BANDS:
        raise DataError(f"{found.path}: has {found.samples:,} bands; at most {LIMIT_BANDS:,} are read")
    if formats != {1} or bits not in ({8}, {16}):
        shown = " and ".join(map(str, sorted(bits)))
        raise DataError(
            f"{found.path}: has {found.samples} bands of {shown} bits; whole numbers of 8 or 16 bits are read"
        )
    if found.number(259, 1) not in (1, *DEFLATE) or found.number(317, 1) not in (1, 2):
        return _by_tifffile(found)
    kind = np.dtype(f"{found.order}u{bits.pop() // 8}")
    out = files.empty((found.samples, height, width), kind.newbyteorder("="), f"{found.path}: a picture")
    try:
        _fill(found, kind, out)
    except (LambentError, MemoryError):
        raise
    except Exception as error:
        raise DataError(f"{found.path}: damaged or cut short ({str(error)[:100]})") from None
    return out


def _fill(found: Heading, kind: np.dtype, out: np.ndarray) -> None:
    apart = found.number(284, 1) == 2
    together = 1 if apart else found.samples
    height, width = found.size
    tiled = 322 in found.tags
    high, wide = (found.number(323), found.number(322)) if tiled else (min(found.number(278, height), height), width)
    down, across = -(-height // high), -(-width // wide)
    wanted = down * across * (found.samples if apart else 1)
    pieces = _pieces(found, 324 if tiled else 273, wanted)
    for number, piece in enumerate(pieces):
        plane, place = divmod(number, down * across)
        top, left = place // across * high, place % across * wide
        rows = high if tiled else min(high, height - top)
        size = rows * wide * together * kind.itemsize
        values = np.frombuffer(_inflated(found, piece, size), kind).reshape(rows, wide, together)
        if found.number(317, 1) == 2:  # each value is kept as what it differs from its neighbour by
            values = np.cumsum(values, axis=1, dtype=kind.newbyteorder("="))
        part = values[: height - top, : width - left].transpose(2, 0, 1)
        bands = slice(plane, plane + 1) if apart else slice(None)
        out[bands, top : top + part.shape[1], left : left + part.shape[2]] = part


def _pieces(found: Heading, tag: int, wanted: int) -> Iterator[bytes]:
    """The bytes of its strips or tiles, one after the other."""
    places, sizes = found.numbers(tag), found.numbers(tag + 1 if tag == 324 else 279)
    if not len(places) == len(sizes) == wanted:
        raise ValueError(f"{len(places)} places and {len(sizes)} sizes for {wanted} pieces")
    with found.path.open("rb") as stream:
        for place, size in zip(places, sizes, strict=True):
            stream.seek(place)
            yield stream.read(size)


def _inflated(found: Heading, piece: bytes, size: int) -> bytes:
    whole = zlib.decompressobj().decompress(piece, size) if found.number(259, 1) in DEFLATE else piece[:size]
    if len(whole) != size:
        raise ValueError(f"{len(whole):,} bytes where {size:,} belong")
    return whole


def _by_tifffile(found: Heading) -> np.ndarray:
    try:
        tifffile = importlib.import_module("tifffile")
    except ImportError:
        raise MachineError(
            f"{found.path}: is a TIFF of {found.samples} bands, compressed in a way that needs another library: "
            "pip install tifffile imagecodecs, or save it uncompressed or deflated"
        ) from None
    try:
        values = np.asarray(tifffile.imread(found.path, key=0))
    except Exception as error:
        raise DataError(
            f"{found.path}: damaged, or of a form that tifffile does not read ({str(error)[:100]})"
        ) from None
    last = values.ndim == 3 and values.shape == (*found.size, found.samples)
    return np.ascontiguousarray(values.transpose(2, 0, 1) if last else values)
