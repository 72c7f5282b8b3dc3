"""An archive that cannot be written to its end: what stood at its place stays, and nothing is left beside it."""

import builtins
import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lambent.codec.archive import Block, Reader, Writer
from lambent.errors import MachineError


class Faulty:
    """A file whose every write is counted; the chosen one writes a half and fails."""

    def __init__(self, file: Any, tick: Callable[[], None]) -> None:
        self.file, self.tick = file, tick

    def write(self, data: Any) -> int:
        try:
            self.tick()
        except OSError:
            self.file.write(bytes(data)[: len(data) // 2])
            raise
        return int(self.file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> "Faulty":
        return self

    def __exit__(self, *_: Any) -> None:
        self.file.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT], ids=errno.errorcode.get)
@pytest.mark.parametrize("append", [False, True], ids=["new", "appended"])
def test_C18_the_nth_write_fails(
    number: int, append: bool, small: bytes, blocks: list[Block], header: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """A disk that is full or broken at the n-th write, flush or rename, for every n: the old archive or the new one, alone."""
    path, calls, chosen = tmp_path / "small.lam", 0, 0
    real = {"open": builtins.open, "fsync": os.fsync, "replace": os.replace}

    def tick() -> None:
        nonlocal calls
        calls += 1
        if calls == chosen:
            raise OSError(number, os.strerror(number))

    def opened(given: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if not set(mode) & set("wxa"):
            return real["open"](given, mode, *rest, **more)
        tick()
        return Faulty(real["open"](given, mode, *rest, **more), tick)

    monkeypatch.setattr(builtins, "open", opened)
    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, lambda *given, name=name, **more: (tick(), real[name](*given, **more))[1])
    failed = 0
    for chosen in range(1, 100):
        with real["open"](path, "wb") as file:
            file.write(small)
        calls = 0
        try:
            with Writer(path, header, None, append) as archive:
                for block in blocks:
                    archive.add(block)
        except MachineError as error:
            failed += f"cannot write {path}" in str(error)
        assert os.listdir(tmp_path) == ["small.lam"]
        with Reader(path) as archive:
            count = len(list(archive.blocks()))
        if calls < chosen:
            break
        placed = calls - chosen == 0 and path.read_bytes() != small  # the folder's own flush comes after the rename
        assert placed or path.read_bytes() == small
    assert failed == chosen - 1 > 10
    assert count == (8 if append else 4)


def test_C18_a_disk_that_is_full(tmp_path: Path) -> None:
    """A limit on the size of files, met in the last block: one error with the limit's name, and no file."""
    code = f"""
import os, resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from lambent.codec.archive import Block, Writer
from lambent.errors import MachineError
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
header = {{"kind": "a", "model": "0" * 64, "numerics": 1, "event": []}}
try:
    with Writer({str(tmp_path / "x.lam")!r}, header) as archive:
        for _ in range(12):
            archive.add(Block.stored(os.urandom(10_000), 1))
except MachineError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "the limit is 100000: ulimit -f" in done.stdout
    assert os.listdir(tmp_path) == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 100_000


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_C17_a_writer_that_is_killed(kind: signal.Signals, small: bytes, header: Any, tmp_path: Path) -> None:
    """A process that is killed while it writes leaves the old archive; what it left beside is removed by the next writer."""
    path = tmp_path / "small.lam"
    code = f"""
import signal, time
from lambent.codec.archive import Block, Writer
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs are begun without
with Writer({str(path)!r}, {header!r}) as archive:
    while True:
        archive.add(Block.stored(b"content", 1))
        print("added", flush=True)
        time.sleep(0.01)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as writer:
        assert writer.stdout is not None
        for _ in range(5):
            assert writer.stdout.readline() == b"added\n"
        writer.send_signal(kind)
        writer.wait()
    assert path.read_bytes() == small
    left = sorted(os.listdir(tmp_path))
    assert len(left) == (1 if kind == signal.SIGINT else 2), left
    with Writer(path, header, append=True) as archive:
        archive.add(Block.stored(b"content", 1))
    assert os.listdir(tmp_path) == ["small.lam"]
    with Reader(path) as archive:
        assert len(list(archive.blocks())) == 5


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_C17_an_error_between_two_blocks(
    error: type[BaseException], blocks: list[Block], header: Any, tmp_path: Path
) -> None:
    """An interruption or an error of the caller's between two blocks leaves no file."""

    def written() -> None:
        with Writer(tmp_path / "x.lam", header) as archive:
            archive.add(blocks[0])
            raise error

    with pytest.raises(error):
        written()
    assert os.listdir(tmp_path) == []


def test_nothing_stands_there_before_it_is_closed(blocks: list[Block], header: Any, tmp_path: Path) -> None:
    archive = Writer(tmp_path / "x.lam", header)
    archive.add(blocks[0])
    assert not (tmp_path / "x.lam").exists()
    archive.close()
    archive.close()
    with Reader(tmp_path / "x.lam") as back:
        assert len(list(back.blocks())) == 1
