"""The lock on a folder: one process at a time, named by its number, and free again however that process ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lambent.disk.locks import HeldElsewhereError, held

HOLDER = """
import os, pathlib, signal, sys
from lambent.disk.locks import held
with held(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
    {end}
"""
ENDS = {
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "terminated": "os.kill(os.getpid(), signal.SIGTERM)",
    "left without a word": "os._exit(3)",
    "failed": "raise RuntimeError",
    "done": "pass",
}


@pytest.fixture
def other(tmp_path: Path) -> Callable[[str], subprocess.Popen[str]]:
    """other(end): a process that holds tmp_path/lock, and ends so once it is sent a line."""

    def start(end: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLDER.format(end=end), str(tmp_path / "lock")]
        root = str(Path(__file__).parents[2])
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": root},
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    return start


@pytest.mark.parametrize("end", ENDS)
def test_L15_a_lock_is_free_however_its_process_ends(
    end: str, tmp_path: Path, other: Callable[[str], subprocess.Popen[str]]
) -> None:
    """The lock of a run is another's while that process lives, and is free at once when it ends, even killed."""
    process = other(ENDS[end])
    for _ in range(3):  # asking does not wipe out who holds it
        with pytest.raises(HeldElsewhereError) as refused, held(tmp_path / "lock"):
            pass
        assert refused.value.owner == str(process.pid)
    process.communicate("\n")
    with held(tmp_path / "lock"):
        assert (tmp_path / "lock").read_text() == str(os.getpid())
    assert os.listdir(tmp_path) == []


def test_two_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    with held(tmp_path / "lock"):
        with pytest.raises(HeldElsewhereError, match=str(os.getpid())), held(tmp_path / "lock"):
            pass
        with held(tmp_path / "another"):
            pass
    with held(tmp_path / "lock"):
        pass
    assert os.listdir(tmp_path) == []


def test_a_lock_is_let_go_when_what_it_guards_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyError), held(tmp_path / "lock"):
        raise KeyError
    with held(tmp_path / "lock"):
        pass


def test_a_child_does_not_keep_its_parents_lock(tmp_path: Path) -> None:
    """A program that a run starts, and that outlives it, leaves the folder free."""
    with held(tmp_path / "lock"):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    with held(tmp_path / "lock"):
        child.send_signal(signal.SIGKILL)
    child.wait()


def test_where_no_file_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"), held(tmp_path / "file" / "lock"):
        pass
