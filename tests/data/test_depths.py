"""Depth and bands: what is found in the data, kept to the level, and given back in the units that it came in."""

import json
import struct
import sys
import types
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pil

from lambent.data import load, load_parted, on_disk
from lambent.data.kinds.image import Image
from lambent.data.stored.opening import on_disk_parted
from lambent.data.writers.png import sixteen_bits
from lambent.errors import DataError, MachineError, UsageError

Draw = Callable[..., Path]


def levels(bits: int, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Whole numbers that reach the greatest of so many bits."""
    values = np.random.default_rng(seed).integers(0, 2**bits, shape, dtype=np.uint16)
    values.reshape(-1)[0] = 2**bits - 1
    return values


def tiff(
    path: Path, values: np.ndarray, *, extra: tuple[int, ...] = (), kind: int = 1, order: str = "<", **how: int
) -> Path:
    """A TIFF of values [H, W, bands], written by its specification: `tile`, `apart`, `deflate`, `predictor`, `strip`, `turn`."""
    height, width, bands = values.shape
    planes = [values[..., i : i + 1] for i in range(bands)] if how.get("apart") else [values]
    pieces = []
    for plane in planes:
        tile, strip = how.get("tile"), how.get("strip", height)
        if tile:
            padded = np.pad(plane, ((0, -height % tile), (0, -width % tile), (0, 0)))
            tops, lefts = range(0, padded.shape[0], tile), range(0, padded.shape[1], tile)
            pieces += [padded[t : t + tile, c : c + tile] for t in tops for c in lefts]
        else:
            pieces += [plane[t : t + strip] for t in range(0, height, strip)]
    stored = values.dtype.newbyteorder(order)
    if how.get("predictor") == 2:
        pieces = [np.diff(p, axis=1, prepend=np.zeros((len(p), 1, p.shape[2]), p.dtype)) for p in pieces]
    chunks = [np.ascontiguousarray(p, stored).tobytes() for p in pieces]
    chunks = [zlib.compress(c) for c in chunks] if how.get("deflate") else chunks
    tags: dict[int, tuple[int, ...]] = {
        256: (width,), 257: (height,), 258: (8 * values.dtype.itemsize,) * bands,
        259: (8 if how.get("deflate") else how.get("compression", 1),), 262: (kind,), 277: (bands,),
        284: (2 if how.get("apart") else 1,), 317: (how.get("predictor", 1),), 274: (how.get("turn", 1),),
    }  # fmt: skip
    if extra:
        tags[338] = extra
    places, place = [], 8
    for chunk in chunks:
        places.append(place)
        place += len(chunk)
    tags |= {324: tuple(places), 325: tuple(map(len, chunks))} if how.get("tile") else {}
    tags |= {322: (how["tile"],), 323: (how["tile"],)} if how.get("tile") else {}
    if not how.get("tile"):
        tags |= {273: tuple(places), 278: (how.get("strip", height),), 279: tuple(map(len, chunks))}
    entries, beyond, start = b"", b"", place + 2 + 12 * len(tags) + 4
    for tag in sorted(tags):
        packed = struct.pack(f"{order}{len(tags[tag])}I", *tags[tag])
        if len(packed) > 4:
            entries += struct.pack(f"{order}HHII", tag, 4, len(tags[tag]), start + len(beyond))
            beyond += packed
        else:
            entries += struct.pack(f"{order}HHI", tag, 4, len(tags[tag])) + packed
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", place)
    directory = struct.pack(f"{order}H", len(tags)) + entries + struct.pack(f"{order}I", 0)
    path.write_bytes(head + b"".join(chunks) + directory + beyond)
    return path


# ---- depth -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_arrays_of_more_bits_come_back_to_the_level(bits: int, channels: int) -> None:
    array = levels(bits, (4, 6, 7, channels))
    array = array[..., 0] if channels == 1 else array
    image = Image().fit(array)
    x = image.encode(array)
    assert x.dtype == torch.int32
    assert image.white == 2**bits - 1
    assert image.notices == {f"kept at {bits} bits": 4}
    assert image.defaults()["likelihood"] == {"type": "DiscretizedLogistics", "levels": 2**bits}
    back = image.decode(x.float() + 0.3)
    assert back.dtype == np.uint16
    assert np.array_equal(back, array)
    twin = Image.from_spec(image.spec()).restore(json.loads(json.dumps(image.state())))
    assert np.array_equal(twin.decode(twin.encode(array)), array)
    assert twin.pictures(x).dtype == np.uint8
    assert twin.pictures(x).max() == 255


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_files_of_more_bits_come_back_to_the_level(bits: int, suffix: str, tmp_path: Path) -> None:
    """Of the 16 bits of a grey file only so many are used; both halves of each sample are kept."""
    array = levels(bits, (3, 6, 7))
    for number, picture in enumerate(array):
        Pil.fromarray(picture).save(tmp_path / f"{number}.{suffix}")
    image = Image().fit(tmp_path)
    assert image.notices == {f"kept at {bits} bits": 3}
    assert image.event == (1, 6, 7)
    assert np.array_equal(image.decode(image.encode(tmp_path)), array)


def test_colour_of_16_bits_keeps_the_lower_half_of_each_sample(tmp_path: Path) -> None:
    array = levels(12, (2, 6, 7, 3))
    for number, picture in enumerate(array):
        (tmp_path / f"{number}.png").write_bytes(sixteen_bits(picture))
    image = Image().fit(tmp_path)
    assert image.event == (3, 6, 7)
    assert image.white == 4095
    assert np.array_equal(image.decode(image.encode(tmp_path)), array)
    for number, picture in enumerate(array):
        tiff(tmp_path / f"{number}.tif", picture, kind=2, order="<>"[number])
        (tmp_path / f"{number}.png").unlink()
    assert np.array_equal(image.decode(image.encode(tmp_path)), array)


@pytest.mark.parametrize("grey", [True, False])
def test_transparency_of_16_bits_is_laid_on_white(tmp_path: Path, grey: bool) -> None:
    """α of 0 … 65535 over a ground of the data's own white, here 4095: round(α v + (1 − α) 4095)."""
    array = levels(12, (6, 7, 2 if grey else 4))
    array[..., -1] = levels(16, (6, 7), seed=1)
    kind, extra = (1, (2,)) if grey else (2, (2,))
    path = tiff(tmp_path / "a.tif", array, kind=kind, extra=extra)
    if grey:  # as a PNG of type 4, for Pillow reads no such TIFF
        body = b"".join(b"\0" + np.ascontiguousarray(row, ">u2").tobytes() for row in array)
        path.unlink()
        path = _png(tmp_path / "a.png", body, 7, 6, 4)
    opaque = Image().fit([path])
    share = array[..., -1:].astype(float) / 65535
    expected = np.rint(share * array[..., :-1] + (1 - share) * 4095)
    assert opaque.notices["alpha_on_white"] == 1
    assert opaque.white == 4095
    assert np.array_equal(opaque.decode(opaque.encode([path]))[0], expected[..., 0] if grey else expected)


def _png(path: Path, body: bytes, width: int, height: int, kind: int) -> Path:
    def chunk(name: bytes, inner: bytes) -> bytes:
        return struct.pack(">I", len(inner)) + name + inner + struct.pack(">I", zlib.crc32(name + inner))

    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return path


def test_eight_bits_in_sixteen_are_bytes(tmp_path: Path) -> None:
    values = levels(8, (6, 7))
    Pil.fromarray(values).save(tmp_path / "a.png")
    image = Image().fit(tmp_path)
    assert image.white == 255
    assert not image.notices
    assert image.decode(image.encode(tmp_path)).dtype == np.uint8
    assert np.array_equal(image.decode(image.encode(tmp_path))[0], values)
    assert Image().fit(values[None].astype(np.int64)).encode(values[None].astype(np.int64)).dtype == torch.uint8


def test_bytes_beside_deeper_pictures_are_spread_over_their_scale(draw: Draw, tmp_path: Path) -> None:
    byte = draw("a.png", "L", 6, 7)
    Pil.fromarray(levels(12, (6, 7))).save(tmp_path / "b.png")
    encoded = load(tmp_path)
    assert encoded.source["notices"] == {"kept at 12 bits": 1, "spread from 8 bits": 1}
    with Pil.open(byte) as picture:
        expected = np.rint(np.asarray(picture) / 255 * 4095)
    assert np.array_equal(encoded.x[0, 0], expected)
    assert int(encoded.x[1].max()) == 4095


def test_a_depth_that_is_said_counts() -> None:
    array = levels(10, (3, 6, 7))
    assert Image(depth=16).fit(array).white == 65535
    assert np.array_equal(Image(depth=16).fit(array).encode(array)[:, 0], array)
    with pytest.raises(DataError, match=r"up to 4,095 do not fit into 10 bits; --data\.depth 12"):
        Image(depth=10).fit(levels(12, (3, 6, 7)))
    image = Image(depth=8).fit(array)
    assert image.notices == {"brought from 10 to 8 bits": 3}
    assert np.array_equal(image.encode(array)[:, 0], np.rint(array / 1023 * 255))
    floats = Image(depth=12).fit(array / 1023)
    assert np.array_equal(floats.encode(array / 1023)[:, 0], np.rint(array / 1023 * 4095))
    with pytest.raises(UsageError, match="depth"):
        Image(depth=9)


def test_later_data_beyond_the_depth_are_refused_by_name(tmp_path: Path) -> None:
    image = Image().fit(levels(10, (3, 6, 7)))
    with pytest.raises(DataError, match=r"pixels up to 4,095.*up to 1,023"):
        image.encode(levels(12, (3, 6, 7)))
    Pil.fromarray(levels(12, (6, 7))).save(tmp_path / "deep.png")
    with pytest.raises(DataError, match=r"deep\.png: pixels up to 4,095"):
        image.encode(tmp_path)
    with pytest.raises(DataError, match=r"deep\.png: pixels up to 4,095.*up to 255"):
        Image().fit(levels(8, (3, 6, 7)).astype(np.uint8)).encode(tmp_path)


def test_held_out_pictures_may_be_the_brightest(tmp_path: Path) -> None:
    """One pixel of 11 bits, in whichever part it falls: all parts are as deep as the data, and it comes back."""
    values = levels(9, (24, 4, 4))
    values[5, 1, 2] = 1030
    np.save(tmp_path / "x.npy", values)
    (tmp_path / "files").mkdir()
    for i, picture in enumerate(values):
        Pil.fromarray(picture).save(tmp_path / "files" / f"{i:02}.png")
    fell = set()
    for seed in range(12):
        for source in (values, tmp_path / "x.npy", tmp_path / "files"):
            parts = load_parted(source, (0.3, 0.3), seed, modality="Image")
            modality = parts[0].modality
            assert modality.white == 4095
            assert modality.notices == {"kept at 12 bits": len(parts[0])}
            assert max(int(part.x.max()) for part in parts) == 1030
            fell.add(int(np.argmax([int(part.x.max()) for part in parts])))
        for source in (tmp_path / "x.npy", tmp_path / "files"):
            disk = on_disk_parted(source, tmp_path / f"cache{seed}", (0.3, 0.3), seed, modality="Image")
            assert disk[0].modality.white == 4095
            assert max(int(part[:].max()) for part in disk) == 1030
    assert fell == {0, 1, 2}


def test_resizing_and_grey_keep_the_scale(tmp_path: Path) -> None:
    flat = np.full((2, 8, 8, 3), 4095, np.uint16)
    image = Image(size=4, colour="grey").fit(flat)
    assert (image.encode(flat) == 4095).all()
    for number, picture in enumerate(flat):
        (tmp_path / f"{number}.png").write_bytes(sixteen_bits(picture))
    assert (Image(size=4, colour="grey").fit(tmp_path).encode(tmp_path) == 4095).all()
    edge = np.zeros((1, 8, 8), np.uint16)
    edge[:, :, 4:] = 1023  # a bicubic kernel swings over on both sides, and is cut there
    x = Image(size=(8, 12), fit_to="stretch").fit(edge).encode(edge)
    assert (int(x.min()), int(x.max())) == (0, 1023)


def test_dynamic_binarization_of_12_bits_has_the_right_odds() -> None:
    every = np.array([0, 1, 1024, 2048, 4094, 4095], np.uint16).reshape(1, 1, 6).repeat(20_000, 0)
    image = Image(binarize="dynamic").fit(every)
    drawn = image.transform(image.encode(every), torch.Generator().manual_seed(0)).double().mean(0)[0, 0]
    p = torch.tensor([0, 1, 1024, 2048, 4094, 4095], dtype=torch.float64) / 4095
    assert ((drawn - p).abs() <= 5 * (p * (1 - p) / 20_000).sqrt()).all()
    bits = Image(binarize="threshold").fit(every).encode(every)[0, 0, 0]
    assert bits.tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("turn", range(1, 9))
def test_deep_pictures_are_turned_upright(tmp_path: Path, turn: int) -> None:
    from PIL import ImageOps

    low = levels(8, (5, 7)).astype(np.uint8)
    exif = Pil.Exif()
    exif[0x0112] = turn
    Pil.fromarray(low).save(tmp_path / "low.png", exif=exif)
    Pil.fromarray(low.astype(np.uint16) * 16).save(tmp_path / "deep.png", exif=exif)
    with Pil.open(tmp_path / "low.png") as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture)).astype(int) * 16
    image = Image().fit([tmp_path / "deep.png"])
    assert np.array_equal(image.decode(image.encode([tmp_path / "deep.png"]))[0], expected)


