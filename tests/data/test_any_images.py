"""Any pictures, by Hypothesis: arrays of every type, range and layout, files of every mode: the right pixels or a typed error."""

import contextlib
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image as Pil
from PIL import ImageOps

from lambent.data.kinds.image import Image
from lambent.errors import DataError

SIDES = st.integers(1, 7)
LAYOUTS = {
    "NHW": lambda x: x[..., 0],
    "NHWC": lambda x: x,
    "NCHW": lambda x: x.transpose(0, 3, 1, 2),
    "flat": lambda x: x.transpose(0, 3, 1, 2).reshape(len(x), -1),
}
TYPES = ("bool", "u1", "<u2", ">i2", "<i4", ">i8", "<f2", ">f4", "<f8")


@st.composite
def pictures(draw: st.DrawFn, channels: tuple[int, ...] = (1, 3)) -> np.ndarray:
    """Bytes [n, height, width, channels], sometimes of two levels only."""
    shape = (draw(st.integers(1, 3)), draw(SIDES), draw(SIDES), draw(st.sampled_from(channels)))
    values = np.random.default_rng(draw(st.integers(0, 2**32))).integers(0, 256, shape, np.uint8)
    return (values > 127).astype(np.uint8) if draw(st.booleans()) else values


@given(pictures(), st.sampled_from(TYPES), st.sampled_from(sorted(LAYOUTS)), st.sampled_from("CFS"))
def test_any_array_gives_its_pixels_and_comes_back(values: np.ndarray, dtype: str, layout: str, order: str) -> None:
    """Whatever its number type, byte order, layout and strides, an array is decoded to what it stands for, in its own units."""
    kind = np.dtype(dtype).kind
    if kind == "b":
        values = values > 127 if values.max() > 1 else values > 0
        meant = values.astype(np.uint8) * np.uint8(255)
    elif kind == "f":
        meant = values.copy()
        values = (values.astype(np.float64) / 255).astype(dtype)
    else:
        meant = values * np.uint8(255) if values.max() <= 1 else values  # two levels are black and white
    raw = np.asarray(LAYOUTS[layout](values), dtype)
    assume(layout != "NHW" or values.shape[3] == 1)
    assume(raw.ndim != 4 or (raw.shape[1] in (1, 3, 4)) + (raw.shape[3] in (1, 3, 4)) == 1)
    if order == "F":
        raw = np.asfortranarray(raw)
    elif order == "S":  # every second element of a larger array
        wide = np.zeros(tuple(2 * n for n in raw.shape), raw.dtype)
        inner = wide[tuple(slice(None, None, 2) for _ in raw.shape)]
        inner[...] = raw
        raw = inner
    before = raw.copy()
    image = Image(size=values.shape[1:3]).fit(raw)
    x = image.encode(raw)
    assert x.dtype == torch.uint8
    assert tuple(x.shape) == (len(values), values.shape[3], *values.shape[1:3])
    back = values if kind in "biu" else meant.astype(np.float32) / 255  # in the units that came in
    expected = back[..., 0] if values.shape[3] == 1 else back
    assert image.decode(x).dtype == {"b": bool, "f": np.float32}.get(kind, np.uint8)
    assert np.array_equal(image.decode(x), expected)
    assert np.array_equal(image.levels(x), meant[..., 0] if values.shape[3] == 1 else meant)
    assert torch.equal(image.encode(image.decode(x)), x)
    assert np.array_equal(raw, before)
    twin = Image.from_spec(image.spec()).restore(image.state())
    assert torch.equal(twin.encode(raw), x)


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=5),
    st.sampled_from([*TYPES, "c8", "U3", "O", "M8[s]"]),
    st.floats(allow_nan=True, width=32),
    st.floats(allow_nan=True, width=32),
)
def test_any_array_at_all_gives_bytes_or_a_data_error(shape: list[int], dtype: str, low: float, high: float) -> None:
    """Of every shape, type and range, NaN and infinity among them: bytes of the fitted shape, or an error that says why."""
    rng = np.random.default_rng(len(shape))
    with np.errstate(all="ignore"):
        spread = low + (high - low) * rng.random(shape)
        raw = np.zeros(shape, dtype) if dtype in ("U3", "O", "M8[s]") else np.nan_to_num(spread).astype(dtype)
        if np.dtype(dtype).kind == "f":
            raw = spread.astype(dtype)
    image = Image()
    with contextlib.suppress(DataError):
        x = image.fit(raw).encode(raw)
        assert x.dtype == torch.uint8
        assert tuple(x.shape) == (len(raw), *image.event)


