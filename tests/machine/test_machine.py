"""Limits and oddities of the machine: memory, clocks, threads, processes, versions; each in a process of its own where needed."""

import importlib.metadata
import multiprocessing
import os
import re
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lambent import VAE, ArtifactError, Elbo, Flat, Gaussian, LatentModel, MachineError, Mlp, fit
from lambent import fitted as store
from lambent.training.callbacks import Journal
from lambent.training.checkpoint import _read, identity, restore
from lambent.training.run import Run

ROOT = Path(__file__).parents[2]
FAST: dict[str, Any] = {"epochs": 2, "batch": 8, "device": "cpu", "precision": "fp32"}


def rows(n: int = 40) -> Tensor:
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(0))


def small() -> LatentModel:
    return LatentModel(Flat(2), Gaussian(), Mlp(width=8, depth=1))


def command(
    *arguments: object, limit: int = 0, of: int = resource.RLIMIT_AS, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """`lambent …` in a process of its own, one of whose resources may be limited."""
    return subprocess.run(
        [sys.executable, "-m", "lambent", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
        preexec_fn=(lambda: resource.setrlimit(of, (limit, limit))) if limit else None,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_M4_an_address_space_too_small_for_the_model(tmp_path: Path) -> None:
    """Under RLIMIT_AS a network too large for it ends in one line with status 5 that says what would fit, and no model."""
    table = tmp_path / "table.csv"
    np.savetxt(table, rows(200).numpy(), delimiter=",", header="a,b,c,d", comments="")
    out = tmp_path / "run"
    flags = ("--epochs=1", "--network.width=65536", "--network.depth=2", "--device=cpu", "--precision=fp32", "--quiet")
    ended = command("train", table, "--out", out, *flags, limit=6 * 1024**3)
    assert ended.returncode == 5, ended.stderr
    assert "needs 206 GB of memory" in ended.stderr
    assert "a smaller --network.width" in ended.stderr or "To fit" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert not (out / "model.safetensors").exists()


@pytest.mark.slow
def test_M6_a_command_that_may_open_too_few_files(tmp_path: Path) -> None:
    """The command trains with at most 16 open files; where the limit is too low for it, its one line names the limit."""
    table = tmp_path / "table.csv"
    np.savetxt(table, rows(100).numpy(), delimiter=",", header="a,b,c,d", comments="")
    flags = ("--epochs=1", "--device=cpu", "--quiet")
    ended = command("train", table, "--out", tmp_path / "run", *flags, limit=16, of=resource.RLIMIT_NOFILE)
    assert ended.returncode == 0, ended.stderr
    ended = command("train", table, "--out", tmp_path / "other", *flags, limit=6, of=resource.RLIMIT_NOFILE)
    assert ended.returncode == 5
    assert "Too many open files (the limit is 6: ulimit -n)" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / "other").exists()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_M5_a_gpu_that_is_full(tmp_path: Path) -> None:
    """A batch too large for the GPU ends in an error of memory, and the GPU can be used after it (tried where there is one)."""
    model = LatentModel(Flat(2), Gaussian(), Mlp(width=2**17, depth=3))
    with pytest.raises((torch.cuda.OutOfMemoryError, MachineError)):
        fit(model, Elbo(), torch.randn(2**17, 4), epochs=1, batch=2**17, device="cuda")
    fit(small(), Elbo(), rows(), **FAST | {"device": "cuda"})


@pytest.mark.skip(reason="no worker processes load data, so no shared memory is used")
def test_M7_shared_memory_of_64_kilobytes() -> None:
    """Loading with workers and a /dev/shm of 64 kB falls back or explains."""


@pytest.mark.parametrize("leap", [-1e9, 3600.0, -3600.0])
def test_M8_the_clock_jumps(leap: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wall clock that jumps back to 1970 or by an hour in mid-run leaves all durations positive and the same results."""
    quiet = fit(small(), Elbo(), rows(), **FAST)
    calls, real = [0], time.time

    def jumping() -> float:
        calls[0] += 1
        return real() + leap * (calls[0] % 2)

    monkeypatch.setattr(time, "time", jumping)
    history = fit(small(), Elbo(), rows(), **FAST, checkpoint=tmp_path / "state", callbacks=[Journal(tmp_path / "j")])
    seconds = history.pop("seconds")
    assert 0 <= seconds[0] <= seconds[1] < 60
    quiet.pop("seconds")
    assert history == quiet


def test_M8_runs_at_the_same_moment_have_folders_of_their_own(tmp_path: Path) -> None:
    """Folders of runs without a name are numbered by what is there, not by the clock, so none is given twice."""
    from lambent.cli.folder import unused

    for name in ("run", "run-2", "run-3"):
        assert unused(tmp_path, "run") == tmp_path / name
        (tmp_path / name).mkdir()


def test_M9_threads() -> None:
    """Training with one thread, two or 64 ends in the same weights to within rounding, and the number is left as it was."""
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 64):
            torch.set_num_threads(threads)
            model = small()
            fit(model, Elbo(), rows(), **FAST)
            assert torch.get_num_threads() == threads
            found.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-4, atol=1e-5)


def test_M11_versions_are_at_least_those_declared() -> None:
    """Every requirement of the package states its lowest version, and what is installed, and tested here, satisfies it."""
    required = [r for r in importlib.metadata.requires("lambent") or () if "extra ==" not in r]
    assert len(required) >= 10
    for requirement in required:
        name, lowest = re.fullmatch(r"([\w.-]+)>=([\d.]+)", requirement.strip()).groups()  # type: ignore[union-attr]
        installed = importlib.metadata.version(name).split("+")[0]
        assert tuple(map(int, re.findall(r"\d+", installed)[:3])) >= tuple(map(int, lowest.split("."))), requirement


@pytest.mark.skip(reason="a network file system cannot be mounted by a test; the docs say what is relied on there")
def test_M15_a_file_system_without_atomic_renames() -> None:
    """A file system without atomic renames or locks is detected."""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_M16_a_fork_after_threads_have_run() -> None:
    """A process forked from one in which torch has run its threads can train, where it sets its own number of threads to one."""
    fit(small(), Elbo(), rows(), **FAST)
    thread = threading.Thread(target=lambda: torch.randn(200, 200) @ torch.randn(200, 200))
    thread.start()
    thread.join()
    child = os.fork()
    if not child:
        status = 1
        try:
            torch.set_num_threads(1)
            fit(small(), Elbo(), rows(), **FAST)
            status = 0
        finally:
            os._exit(status)
    deadline = time.monotonic() + 60
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    if ended[0] == 0:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert ended == (child, 0)


def test_M16_a_fitted_estimator_travels_to_a_spawned_process() -> None:
    """A fitted estimator is pickled to a process started by spawn, as on Windows, and scores there as here."""
    vae = VAE(2, network={"type": "Mlp", "width": 8, "depth": 1}, **FAST).fit(rows().numpy())
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply_async(vae.score_samples, (rows().numpy(),)).get(120)
    np.testing.assert_allclose(there, vae.score_samples(rows().numpy()), rtol=1e-6)


@pytest.mark.parametrize("flushed", [False, True])
def test_M17_subnormal_numbers_flushed_or_not(flushed: bool) -> None:
    """With subnormal numbers flushed to nought or kept, the bound is finite and no KL lies below −1e-4."""
    torch.set_flush_denormal(flushed)
    try:
        model = small()
        history = fit(model, Elbo(), rows() * 1e-30, **FAST)
        with torch.no_grad():
            trace = model.eval().trace(rows() * 1e-38)
    finally:
        torch.set_flush_denormal(False)
    assert np.isfinite(history["elbo"]).all()
    assert torch.isfinite(trace.log_weight).all()
    assert trace.kl.min() > -1e-4


# ---- checkpoints between machines ----------------------------------------------------------------------------------


class Watch:
    """Keeps the run, and the generator's state after each step."""

    def __init__(self) -> None:
        self.states: dict[int, Tensor] = {}

    def on_start(self, run: Run) -> None:
        self.run = run

    def on_step(self, run: Run) -> None:
        self.states[run.step] = run.generator.get_state()


class Stop(Watch):
    def on_step(self, run: Run) -> None:
        if run.step == 7:
            raise KeyboardInterrupt


def test_K15_the_generator_after_the_batches_that_are_passed_over(tmp_path: Path) -> None:
    """Resumed in mid-epoch, passing over the batches already seen leaves the generator where it was, step for step."""
    path, whole, resumed = tmp_path / "state", Watch(), Watch()
    fit(small(), Elbo(), rows(), **FAST, callbacks=[whole])
    with pytest.raises(KeyboardInterrupt):
        fit(small(), Elbo(), rows(), **FAST, checkpoint=path, callbacks=[Stop()])
    fit(small(), Elbo(), rows(), **FAST, checkpoint=path, resume=True, callbacks=[resumed])
    assert sorted(resumed.states) == [8, 9, 10]
    assert all(torch.equal(state, whole.states[step]) for step, state in resumed.states.items())
    assert not torch.equal(whole.states[8], whole.states[9])


def test_K17_a_checkpoint_of_a_gpu_is_read_but_not_resumed_on_another_device(tmp_path: Path) -> None:
    """A checkpoint holds no device's memory and is read anywhere; resuming on another device is refused, and names both."""
    path, watch = tmp_path / "state", Watch()
    fit(small(), Elbo(), rows(), **FAST, checkpoint=path, callbacks=[watch])
    assert {t.device.type for t in _read(path)[2].values()} == {"cpu"}
    assert identity(watch.run)["device"] == "cpu"
    watch.run.device = torch.device("cuda")
    with pytest.raises(ArtifactError, match=r"device: 'cpu' then, 'cuda' now"):
        restore(watch.run, path)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_K17_a_model_trained_on_a_gpu_is_loaded_without_one(tmp_path: Path) -> None:
    """A model file written from a GPU's memory is loaded by a process that sees none (run where there is a GPU)."""
    model = small()
    fit(model, Elbo(), rows(), **FAST | {"device": "cuda"})
    path = store.save(tmp_path / "model.safetensors", model)
    ended = command("info", path, CUDA_VISIBLE_DEVICES="")
    assert ended.returncode == 0, ended.stderr
    assert store.load(path, "cpu").model.device.type == "cpu"