def test_rows_on_disk_are_those_in_memory(tmp_path: Path) -> None:
    """Of an array in its place, of one that is converted, in pieces, and of a folder of pictures; 16 bits each on the disk."""
    array = levels(12, (40, 6, 7))
    np.save(tmp_path / "own.npy", array)
    np.save(tmp_path / "wide.npy", array.astype(np.int64))
    (tmp_path / "folder").mkdir()
    for number, picture in enumerate(array):
        Pil.fromarray(picture).save(tmp_path / "folder" / f"{number:02}.png")
    for name in ("own.npy", "wide.npy", "folder"):
        memory = load(str(tmp_path / name), modality="Image")
        disk = on_disk(tmp_path / name, tmp_path / "cache", modality="Image")
        assert disk.dtype == torch.int32 == memory.x.dtype
        assert disk.store.dtype == np.uint16
        assert torch.equal(disk.loaded().x, memory.x)
        assert np.array_equal(disk.modality.decode(disk[0:40]), array)
        assert disk.source["notices"] == {"kept at 12 bits": 40} == memory.source["notices"]


# ---- bands -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bands", [2, 4, 5, 8])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_every_band_of_an_array_is_kept_when_asked(bands: int, kind: type) -> None:
    array = levels(8 * np.dtype(kind).itemsize, (3, 9, 10, bands)).astype(kind)
    image = Image(bands="all").fit(array)
    assert image.event == (bands, 9, 10)
    assert np.array_equal(image.decode(image.encode(array)), array)
    first = np.ascontiguousarray(array.transpose(0, 3, 1, 2))
    other = Image(bands="all").fit(first)
    assert torch.equal(other.encode(first), image.encode(array))
    assert image.pictures(image.encode(array)).shape == ((3, 9, 10) if bands == 2 else (3, 9, 10, 3))
    for layout in (array, first):
        with pytest.raises(DataError, match=r"--data\.bands all"):
            Image().fit(layout)
    twin = Image.from_spec(image.spec()).restore(image.state())
    with pytest.raises(DataError, match=f"3 bands, not {bands}"):
        twin.encode(array[..., :3] if bands > 3 else np.repeat(array, 2, -1)[..., :3])


