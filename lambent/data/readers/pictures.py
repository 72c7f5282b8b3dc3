"""Picture files: found in a folder, looked at by their headers, decoded to bytes by stated rules.

The rules: EXIF rotation is applied; transparency is laid on white; palettes and CMYK become RGB; 16-bit grey is divided
by 257 (16-bit colour loses its low byte in Pillow); of an animation the first frame counts. Only the formats of
`SUFFIXES` are opened, whatever a file claims to be: Pillow's rarer readers run interpreters.
"""

import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from lambent.data.kinds.planes import FitTo, Size, resample
from lambent.data.readers import folders
from lambent.data.readers import regular as files
from lambent.errors import DataError, LambentError

SUFFIXES = {".png": "PNG", ".bmp": "BMP", ".gif": "GIF", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
SUFFIXES |= dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG")
LIMIT_PIXELS = 89_478_485  # Pillow's own bound on a decompression bomb: 256 MiB as RGB
_TURNS = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE"}
_TURNS |= {6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}


@dataclass
class Pictures:
    """Files in a fixed order; labels from the names of their folders where these are classes."""

    files: list[Path]
    labels: np.ndarray | None = None
    label_names: list[str] | None = None
    notices: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: np.ndarray) -> "Pictures":
        labels = None if self.labels is None else self.labels[index]
        return replace(self, files=[self.files[i] for i in index], labels=labels)


@dataclass
class Header:
    """What a file says of its picture: size after rotation, whether it is grey, whether it has but two levels."""

    size: Size
    grey: bool
    two_level: bool
    conversions: list[str]


@dataclass(frozen=True)
class Target:
    """What each picture is brought to; `fit_to` None refuses other sizes, `exact` keeps two levels two."""

    size: Size
    channels: int
    fit_to: FitTo | None
    exact: bool


def pictures_in(source: str | Path | list[Any] | tuple[Any, ...]) -> Pictures:
    """The pictures of a folder (all depths, sorted by path), of a list of files, or of one file."""
    if isinstance(source, (list, tuple)):
        return _nonempty(Pictures([Path(s) for s in source]), "the list")
    root = Path(source)
    if not root.is_dir():
        return Pictures([files.regular(root)])
    found, notices = folders.files_below(root, SUFFIXES)
    labels, names, told = folders.classes([path.relative_to(root).parts for path in found])
    return _nonempty(Pictures(found, labels, names, notices + told), str(root))


def _nonempty(found: Pictures, where: str) -> Pictures:
    if not found.files:
        raise DataError(f"{where}: no images; files ending in {', '.join(SUFFIXES)} are looked for at every depth")
    return found


@contextmanager
def decoding() -> Iterator[None]:
    """Around many `look`s or `decode`s: Pillow's warning of a decompression bomb is an error, its other ones silent."""
    from PIL import Image as Pil

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Pil.DecompressionBombWarning)
        yield


def look(path: Path) -> Header:
    """Size and kind of a picture from its header alone; `DataError` naming the file if it is none."""
    with _opened(path) as picture:
        mode, turn = picture.mode, _orientation(picture)
        conversions = [name for name, applies in _conversions(picture, turn) if applies]
        height, width = picture.size[::-1]
        size = (width, height) if turn >= 5 else (height, width)
        return Header(size, _is_grey(picture), mode == "1", conversions)


