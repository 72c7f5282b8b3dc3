"""Writing that fails at its n-th call, for every n: the old file or the new one, never a mixture, and nothing left over."""

import builtins
import errno
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from lambent import Elbo, Flat, Gaussian, LatentModel, Mlp, fit
from lambent.disk.whole import write_bytes, write_text
from lambent.errors import MachineError
from lambent.fitted import load, save
from lambent.training.callbacks import Journal
from lambent.training.checkpoint import Checkpoint, _read
from lambent.training.run import Run


class Faulty:
    """A file whose calls are counted; the chosen one writes a half and fails."""

    def __init__(self, file: Any, tick: Callable[[], None]) -> None:
        self.file, self.tick = file, tick

    def write(self, data: Any) -> int:
        try:
            self.tick()
        except OSError:
            self.file.write(bytes(data)[: len(data) // 2])
            raise
        return self.file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> "Faulty":
        return self

    def __exit__(self, *_: Any) -> None:
        self.file.close()


@contextmanager
def failing(n: int, number: int) -> Iterator[list[str]]:
    """The n-th of all calls that write to the disk fails with the error `number`; yields the calls made."""
    calls: list[str] = []
    real = {"open": builtins.open, "fsync": os.fsync, "replace": os.replace}

    def tick(name: str) -> None:
        calls.append(name)
        if len(calls) == n:
            raise OSError(number, os.strerror(number))

    def open_(path: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if not set(mode) & set("wxa+"):
            return real["open"](path, mode, *rest, **more)
        tick("open")
        return Faulty(real["open"](path, mode, *rest, **more), lambda: tick("write"))

    def called(name: str) -> Callable[..., Any]:
        return lambda *given, **more: (tick(name), real[name](*given, **more))[1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtins, "open", open_)
        patch.setattr(os, "fsync", called("fsync"))
        patch.setattr(os, "replace", called("replace"))
        yield calls


def small(width: int = 4) -> LatentModel:
    return LatentModel(Flat(2), Gaussian(), Mlp(width=width, depth=1)).setup((3,))


def loop_of(path: Path, *watchers: Any, epochs: int = 1) -> Run:
    """A finished training, with the state that its watchers write."""
    caught: list[Run] = []

    class Catch:
        def on_start(self, run: Run) -> None:
            caught.append(run)

    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(epochs))
    model = LatentModel(Flat(2), Gaussian(), Mlp(width=4, depth=1))
    fit(model, Elbo(), x, epochs=epochs, batch=8, device="cpu", precision="fp32", callbacks=[Catch(), *watchers])
    return caught[0]


def model_writers(path: Path) -> tuple[Callable[[], object], Callable[[], object]]:
    return lambda: save(path, small()), lambda: save(path, small(5))


def checkpoint_writers(path: Path) -> tuple[Callable[[], object], Callable[[], object]]:
    watcher = Checkpoint(path)
    loops = [loop_of(path, watcher), loop_of(path, watcher, epochs=2)]
    path.unlink()
    return lambda: watcher.write(loops[0]), lambda: watcher.write(loops[1])


def journal_writers(path: Path) -> tuple[Callable[[], object], Callable[[], object]]:
    loops = [loop_of(path, epochs=n) for n in (1, 2)]
    return lambda: Journal(path).on_epoch(loops[0]), lambda: Journal(path).on_epoch(loops[1])


def report_writers(path: Path) -> tuple[Callable[[], object], Callable[[], object]]:
    return lambda: write_bytes(path, b"<html>" * 500), lambda: write_text(path, "<p>" * 900)


READERS: dict[str, tuple[Callable[..., Any], Callable[[Path], object]]] = {
    "model": (model_writers, load),
    "checkpoint": (checkpoint_writers, _read),
    "journal": (journal_writers, lambda p: [json.loads(line) for line in p.read_text().splitlines()]),
    "report": (report_writers, Path.read_text),
}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT], ids=errno.errorcode.get)
@pytest.mark.parametrize("kind", READERS)
def test_M1_M2_M3_M20_the_nth_write_fsync_or_replace_fails(kind: str, number: int, tmp_path: Path) -> None:
    """The n-th open, write, fsync or rename fails (full, broken or read-only disk), for every n: before or after, no mixture."""
    path = tmp_path / "kept"
    write_old, write_new = READERS[kind][0](path)
    write_new()
    new = hashlib.sha256(path.read_bytes()).digest()
    write_old()
    old, before = hashlib.sha256(path.read_bytes()).digest(), path.read_bytes()
    assert old != new
    reached: set[str] = set()
    for n in range(1, 200):
        path.write_bytes(before)
        with failing(n, number) as calls:
            failed = fails(write_new)
        now = hashlib.sha256(path.read_bytes()).digest()
        reached |= {calls[n - 1]} if failed else set()
        last = failed and calls[-1] == "fsync" and "replace" in calls
        assert now == (new if last or not failed else old), f"call {n}, {calls[-1]}"
        assert os.listdir(tmp_path) == ["kept"]
        READERS[kind][1](path)
        if not failed:
            break
    assert reached == {"open", "write", "fsync", "replace"}
    assert calls.count("fsync") == 2, "the file and its folder"


