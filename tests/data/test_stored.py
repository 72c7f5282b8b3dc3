"""Rows on disk: the same rows, scales, labels and batches as in memory, to the bit, from every kind of file."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lambent.data import Image, Table, encode_like, load, load_parted
from lambent.data.batches import InMemory
from lambent.data.kinds import moments
from lambent.data.kinds.moments import Moments, Quartiles
from lambent.data.readers import pieces, table_pieces
from lambent.data.stored import ondisk, stores
from lambent.data.stored.from_disk import FromDisk
from lambent.data.stored.ondisk import OnDisk
from lambent.data.stored.opening import on_disk, on_disk_like, on_disk_parted
from lambent.errors import DataError, UsageError

CPU = torch.device("cpu")
ROWS = 300
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (ROWS, 6, 5), dtype=np.uint8)
TABLE = RNG.normal(3, 2, (ROWS, 4)) * [1, 10, 100, 0.01]
LABELS = np.array(["no", "yes", "perhaps"])[RNG.integers(0, 3, ROWS)]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of a few rows, so that small files have many."""
    monkeypatch.setattr(pieces, "PIECE", 2000)
    monkeypatch.setattr(ondisk, "PIECE", 700)
    monkeypatch.setattr(stores, "SPAN", 300)
    monkeypatch.setattr(moments, "BLOCK", 64)


def npy(folder: Path, array: np.ndarray) -> str:
    np.save(folder / "rows.npy", array)
    return str(folder / "rows.npy")


def npz(folder: Path, **arrays: np.ndarray) -> str:
    np.savez_compressed(folder / "rows.npz", **arrays)
    return str(folder / "rows.npz")


def frame() -> pd.DataFrame:
    found = pd.DataFrame(TABLE, columns=list("abcd"))
    return found.assign(whole=np.arange(ROWS) % 7, kind=LABELS)


def csv(folder: Path) -> str:
    frame().to_csv(folder / "rows.csv", index=False)
    return str(folder / "rows.csv")


def parquet(folder: Path) -> str:
    frame().to_parquet(folder / "rows.parquet", index=False, row_group_size=70)
    return str(folder / "rows.parquet")


def pictures(folder: Path) -> str:
    from PIL import Image as Pil

    for number, pixels in enumerate(PIXELS[:60]):
        path = folder / "pictures" / "ab"[number % 2] / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Pil.fromarray(pixels).save(path)
    return str(folder / "pictures")