def test_bands_as_many_as_rows_need_a_size() -> None:
    array = levels(8, (2, 5, 6, 5)).astype(np.uint8)
    with pytest.raises(DataError, match="no images"):
        Image(bands="all").fit(array)
    assert Image(bands="all", size=(5, 6)).fit(array).event == (5, 5, 6)


FORMS = [
    {},
    {"order": ">"},
    {"strip": 3},
    {"apart": 1},
    {"apart": 1, "strip": 4, "deflate": 1},
    {"deflate": 1, "predictor": 2},
    {"predictor": 2, "order": ">"},
    {"tile": 4},
    {"tile": 4, "apart": 1, "deflate": 1, "predictor": 2},
]


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_tiffs_of_many_bands_in_every_form(tmp_path: Path, form: dict[str, int], kind: type) -> None:
    array = levels(8 * np.dtype(kind).itemsize, (2, 7, 10, 5)).astype(kind)
    for number, picture in enumerate(array):
        tiff(tmp_path / f"{number}.tif", picture, **form)  # type: ignore[arg-type]
    image = Image(bands="all").fit(tmp_path)
    assert image.event == (5, 7, 10)
    assert np.array_equal(image.decode(image.encode(tmp_path)), array)


def test_a_fourth_band_is_transparency_only_where_the_file_says_so(tmp_path: Path) -> None:
    array = levels(8, (6, 7, 4)).astype(np.uint8)
    for name, extra in (("none", ()), ("data", (0,))):
        path = tiff(tmp_path / f"{name}.tif", array, kind=2, extra=extra)
        with pytest.raises(DataError, match=rf"{name}\.tif: has 4 bands, .*--data\.bands all"):
            Image().fit([path])
        image = Image(bands="all").fit([path])
        assert image.event == (4, 6, 7)
        assert np.array_equal(image.decode(image.encode([path]))[0], array)
    path = tiff(tmp_path / "alpha.tif", array, kind=2, extra=(2,))
    image = Image().fit([path])
    share = array[..., 3:] / 255
    assert image.event == (3, 6, 7)
    assert image.notices == {"alpha_on_white": 1}
    found = image.decode(image.encode([path]))[0]
    assert np.abs(found - (share * array[..., :3] + (1 - share) * 255)).max() <= 1
    kept = Image(bands="all").fit([path])
    assert kept.event == (4, 6, 7)
    assert kept.notices == {"alpha_kept": 1}
    assert np.array_equal(kept.decode(kept.encode([path]))[0], array)
    with pytest.raises(DataError, match=r"4 channels.*transparency an array cannot say"):
        Image().fit(array[None])


