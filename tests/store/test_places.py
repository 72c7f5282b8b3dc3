"""What stands where a file is to be written: links, leftovers of killed writers, other people's files."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lambent import MachineError
from lambent.disk.whole import _HERE, write_bytes, write_text


def leftover(path: Path, process: int, here: str = _HERE, number: str = "0badcafe") -> Path:
    """What a writer of `path` that was killed would leave."""
    found = path.with_name(f".{path.name}.{here}-{process}-{number}.part{path.suffix}")
    found.write_bytes(b"half")
    return found


@pytest.fixture
def ended() -> int:
    """The id of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_K11_what_a_killed_writer_left_is_removed(tmp_path: Path, ended: int) -> None:
    """The temporary file of a writer that was killed is removed when the same file is next written."""
    path = tmp_path / "model.safetensors"
    left = [leftover(path, ended), leftover(path, os.getpid())]  # the latter of an earlier process of the same id
    write_bytes(path, b"whole")
    assert not any(p.exists() for p in left)
    assert os.listdir(tmp_path) == [path.name]


def test_K20_only_its_own_leftovers_are_removed(tmp_path: Path, ended: int) -> None:
    """Files of the user, of other targets, of writers still at work and of other machines are never removed."""
    path = tmp_path / "model.safetensors"
    kept = [
        leftover(path, os.getppid()),
        leftover(path, ended, here="00000000" if _HERE != "00000000" else "00000001"),
        leftover(tmp_path / "other.safetensors", ended),
        leftover(path, ended, number="short"),
        *(tmp_path / name for name in (".model.safetensors", ".model.safetensors.part.safetensors", "model.safetensors.part")),
        *(tmp_path / name for name in (".model.safetensors.bak.part.safetensors", ".model.safetensors.a-b-c.part.safetensors")),
    ]  # fmt: skip
    for other in kept:
        other.write_bytes(b"mine")
    for _ in range(2):
        write_bytes(path, b"whole")
    assert all(other.exists() for other in kept)
    assert len(os.listdir(tmp_path)) == len(kept) + 1


@pytest.mark.skip(reason="no earlier checkpoints are kept, so none is deleted: a run has one, replaced whole")
def test_K20_keep_last_k() -> None:
    """Keeping the last k checkpoints deletes only checkpoints of the same run."""


@pytest.mark.parametrize("kind", ["symbolic", "hard", "dangling"])
def test_K18_a_link_is_replaced_not_followed(kind: str, tmp_path: Path) -> None:
    """Where a symbolic or hard link stands in the file's place, what it leads to, outside the run's folder, stays as it was."""
    (tmp_path / "run").mkdir()
    outside, path = tmp_path / "outside", tmp_path / "run" / "state"
    outside.write_bytes(b"someone's")
    if kind == "hard":
        os.link(outside, path)
    else:
        path.symlink_to(outside if kind == "symbolic" else tmp_path / "nowhere")
    write_bytes(path, b"ours")
    assert outside.read_bytes() == b"someone's"
    assert path.read_bytes() == b"ours"
    assert not path.is_symlink()
    assert not (tmp_path / "nowhere").exists()


def test_K18_a_folder_in_the_place_is_left_alone(tmp_path: Path) -> None:
    """A folder in the file's place is an error, and nothing in it is touched."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "file").write_bytes(b"someone's")
    with pytest.raises(MachineError, match=r"cannot write .*state"):
        write_bytes(tmp_path / "state", b"ours")
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == ["state", "state/file"]


def test_permissions_are_the_users(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_bytes(tmp_path / "private", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "x." + "y" * 253, "a b\nc", "-rf", os.fsdecode(b"\xff\xfe")])
def test_any_name_that_the_system_takes(name: str, tmp_path: Path) -> None:
    for text in ("one", "two"):
        assert write_text(tmp_path / name, text).read_text() == text
    assert os.listdir(tmp_path) == [name]


def test_names_that_the_system_does_not_take(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="too long"):
        write_text(tmp_path / ("x" * 256), "")
    assert not os.listdir(tmp_path)