LABELLED = {"type": "Table", "label": "kind"}
SOURCES: dict[str, tuple[Callable[[Path], str], Any]] = {
    "bytes": (lambda f: npy(f, PIXELS), None),
    "channels first": (lambda f: npy(f, PIXELS[:, None].repeat(3, 1)), None),
    "channels last": (lambda f: npy(f, PIXELS[..., None].repeat(3, 3)), None),
    "bytes drawn to bits": (lambda f: npy(f, PIXELS), {"type": "Image", "binarize": "dynamic"}),
    "thresholded": (lambda f: npy(f, PIXELS), {"type": "Image", "binarize": "threshold"}),
    "two levels": (lambda f: npy(f, PIXELS // 128), None),
    "two levels drawn": (lambda f: npy(f, PIXELS // 128), {"type": "Image", "binarize": "dynamic"}),
    "fractions": (lambda f: npy(f, PIXELS / 255), None),
    "resized": (lambda f: npy(f, PIXELS), {"type": "Image", "size": [4, 4]}),
    "an archive with labels": (lambda f: npz(f, x=PIXELS, y=LABELS), None),
    "an archive with numbers": (lambda f: npz(f, x=TABLE, y=np.arange(ROWS) % 3), None),
    "float64": (lambda f: npy(f, TABLE), None),
    "float32 as it is": (lambda f: npy(f, TABLE.astype(np.float32)), {"type": "Table", "scale": "none"}),
    "quartiles": (lambda f: npy(f, TABLE), {"type": "Table", "scale": "robust"}),
    "csv": (csv, LABELLED),
    "parquet": (parquet, LABELLED),
    "pictures": (pictures, None),
    "pictures under their labels": (pictures, {"type": "Image", "condition": ["label"]}),
    "an archive under its labels": (lambda f: npz(f, x=PIXELS, y=LABELS), {"type": "Image", "condition": ["label"]}),
    "columns under others": (csv, {"type": "Table", "condition": ["kind", "whole", "b"], "drop": ["c"]}),
    "columns under their label": (parquet, LABELLED | {"condition": ["label", "a"]}),
}


@pytest.fixture(params=list(SOURCES))
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Any]:
    make, modality = SOURCES[request.param]
    return make(tmp_path), modality


def assert_same(found: OnDisk, expected: Any) -> None:
    loaded = found.loaded()
    assert loaded.x.dtype == expected.x.dtype
    assert torch.equal(loaded.x, expected.x)
    assert found.modality.spec() == expected.modality.spec()
    assert found.modality.state() == expected.modality.state()
    assert found.modality.conditions.state() == expected.modality.conditions.state()
    assert (loaded.context is None) == (expected.context is None)
    assert loaded.context is None or torch.equal(loaded.context, expected.context)
    if expected.labels is None:
        assert loaded.labels is None
    else:
        assert loaded.labels is not None
        names, others = loaded.label_names, expected.label_names
        mine = [names[i] for i in loaded.labels] if names else loaded.labels.tolist()
        assert mine == ([others[i] for i in expected.labels] if others else expected.labels.tolist())
    assert set(found.source["notices"]) == set(expected.source["notices"])  # they count the rows of all parts together
    kept = ("split", "path", "rows", "key", "part")
    wanted = {k: v for k, v in expected.source.items() if k in kept}
    assert {k: v for k, v in found.source.items() if k in kept} == wanted


def test_rows_scales_and_labels_are_those_in_memory(case: tuple[str, Any], tmp_path: Path) -> None:
    source, modality = case
    assert_same(on_disk(source, tmp_path / "cache", modality=modality), load(source, modality=modality))


def test_a_share_held_out_is_not_learned_from(case: tuple[str, Any], tmp_path: Path) -> None:
    source, modality = case
    kept, held = on_disk_parted(source, tmp_path / "cache", 0.2, 3, modality=modality)
    train, test = load_parted(source, 0.2, 3, modality=modality)
    assert_same(kept, train)
    assert_same(held, test)
    parts = on_disk_parted(source, tmp_path / "cache", (0.2, 0.3), 3, modality=modality)
    for part, expected in zip(parts, load_parted(source, (0.2, 0.3), 3, modality=modality), strict=True):
        assert_same(part, expected)
    again = on_disk_like(kept.modality, source, tmp_path / "cache")
    assert torch.equal(again.loaded().x, encode_like(train.modality, source).x)
    assert again.modality is kept.modality


def test_batches_are_those_of_memory_to_the_bit(case: tuple[str, Any], tmp_path: Path) -> None:
    source, modality = case
    stored, encoded = on_disk(source, tmp_path / "cache", modality=modality), load(source, modality=modality)
    kept = np.flatnonzero(np.arange(len(stored)) % 5 != 2)
    chosen = torch.from_numpy(kept)
    own = None if encoded.context is None else encoded.context[chosen]
    context = torch.randn(len(kept), 2) if own is None else None
    disk = FromDisk(stored.view(kept), 16, 7, CPU, context, chosen)
    memory = InMemory(encoded.x[chosen], 16, 7, CPU, context if own is None else own, chosen)
    assert (disk.rows, disk.steps, disk.batch) == (memory.rows, memory.steps, memory.batch)
    if disk.data.store.digest is None:
        assert disk.fingerprint() == memory.fingerprint()
    assert torch.equal(disk.examples(10), memory.examples(10))
    for number, start in ((0, 0), (1, 0), (1, 3), (4, disk.steps)):
        expected = [[t.clone() for t in batch if t is not None] for batch in memory.epoch(number, start)]
        found = list(disk.epoch(number, start))
        assert len(found) == len(expected) == disk.steps - start
        for mine, theirs in zip(found, expected, strict=True):
            for a, b in zip(mine, theirs, strict=True):
                assert a is not None
                assert a.dtype == b.dtype
                assert torch.equal(a, b)


def test_what_is_its_own_encoding_is_read_in_place(tmp_path: Path) -> None:
    for name in ("bytes", "channels first", "bytes drawn to bits", "two levels", "float32 as it is"):
        make, modality = SOURCES[name]
        cache = tmp_path / name
        on_disk(make(tmp_path), cache, modality=modality)
        assert [path.suffix for path in cache.iterdir()] == [".json"]


def test_scales_have_the_right_values(tmp_path: Path) -> None:
    stored = on_disk(csv(tmp_path), tmp_path / "cache", modality=LABELLED)
    assert isinstance(stored.modality, Table)
    for column, values in zip(stored.modality.columns, TABLE.T, strict=False):
        assert column.centre == pytest.approx(values.mean(), rel=1e-12)  # type: ignore[attr-defined]
        assert column.scale == pytest.approx(values.std(), rel=1e-12)  # type: ignore[attr-defined]
    assert stored.loaded().x.double().mean(0).abs().max() < 1e-6


@pytest.mark.parametrize("portions", [1, 7, 64, 300])
def test_moments_do_not_depend_on_the_portions(portions: int) -> None:
    values = 1e9 + np.random.default_rng(1).normal(size=1000)
    found = Moments()
    for start in range(0, 1000, portions):
        found.add(values[start : start + portions])
    whole = Moments()
    whole.add(values)
    assert found.values() == whole.values()
    assert whole.values() == (pytest.approx(values.mean(), rel=1e-14), pytest.approx(values.std(), rel=1e-9))


@pytest.mark.parametrize("portions", [1, 7, 1000])
def test_quartiles_of_many_values_are_those_of_a_sample(portions: int) -> None:
    values = np.random.default_rng(2).permutation(100_001).astype(np.float64)
    found = Quartiles(20_000)
    for start in range(0, len(values), 1000 * portions):
        found.add(values[start : start + 1000 * portions])
    assert found.stride == 8
    assert found.values() == tuple(np.quantile(values[::8], [0.25, 0.5, 0.75]))
    assert found.values() == pytest.approx((25_000, 50_000, 75_000), rel=0.05)


def test_a_sample_of_quartiles_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lambent.data.kinds import table
    from lambent.data.kinds.columns import learning

    monkeypatch.setattr(table, "MOST_VALUES", 10)
    monkeypatch.setattr(learning, "SAMPLE", 100)
    stored = on_disk(npy(tmp_path, TABLE), tmp_path / "cache", modality={"type": "Table", "scale": "robust"})
    assert stored.source["notices"] == {"quartiles_from_a_sample": 4}
    assert stored.modality.columns[0].centre == np.median(TABLE[::4, 0])


# ---- the cache -------------------------------------------------------------------------------------------------------


def test_the_second_time_nothing_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, cache = csv(tmp_path), tmp_path / "cache"
    first, _ = on_disk_parted(source, cache, 0.2, modality=LABELLED)
    digest = FromDisk(first, 8, 0, CPU).fingerprint()
    monkeypatch.setattr(table_pieces.DelimitedPieces, "_pieces", lambda self, told: pytest.fail("the source was read"))
    again, _ = on_disk_parted(source, cache, 0.2, modality=LABELLED)
    assert torch.equal(again.loaded().x, first.loaded().x)
    monkeypatch.setattr(OnDisk, "pieces", lambda self, what="": pytest.fail("the rows were read"))
    assert FromDisk(again, 8, 0, CPU).fingerprint() == digest


def test_a_changed_source_is_read_again(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = on_disk(npy(tmp_path, TABLE), cache)
    before = first.loaded().x
    digest = FromDisk(first, 8, 0, CPU).fingerprint()
    time.sleep(0.02)
    source = npy(tmp_path, TABLE[::-1] + 1)
    second = on_disk(source, cache)
    assert torch.equal(second.loaded().x, load(source).x)
    assert FromDisk(second, 8, 0, CPU).fingerprint() == InMemory(load(source).x, 8, 0, CPU).fingerprint() != digest
    assert torch.equal(first.loaded().x, before)  # whoever still reads the old rows goes on with them
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".rows"]


@pytest.mark.parametrize("damage", ["json", "short rows", "no rows", "other format", "text for a number"])
def test_a_damaged_cache_is_made_anew(damage: str, tmp_path: Path) -> None:
    source, cache = parquet(tmp_path), tmp_path / "cache"
    expected = on_disk(source, cache, modality=LABELLED).loaded()
    files = {path.suffix: path for path in cache.iterdir()}
    text = files[".json"].read_text()
    if damage == "json":
        files[".json"].write_text(text[:-9])
    elif damage == "short rows":
        files[".rows"].write_bytes(files[".rows"].read_bytes()[:-4])
    elif damage == "no rows":
        files[".rows"].unlink()
    elif damage == "other format":
        files[".json"].write_text(text.replace('"format": 1', '"format": 2'))
    else:
        files[".json"].write_text(text.replace(f'"rows": {ROWS}', '"rows": "many"'))
    found = on_disk(source, cache, modality=LABELLED).loaded()
    assert torch.equal(found.x, expected.x)
    assert np.array_equal(found.labels, expected.labels)  # type: ignore[arg-type]


KILLED = """
import os, sys
from pathlib import Path
from lambent.data.stored import opening
def tell(what, share):
    if what.startswith("converting") and share > 0.5:
        os.kill(os.getpid(), 9)
from lambent.data.readers import pieces
pieces.PIECE = 2000
opening.on_disk(sys.argv[1], sys.argv[2], tell=tell)
"""


def test_what_was_killed_while_converting_begins_anew(tmp_path: Path) -> None:
    source, cache = npy(tmp_path, TABLE), tmp_path / "cache"
    done = subprocess.run([sys.executable, "-c", KILLED, source, str(cache)], check=False, capture_output=True)
    assert done.returncode == -9
    assert {path.name.rpartition(".part")[1] for path in cache.iterdir()} == {".part"}  # nothing that counts as whole
    assert torch.equal(on_disk(source, cache).loaded().x, load(source).x)
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".rows"]


MEASURED = """
import sys
import torch
import lambent
from lambent.data.readers import pieces
from lambent.data.stored import ondisk
from lambent.data.stored.from_disk import FromDisk
from lambent.data.stored.opening import on_disk_parted
pieces.PIECE = ondisk.PIECE = 2**21
# Not what getrusage tells, which begins with the resident set of the process that started this one.
peak = lambda: int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]) // 1024
def work(source):
    train, _ = on_disk_parted(source, sys.argv[3], 0.1)
    batches = FromDisk(train, 256, 0, torch.device("cpu"))
    batches.fingerprint()
    rows = sum(len(x) for x, _, _ in batches.epoch(0))
    assert rows == len(train)
work(sys.argv[1])
before = peak()
work(sys.argv[2])
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the highest resident set of a process is read from /proc")
@pytest.mark.parametrize(("kind", "shape"), [(np.uint8, (1, 40, 40)), (np.float64, (200,))])
def test_memory_does_not_grow_with_the_rows(kind: type, shape: tuple[int, ...], tmp_path: Path) -> None:
    block = np.random.default_rng(0).integers(0, 256, (10_000, *shape), dtype=np.uint8).astype(kind)
    for name, blocks in (("small", 3), ("large", 10)):
        with open(tmp_path / f"{name}.npy", "wb") as file:
            heading = {"descr": np.dtype(kind).str, "fortran_order": False, "shape": (blocks * 10_000, *shape)}
            np.lib.format.write_array_header_1_0(file, heading)
            for _ in range(blocks):
                file.write(block.tobytes())
    places = [str(tmp_path / name) for name in ("small.npy", "large.npy", "cache")]
    done = subprocess.run([sys.executable, "-c", MEASURED, *places], stdout=subprocess.PIPE, text=True, check=True)
    assert int(done.stdout) < 25  # MiB; the larger file has 152, of which 76 are float32 in the table's cache


def test_a_condition_that_is_not_there_is_named(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for make, modality in (
        (lambda f: npy(f, PIXELS), {"type": "Image", "condition": ["label"]}),
        (lambda f: npz(f, x=PIXELS, y=LABELS), {"type": "Image", "condition": ["hue"]}),
    ):
        source = make(tmp_path)
        with pytest.raises(UsageError, match="these data have nothing of that name beside them") as first:
            load(source, modality=modality)
        with pytest.raises(UsageError) as second:
            on_disk(source, cache, modality=modality)
        assert str(second.value) == str(first.value)


# ---- faults ----------------------------------------------------------------------------------------------------------


def test_faults_are_named(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    np.save(tmp_path / "f.npy", np.asfortranarray(TABLE))
    with pytest.raises(DataError, match="Fortran order"):
        on_disk(tmp_path / "f.npy", cache)
    (tmp_path / "deep.csv").write_text("a,b\n" + "1,2\n" * 400_000 + "1,two\n")
    with pytest.raises(DataError, match=r"deep.csv: column 'b', row 400001: 'two' is no number, and most cells"):
        on_disk(tmp_path / "deep.csv", cache, modality="Table")
    (tmp_path / "long.csv").write_text("a,b\n" + "1,2\n" * 3000 + f"{2**60},2\n")
    with pytest.raises(DataError, match=r"column 'a', row 3001: is an integer beyond 2\^53"):
        on_disk(tmp_path / "long.csv", cache, modality="Table")
    spoilt = frame()
    spoilt.loc[ROWS - 3, "b"] = np.nan
    spoilt.to_parquet(tmp_path / "gap.parquet")
    with pytest.raises(DataError, match=rf"column 'b', row {ROWS - 2}: is missing"):
        on_disk(tmp_path / "gap.parquet", cache, modality=LABELLED | {"missing": "no"})
    (tmp_path / "torn.parquet").write_bytes((tmp_path / "gap.parquet").read_bytes()[:-20])
    with pytest.raises(DataError, match="damaged or no Parquet file"):
        on_disk(tmp_path / "torn.parquet", cache)
    (tmp_path / "a.doc").write_text("x")
    with pytest.raises(DataError, match="not read a piece at a time"):
        on_disk(tmp_path / "a.doc", cache)


def test_a_file_that_changes_while_it_is_trained_on_is_told(tmp_path: Path) -> None:
    source = npy(tmp_path, PIXELS)
    batches = FromDisk(on_disk(source, tmp_path / "cache"), 16, 0, CPU)
    assert len(list(batches.epoch(0))) == batches.steps
    with open(source, "rb+") as file:
        file.truncate(2000)
    with pytest.raises(DataError, match="changed while it was read"):
        next(iter(batches.epoch(1)))


def test_a_file_cut_short_within_an_epoch_ends_in_an_error(tmp_path: Path) -> None:
    source = npy(tmp_path, PIXELS)
    batches = FromDisk(on_disk(source, tmp_path / "cache"), 4, 0, CPU)
    epoch = batches.epoch(0)
    next(epoch)
    with open(source, "rb+") as file:
        file.truncate(2000)
    with pytest.raises(DataError, match="cut short"):
        list(epoch)


def test_pictures_are_told_apart_by_their_files(tmp_path: Path) -> None:
    folder = pictures(tmp_path)

    def fingerprint(rows: int) -> str:
        stored = on_disk(folder, tmp_path / "cache")
        return FromDisk(stored.view(np.arange(rows)), 8, 0, CPU).fingerprint()

    first = fingerprint(60)
    assert fingerprint(60) == first != fingerprint(59)
    time.sleep(0.02)
    path = Path(folder) / "a" / "000.png"
    path.write_bytes(path.read_bytes())
    assert fingerprint(60) != first


def test_a_picture_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    folder = Path(pictures(tmp_path))
    bad = folder / "a" / "000.png"
    bad.write_bytes(bad.read_bytes()[:60])
    with pytest.raises(DataError, match=r"000\.png: damaged or cut short"):
        on_disk(folder, tmp_path / "cache").loaded()
    bad.write_bytes(b"no picture")
    stored = on_disk(folder, tmp_path / "cache", modality=Image(skip_bad=True))
    assert torch.equal(stored.loaded().x, load(str(folder), modality=Image(skip_bad=True)).x)


def test_an_epoch_that_is_left_early_reads_no_further(tmp_path: Path) -> None:
    batches = FromDisk(on_disk(npy(tmp_path, PIXELS), tmp_path / "cache"), 4, 0, CPU)
    asked = []
    read = batches.data.store.read
    batches.data.store.read = lambda numbers, seed: (asked.append(len(numbers)), read(numbers, seed))[1]  # type: ignore[method-assign]
    epoch = batches.epoch(0)
    next(epoch)
    epoch.close()  # type: ignore[attr-defined]
    assert sum(asked) <= 4 * (batches.ahead + 1)


def test_progress_is_told(tmp_path: Path) -> None:
    told: dict[str, list[float]] = {}
    stored = on_disk(
        csv(tmp_path), tmp_path / "cache", modality=LABELLED, tell=lambda w, s: told.setdefault(w, []).append(s)
    )
    FromDisk(stored, 8, 0, CPU).fingerprint()
    assert len(told) == 3
    for shares in told.values():
        assert shares == sorted(shares)
        assert shares[-1] == 1
        assert len(shares) > 2


def test_what_is_held_out_decides_the_scales_and_so_the_cache(tmp_path: Path) -> None:
    source, cache = npy(tmp_path, TABLE), tmp_path / "cache"
    first, _ = on_disk_parted(source, cache, 0.2, 0)
    second, _ = on_disk_parted(source, cache, 0.2, 1)
    assert first.modality.state() != second.modality.state()
    assert len([path for path in cache.iterdir() if path.suffix == ".rows"]) == 2
