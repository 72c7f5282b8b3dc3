"""What archives hold, apart from any model: pictures as tiles, values of arrays, names; each comes back to the bit."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pil

from lambent.codec.content import names
from lambent.codec.content.planes import Planes
from lambent.codec.content.samples import Form, as_png, read
from lambent.codec.content.values import Pixels
from lambent.errors import ArtifactError


@settings(deadline=None, max_examples=80)
@given(
    st.sampled_from([(1, 1), (1, 2), (1, 3), (1, 4), (3, 3), (3, 1), (4, 4)]),
    st.integers(1, 20),
    st.integers(1, 20),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 3),
    st.integers(0, 10**6),
)
def test_tiles_come_back(bands: tuple[int, int], high: int, wide: int, h: int, w: int, count: int, seed: int) -> None:
    """Pictures of any size and number of bands, cut into tiles of any size, are the same when put together."""
    planes = Planes(bands[0], h, w)
    levels = np.random.default_rng(seed).integers(0, 256, (count, bands[1], high, wide), dtype=np.uint8)
    rows = planes.rows(levels)
    assert rows is not None
    assert tuple(rows.shape) == (count * planes.count(bands[1], high, wide), bands[0], h, w)
    assert (planes.levels(rows, levels.shape, deep=False) == levels).all()


def test_a_tile_at_the_edge_repeats_the_last_column_and_row() -> None:
    rows = Planes(1, 2, 2).rows(np.array([[[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]], np.uint8))
    assert rows is not None
    assert rows[:, 0].tolist() == [[[1, 2], [4, 5]], [[3, 3], [6, 6]], [[7, 8], [7, 8]], [[9, 9], [9, 9]]]


@pytest.mark.parametrize("white", [1, 100, 255, 1023, 4095, 65535])
def test_C16_levels_of_any_depth_come_back(white: int) -> None:
    """Bytes under a deeper model are spread over its scale and brought back; whole numbers up to white are taken as they are."""
    planes = Planes(1, 2, 2, white)
    for levels in (np.arange(min(white, 255) + 1, dtype=np.uint8), np.linspace(0, white, 50).astype(np.uint16)):
        picture = levels.reshape(1, 1, 1, -1)
        rows = planes.rows(picture)
        assert rows is not None
        assert int(rows.max()) <= white
        assert (planes.levels(rows, picture.shape, levels.dtype == np.uint16) == picture).all()
    if white < 65535:
        assert planes.rows(np.full((1, 1, 2, 2), white + 1, np.uint16)) is None


def test_a_model_of_black_and_white_takes_nothing_between() -> None:
    planes = Planes(1, 2, 2, 255, True)
    rows = planes.rows(np.array([[[[0, 255], [255, 0]]]], np.uint8))
    assert rows is not None
    assert rows.flatten().tolist() == [0, 1, 1, 0]
    assert planes.rows(np.array([[[[0, 254], [255, 0]]]], np.uint8)) is None


ARRAYS: list[Any] = [
    np.arange(64, dtype=np.uint8).reshape(4, 4, 4),
    np.arange(64, dtype=">u2").reshape(4, 4, 4),
    np.arange(64, dtype=np.int64).reshape(4, 4, 4),
    np.arange(192, dtype=np.uint8).reshape(4, 4, 4, 3),
    np.arange(192, dtype=np.uint8).reshape(4, 3, 4, 4),
    np.arange(64, dtype=np.float32).reshape(4, 4, 4),
    (np.arange(64) / 255).reshape(4, 4, 4),
    (np.arange(64, dtype=np.float32) / np.float32(255)).reshape(4, 4, 4),
    np.arange(64).reshape(4, 4, 4) % 2 == 0,
    np.arange(256, dtype=np.uint8).reshape(4, 64),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype.str}-{array.shape}")
def test_C16_values_of_every_type_come_back(array: np.ndarray) -> None:
    """Whole numbers of any size, fractions of white, truth values, channels first, last or flat: the same bits again."""
    side = 8 if array.ndim == 2 else 4
    teller = Pixels.of(Planes(1, side, side), array)
    assert teller is not None
    found = teller.rows(array.astype(array.dtype.newbyteorder("=")))
    assert found is not None
    rows, unit = found
    again = teller.values(rows, len(array), array.dtype.newbyteorder("="), unit)
    assert again.dtype == array.dtype.newbyteorder("=")
    assert again.tobytes() == array.astype(array.dtype.newbyteorder("=")).tobytes()


@pytest.mark.parametrize("value", [-1.0, 0.1234567, 256, np.nan, np.inf, -0.0, 1e30])
def test_values_that_no_level_says_are_left_to_the_archive(value: float) -> None:
    """A row that would not come back to the bit is not told by a model at all; nought with a sign is one such."""
    array = np.full((2, 4, 4), 0.0)
    array[1, 2, 3] = value
    teller = Pixels.of(Planes(1, 4, 4), array)
    assert teller is not None
    assert teller.rows(array) is None


MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]


@pytest.mark.parametrize("mode", MODES)
def test_C16_every_sample_of_a_picture_comes_back(tmp_path: Path, mode: str) -> None:
    """One bit, bytes, palettes, transparency, 16 bits: Pillow reads the same of the PNG that comes back as of the file."""
    rng = np.random.default_rng(0)
    picture = (
        Pil.fromarray(rng.integers(0, 65536, (7, 9)).astype(np.uint16))
        if mode == "I;16"
        else Pil.fromarray(rng.integers(0, 256, (7, 9, 4), dtype=np.uint8), "RGBA").convert(mode)
    )
    picture.save(tmp_path / "a.png")
    found = read(tmp_path / "a.png")
    assert found is not None
    with Pil.open(io.BytesIO(as_png(found.form, found.levels))) as again, Pil.open(tmp_path / "a.png") as before:
        assert (np.asarray(again.convert("RGBA")) == np.asarray(before.convert("RGBA"))).all()
        if mode != "P":
            assert again.mode == before.mode
            assert (np.asarray(again) == np.asarray(before)).all()


def test_grey_in_colour_and_opaque_transparency_are_told_once(tmp_path: Path) -> None:
    """Of equal colours one band is told, of a transparency that is none, nothing; both come back."""
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Pil.fromarray(np.dstack([grey, grey, grey, np.full_like(grey, 255)])).save(tmp_path / "a.png")
    found = read(tmp_path / "a.png")
    assert found is not None
    assert found.form == Form(4, 8, 8, 8, 1)
    with Pil.open(io.BytesIO(as_png(found.form, found.levels))) as again, Pil.open(tmp_path / "a.png") as before:
        assert (np.asarray(again) == np.asarray(before)).all()


def test_files_whose_samples_would_not_bring_them_back_are_no_pictures(tmp_path: Path) -> None:
    """Animated, turned by EXIF, CMYK, floats, damaged, or of another kind than their name: left to be kept byte for byte."""
    plain = Pil.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    plain.save(tmp_path / "moving.gif", save_all=True, append_images=[plain.rotate(90)])
    exif = Pil.Exif()
    exif[0x0112] = 6
    plain.save(tmp_path / "turned.jpg", exif=exif)
    plain.convert("CMYK").save(tmp_path / "ink.jpg")
    Pil.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)).save(tmp_path / "floats.tiff")
    plain.save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:45])
    (tmp_path / "other.png").write_bytes((tmp_path / "turned.jpg").read_bytes())
    assert {path.name for path in tmp_path.iterdir() if read(path) is not None} == {"whole.png"}


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("../../etc/passwd", "etc/passwd"),
        ("/etc/passwd", "etc/passwd"),
        ("a/../../b.png", "a/b.png"),
        ("./a//b.png", "a/b.png"),
        ("a\nb.png", "a_b.png"),
        ("x" * 300, "x" * 255),
        ("grün/日本 .png", "grün/日本 .png"),
    ],
)
def test_C24_names_stay_inside(name: str, inside: str) -> None:
    """A name out of an archive that would leave its folder, or steer a terminal, is made one that does neither."""
    assert names.harmless(name) == Path(inside)


@pytest.mark.parametrize("name", ["", "..", "/", "../.."])
def test_C24_names_of_nothing_are_refused(name: str) -> None:
    """A name of which nothing is left once it stays inside is refused."""
    with pytest.raises(ArtifactError, match="which is none"):
        names.harmless(name)


def test_two_files_of_one_name_are_two_files() -> None:
    taken: set[Path] = set()
    for name in ("a.jpg", "a.png", "a.bmp", "a.png"):
        taken.add(names.ending_in(Path(name), ".png", taken))
    assert taken == {Path("a.png"), Path("a.png.png"), Path("a.bmp.png"), Path("a.png-2.png")}
