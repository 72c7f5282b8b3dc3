"""Transparency as data: kept as the last band, through the model file, and written again."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from lambent.cli import output
from lambent.data.kinds.image import Image
from lambent.data.readers import pictures, samples
from lambent.data.writers.png import sixteen_bits


def saved(path: Path, bands: int, seed: int = 0, size: tuple[int, int] = (6, 7)) -> np.ndarray:
    values = np.random.default_rng(seed).integers(0, 256, (*size, bands), np.uint8)
    Pil.fromarray(values.squeeze()).save(path)
    return values


@pytest.mark.parametrize("bands", [2, 4])
def test_transparency_is_the_last_band_to_the_bit(tmp_path: Path, bands: int) -> None:
    first, second = (saved(tmp_path / f"{n}.png", bands, n) for n in (1, 2))
    opaque = saved(tmp_path / "3.png", bands - 1, 3)
    image = Image(bands="all").fit(tmp_path)
    assert image.event == (bands, 6, 7)
    assert image.notices == {"alpha_kept": 2}
    encoded = image.read(tmp_path)
    assert encoded.source["notices"] == {"alpha_kept": 2}
    again = Image(bands="all").restore(image.state())
    found = again.decode(encoded.x)
    assert np.array_equal(found[0], first)
    assert np.array_equal(found[1], second)
    assert np.array_equal(found[2][..., :-1], opaque)
    assert (found[2][..., -1] == 255).all()  # what says no transparency has none
    shown, share = again.pictures(encoded.x), first[..., -1:] / 255
    expected = np.rint(share * first[..., :-1] + (1 - share) * 255)
    assert np.array_equal(shown[0], expected[..., 0] if bands == 2 else expected)
    sheet = output.write_grid(tmp_path / "sheet.png", again.levels(encoded.x)[None])
    with Pil.open(sheet) as written:
        assert written.mode == ("LA" if bands == 2 else "RGBA")
        assert np.array_equal(np.asarray(written)[2:8, 2:9], first)


def test_a_palette_with_a_transparent_entry_keeps_it(tmp_path: Path) -> None:
    picture = Pil.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4) % 3, "P")
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    picture.save(tmp_path / "p.png", transparency=1)
    image = Image(bands="all").fit([tmp_path / "p.png"])
    found = image.decode(image.encode([tmp_path / "p.png"]))[0]
    assert found[0, 0].tolist() == [255, 0, 0, 255]
    assert found[0, 1].tolist() == [0, 255, 0, 0]


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_sixteen_bits_go_out_as_they_came(tmp_path: Path, bands: int) -> None:
    """What is written is read again to the bit, in every kind of PNG of 16 bits; transparency scales with white."""
    values = np.random.default_rng(0).integers(0, 65536, (5, 6, bands)).astype(np.uint16)
    values[0, 0] = 65535
    path = tmp_path / "deep.png"
    path.write_bytes(sixteen_bits(values[..., 0] if bands == 1 else values))
    with Pil.open(path) as picture:
        colours, alpha = samples.deep(picture, path)
    parts = colours.transpose(1, 2, 0) if alpha is None else np.dstack([colours.transpose(1, 2, 0), alpha])
    assert np.array_equal(parts, values)
    assert pictures.look(path).deep
    image = Image(bands="all").fit([path])
    assert image.white == 65535
    assert np.array_equal(image.decode(image.encode([path]))[0].reshape(values.shape), values)
