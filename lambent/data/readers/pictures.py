"""Picture files: found in a folder, looked at by their headers, decoded to levels by stated rules.

The rules: EXIF rotation is applied; transparency, where a file says that it has any, is laid on white, or kept as the last
band where that is wanted; palettes and CMYK become RGB; samples of 16 bits are kept whole; of an animation the first frame
counts. Only the formats of `SUFFIXES` are opened, whatever a file claims to be: Pillow's rarer readers run interpreters.
"""

import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from lambent.data.kinds import planes
from lambent.data.kinds.depth import Scale
from lambent.data.kinds.planes import FitTo, Size, resample
from lambent.data.readers import folders, samples, tiff
from lambent.data.readers import regular as files
from lambent.errors import DataError, LambentError
from lambent.part import elements

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

    @property
    def beside(self) -> dict[str, np.ndarray]:
        """Columns that lie beside them, by name: none but the labels."""
        return {}

    def look(self, path: Path) -> "Header":
        """What one of the files says of itself; `DataError` if it is no picture."""
        return look(path)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: np.ndarray) -> "Pictures":
        labels = None if self.labels is None else self.labels[index]
        return replace(self, files=[self.files[i] for i in index], labels=labels)


@dataclass
class Header:
    """What a file says of its picture: size after rotation, whether it is grey, whether it has but two levels.

    bands: how many are data, transparency left out. deep: whether a sample has more than 8 bits.
    """

    size: Size
    grey: bool
    two_level: bool
    conversions: list[str]
    bands: int = 3
    deep: bool = False


@dataclass(frozen=True)
class Target:
    """What each picture is brought to; `fit_to` None refuses other sizes, `exact` keeps two levels two. size: None: its own.

    alpha: the last of the channels is transparency, 0 … white; of a picture that says none, white.
    """

    size: Size | None
    channels: int
    fit_to: FitTo | None
    exact: bool
    scale: Scale = field(default_factory=Scale)
    alpha: bool = False


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
    if (found := _banded(path)) is not None:
        turn = found.number(0x0112, 1)
        size = found.size[::-1] if turn in (5, 6, 7, 8) else found.size
        return Header(size, False, False, _said(_noticed(found)), found.bands, found.bits > 8)
    with opened(path) as picture:
        # First: to ask a PNG for its EXIF data may load it, and how its samples are packed is then forgotten.
        deep, grey = samples.is_deep(picture), _is_grey(picture)
        turn = _orientation(picture)
        height, width = picture.size[::-1]
        size = (width, height) if turn >= 5 else (height, width)
        return Header(size, grey, picture.mode == "1", _said(_conversions(picture, turn)), 1 if grey else 3, deep)


def highest(path: Path) -> int:
    """The greatest level in a picture, transparency left out."""
    return int(values_of(path)[0].max())


def decode(path: Path, wanted: Target) -> tuple[np.ndarray, list[str]]:
    """One picture as levels [C, H, W] of the scale that is wanted, and the names of the conversions that it took.

    Raises `DataError` naming the file if it is damaged, cut short, of another number of bands, or of another size where none
    is to be changed.
    """
    with files.unchanged(path):
        if _banded(path) is None:
            with opened(path) as picture:
                plain = wanted.scale.white == 255 and wanted.channels in (1, 3) and not wanted.alpha
                if plain and not samples.is_deep(picture):
                    return _bytes(picture, path, wanted)
        values, alpha, conversions = values_of(path, wanted.alpha)
    return _levelled(values, alpha, path, wanted, conversions)


def _bytes(picture: Any, path: Path, wanted: Target) -> tuple[np.ndarray, list[str]]:
    """A picture of bytes as Pillow converts it."""
    from PIL import Image as Pil

    turn = _orientation(picture)
    conversions = _said(_conversions(picture, turn))
    picture.seek(0)
    picture.load()
    plain = _plain(picture, path)
    plain = plain.transpose(Pil.Transpose[_TURNS[turn]]) if turn > 1 else plain
    if _resizing(path, plain.size[::-1], wanted):
        conversions.append("resized")
    mode = "L" if wanted.channels == 1 else "RGB"
    if plain.mode != mode:
        conversions.append("colour_to_grey" if mode == "L" else "grey_to_colour")
    plain = plain.convert(mode)
    size = wanted.size or plain.size[::-1]
    values = np.asarray(resample(plain, size, wanted.fit_to or "crop", wanted.exact), np.uint8)
    return values[None] if wanted.channels == 1 else values.transpose(2, 0, 1), conversions


