"""Folders: what is passed by and counted, and which labels their names give."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lambent.data import load, on_disk
from lambent.data.kinds.image import Image
from lambent.data.readers.pictures import pictures_in

Draw = Callable[..., Path]
HIDDEN = "passed by: hidden files and folders (.…)"


@pytest.fixture
def littered(draw: Draw, tmp_path: Path) -> Path:
    """Four pictures of two classes, among what macOS, Windows, Synology and Jupyter leave."""
    root = tmp_path / "photos"
    for i, name in enumerate(("a/1.png", "a/2.png", "b/1.png", "b/2.png")):
        draw(f"photos/{name}", "L", seed=i)
    draw("photos/.ipynb_checkpoints/1-checkpoint.png", "L")
    draw("photos/a/.ipynb_checkpoints/1-checkpoint.png", "L")
    draw("photos/__MACOSX/a/1.png", "L")
    draw("photos/b/@eaDir/1.png/thumb.png", "L")
    (root / "a" / "._1.png").write_bytes(b"\0\5\26\7 no picture")
    (root / ".DS_Store").write_bytes(b"x")
    (root / "b" / "Thumbs.db").write_bytes(b"x")
    (root / "a" / "thumbs.db").write_bytes(b"x")
    (root / "desktop.ini").write_bytes(b"x")
    return root


PASSED_BY = {
    HIDDEN: 4,
    "passed by: __MACOSX": 1,
    "passed by: @eaDir": 1,
    "passed by: Thumbs.db": 2,
    "passed by: desktop.ini": 1,
}


def test_hidden_and_system_files_are_passed_by_and_counted(littered: Path) -> None:
    found = pictures_in(littered)
    assert [path.relative_to(littered).as_posix() for path in found.files] == [
        "a/1.png",
        "a/2.png",
        "b/1.png",
        "b/2.png",
    ]
    assert dict(found.notices) == PASSED_BY
    assert found.label_names == ["a", "b"]
    assert found.labels is not None
    assert found.labels.tolist() == [0, 0, 1, 1]


def test_in_memory_and_on_disk_pass_the_same_by(littered: Path, tmp_path: Path) -> None:
    memory, disk = load(littered), on_disk(littered, tmp_path / "cache")
    assert memory.source["notices"] == PASSED_BY == disk.source["notices"]
    assert torch.equal(memory.x, disk.loaded().x)
    assert memory.label_names == disk.label_names == ["a", "b"]


def test_a_file_that_is_named_is_read_whatever_its_name(draw: Draw) -> None:
    assert len(Image().fit([draw(".hidden.png")]).encode([draw(".hidden.png")])) == 1


def test_pictures_deeper_in_their_classes_keep_the_class_and_are_told(draw: Draw, tmp_path: Path) -> None:
    for name in ("cat/1.png", "cat/2.png", "dog/old/3.png", "dog/4.png"):
        draw(name, "L")
    found = pictures_in(tmp_path)
    assert found.label_names == ["cat", "dog"]
    assert found.labels is not None
    assert found.labels.tolist() == [0, 0, 1, 1]
    said = "images deeper than others, as dog/old/3.png is than cat/1.png; the first folder is the label"
    assert dict(found.notices) == {said: 1}


def test_pictures_beside_class_folders_take_the_labels_away_and_it_is_told(draw: Draw, tmp_path: Path) -> None:
    for name in ("cat/1.png", "dog/2.png", "stray.png"):
        draw(name, "L")
    found = pictures_in(tmp_path)
    assert found.labels is None
    said = "images deeper than others, as cat/1.png is than stray.png; no labels are taken from the folders"
    assert dict(found.notices) == {said: 2}


def test_even_folders_have_nothing_to_tell(draw: Draw, tmp_path: Path) -> None:
    for name in ("cat/1.png", "dog/2.png"):
        draw(name, "L")
    assert not pictures_in(tmp_path).notices
