"""lambent train on awkward data and with a user's own parts and trackers (cases D, M)."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., Any]
Small = tuple[str, ...]


def test_D1_no_rows(lambent: Run, tmp_path: Path) -> None:
    """An empty folder, a CSV file of one line and an array of no rows end with status 3, and no run is begun."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "head.csv").write_text("a,b\n")
    np.save("none.npy", np.zeros((0, 3)))
    for data in ("empty", "head.csv", "none.npy"):
        refused = lambent("train", data, "--out=r")
        assert refused.status == 3
        assert data in refused.complaint or "no data" in refused.complaint
    assert not Path("r").exists()


def test_D2_D3_few_rows(lambent: Run, small: Small) -> None:
    """One row is refused, for none is left to test on; three train, with a note that the batch is larger than that."""
    np.save("one.npy", np.ones((1, 3)))
    np.save("three.npy", np.random.default_rng(0).normal(size=(3, 2)))
    assert lambent("train", "one.npy", "--out=one").status == 3
    done = lambent("train", "three.npy", "--out=three", "--epochs=1", *small)
    assert done.status == 0, done.err
    assert "note: a batch of 16 was asked for; the rows to train on are 1: each step takes all" in done.err
    np.save("many.npy", np.random.default_rng(0).normal(size=(40, 2)))
    assert "a batch of" not in lambent("train", "many.npy", "--out=many", "--epochs=1", *small).err


def test_D30_rows_on_both_sides_are_told(lambent: Run, small: Small) -> None:
    """Test rows that are training rows too are counted in a note."""
    rows = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    np.savez("leaky.npz", x_train=rows, x_test=rows[:7])
    done = lambent("train", "leaky.npz", "--validation=0", "--out=r", "--epochs=1", *small)
    assert done.status == 0
    assert "7 of 7 test rows also occur among the training rows" in done.err


def test_splits(lambent: Run, small: Small) -> None:
    rows = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    np.savez("parts.npz", x_train=rows[:30], x_test=rows[30:40], x_valid=rows[40:])
    # Tested on, trained on: a share of the latter is held out for validation where their own split is what is tested on.
    held = {"auto": (10, 30), "valid": (10, 27), "0.2": (6, 24)}
    for test, (count, trained) in held.items():
        assert (
            lambent("train", "parts.npz", f"--data.test={test}", "--out=r", "--force", "--epochs=1", *small).status == 0
        )
        assert json.loads(Path("r/metrics.json").read_text())["rows"] == count
        assert json.loads(lambent("evaluate", "r", "--json", "--samples=1").out)["rows"] == count
        assert json.loads(lambent("evaluate", "r", "--split=train", "--json", "--samples=1").out)["rows"] == trained
    for test in ("train", "nosuch", "1.5", "0"):
        assert lambent("train", "parts.npz", f"--data.test={test}", "--out=q", *small).status in (2, 3)
    assert not Path("q").exists()


def test_limit(lambent: Run, table: Path, small: Small) -> None:
    done = lambent("train", table, "--data.label=kind", "--limit=20", "--out=r", "--epochs=1", *small)
    assert "20 rows to train on, 5 to validate on, 6 to test on" in done.err
    assert json.loads(lambent("evaluate", "r", "--split=train", "--json", "--samples=1").out)["rows"] == 20


def test_trackers(lambent: Run, table: Path, small: Small) -> None:
    pytest.importorskip("tensorboard")
    arguments = ("train", table, "--data.label=kind", "--epochs=1", *small)
    assert lambent(*arguments, "--out=r", "--track=tensorboard").status == 0
    assert list(Path("r/tensorboard").glob("events*"))
    assert lambent(*arguments, "--out=q", "--track=wandb").status == 2


def test_M10_a_tracker_that_is_not_installed(lambent: Run, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tracker that is not installed ends with status 5 and the extra to install."""
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    refused = lambent("train", table, "--data.label=kind", "--out=q", "--track=mlflow")
    assert refused.status == 5
    assert "lambent[track]" in refused.complaint


def test_parts_of_ones_own(
    lambent: Run, process: Callable[..., subprocess.Popen[str]], table: Path, small: Small
) -> None:
    """--import registers them; without it, a run made with them is refused by name."""
    Path("mine.py").write_text("from lambent.model.priors import Standard\n\n\nclass Mine(Standard):\n    'My own.'\n")
    arguments = ["train", table, "--data.label=kind", "--epochs=1", "--out=r", *small, "--latent.prior=Mine"]
    assert said(process(*arguments, "--import=mine", "--quiet")) == (0, "")
    assert said(process("info", "r")) == (0, "")
    status, complaint = said(process("evaluate", "r"))
    assert status == 4
    assert "no Prior is called 'Mine'" in complaint
    assert said(process("evaluate", "r", "--import=mine", "--samples=1", "--quiet")) == (0, "")
    assert (
        lambent("evaluate", "r", "--import=nosuch").complaint
        == "lambent: error: --import nosuch: No module named 'nosuch'"
    )


def said(started: subprocess.Popen[str]) -> tuple[int, str]:
    """The status, and what was said on standard error."""
    complaint = started.communicate(timeout=60)[1]
    return started.returncode, complaint


def test_parts_that_cannot_go_together(lambent: Run, table: Path, small: Small) -> None:
    refused = lambent(
        "train", table, "--data.label=kind", "--latent.posterior=Point", "--latent.prior=Vamp", "--out=r", *small
    )
    assert refused.status == 2
    assert "Point" in refused.complaint
    assert not Path("r").exists()


def test_a_configuration_is_no_data(lambent: Run) -> None:
    Path("run.yaml").write_text("data: fashion")
    refused = lambent("train", "run.yaml", "--out=r")
    assert refused.status == 2
    assert "--config run.yaml" in refused.complaint