def test_two_bands_and_a_turned_one(tmp_path: Path) -> None:
    array = levels(8, (6, 7, 2)).astype(np.uint8)
    path = tiff(tmp_path / "a.tif", array, turn=6)
    image = Image(bands="all").fit([path])
    assert image.event == (2, 7, 6)
    assert np.array_equal(image.decode(image.encode([path]))[0], np.rot90(array, -1))


def test_other_compressions_and_damage_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = levels(8, (6, 7, 5)).astype(np.uint8)
    path = tiff(tmp_path / "lzw.tif", array, compression=5)
    image = Image(bands="all").fit([path])
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(MachineError, match="pip install tifffile"):
        image.encode([path])
    reader = types.ModuleType("tifffile")
    vars(reader)["imread"] = lambda file, key: array if (file, key) == (path, 0) else None
    monkeypatch.setitem(sys.modules, "tifffile", reader)  # which the environment of the tests lacks
    assert np.array_equal(image.decode(image.encode([path]))[0], array)
    broken = bytearray(tiff(tmp_path / "bad.tif", array, deflate=1).read_bytes())
    broken[8:48] = b"\xff" * 40  # in the values; the directory that follows them is whole
    (tmp_path / "bad.tif").write_bytes(broken)
    with pytest.raises(DataError, match=r"bad\.tif: damaged or cut short"):
        image.encode([tmp_path / "bad.tif"])
    with pytest.raises(DataError, match=r"wide\.tif: has 5 bands of 32 bits"):
        image.encode([tiff(tmp_path / "wide.tif", array.astype(np.uint32))])


def test_colour_cannot_be_asked_of_many_bands() -> None:
    with pytest.raises(UsageError, match="5 bands"):
        Image(bands="all", colour="grey").fit(np.zeros((2, 8, 9, 5), np.uint8))


def test_pieces_of_one_array_are_as_deep_as_the_deepest() -> None:
    array = np.concatenate([np.full((3, 6, 7), 200, np.uint16), levels(10, (2, 6, 7)), levels(12, (4, 6, 7))])
    image = Image().learn([array[:3], array[3:5], array[5:]])
    assert image.white == 4095
    assert image.notices == {"kept at 12 bits": 9}
    assert np.array_equal(image.decode(image.encode(array)), array)
    bits = (array > 100).astype(np.uint16)
    mixed = Image().learn([bits[:3], array[:3]])  # 0 and 1 in the first piece are levels, as the second shows
    assert not mixed.binary
    assert np.array_equal(mixed.decode(mixed.encode(bits)), bits)
    both = Image().learn([bits[:3], bits[3:]])
    assert both.binary
    assert np.array_equal(both.decode(both.encode(bits)), bits)