def fails(write: Callable[[], object]) -> bool:
    try:
        write()
    except MachineError:
        return True
    return False


def test_M3_a_folder_that_cannot_be_flushed_is_said_to_be_written(tmp_path: Path) -> None:
    """A failed flush of the folder is a failed write, and its message does not claim that nothing was changed."""
    with failing(6, errno.EIO) as calls, pytest.raises(MachineError, match="may not outlast a power failure"):
        write_bytes(tmp_path / "kept", b"new")
    assert calls == ["open", "write", "open", "fsync", "replace", "fsync"]
    assert (tmp_path / "kept").read_bytes() == b"new"


def test_M2_a_disk_that_fails_in_mid_run_ends_it_at_once(tmp_path: Path) -> None:
    """An error of the disk in the middle of a training ends it with one typed error, after one more attempt and no run."""
    path, tries = tmp_path / "state", []

    class Broken(Checkpoint):
        def write(self, run: Run) -> None:
            tries.append(run.step)
            with failing(2, errno.EIO):
                super().write(run)

    with pytest.raises(MachineError, match="Input/output error"):
        loop_of(path, Broken(path, seconds=-1.0))
    assert tries == [1, 1]
    assert not os.listdir(tmp_path)


TINY = """
import os, sys, resource, torch
from pathlib import Path
from lambent import fitted as store, MachineError
from lambent import Flat, Gaussian, LatentModel, Mlp
model = LatentModel(Flat(2), Gaussian(), Mlp(width=4, depth=1)).setup((3,))
path = Path(sys.argv[1]) / "model.safetensors"
"""


def test_M1_a_disk_that_is_full(tmp_path: Path) -> None:
    """A small tmpfs fills up while a model is written: no space is named, the old file stays, nothing is left over."""
    script = TINY + (
        "store.save(path, model); before = path.read_bytes()\n"
        "try: store.save(path, LatentModel(Flat(2), Gaussian(), Mlp(width=200, depth=2)).setup((3,)))\n"
        "except MachineError as error: print(error)\n"
        "assert path.read_bytes() == before and os.listdir(path.parent) == [path.name]\n"
    )
    inner = f'mount -t tmpfs -o size=64k none {tmp_path} && exec {sys.executable} -c "$SCRIPT" {tmp_path}'
    probe = subprocess.run(["unshare", "-Urm", "mount", "-t", "tmpfs", "none", str(tmp_path)], capture_output=True)
    if probe.returncode:
        pytest.skip("this system lets no one mount a file system of their own")
    ended = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", inner], env={**os.environ, "SCRIPT": script}, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert "No space left on device. Nothing was changed" in ended.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_M6_the_limit_on_file_sizes_is_named(tmp_path: Path) -> None:
    """With RLIMIT_FSIZE met in the header or among the numbers, the error names the limit, and the old file stays whole."""
    path = save(tmp_path / "model.safetensors", small())
    before = path.read_bytes()
    larger = small(8)
    for limit in (0, 1, 9, 500, len(before)):

        def attempt(limit: int = limit) -> str:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            try:
                save(path, larger)
            except MachineError as error:
                return str(error)
            return "written"

        words = in_a_fork(attempt)
        assert f"File too large (the limit is {limit}: ulimit -f). Nothing was changed" in words
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == [path.name]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_M6_the_limit_on_open_files_is_named(tmp_path: Path) -> None:
    """With RLIMIT_NOFILE=16 a training with checkpoint and journal ends well; with none left, the error names the limit."""

    def sixteen() -> str:
        os.closerange(3, 256)  # what the test program itself holds open
        resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
        loop_of(tmp_path / "state", Checkpoint(tmp_path / "state", -1.0), Journal(tmp_path / "journal"), epochs=2)
        return "trained"

    def none() -> str:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
        try:
            write_text(tmp_path / "text", "text")
        except MachineError as error:
            return str(error)
        return "written"

    assert in_a_fork(sixteen) == "trained"
    assert "Too many open files (the limit is 0: ulimit -n)" in in_a_fork(none)


def in_a_fork(act: Callable[[], str]) -> str:
    """What `act` says in a process of its own, whose limits are its own too."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(writer, 1)  # so that the answer needs no further descriptor
        try:
            words = act()
        except BaseException as error:
            words = f"{type(error).__name__}: {error}"
        os.write(1, words.encode()[:4000])
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        words = file.read().decode()
    os.waitpid(child, 0)
    return words
