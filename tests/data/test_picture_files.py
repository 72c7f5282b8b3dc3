"""Image on files: formats, conversions, and files that lie, break or hang."""

import os
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from lambent.data.kinds.image import Image
from lambent.data.readers import pictures
from lambent.data.readers import regular as files
from lambent.errors import DataError

Draw = Callable[..., Path]


def pixels(path: Path, mode: str = "RGB") -> np.ndarray:
    from PIL import Image as Pil

    with Pil.open(path) as picture:
        return np.asarray(picture.convert(mode))


def bomb(path: Path, width: int, height: int) -> Path:
    """A PNG of a few bytes that announces that many pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tiff", "a.TIF"])
def test_lossless_formats_come_back(draw: Draw, name: str) -> None:
    path = draw(name)
    image = Image().fit(path.parent)
    assert np.array_equal(image.decode(image.encode(path.parent))[0], pixels(path))


def test_a_mix_of_formats_in_path_order(draw: Draw, tmp_path: Path) -> None:
    names = ["b/z.jpg", "a.png", "c.bmp", "b/a.gif", "b/b.webp", "d.tiff"]
    for seed, name in enumerate(names):
        draw(name, "L" if name.endswith("gif") else "RGB", seed=seed)
    (tmp_path / "notes.txt").write_text("no picture")
    encoded = Image().fit(tmp_path).read(tmp_path)
    order = ["a.png", "b/a.gif", "b/b.webp", "b/z.jpg", "c.bmp", "d.tiff"]
    for row, name in zip(encoded.x, order, strict=True):
        assert np.array_equal(row.permute(1, 2, 0), pixels(tmp_path / name))
    assert encoded.labels is None
    assert encoded.source["notices"]["ignored_files"] == 1
    listed = [tmp_path / name for name in names]
    assert len(Image().fit(listed).encode(listed)) == 6


def test_folders_one_level_deep_are_labels(draw: Draw, tmp_path: Path) -> None:
    for i, name in enumerate(["dog/1.png", "cat/2.png", "cat/1.png"]):
        draw(name, "L", seed=i)
    encoded = Image().fit(tmp_path).read(tmp_path)
    assert encoded.label_names == ["cat", "dog"]
    assert encoded.labels is not None
    assert encoded.labels.tolist() == [0, 0, 1]
    assert encoded.x.shape == (3, 1, 10, 12)
    draw("top.png", "L")
    assert Image().fit(tmp_path).read(tmp_path).labels is None


def test_D14_labels_keep_their_codes_in_a_folder_that_lacks_a_class(draw: Draw, tmp_path: Path) -> None:
    """A class that later data lack does not shift the codes of the others."""
    for name in ("a", "b", "c"):
        draw(f"train/{name}/1.png", "L")
    for name in ("new", "c", "b"):
        draw(f"test/{name}/1.png", "L")
    image = Image().fit(tmp_path / "train")
    twin = Image().restore(image.state())
    test = twin.read(tmp_path / "test")
    assert test.labels is not None
    assert test.labels.tolist() == [1, 2, 3]
    assert test.label_names == ["a", "b", "c", "new"]


def test_L10_odd_names(draw: Draw, tmp_path: Path) -> None:
    """Pictures whose names hold spaces, line breaks or other scripts are read."""
    names = ["-x.png", "a b.png", "new\nline.png", "ünï.png", "q" * 250 + ".png", "%s{0}.PNG"]
    for name in names:
        draw(name, "L")
    assert len(Image().fit(tmp_path).encode(str(tmp_path))) == len(names)


def test_D18_mixed_sizes_are_named_and_brought_to_one(draw: Draw, tmp_path: Path) -> None:
    """Pictures of several sizes are refused with the sizes found, and resized and counted where a size is set."""
    for i in range(3):
        draw(f"{i}.png")
    draw("wide.png", width=30)
    with pytest.raises(DataError, match=r"2 sizes.*10×12 \(3\), 10×30 \(1\).*set size"):
        Image().fit(tmp_path)
    encoded = Image(size=(8, 8)).fit(tmp_path).read(tmp_path)
    assert encoded.x.shape == (4, 3, 8, 8)
    assert encoded.source["notices"]["resized"] == 4
    fitted = Image().fit([tmp_path / "0.png"])
    with pytest.raises(DataError, match=r"wide\.png: is 10×30.*not 10×12"):
        fitted.encode(tmp_path / "wide.png")


def test_D18_exif_rotation(draw: Draw, tmp_path: Path) -> None:
    """Each of the eight EXIF orientations is turned upright, and counted."""
    from PIL import Image as Pil
    from PIL import ImageOps

    for turn in range(1, 9):
        exif = Pil.Exif()
        exif[0x0112] = turn
        path = draw(f"{turn}/p.png", exif=exif)
        with Pil.open(path) as picture:
            expected = np.asarray(ImageOps.exif_transpose(picture))
        image = Image().fit([path])
        assert np.array_equal(image.decode(image.encode([path]))[0], expected), turn
        assert image.notices == ({"exif_rotated": 1} if turn > 1 else {})


def test_D18_damaged_exif_is_counted(draw: Draw) -> None:
    """A picture whose EXIF cannot be read is taken as it lies, and counted."""
    path = draw("p.png", exif=b"Exif\0\0not a directory of TIFF at all")
    image = Image().fit([path])
    assert np.array_equal(image.decode(image.encode([path]))[0], pixels(path))
    assert image.notices == {"exif_damaged": 1}


def test_D18_transparency_is_laid_on_white(draw: Draw) -> None:
    """Transparent pictures, RGBA and LA, are laid on white and counted."""
    path = draw("a.png", "RGBA")
    values = pixels(path, "RGBA").astype(float)
    alpha = values[..., 3:] / 255
    expected = alpha * values[..., :3] + (1 - alpha) * 255
    image = Image().fit([path])
    assert image.event == (3, 10, 12)
    assert np.abs(image.decode(image.encode([path]))[0] - expected).max() <= 1
    assert image.notices == {"alpha_on_white": 1}
    grey = draw("la.png", "LA")
    assert Image().fit([grey]).event == (1, 10, 12)


def test_D18_palette_cmyk_and_sixteen_bits(tmp_path: Path, draw: Draw) -> None:
    """Palettes and CMYK become RGB, or grey where all entries are; 16 bits are kept whole; each is counted."""
    from PIL import Image as Pil

    with Pil.open(draw("rgb.png")) as picture:
        picture.quantize(16).save(tmp_path / "palette.png")
        picture.convert("L").convert("P").save(tmp_path / "greys.png")
    image = Image().fit([tmp_path / "palette.png"])
    assert image.notices == {"palette": 1}
    assert np.array_equal(image.decode(image.encode([tmp_path / "palette.png"]))[0], pixels(tmp_path / "palette.png"))
    assert Image().fit([tmp_path / "greys.png"]).event[0] == 1
    cmyk = draw("ink.tiff", "CMYK")
    image = Image().fit([cmyk])
    assert image.notices == {"cmyk": 1}
    assert np.array_equal(image.decode(image.encode([cmyk]))[0], pixels(cmyk))
    deep = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    Pil.fromarray(deep).save(tmp_path / "deep.png")
    image = Image().fit([tmp_path / "deep.png"])
    assert image.notices == {"kept at 16 bits": 1}
    assert np.array_equal(image.decode(image.encode([tmp_path / "deep.png"]))[0], deep)
    bytes_ = Image(depth=8).fit([tmp_path / "deep.png"])
    assert bytes_.notices == {"brought from 16 to 8 bits": 1}
    assert np.array_equal(bytes_.decode(bytes_.encode([tmp_path / "deep.png"]))[0], deep // 257)


def test_D18_animation_gives_its_first_frame(tmp_path: Path) -> None:
    """Of an animated GIF, WebP, PNG or TIFF the first frame counts, and it is told."""
    from PIL import Image as Pil

    frames = [Pil.new("L", (6, 5), level) for level in (10, 200, 90)]
    for name in ("a.gif", "a.webp", "a.png", "a.tiff"):
        options = {"lossless": True} if name == "a.webp" else {}
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
        image = Image(colour="grey").fit([tmp_path / name])
        assert bool((image.encode([tmp_path / name]) == 10).all()), name
        assert image.notices["first_frame"] == 1


def test_D18_float_tiff(tmp_path: Path) -> None:
    """A TIFF of floats is taken in [0, 1] and refused with its range elsewhere."""
    from PIL import Image as Pil

    Pil.fromarray(np.linspace(0, 1, 30, dtype=np.float32).reshape(5, 6)).save(tmp_path / "ok.tiff")
    assert Image().fit([tmp_path / "ok.tiff"]).encode([tmp_path / "ok.tiff"]).max() == 255
    Pil.fromarray(np.full((5, 6), 7, np.float32)).save(tmp_path / "far.tiff")
    with pytest.raises(DataError, match=r"far\.tiff: its pixels go from 7 to 7"):
        Image().fit([tmp_path / "far.tiff"]).encode([tmp_path / "far.tiff"])


def test_one_bit_pictures_are_binary(tmp_path: Path) -> None:
    from PIL import Image as Pil

    bits = np.random.default_rng(0).integers(0, 2, (10, 12), dtype=np.uint8)
    Pil.fromarray(bits * 255).convert("1").save(tmp_path / "a.png")
    image = Image().fit(tmp_path)
    assert image.binary
    assert np.array_equal(image.encode(tmp_path)[0, 0].numpy(), bits)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.gif", "a.webp", "a.tiff"])
def test_D19_truncated_files_are_named(draw: Draw, tmp_path: Path, name: str) -> None:
    """A picture cut short is refused by its name, or left out and counted with skip_bad."""
    whole = draw(f"from/{name}", "L", 40, 40).read_bytes()
    draw("good.png", "L", 40, 40)
    path = tmp_path / name
    for part in (0.02, 0.3, 0.7):
        path.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(DataError, match=name):
            Image(size=(40, 40)).fit([path]).encode([path])
    both = [path, tmp_path / "good.png"]
    image = Image(size=(40, 40), skip_bad=True).fit(both)
    encoded = image.read(both)
    assert len(encoded) == 1
    assert encoded.source["notices"]["skipped_bad"] == 1


def test_D19_labels_follow_the_rows_that_are_kept(draw: Draw, tmp_path: Path) -> None:
    """Where bad pictures are left out, the labels still belong to their rows."""
    draw("a/1.png", "L")
    draw("b/1.png", "L")
    bad = draw("a/2.png", "L")
    bad.write_bytes(bad.read_bytes()[:-30])
    encoded = Image(skip_bad=True).fit(tmp_path).read(tmp_path)
    assert encoded.labels is not None
    assert encoded.labels.tolist() == [0, 1]


@pytest.mark.parametrize(("width", "height"), [(65_000, 65_000), (12_000, 8_000), (2**31 - 1, 1)])
def test_D20_decompression_bomb(tmp_path: Path, width: int, height: int) -> None:
    """A picture that announces more than 89 million pixels is refused before it is decoded, also where Pillow would only warn."""
    path = bomb(tmp_path / "bomb.png", width, height)
    with pytest.raises(DataError, match=r"bomb\.png: refused as a decompression bomb"):
        Image(size=(8, 8)).fit(tmp_path)
    with pytest.raises(DataError, match="bomb"):
        pictures.look(path)  # even where Pillow's warning is not an error
    with pytest.raises(DataError, match="none of the 1 files"):
        Image(size=(8, 8), skip_bad=True).fit(tmp_path)


def test_D20_pillow_without_its_own_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound holds even where a program has switched Pillow's own off."""
    from PIL import Image as Pil

    monkeypatch.setattr(Pil, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(DataError, match="bomb"):
        pictures.look(bomb(tmp_path / "bomb.png", 65_000, 65_000))


def test_D21_lying_names_and_empty_files(draw: Draw, tmp_path: Path) -> None:
    """A file that is empty, no picture, or of another format than its name says is refused by its name."""
    cases = {"zero.png": b"", "text.jpg": b"hello, I am no picture", "page.gif": b"%!PS-Adobe-3.0 EPSF-3.0\n"}
    cases["really_jpeg.png"] = draw("from/a.jpg").read_bytes()
    for name, content in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(DataError, match=name):
            Image().fit([path])
    good = draw("good.png")
    image = Image(skip_bad=True).fit([good, *(tmp_path / n for n in cases)])
    assert image.notices == {"skipped_bad": 4}


def test_D21_no_interpreter_is_run_for_a_picture(tmp_path: Path) -> None:
    """A PostScript file called .png is not handed to an interpreter."""
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "a.png").write_bytes(eps)
    with pytest.raises(DataError, match="no image of a known format"):
        Image().fit([tmp_path / "a.png"])


