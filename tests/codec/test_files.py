"""Data into an archive and out again: lossless whatever they are, never much larger, and nothing wrong without a word."""

import errno
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pil

from lambent import ArtifactError, DataError, Fitted, LatentModel, MachineError, UsageError
from lambent.codec import lookup
from lambent.codec.archive import Reader, Writer, layout
from lambent.codec.described import described
from lambent.codec.extracting import Extracted, Reading, decompress, in_memory
from lambent.codec.files import Made, Options, as_bytes, compress
from lambent.codec.opening import Opened
from lambent.codec.rows import RowCodec

Levels = Callable[..., np.ndarray]
CONSTANT = 1500  # bytes of an archive beside its blocks' content: headings, index, checks


def there_and_back(fitted: Fitted, source: Any, folder: Path, **options: Any) -> tuple[Made, Any]:
    made = compress(fitted, source, folder / "x.lam", Options(**options))
    return made, in_memory(folder / "x.lam", Reading(fitted))[1]


def pictures_into(folder: Path, pictures: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures):
        Pil.fromarray(picture).save(folder / f"{number:03}.png")
    return folder


# ---- lossless --------------------------------------------------------------------------------------------------------


def test_what_the_model_knows_gets_small(grey: Fitted, slopes: Levels, tmp_path: Path) -> None:
    """Pictures like those of the training are coded, at less than half their bytes, and come back to the bit."""
    x = slopes(300, 1)
    made, again = there_and_back(grey, x, tmp_path)
    assert made.archive.coded_items == 300
    assert made.archive.bytes < x.nbytes / 2
    assert (again == x).all()
    assert made.archive.bits == pytest.approx(8 * made.archive.payload / x.size)


@pytest.mark.parametrize("count", [0, 1, 2, 301])
def test_C13_any_number_of_rows(grey: Fitted, slopes: Levels, tmp_path: Path, count: int) -> None:
    """No rows, one, an odd number: the same again, in shape and type."""
    x = slopes(count, 2).reshape(count, 8, 8)
    _, again = there_and_back(grey, x, tmp_path)
    assert again.shape == x.shape
    assert again.dtype == x.dtype
    assert (again == x).all()


def test_C13_no_files_and_one(grey: Fitted, slopes: Levels, tmp_path: Path) -> None:
    """An empty folder comes back empty; a single file comes back alone."""
    (tmp_path / "none").mkdir()
    made, again = there_and_back(grey, tmp_path / "none", tmp_path)
    assert (made.items, again) == (0, {})
    one = pictures_into(tmp_path / "one", slopes(1)) / "000.png"
    _, again = there_and_back(grey, one, tmp_path)
    assert list(again) == ["000.png"]


STRANGE: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "noise": lambda rng: rng.integers(0, 256, (200, 8, 8), dtype=np.uint8),
    "black": lambda rng: np.zeros((200, 8, 8), np.uint8),
    "white": lambda rng: np.full((200, 8, 8), 255, np.uint8),
    "text": lambda rng: np.frombuffer((Path(__file__).read_bytes() * 4)[: 200 * 64], np.uint8).reshape(200, 8, 8),
    "edges": lambda rng: rng.choice(np.array([0, 255], np.uint8), (200, 8, 8)),
}


@pytest.mark.parametrize("name", STRANGE)
def test_C12_what_the_model_has_never_seen(grey: Fitted, tmp_path: Path, name: str) -> None:
    """Noise, black, white, text as pictures: lossless, and never larger than raw and a small constant."""
    x = STRANGE[name](np.random.default_rng(0))
    made, again = there_and_back(grey, x, tmp_path)
    assert (again == x).all()
    assert made.archive.bytes <= x.nbytes + CONSTANT


