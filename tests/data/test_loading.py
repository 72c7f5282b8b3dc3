"""load, encode_like, split, overlap: any source, the right modality, honest records."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import lambent.data as data
from lambent.data import Encoded, Image, Table, distinct, encode_like, load, overlap, split
from lambent.errors import DataError, UsageError

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 5, 6), dtype=np.uint8)
ROWS = np.random.default_rng(1).normal(size=(20, 3))


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        (PIXELS, Image),
        (PIXELS / 255, Image),
        (torch.from_numpy(PIXELS)[:, None], Image),
        (torch.from_numpy(PIXELS / 255).bfloat16(), Image),
        (ROWS, Table),
        (ROWS.tolist(), Table),
        (torch.from_numpy(ROWS), Table),
        (pd.DataFrame(ROWS, columns=list("abc")), Table),
        (PIXELS.reshape(20, 30), Table),
    ],
)
def test_the_modality_is_guessed(source: Any, kind: type) -> None:
    encoded = load(source)
    assert type(encoded.modality) is kind
    assert len(encoded) == encoded.source["rows"] == 20
    assert tuple(encoded.x.shape[1:]) == encoded.modality.event


def test_the_modality_may_be_given() -> None:
    flat = PIXELS.reshape(20, 30)
    for modality in (Image(size=(5, 6)), {"type": "Image", "size": [5, 6]}):
        assert load(flat, modality=modality).x.shape == (20, 1, 5, 6)
    assert load(PIXELS, modality="Image").x.shape == (20, 1, 5, 6)
    with pytest.raises(UsageError, match="no Modality is called 'Imag'; did you mean 'Image'"):
        load(PIXELS, modality="Imag")
    with pytest.raises(DataError, match="two axes"):
        load(PIXELS, modality="Table")


def test_files_of_every_kind(tmp_path: Path) -> None:
    from PIL import Image as Pil

    np.save(tmp_path / "a.npy", PIXELS)
    np.savez(tmp_path / "b.npz", x=PIXELS, y=np.arange(20) % 3)
    np.savez(tmp_path / "c.npz", X=ROWS, y=np.array(["no", "yes"] * 10))
    pd.DataFrame(ROWS, columns=list("abc")).to_csv(tmp_path / "d.csv")
    pd.DataFrame(ROWS, columns=list("abc")).to_parquet(tmp_path / "e.parquet")
    for i in range(4):
        (tmp_path / "f" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        Pil.fromarray(PIXELS[i]).save(tmp_path / "f" / "ab"[i % 2] / f"{i}.png")
    images = load(tmp_path / "a.npy")
    assert torch.equal(load(str(tmp_path / "b.npz")).x, images.x)
    table = load(tmp_path / "c.npz")
    assert table.label_names == ["no", "yes"]
    assert table.labels is not None
    assert table.labels.tolist() == [0, 1] * 10
    assert torch.allclose(load(tmp_path / "d.csv").x, table.x, atol=1e-6)
    assert load(tmp_path / "d.csv").source["notices"] == {"dropped_index": 1}
    assert torch.allclose(load(tmp_path / "e.parquet").x, table.x, atol=1e-6)
    folder = load(tmp_path / "f")
    assert torch.equal(folder.x, images.x[[0, 2, 1, 3]])
    assert folder.label_names == ["a", "b"]
    assert load([tmp_path / "f" / "a" / "0.png", tmp_path / "f" / "b" / "1.png"]).x.shape == (2, 1, 5, 6)


def test_folders_may_hold_splits(tmp_path: Path) -> None:
    from PIL import Image as Pil

    for name, count in (("train/a", 2), ("train/b", 2), ("test/a", 1), ("test/b", 1)):
        (tmp_path / name).mkdir(parents=True)
        for i in range(count):
            Pil.fromarray(PIXELS[i]).save(tmp_path / name / f"{i}.png")
    assert len(load(tmp_path)) == 4
    assert load(tmp_path).label_names == ["a", "b"]
    assert len(load(tmp_path, "test")) == 2
    with pytest.raises(DataError, match="no split 'valid'"):
        load(tmp_path, "valid")


def test_the_record_of_the_source(tmp_path: Path) -> None:
    np.savez(tmp_path / "b.npz", x=PIXELS)
    encoded = load(tmp_path / "b.npz")
    expected = hashlib.sha256(PIXELS.tobytes()).hexdigest()
    assert encoded.source == {
        "path": str(tmp_path / "b.npz"),
        "key": "x",
        "split": "train",
        "rows": 20,
        "sha256": expected,
        "notices": {},
    }


def test_L2_a_missing_path_is_named_with_the_nearest_set() -> None:
    """A missing path, and names that are none, are refused with the nearest data set."""
    with pytest.raises(DataError, match=r"/no/such/thing.csv: no such file or folder"):
        load("/no/such/thing.csv")
    with pytest.raises(DataError, match="did you mean 'fashion'"):
        load("fasion")
    for odd in ("", "a\0b", "x" * 5000, "-"):
        with pytest.raises(DataError):
            load(odd)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (np.zeros(3), "no table"),
        (np.zeros((2, 2, 2, 2, 2)), "no table"),
        (None, "two axes"),
        (object(), "two axes"),
        ([[1], [2, 3]], "ragged"),
        ([], "no images|two axes"),
    ],
)
def test_what_cannot_be_loaded(source: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        load(source)


def test_one_picture_is_no_training_set_but_may_be_encoded(tmp_path: Path) -> None:
    from PIL import Image as Pil

    Pil.fromarray(PIXELS[0]).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="one picture; give the folder"):
        load(tmp_path / "a.png")
    fitted = load(PIXELS).modality
    assert torch.equal(encode_like(fitted, tmp_path / "a.png").x[0, 0], torch.from_numpy(PIXELS[0]))


def test_unknown_kinds_of_file(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    (tmp_path / "a.npz").write_bytes(b"PK nothing")
    (tmp_path / "b.npy").write_bytes(b"nothing")
    for name in ("a.wav", "a.npz", "b.npy"):
        with pytest.raises(DataError, match=name):
            load(tmp_path / name)


def test_labels_must_be_as_many_as_rows(tmp_path: Path) -> None:
    np.savez(tmp_path / "b.npz", x=PIXELS, y=np.arange(7))
    with pytest.raises(DataError, match="7 labels for 20 rows"):
        load(tmp_path / "b.npz")
    np.savez(tmp_path / "b.npz", x=PIXELS, y=np.zeros((20, 5)))
    assert load(tmp_path / "b.npz").labels is None


def test_new_data_are_encoded_as_the_old() -> None:
    train = load(ROWS)
    assert torch.equal(encode_like(train.modality, ROWS[:5]).x, train.x[:5])


def test_D14_text_labels_keep_their_codes(tmp_path: Path) -> None:
    """A label unseen at training gets a code of its own after the known ones."""
    np.savez(tmp_path / "a.npz", X=ROWS[:3], y=np.array(["b", "a", "c"]))
    np.savez(tmp_path / "b.npz", X=ROWS[:3], y=np.array(["c", "new", "b"]))
    train = load(tmp_path / "a.npz")
    test = encode_like(train.modality, tmp_path / "b.npz")
    assert train.labels is not None
    assert test.labels is not None
    assert train.labels.tolist() == [1, 0, 2]
    assert test.labels.tolist() == [2, 3, 1]
    assert test.label_names == ["a", "b", "c", "new"]


def test_split_is_seeded_disjoint_and_complete() -> None:
    whole = load("fashion", "test")
    kept, held = split(whole, 0.25, seed=3)
    assert (len(kept), len(held)) == (1500, 500)
    again = split(whole, 0.25, seed=3)
    assert torch.equal(kept.x, again[0].x)
    assert not torch.equal(held.x, split(whole, 0.25, seed=4)[1].x)
    assert overlap(kept, held) == 0
    assert overlap(whole, kept) == len(kept)
    assert held.labels is not None
    assert kept.labels is not None
    assert np.array_equal(np.bincount(kept.labels) + np.bincount(held.labels), np.full(10, 200))
    assert held.source["part"] == {"fraction": 0.25, "seed": 3, "of": 2000, "side": "held"}
    assert held.source["rows"] == 500
    assert held.source["sha256"] != whole.source["sha256"]


def test_split_needs_room() -> None:
    for fraction in (0.0, 1.0, -1, 2, float("nan")):
        with pytest.raises(UsageError, match="fraction"):
            split(load(ROWS), fraction)
    with pytest.raises(UsageError, match="seed"):
        split(load(ROWS), 0.5, -1)
    with pytest.raises(DataError, match="1 rows cannot be cut"):
        split(load(ROWS[:1]), 0.5)
    assert [len(part) for part in split(load(ROWS[:2]), 0.01)] == [1, 1]


def test_D30_overlap_counts_shared_rows() -> None:
    """Rows that two sets share are counted by their bytes."""
    a, b = torch.from_numpy(PIXELS[:12]), torch.from_numpy(PIXELS[8:])
    assert overlap(a, b) == 4
    assert overlap(b, a) == 4
    assert overlap(a, a) == 12
    assert overlap(a, b.float()) == 0
    assert overlap(a, b[:, :4]) == 0
    assert overlap(torch.zeros(1, 2), -torch.zeros(3, 2)) == 3


def test_distinct_drops_what_repeats() -> None:
    encoded = load(np.concatenate([PIXELS, PIXELS[:5]]))
    once = distinct(encoded)
    assert len(once) == 20
    assert torch.equal(once.x, encoded.x[:20])
    assert once.source["repeats_dropped"] == 5


def test_real_duplicates(real: Path) -> None:
    scans = load(real / "medical" / "brain-mri.npz")
    assert isinstance(scans, Encoded)
    once = distinct(scans)
    assert len(once) < len(scans)
    assert overlap(*split(once, 0.2)) == 0


def test_the_package_loads_lazily() -> None:
    code = (
        "import sys, lambent.data; assert 'torch' not in sys.modules; lambent.data.load; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_public_names() -> None:
    for name in data.__all__:
        assert getattr(data, name) is not None
    with pytest.raises(AttributeError):
        data.nothing  # noqa: B018
    assert data.Modality.from_spec("Table").spec()["type"] == "Table"