MODES = {"png": ["1", "L", "LA", "P", "RGB", "RGBA"], "bmp": ["1", "L", "RGB"], "tiff": ["L", "RGB", "CMYK", "RGBA"]}
MODES |= {"jpg": ["L", "RGB", "CMYK"], "gif": ["L", "P"], "webp": ["RGB", "RGBA"]}
FORMATS = [(suffix, mode) for suffix, modes in MODES.items() for mode in modes]


def written(folder: Path, number: int, suffix: str, mode: str, size: tuple[int, int], turn: int) -> Path:
    """A picture file of noise in any mode, perhaps with an EXIF orientation."""
    noise = np.random.default_rng(number).integers(0, 256, (*size, 4), np.uint8)
    picture = Pil.fromarray(noise, "RGBA")
    picture = Pil.fromarray(noise, "CMYK") if mode == "CMYK" else picture if mode == "RGBA" else picture.convert(mode)
    exif = Pil.Exif()
    exif[0x0112] = turn
    path = folder / f"{number}.{suffix}"
    picture.save(path, **({"exif": exif} if suffix in ("png", "jpg", "webp") and turn > 1 else {}))
    return path


def reference(path: Path, grey: bool) -> np.ndarray:
    """What Pillow itself makes of the file: upright, on white, in the channels asked for."""
    with Pil.open(path) as picture:
        upright = ImageOps.exif_transpose(picture)
        if upright.has_transparency_data:
            white = Pil.new("RGBA", upright.size, "white")
            upright = Pil.alpha_composite(white, upright.convert("RGBA")).convert("RGB")
        elif upright.mode not in ("1", "L"):
            upright = upright.convert("RGB")
        return np.asarray(upright.convert("L" if grey else "RGB"))


@given(st.lists(st.tuples(st.sampled_from(FORMATS), SIDES, SIDES, st.integers(1, 8)), min_size=1, max_size=3))
def test_any_files_give_the_pixels_that_pillow_sees(wanted: list) -> None:
    """PNG, JPEG, GIF, BMP, TIFF, WebP of every mode, size and rotation: the right pixels; several sizes are refused by name."""
    with tempfile.TemporaryDirectory() as name:
        paths = [written(Path(name), i, *form, (h, w), turn) for i, (form, h, w, turn) in enumerate(wanted)]
        sizes = {reference(path, True).shape for path in paths}
        image = Image()
        if len(sizes) > 1:
            with pytest.raises(DataError, match=rf"the images have {len(sizes)} sizes"):
                image.fit(paths)
            assert Image(size=(3, 5)).fit(paths).encode(paths).shape[2:] == (3, 5)
            return
        read = image.fit(paths).read(paths)
        grey = image.event[0] == 1
        assert np.array_equal(image.decode(read.x), np.stack([reference(path, grey) for path in paths]))
        for what in ("cmyk", "palette"):
            modes = [form[1] for form, *_ in wanted]
            found = read.source["notices"].get(what, 0)
            assert found >= modes.count("CMYK") if what == "cmyk" else found <= len(modes)


@given(
    st.sampled_from(FORMATS), SIDES, st.floats(0, 1), st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=3)
)  # fmt: skip
def test_any_damage_gives_pixels_or_an_error_that_names_the_file(
    form: tuple[str, str], side: int, keep: float, flips: list[tuple[float, int]]
) -> None:
    """A file cut anywhere, with any bytes changed, gives pixels of the size asked for or a `DataError` with its name."""
    with tempfile.TemporaryDirectory() as name:
        path = written(Path(name), 0, *form, (side, 9), 1)
        broken = bytearray(path.read_bytes())
        for place, bits in flips:
            broken[min(int(place * len(broken)), len(broken) - 1)] ^= bits
        path.write_bytes(broken[: int(keep * len(broken))] if not flips else broken)
        fault = ""
        try:
            assert tuple(Image(size=(4, 4)).fit([path]).encode([path]).shape[2:]) == (4, 4)
        except DataError as error:
            fault = str(error)
        assert not fault or path.name in fault