@pytest.mark.parametrize(
    "kind", ["npy", "big-endian", "fortran", "sliced", "truth", "floats", "int64", "colour", "flat"]
)
def test_C16_arrays_of_every_form(request: pytest.FixtureRequest, slopes: Levels, tmp_path: Path, kind: str) -> None:
    """Byte order, order in memory, type and layout of a .npy file come back with its values."""
    x = slopes(60, 3, 3 if kind == "colour" else 1)
    made: np.ndarray = {
        "big-endian": lambda: x.astype(">u2"),
        "fortran": lambda: np.asfortranarray(x),
        "sliced": lambda: slopes(120, 3)[::2, ::-1],
        "truth": lambda: x > 128,
        "floats": lambda: (x / np.float32(255)).astype(np.float32),
        "int64": lambda: x.astype(np.int64),
        "flat": lambda: x.reshape(60, 64),
    }.get(kind, lambda: x)()
    fitted: Fitted = request.getfixturevalue("colour" if kind == "colour" else "grey")
    np.save(tmp_path / "x.npy", made)
    compress(fitted, tmp_path / "x.npy", tmp_path / "x.lam", Options())
    decompress(tmp_path / "x.lam", tmp_path / "y.npy", Reading(fitted))
    assert (tmp_path / "y.npy").read_bytes() == (tmp_path / "x.npy").read_bytes()


def test_an_npz_comes_back_whole(grey: Fitted, slopes: Levels, tmp_path: Path) -> None:
    """Arrays that are rows of the model are coded, labels, names and numbers kept: all come back, in their order."""
    held = {
        "x_train": slopes(50, 4),
        "y_train": np.arange(50),
        "x_test": slopes(20, 5),
        "names": np.array(["a", "bc"]),
        "one": np.array(3.5),
    }
    np.savez(tmp_path / "x.npz", **held)
    made = compress(grey, tmp_path / "x.npz", tmp_path / "x.lam", Options())
    assert made.archive.coded_items == 70
    decompress(tmp_path / "x.lam", tmp_path / "y.npz", Reading(grey))
    with np.load(tmp_path / "y.npz") as again:
        assert list(again) == list(held)
        for name, array in held.items():
            assert again[name].dtype == array.dtype
            assert again[name].shape == array.shape
            assert (again[name] == array).all()


def test_one_array_of_an_npz(grey: Fitted, slopes: Levels, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=slopes(10, 4), b=slopes(20, 5))
    compress(grey, f"{tmp_path / 'x.npz'}:b", tmp_path / "x.lam", Options())
    found = in_memory(tmp_path / "x.lam", Reading(grey))[1]
    assert list(found) == ["b"]
    assert (found["b"] == slopes(20, 5)).all()


def test_idx_comes_back_byte_for_byte(grey: Fitted, slopes: Levels, tmp_path: Path) -> None:
    (tmp_path / "x-idx3-ubyte").write_bytes(
        bytes([0, 0, 8, 3]) + np.array([30, 8, 8], ">u4").tobytes() + slopes(30).tobytes()
    )
    compress(grey, tmp_path / "x-idx3-ubyte", tmp_path / "x.lam", Options())
    decompress(tmp_path / "x.lam", tmp_path / "y-idx3-ubyte", Reading(grey))
    assert (tmp_path / "y-idx3-ubyte").read_bytes() == (tmp_path / "x-idx3-ubyte").read_bytes()


@pytest.mark.parametrize("model", ["grey", "colour"])
def test_a_folder_of_all_sorts(request: pytest.FixtureRequest, slopes: Levels, tmp_path: Path, model: str) -> None:
    """Grey and colour, transparency, palettes, any size, other files: every sample and every other byte comes back."""
    folder = tmp_path / "in"
    fitted: Fitted = request.getfixturevalue(model)
    pictures_into(folder / "grey", slopes(40, 6))
    pictures_into(folder / "colour", slopes(30, 7, 3))
    pictures_into(folder / "large", slopes(5, 8, side=21))
    rng = np.random.default_rng(0)
    some = Pil.fromarray(rng.integers(0, 256, (9, 13, 4), dtype=np.uint8), "RGBA")
    some.save(folder / "clear.png")
    some.convert("P").save(folder / "palette.png")
    some.convert("RGB").save(folder / "lossy.jpg")
    some.convert("1").save(folder / "bits.bmp")
    (folder / "deep").mkdir()
    Pil.fromarray(rng.integers(0, 65536, (8, 8)).astype(np.uint16)).save(folder / "deep" / "a.png")
    (folder / "notes.txt").write_text("held at 300 dpi\n")
    made = compress(fitted, folder, tmp_path / "x.lam", Options())
    assert made.archive.coded_items >= 30
    found = decompress(tmp_path / "x.lam", tmp_path / "out", Reading(fitted))
    assert found.count == made.items == 81
    for before in (path for path in folder.rglob("*") if path.is_file()):
        after = tmp_path / "out" / before.relative_to(folder)
        if not after.exists():
            after = after.with_suffix(".png")
        if after.read_bytes() == before.read_bytes():
            continue
        with Pil.open(before) as first, Pil.open(after) as second:
            assert np.array_equal(np.asarray(first.convert("RGBA")), np.asarray(second.convert("RGBA"))), before
            assert first.mode == second.mode


