"""Tiny data, tiny runs, and a way to call the command without starting a process."""

import contextlib
import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lambent.cli import main

ROOT = Path(__file__).parents[2]
SMALL = ("--network.width=8", "--network.depth=1", "--samples=2", "--rows=20", "--precision=fp32", "--batch=16")


@dataclass(frozen=True)
class Outcome:
    """What a command left: its status and what it said."""

    status: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The last line on standard error, which must be the only complaint there."""
        lines = self.err.rstrip("\n").split("\n")
        assert "Traceback" not in self.err
        assert [line for line in lines if line.startswith("lambent: error")] == lines[-1:], self.err
        return lines[-1]


Run = Callable[..., Outcome]
Spec = dict[str, Any]


@pytest.fixture(scope="session")
def lambent() -> Run:
    """lambent("train", path, …) as a person would type it."""

    def run(*arguments: object) -> Outcome:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main([str(a) for a in arguments])
        return Outcome(status, out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def process() -> Callable[..., subprocess.Popen[str]]:
    """process("train", …, env={…}): the command in a process of its own."""

    def start(*arguments: object, env: dict[str, str] | None = None, **how: object) -> subprocess.Popen[str]:
        own = {**os.environ, "OMP_NUM_THREADS": "1"} if env is None else env
        own["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [own.get("PYTHONPATH")])])
        command = [sys.executable, "-m", "lambent", *map(str, arguments)]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **how}
        return subprocess.Popen(command, env=own, **streams)

    return start


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each test in a folder of its own, whatever the machine's own data."""
    monkeypatch.delenv("LAMBENT_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty rows of three numbers and a label, in CSV."""
    path = tmp_path_factory.mktemp("data") / "table.csv"
    rng = np.random.default_rng(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "c", "kind"])
        for i in range(60):
            writer.writerow([*rng.normal(size=3).round(4), ("=SUM(A1)", "plain")[i % 2]])
    return path


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty grey pictures of 8 × 8 in two folders, their classes."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for i in range(40):
        place = folder / ("left", "right")[i % 2]
        place.mkdir(exist_ok=True)
        picture = rng.integers(0, 120, (8, 8), dtype=np.uint8)
        picture[:, (i % 2) * 4 : (i % 2) * 4 + 4] += 120
        Image.fromarray(picture).save(place / f"{i}.png")
    return folder


@pytest.fixture(scope="session")
def table_run(lambent: Run, table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the table."""
    folder = tmp_path_factory.mktemp("runs") / "table"
    done = lambent("train", table, "--data.label", "kind", "--epochs", 2, "--latent.size", 2, *SMALL, "--out", folder)
    assert done.status == 0, done.err
    return folder


@pytest.fixture(scope="session")
def image_run(lambent: Run, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the pictures, with a hierarchy of codes."""
    folder = tmp_path_factory.mktemp("runs") / "ima gé"
    done = lambent(
        "train", pictures, "--data.binarize=threshold", "--latent=Ladder", "--latent.sizes=2,3", "--latent.width=8",
        "--network=Mlp", "--epochs=2", *SMALL, "--out", folder,
    )  # fmt: skip
    assert done.status == 0, done.err
    return folder


@pytest.fixture(scope="session")
def small() -> tuple[str, ...]:
    """Flags that make a run quick."""
    return SMALL


@pytest.fixture(scope="session")
def flags_of() -> Callable[[Spec, str], list[str]]:
    return as_flags


def as_flags(spec: Spec, path: str) -> list[str]:
    """A description as flags, the type last; a list as CSV, or in braces where it holds parts."""
    flags = []
    for name, value in spec.items():
        if isinstance(value, dict):
            flags += as_flags(value, f"{path}.{name}")
        elif name != "type":
            flags.append(f"--{path}.{name}={as_flag(value)}")
    return [*flags, f"--{path}", spec["type"]]


def as_flag(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], str):
        buffer = io.StringIO()
        csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="").writerow(value)
        return buffer.getvalue()
    return value if isinstance(value, str) else json.dumps(value)