def values_of(path: Path, apart: bool = False) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """(samples [bands, H, W] upright, transparency [H, W] or None, conversions); bytes, or uint16 as the file has them.

    apart: transparency of bytes is given too, which is else laid on white already.
    """
    if (found := _banded(path)) is not None:
        whole = samples.turned(tiff.read(found), found.number(0x0112, 1))
        values, alpha = (whole[:-1], whole[-1]) if found.alpha else (whole, None)
        return values, alpha, _said(_noticed(found))
    with opened(path) as picture:
        picture.seek(0)
        kept = samples.deep(picture, path) if samples.is_deep(picture) else None
        turn = _orientation(picture)
        conversions = _said(_conversions(picture, turn))
        if kept is not None:
            values, alpha = kept
            return samples.turned(values, turn), None if alpha is None else samples.turned(alpha, turn), conversions
        picture.load()
        alpha = None
        if apart and picture.has_transparency_data:
            bands = np.asarray(picture.convert("RGBA"))
            plain, alpha = (bands[..., 0] if _is_grey(picture) else bands[..., :3]), samples.turned(bands[..., 3], turn)
        else:
            plain = np.asarray(_plain(picture, path))
    whole = plain[None] if plain.ndim == 2 else plain.transpose(2, 0, 1)
    return samples.turned(whole, turn), alpha, conversions


def _levelled(
    values: np.ndarray, alpha: np.ndarray | None, path: Path, wanted: Target, conversions: list[str]
) -> tuple[np.ndarray, list[str]]:
    """Samples → levels of the scale that is wanted, on white, at the size and with the channels that are wanted."""
    notices: Counter[str] = Counter()
    scale = wanted.scale
    if values.dtype == np.uint8 and scale.white != 255:
        notices["spread from 8 bits"] += 1
    opaque = np.iinfo(values.dtype).max
    values = scale.levels(values, str(path))
    if alpha is not None and not wanted.alpha:
        values = planes.on_white(values, alpha, scale.white, opaque)
    _resizing(path, values.shape[1:], wanted)
    try:
        whole = planes.with_channels(values[None], wanted.channels - wanted.alpha, notices)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    if wanted.alpha:
        conversions = ["alpha_kept" if name == "alpha_on_white" else name for name in conversions]
        share = np.ones(values.shape[1:]) if alpha is None else alpha / opaque
        whole = np.concatenate([whole, np.rint(share * scale.white).astype(whole.dtype)[None, None]], 1)
    size = wanted.size or (whole.shape[2], whole.shape[3])
    whole = planes.resized(whole, size, wanted.fit_to or "crop", wanted.exact, notices, scale.white)
    return whole[0], [*conversions, *notices]


def _resizing(path: Path, size: tuple[int, ...], wanted: Target) -> bool:
    """Whether a picture is of another size than is wanted; `DataError` where it must not be."""
    if wanted.size is None or tuple(size) == wanted.size:
        return False
    if wanted.fit_to is None:
        found, expected = "×".join(map(str, size)), "×".join(map(str, wanted.size))
        raise DataError(
            f"{path}: is {found} (height × width), not {expected}; set size, or give --resize, to resize images"
        )
    return True


def _banded(path: Path) -> tiff.Heading | None:
    """The heading of a TIFF whose bands no colour model names; None of every other file."""
    found = tiff.heading(path)
    if found is None or found.plain:
        return None
    if elements(found.size) > LIMIT_PIXELS:
        raise DataError(f"{path}: refused as a decompression bomb, over {LIMIT_PIXELS:,} pixels")
    return found


def _noticed(found: tiff.Heading) -> list[tuple[str, bool]]:
    turn = found.number(0x0112, 1)
    return [("exif_rotated", turn in _TURNS), ("alpha_on_white", found.alpha), ("first_frame", found.more)]


def _said(conversions: list[tuple[str, bool]]) -> list[str]:
    return [name for name, applies in conversions if applies]


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The picture as Pillow opens it, not yet decoded; `DataError` naming the file for whatever goes wrong meanwhile."""
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
    return [
        ("exif_rotated", turn > 1),
        ("exif_damaged", turn == 0),
        ("alpha_on_white", bool(picture.has_transparency_data)),
        ("palette", picture.mode in ("P", "PA")),
        ("cmyk", picture.mode == "CMYK"),
        ("first_frame", bool(getattr(picture, "is_animated", False))),
    ]


def _is_grey(picture: Any) -> bool:
    if picture.mode in ("P", "PA"):
        table = np.array(picture.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
        return bool((table == table[:, :1]).all())
    return (
        picture.mode in ("1", "L", "LA", "La", "I", "F") or picture.mode.startswith("I;16") or samples.is_pair(picture)
    )


def _plain(picture: Any, path: Path) -> Any:
    """Any mode of bytes, and floats in [0, 1] → "L" or "RGB"."""
    from PIL import Image as Pil

    if picture.mode == "F":
        return Pil.fromarray(_to_bytes(np.asarray(picture), path))
    if picture.has_transparency_data:
        white = Pil.new("RGBA", picture.size, "white")
        return Pil.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    return picture.convert("L" if picture.mode in ("1", "L") else "RGB")


def _to_bytes(values: np.ndarray, path: Path) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):
        raise DataError(f"{path}: its pixels go from {low:g} to {high:g}; 0…1 is what such a file may hold")
    return np.rint(values * 255.0).astype(np.uint8)