def test_models_of_two_levels_and_without_a_modality(tmp_path: Path) -> None:
    """Bernoulli pixels of truth values; rows of plain numbers of a model that knows no pictures."""
    from lambent import Bernoulli, Flat, Image, Mlp

    rng = np.random.default_rng(0)
    x = rng.random((100, 8, 8)) < 0.02
    modality = Image().fit(x)
    model = LatentModel(latent=Flat(size=2), likelihood=Bernoulli(), network=Mlp(width=8, depth=1)).setup((1, 8, 8))
    _, again = there_and_back(Fitted(model, modality), x, tmp_path)
    assert again.dtype == bool
    assert (again == x).all()
    vectors = LatentModel(latent=Flat(size=2), likelihood=Bernoulli(), network=Mlp(width=8, depth=1)).setup((10,))
    for kind in (np.float32, np.int16):
        rows = (rng.random((50, 10)) < 0.5).astype(kind)
        _, again = there_and_back(Fitted(vectors), rows, tmp_path)
        assert again.dtype == kind
        assert (again == rows).all()


@pytest.mark.parametrize("beyond", [256, -1, 32767])
def test_C10_a_value_that_the_model_cannot_tell_is_stored(
    grey: Fitted, slopes: Levels, tmp_path: Path, beyond: int
) -> None:
    """One number outside the levels of the model, above or below: its block is stored, and comes back."""
    x = slopes(60).astype(np.int16)
    x[31, 4, 5] = beyond
    made, again = there_and_back(grey, x, tmp_path)
    assert (made.archive.coded_blocks, made.archive.stored_blocks, made.failed) == (0, 1, 0)
    assert again.dtype == np.int16
    assert (again == x).all()


# ---- append, threads, the same bytes ---------------------------------------------------------------------------------


def test_C20_the_same_bytes_each_time_whatever_the_threads(grey: Fitted, slopes: Levels, tmp_path: Path) -> None:
    """Compressing twice, with one block at a time or two, gives the same archive, byte for byte."""
    folder = pictures_into(tmp_path / "in", slopes(60, 9))
    archives = []
    for number, threads in enumerate((1, 1, 2)):
        compress(grey, folder, tmp_path / f"{number}.lam", Options(model=True, threads=threads))
        archives.append((tmp_path / f"{number}.lam").read_bytes())
    assert archives[0] == archives[1] == archives[2]


def test_append(grey: Fitted, slopes: Levels, tmp_path: Path) -> None:
    """Files go behind those that are there; the same names again, another model or form are refused, and nothing changes."""
    first, second = (
        pictures_into(tmp_path / "a" / "first", slopes(40)),
        pictures_into(tmp_path / "b" / "second", slopes(30, 1)),
    )
    compress(grey, first.parent, tmp_path / "x.lam", Options(model=True))
    compress(grey, second.parent, tmp_path / "x.lam", Options(append=True))
    found = in_memory(tmp_path / "x.lam", Reading())[1]
    assert sorted(found) == sorted(f"{f.parent.name}/{f.name}" for f in [*first.iterdir(), *second.iterdir()])
    assert (found["second/003.png"] == slopes(30, 1)[3]).all()
    before = (tmp_path / "x.lam").read_bytes()
    with pytest.raises(UsageError, match="30 of these files are in the archive already"):
        compress(grey, second.parent, tmp_path / "x.lam", Options(append=True))
    with pytest.raises(UsageError, match="holds pictures of another form"):
        compress(grey, slopes(10), tmp_path / "x.lam", Options(append=True))
    other = lookup.rounded(grey, 6)
    with pytest.raises(UsageError, match="made with the model"):
        compress(other, first.parent, tmp_path / "x.lam", Options(append=True))
    with pytest.raises(UsageError, match="no archive to append to"):
        compress(grey, first.parent, tmp_path / "y.lam", Options(append=True))
    assert (tmp_path / "x.lam").read_bytes() == before