def test_D1_D2_an_empty_folder_and_one_picture(draw: Draw, tmp_path: Path) -> None:
    """A folder or list without pictures is refused; a single picture is read."""
    with pytest.raises(DataError, match="no images"):
        Image().fit(tmp_path)
    with pytest.raises(DataError, match="no images"):
        Image().fit([])
    draw("one.png")
    assert len(Image().fit(tmp_path).encode(tmp_path)) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX pipes")
def test_D32_loops_pipes_sockets_and_devices_are_passed_by(
    draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loops of links, dangling links, pipes, sockets and devices in a folder are passed by and counted, without a hang."""
    draw("in/real.png")
    (tmp_path / "in" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "in" / "self.png").symlink_to("self.png")
    (tmp_path / "dangling.png").symlink_to("nowhere.png")
    (tmp_path / "device.png").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # the path of a socket must be short
        server.bind("s.png")
        image = Image().fit(tmp_path)
        assert len(image.encode(tmp_path)) == 1
    assert image.notices == {"ignored_special": 6}
    with pytest.raises(DataError, match="device, pipe or socket"):
        Image().fit([tmp_path / "pipe.png"])


def test_linked_folders_count_once(draw: Draw, tmp_path: Path) -> None:
    draw("real/a.png", "L")
    (tmp_path / "alias").symlink_to(tmp_path / "real", target_is_directory=True)
    assert len(pictures.pictures_in(tmp_path).files) == 1


def test_D31_a_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    """The guard of every reader: a file that is written to or removed meanwhile is refused by its name."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"before")
    with pytest.raises(DataError, match=r"a\.bin: changed while it was read"), files.unchanged(path):
        path.write_bytes(b"longer than before")
    with pytest.raises(DataError, match="changed"), files.unchanged(path):
        path.unlink()


def test_a_missing_file_in_a_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.png"):
        Image().fit([tmp_path / "gone.png"])


def test_every_flipped_byte_gives_pixels_or_a_data_error(draw: Draw, tmp_path: Path) -> None:
    for name in ("a.png", "a.gif", "a.bmp", "a.tiff", "a.jpg"):
        whole = draw(f"from/{name}", "L", 6, 6).read_bytes()
        path = tmp_path / name
        for place in range(0, len(whole), max(1, len(whole) // 60)):
            broken = bytearray(whole)
            broken[place] ^= 0xFF
            path.write_bytes(broken)
            fault = ""
            try:
                assert Image(size=(6, 6)).fit([path]).encode([path]).dtype == torch.uint8
            except DataError as error:
                fault = str(error)
            assert not fault or name in fault


def test_photographs(real: Path) -> None:
    image = Image(size=(32, 48)).fit(real / "photos" / "kodak")
    encoded = image.read(real / "photos" / "kodak")
    assert encoded.x.shape == (24, 3, 32, 48)
    assert encoded.source["notices"] == {"resized": 24}
    with pytest.raises(DataError, match=r"512×768 \(18\), 768×512 \(6\)"):
        Image().fit(real / "photos" / "kodak")