def decode(path: Path, wanted: Target) -> tuple[np.ndarray, list[str]]:
    """One picture as bytes [C, H, W], and the names of the conversions that it took.

    Raises `DataError` naming the file if it is damaged, cut short, or of another size where none is to be changed.
    """
    from PIL import Image as Pil

    with files.unchanged(path), _opened(path) as picture:
        turn = _orientation(picture)
        conversions = [name for name, applies in _conversions(picture, turn) if applies]
        picture.seek(0)
        picture.load()
        plain = _plain(picture, path)
        plain = plain.transpose(Pil.Transpose[_TURNS[turn]]) if turn > 1 else plain
        if plain.size != wanted.size[::-1]:
            if wanted.fit_to is None:
                found, expected = "×".join(map(str, plain.size[::-1])), "×".join(map(str, wanted.size))
                raise DataError(
                    f"{path}: is {found} (height × width), not {expected}; set size, or give --resize, to resize images"
                )
            conversions.append("resized")
        mode = "L" if wanted.channels == 1 else "RGB"
        if plain.mode != mode:
            conversions.append("colour_to_grey" if mode == "L" else "grey_to_colour")
        plain = plain.convert(mode)
        values = np.asarray(resample(plain, wanted.size, wanted.fit_to or "crop", wanted.exact), np.uint8)
    return values[None] if wanted.channels == 1 else values.transpose(2, 0, 1), conversions


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from PIL import Image as Pil
    from PIL import UnidentifiedImageError

    files.regular(path)
    claimed = SUFFIXES.get(path.suffix.lower())
    try:
        with Pil.open(path, formats=sorted(set(SUFFIXES.values()))) as picture:
            width, height = picture.size
            if width * height > LIMIT_PIXELS:
                raise Pil.DecompressionBombError(f"{width}×{height} pixels")
            held = "JPEG" if picture.format == "MPO" else picture.format
            if claimed and held != claimed:
                raise DataError(f"{path}: is {held} inside, not {claimed} as its name says; rename or re-save it")
            yield picture
    except LambentError:
        raise
    except (Pil.DecompressionBombError, Pil.DecompressionBombWarning) as error:
        raise DataError(f"{path}: refused as a decompression bomb, over {LIMIT_PIXELS:,} pixels ({error})") from None
    except UnidentifiedImageError:
        empty = path.stat().st_size == 0
        raise DataError(f"{path}: {'is empty' if empty else 'holds no image of a known format'}") from None
    except MemoryError:
        raise
    except Exception as error:
        raise DataError(f"{path}: damaged or cut short ({str(error)[:100]})") from None


def _orientation(picture: Any) -> int:
    """1 to 8 as EXIF numbers them; 0 where what should say so is damaged: the picture is taken as it lies, and counted."""
    try:
        turn = picture.getexif().get(0x0112, 1)
    except MemoryError:
        raise
    except Exception:  # Pillow's readers of TIFF raise errors of many kinds
        return 0
    return turn if turn in _TURNS else 1


def _conversions(picture: Any, turn: int) -> list[tuple[str, bool]]:
    deep = picture.mode in ("I", "F") or picture.mode.startswith("I;16")
    deep = deep or any(";16" in str(tile[3]) for tile in picture.tile)
    return [
        ("exif_rotated", turn > 1),
        ("exif_damaged", turn == 0),
        ("alpha_on_white", bool(picture.has_transparency_data)),
        ("palette", picture.mode in ("P", "PA")),
        ("cmyk", picture.mode == "CMYK"),
        ("sixteen_bit", deep),
        ("first_frame", bool(getattr(picture, "is_animated", False))),
    ]


def _is_grey(picture: Any) -> bool:
    if picture.mode in ("P", "PA"):
        table = np.array(picture.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
        return bool((table == table[:, :1]).all())
    return picture.mode in ("1", "L", "LA", "La", "I", "F") or picture.mode.startswith("I;16")


def _plain(picture: Any, path: Path) -> Any:
    """Any mode → "L" or "RGB"."""
    from PIL import Image as Pil

    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        return Pil.fromarray(_to_eight_bits(np.asarray(picture), path))
    if picture.has_transparency_data:
        white = Pil.new("RGBA", picture.size, "white")
        return Pil.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    return picture.convert("L" if picture.mode in ("1", "L") else "RGB")


def _to_eight_bits(values: np.ndarray, path: Path) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    limit = 1.0 if values.dtype.kind == "f" else 65535.0
    if not (low >= 0 and high <= limit):
        raise DataError(f"{path}: its pixels go from {low:g} to {high:g}; 0…{limit:g} is what such a file may hold")
    return np.rint(values * (255.0 / limit)).astype(np.uint8)