def test_append_of_arrays(grey: Fitted, slopes: Levels, tmp_path: Path) -> None:
    compress(grey, slopes(40), tmp_path / "x.lam", Options())
    compress(grey, slopes(30, 1), tmp_path / "x.lam", Options(append=True))
    assert (in_memory(tmp_path / "x.lam", Reading(grey))[1] == np.concatenate([slopes(40), slopes(30, 1)])).all()


# ---- the model -------------------------------------------------------------------------------------------------------


def test_the_model_inside_makes_an_archive_that_needs_nothing_else(
    grey: Fitted, slopes: Levels, tmp_path: Path
) -> None:
    made = compress(grey, slopes(300, 1), tmp_path / "x.lam", Options(model=True))
    assert 0 < made.archive.model < made.archive.bytes
    assert made.archive.coded_items == 300
    assert (in_memory(tmp_path / "x.lam", Reading())[1] == slopes(300, 1)).all()


@pytest.mark.parametrize("bits", [6, 10, 16])
def test_fewer_bits_of_a_weight_make_a_smaller_model(grey: Fitted, slopes: Levels, tmp_path: Path, bits: int) -> None:
    made = compress(grey, slopes(100, 1), tmp_path / "x.lam", Options(model=True, weight_bits=bits))
    more = compress(grey, slopes(100, 1), tmp_path / "y.lam", Options(model=True, weight_bits=bits + 4))
    assert made.archive.model < more.archive.model
    assert (in_memory(tmp_path / "x.lam", Reading())[1] == slopes(100, 1)).all()


