"""Data larger than the memory they may take: read from disk, with the results of memory to the bit."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from lambent import memory
from lambent.cli.reading import larger
from lambent.cli.reading.larger import Waiting, beyond
from lambent.cli.voice import Voice
from lambent.data import Image, Table
from lambent.data.stored.memory import needed
from lambent.errors import DataError, UsageError
from lambent.memory import free_memory, shown, size_of

Run = Callable[..., Any]
ROW = {
    "table": ("--data.label", "kind", "--latent.size", 2),
    "pictures": ("--network", "Mlp", "--latent.size", 2, "--condition", "label"),
}


def weights(run: Path) -> dict[str, Any]:
    return load_file(run / "model.safetensors")


@pytest.fixture
def sources(table: Path, pictures: Path) -> dict[str, Path]:
    return {"table": table, "pictures": pictures}


@pytest.mark.parametrize("kind", ["table", "pictures"])
def test_a_run_from_disk_is_the_run_from_memory(
    kind: str, sources: dict[str, Path], lambent: Run, small: tuple[str, ...]
) -> None:
    flags = (sources[kind], *ROW[kind], "--epochs", 2, *small)
    memory_run = lambent("train", *flags, "--out", "runs/memory")
    disk_run = lambent("train", *flags, "--memory", "1kB", "--out", "runs/disk")
    assert memory_run.status == disk_run.status == 0, disk_run.err
    assert "kB that --memory allows: they are read from disk" in disk_run.err
    assert "read from disk" not in memory_run.err
    first, second = weights(Path("runs/memory")), weights(Path("runs/disk"))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    metrics = [json.loads(Path(f"runs/{name}/metrics.json").read_text())["metrics"] for name in ("memory", "disk")]
    assert metrics[0] == metrics[1]
    assert list(Path("runs/.cache").glob("*.json"))


@pytest.mark.parametrize("kind", ["table", "pictures"])
def test_the_rows_of_a_run_from_disk_are_found_again(
    kind: str, sources: dict[str, Path], lambent: Run, small: tuple[str, ...]
) -> None:
    for name, flags in (("memory", ()), ("disk", ("--memory", "1kB"))):
        done = lambent("train", sources[kind], *ROW[kind], "--epochs", 1, *small, *flags, "--out", f"runs/{name}")
        assert done.status == 0, done.err
    for verb in (("evaluate", "--limit", 4, "--samples", 2), ("evaluate", "--split", "train", "--samples", 2)):
        found = [lambent(verb[0], f"runs/{name}", *verb[1:], "--json") for name in ("memory", "disk")]
        assert [one.status for one in found] == [0, 0], found[1].err
        assert "changed" not in found[1].err
        metrics = [json.loads(one.out)["metrics"] for one in found]
        assert metrics[0] == metrics[1]
    for name in ("memory", "disk"):
        assert lambent("score", f"runs/{name}", "--out", f"{name}.csv", "--samples", 2).status == 0
        assert lambent("report", f"runs/{name}", "--samples", 2).status == 0
    assert Path("memory.csv").read_text() == Path("disk.csv").read_text()


def test_a_run_from_disk_is_resumed(table: Path, lambent: Run, small: tuple[str, ...], monkeypatch: Any) -> None:
    flags = (table, "--data.label", "kind", "--latent.size", 2, "--memory", "1kB", "--epochs", 4, *small)
    assert lambent("train", *flags, "--out", "runs/whole").status == 0
    from lambent.cli.verbs import carry
    from lambent.errors import InterruptedRun

    class Stop(carry.Journal):
        def on_epoch(self, run: Any) -> None:
            super().on_epoch(run)
            if run.epoch == 2:
                raise InterruptedRun("enough")

    with monkeypatch.context() as patched:
        patched.setattr(carry, "Journal", Stop)
        assert lambent("train", *flags, "--out", "runs/again").status != 0
    done = lambent("train", "--resume", "runs/again")
    assert done.status == 0, done.err
    assert "read from disk" in done.err
    first, second = weights(Path("runs/whole")), weights(Path("runs/again"))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_pictures_from_disk_stay_there_when_the_run_is_resumed(
    pictures: Path, lambent: Run, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(larger, "free_memory", lambda: 4000)
    flags = (pictures, "--network=Mlp", "--latent.size=2", "--epochs=1", *small)
    assert lambent("train", *flags, "--out", "runs/a").status == 0
    assert "memory: 2000 B" in Path("runs/a/config.yaml").read_text()
    monkeypatch.setattr(larger, "free_memory", lambda: 10**9)
    done = lambent("train", "--config", "runs/a/config.yaml", "--out", "runs/b")
    assert done.status == 0, done.err
    assert "more than the 2 kB that --memory allows: they are read from disk" in done.err


def test_other_data_than_the_run_had_are_told(lambent: Run, small: tuple[str, ...]) -> None:
    rows = np.random.default_rng(0).normal(size=(80, 3))
    np.save("rows.npy", rows)
    done = lambent("train", "rows.npy", "--latent.size=2", "--memory=1kB", "--epochs=1", *small, "--out=runs/a")
    assert done.status == 0, done.err
    np.save("rows.npy", 2 * rows + 1)
    done = lambent("evaluate", "runs/a", "--samples", 2)
    assert done.status == 0, done.err
    assert "the data have changed since the model was trained" in done.err


def test_why_rows_are_read_from_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save("rows.npy", np.zeros((1000, 5)))
    monkeypatch.setattr(larger, "free_memory", lambda: 100_000)
    assert beyond("rows.npy", "train", Table(), "auto") is None  # 40 kB
    monkeypatch.setattr(larger, "free_memory", lambda: 70_000)
    said = "the rows would take about 40 kB of memory, more than half of the 70 kB that are free"
    assert beyond("rows.npy", "train", Table(), "auto") == said
    said = "the rows would take about 40 kB of memory, more than the 30 kB that --memory allows"
    assert beyond("rows.npy", "train", Table(), "30 kB") == said
    assert beyond("rows.npy", "train", Table(), "1GB") is None
    monkeypatch.setattr(larger, "free_memory", lambda: None)
    assert beyond("rows.npy", "train", Table(), "auto") is None


def test_what_rows_would_take(pictures: Path) -> None:
    np.save("bytes.npy", np.zeros((100, 4, 5), np.uint8))
    np.savez("archive.npz", x=np.zeros((100, 3)), y=np.arange(100))
    assert needed("bytes.npy", "train", Image()) == 2000
    assert needed("bytes.npy", "train", Table()) == 8000  # as float32
    assert needed("archive.npz", "train", Table()) == 2400  # as float64, before they are encoded
    assert needed(str(pictures), "train", Image()) == 40 * 8 * 8
    assert needed(str(pictures), "train", Image(size=(16, 16), colour="rgb")) == 40 * 16 * 16 * 3
    assert needed("nowhere.npy", "train", Table()) is None
    Path("rows.csv").write_text("a,b\n" + "1.25,2.5\n" * 1000)
    assert needed("rows.csv", "train", Table()) == pytest.approx(8 * 2 * 1000, rel=0.01)


def test_rows_that_would_not_fit_are_not_loaded(
    table: Path, lambent: Run, small: tuple[str, ...], monkeypatch: Any
) -> None:
    flags = ("--data.label", "kind", "--latent.size", 2, "--memory", "1kB", "--epochs", 1, *small)
    assert lambent("train", table, *flags, "--out", "runs/a").status == 0
    monkeypatch.setattr(larger, "free_memory", lambda: 100)
    done = lambent("score", "runs/a", "--out", "a.csv")
    assert done.status == DataError.exit_status
    assert "take fewer of them with --limit" in done.complaint
    assert lambent("score", "runs/a", "--out", "a.csv", "--limit", 3).status == 0


@pytest.mark.parametrize(
    ("text", "size"), [("2GB", 2 * 10**9), ("1.5 GiB", 3 * 2**29), ("500mb", 5 * 10**8), ("7", 7), ("10kB", 10_000)]
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert size_of(text) == size


@pytest.mark.parametrize("text", ["", "much", "2 XB", "-1GB", "0", "GB", "1e9"])
def test_what_is_no_size_is_refused_before_anything_is_read(text: str, lambent: Run, table: Path) -> None:
    with pytest.raises(UsageError, match="is no size of memory: give one such as 2GB"):
        size_of(text)
    if text and not text.startswith("-"):
        done = lambent("train", table, "--memory", text)
        assert done.status == 2
        assert "is no size of memory" in done.complaint


def test_sizes_are_shown() -> None:
    assert [shown(n) for n in (12, 1200, 2 * 10**9, 10**13)] == ["12 bytes", "1.2 kB", "2 GB", "10 TB"]


def test_free_memory_is_what_the_group_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    for folder, limit, used, dropped in ((tmp_path, "max", 5, 0), (tmp_path / "a", "1000", 700, 100)):
        (folder / "memory.max").write_text(limit)
        (folder / "memory.current").write_text(str(used))
        (folder / "memory.stat").write_text(f"anon 3\nactive_file {dropped // 2}\ninactive_file {dropped // 2}\n")
    monkeypatch.setattr(memory, "GROUPS", tmp_path)
    read = Path.read_text
    told = {"/proc/self/cgroup": "0::/a\n", "/proc/meminfo": "MemTotal: 9 kB\nMemAvailable:  8 kB\n"}
    monkeypatch.setattr(Path, "read_text", lambda self, *a, **k: told.get(str(self)) or read(self, *a, **k))
    assert free_memory() == 400
    told["/proc/self/cgroup"] = "0::/\n"
    assert free_memory() == 8192


def test_what_takes_long_is_said_once(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("lambent.progress.time.monotonic", lambda: now[0])
    waiting = Waiting(Voice())
    for step in range(10):
        waiting("converting", step / 10)
        now[0] += 0.5
    waiting("learning", 0.1)
    assert capsys.readouterr().err == "converting …\n"
    quiet = Waiting(Voice(quiet=True))
    quiet("converting", 0.0)
    now[0] += 10
    quiet("converting", 0.5)
    assert capsys.readouterr().err == ""