def test_the_model_is_found_by_its_hash(
    grey: Fitted, grey_run: Path, slopes: Levels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the archive, in runs/ there, in ./runs, or where it was noted last; else a sentence that tells what to do."""
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "place"
    place.mkdir()
    compress(grey, slopes(50), place / "x.lam", Options())
    with pytest.raises(ArtifactError, match="--model RUN"):
        in_memory(place / "x.lam", Reading())
    for file in (
        place / "run" / "model.safetensors",
        place / "runs" / "a" / "model.safetensors",
        Path("runs/b/model.safetensors"),
    ):
        grey.save(file)
        assert (in_memory(place / "x.lam", Reading())[1] == slopes(50)).all()
        file.unlink()
    lookup.remembered(described(place / "x.lam").header["model"], grey_run / "model.safetensors")
    assert (in_memory(place / "x.lam", Reading())[1] == slopes(50)).all()


def test_C8_another_model_is_refused(grey: Fitted, slopes: Levels, tmp_path: Path) -> None:
    """A model that is not the archive's is refused by its hash, before anything is decoded."""
    compress(grey, slopes(50), tmp_path / "x.lam", Options())
    with pytest.raises(ArtifactError, match="was made with the model"):
        in_memory(tmp_path / "x.lam", Reading(lookup.rounded(grey, 6), "runs/other"))


def test_C9_a_machine_that_computes_differently_is_told(
    grey: Fitted, slopes: Levels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the networks give other numbers than where the archive was made, nothing is decoded."""
    compress(grey, slopes(50), tmp_path / "x.lam", Options())
    monkeypatch.setattr(RowCodec, "probe", lambda self: bytes(32))
    with pytest.raises(MachineError, match="computes differently"):
        decompress(tmp_path / "x.lam", tmp_path / "y.npy", Reading(grey))
    assert not (tmp_path / "y.npy").exists()


def test_a_kind_or_rules_of_a_later_version_are_told(grey: Fitted, slopes: Levels, tmp_path: Path) -> None:
    compress(grey, slopes(50), tmp_path / "x.lam", Options())
    with Reader(tmp_path / "x.lam") as archive:
        for more, word in (
            ({"kind": "songs"}, "'songs'"),
            ({"numerics": 99}, "rules of arithmetic 99"),
            ({"weight_bits": 77}, "header"),
        ):
            archive.header = {**described(tmp_path / "x.lam").header, **more}
            with pytest.raises(ArtifactError, match=word):
                Opened(archive)


# ---- what goes wrong -------------------------------------------------------------------------------------------------


def test_C19_a_block_that_does_not_decode_to_itself_is_stored(
    grey: Fitted, slopes: Levels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A level that comes back one off, as by a network that computes otherwise once: the block is stored, counted, and right."""
    decode = RowCodec.decode

    def off(self: RowCodec, coded: Any) -> Any:
        found = decode(self, coded)
        found[0, 0, 0, 0] ^= 1
        return found

    monkeypatch.setattr(RowCodec, "decode", off)
    made = compress(grey, slopes(100), tmp_path / "x.lam", Options())
    assert made.failed == 1
    assert made.archive.coded_blocks == 0
    monkeypatch.undo()
    assert (in_memory(tmp_path / "x.lam", Reading(grey))[1] == slopes(100)).all()


def test_what_an_archive_may_not_hold_coded_is_stored(
    grey: Fitted, slopes: Levels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a picture that makes more rows than a block may have, the file is stored; blocks of tiny rows stay within the limit."""
    folder = pictures_into(tmp_path / "photos", slopes(1, side=64))  # of 64 rows
    monkeypatch.setattr(layout, "MOST_ROWS", 50)
    made = compress(grey, folder, tmp_path / "x.lam", Options())
    assert (made.archive.coded_blocks, made.archive.stored_blocks) == (0, 1)
    assert in_memory(tmp_path / "x.lam", Reading(grey))[1]["000.png"] == (folder / "000.png").read_bytes()
    made, back = there_and_back(grey, slopes(120), tmp_path)
    assert (made.archive.coded_blocks, made.archive.rows) == (3, 120)
    assert (back == slopes(120)).all()


def test_what_was_coded_wrong_is_found_when_it_is_decoded(
    grey: Fitted, slopes: Levels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the look before writing, a wrong block is found by the digest of its content: never wrong data without a word."""
    encode = RowCodec.encode

    def off(self: RowCodec, x: Any, seed: int = 0) -> Any:
        other = x.clone()
        other[0, 0, 0, 0] ^= 1
        return encode(self, other, seed)

    monkeypatch.setattr(RowCodec, "encode", off)
    compress(grey, slopes(100), tmp_path / "x.lam", Options(verify=False))
    monkeypatch.undo()
    with pytest.raises(ArtifactError, match="something else than was put in"):
        in_memory(tmp_path / "x.lam", Reading(grey))


@pytest.mark.parametrize("way", ["compress", "decompress"])
def test_C18_a_full_disk_leaves_nothing(
    grey: Fitted, slopes: Levels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """The disk is full when the last bytes are flushed: an error with what to do, and no file, not even a temporary one."""
    place = tmp_path / "place"
    place.mkdir()
    compress(grey, slopes(50), tmp_path / "x.lam", Options())

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    work: dict[str, Callable[[], object]] = {
        "compress": lambda: compress(grey, slopes(50), place / "y.lam", Options()),
        "decompress": lambda: decompress(tmp_path / "x.lam", place / "y.npy", Reading(grey)),
    }
    with pytest.raises(MachineError, match="No space left on device"):
        work[way]()
    assert list(place.iterdir()) == []


def test_C18_a_full_disk_leaves_no_folder(
    grey: Fitted, slopes: Levels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full while pictures are written: an error, and no folder, not even a temporary one."""
    folder = pictures_into(tmp_path / "in", slopes(10))
    compress(grey, folder, tmp_path / "x.lam", Options())
    (tmp_path / "place").mkdir()
    from lambent.codec.content import listing

    def full(*_: Any) -> bytes:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(listing, "as_png", full)
    with pytest.raises(MachineError, match="No space left on device"):
        decompress(tmp_path / "x.lam", tmp_path / "place" / "out", Reading(grey))
    assert list((tmp_path / "place").iterdir()) == []


def test_C4_blocks_of_a_damaged_archive_are_lost_and_the_others_saved(
    grey: Fitted, slopes: Levels, tmp_path: Path
) -> None:
    """A byte of one block is changed: without --salvage an error; with it what is intact, and what is lost by name."""
    compress(grey, pictures_into(tmp_path / "a" / "first", slopes(40)).parent, tmp_path / "x.lam", Options())
    compress(
        grey, pictures_into(tmp_path / "b" / "second", slopes(30, 1)).parent, tmp_path / "x.lam", Options(append=True)
    )
    with Reader(tmp_path / "x.lam") as archive:
        place = archive.index.entries[0].offset + 200
    data = bytearray((tmp_path / "x.lam").read_bytes())
    data[place] ^= 1
    (tmp_path / "x.lam").write_bytes(data)
    with pytest.raises(ArtifactError, match="block 0"):
        decompress(tmp_path / "x.lam", tmp_path / "out", Reading(grey))
    assert not (tmp_path / "out").exists()
    found = decompress(tmp_path / "x.lam", tmp_path / "out", Reading(grey, salvage=True))
    assert isinstance(found, Extracted)
    assert found.count == 30
    assert any("block 0" in lost for lost in found.lost)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["second"]


def forged(path: Path, to: Path, side: dict[str, Any]) -> Path:
    """The archive with something else beside its first block, its checks made anew, as whoever means harm would."""
    with Reader(path) as archive, Writer(to, archive.header) as writer:
        for number, block in enumerate(archive.blocks()):
            writer.add(replace(block, side=as_bytes(side)) if number == 0 else block)
    return to


@pytest.mark.parametrize(
    "items",
    [
        [["a.png", 1, 8, 8, 8, 1]],
        [["a.png", 1, 8, 10**6, 10**6, 1]] * 40,
        [["a.png", 1, 8, -8, 8, 1]] * 40,
        [["a.png", 9, 8, 8, 8, 9]] * 40,
        [[7, 1, 8, 8, 8, 1]] * 40,
        [["a.png"]] * 40,
        [[]],
        "a.png",
        None,
    ],
)
def test_C6_what_stands_beside_a_block_is_held_against_it(
    grey: Fitted, slopes: Levels, tmp_path: Path, items: Any
) -> None:
    """Sizes, counts and names that a block does not bear out are refused, before anything is allocated or written."""
    compress(grey, pictures_into(tmp_path / "in", slopes(40)), tmp_path / "x.lam", Options())
    with Reader(tmp_path / "x.lam") as archive:
        pace = [1, 1]
        assert archive.block(0).is_coded
    path = forged(tmp_path / "x.lam", tmp_path / "y.lam", {"as": "pixels", "items": items, "pace": pace})
    with pytest.raises(ArtifactError):
        decompress(path, tmp_path / "out", Reading(grey))
    assert not (tmp_path / "out").exists()


def test_C24_no_file_leaves_the_folder(grey: Fitted, tmp_path: Path) -> None:
    """Names in an archive that point elsewhere, or through a link that stands in the folder: nothing is written outside."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("held")
    compress(grey, tmp_path / "in", tmp_path / "x.lam", Options())
    for number, name in enumerate(("../../evil.txt", "/tmp/evil.txt", "../in2/evil.txt")):
        path = forged(tmp_path / "x.lam", tmp_path / f"{number}.lam", {"as": "files", "items": [[name, 4]]})
        out = tmp_path / "deep" / f"out{number}"
        decompress(path, out, Reading(grey))
        assert [p.read_text() for p in out.rglob("*") if p.is_file()] == ["held"]
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "sub").symlink_to(outside)
    path = forged(tmp_path / "x.lam", tmp_path / "z.lam", {"as": "files", "items": [["sub/evil.txt", 4]]})
    with pytest.raises(UsageError, match="leads out of the folder"):
        decompress(path, tmp_path / "linked", Reading(grey), force=True)
    assert list(outside.iterdir()) == []


def test_data_of_another_kind_are_refused_in_words(grey: Fitted, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"takes rows of shape \[1, 8, 8\]; here are array \[5\]"):
        compress(grey, np.zeros(5), tmp_path / "x.lam", Options())
    with pytest.raises(DataError, match="no such file or folder"):
        compress(grey, tmp_path / "nosuch", tmp_path / "x.lam", Options())
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", b"no array")
    with pytest.raises(DataError):
        compress(grey, tmp_path / "x.npz", tmp_path / "x.lam", Options())
    assert not (tmp_path / "x.lam").exists()
