"""A model without a bound on log p(x), from its training to what is asked of it: no ELBO is told anywhere."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

SMALL = (
    "--network.width=8",
    "--network.depth=1",
    "--latent.size=3",
    "--samples=2",
    "--rows=20",
    "--batch=16",
    "--epochs=3",
)
TITLE = "There is no ELBO here"


def stripes(path: Path, count: int) -> Path:
    """A .npy file of pictures [count, 12, 12]: a bright bar somewhere on noise."""
    random = np.random.default_rng(0)
    x = random.normal(90, 12, (count, 12, 12))
    for picture, place in zip(x, random.integers(1, 10, count), strict=True):
        picture[place : place + 2] += 110
    np.save(path, x.clip(0, 255).astype(np.uint8))
    return path


@pytest.fixture
def trained(lambent: Callable[..., object], tmp_path: Path) -> tuple[Path, Path, str]:
    """The folder of a run, its data, and all that was said while it was trained."""
    source, run = stripes(tmp_path / "stripes.npy", 90), tmp_path / "run"
    likelihood = ("--likelihood=Perceptual", "--likelihood.steps=5", "--likelihood.features=seen.safetensors")
    done = lambent("train", source, "--network=Mlp", *likelihood, *SMALL, "--validation=0.2", "--out", run)
    assert done.status == 0, done.err  # type: ignore[attr-defined]
    return run, source, done.out + done.err  # type: ignore[attr-defined]


def test_no_elbo_is_told(trained: tuple[Path, Path, str], lambent: Callable[..., object], tmp_path: Path) -> None:
    run, _, said = trained
    assert "ELBO" not in said.replace(TITLE, "")
    assert re.search(r"epoch 3/3: loss .*, KL .*, validation loss", said)
    history = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    assert all(row["elbo"] is None and row["validation_elbo"] is None for row in history)
    assert all(
        isinstance(row[name], float) for row in history for name in ("loss", "kl", "validation_loss", "validation_kl")
    )
    metrics = json.loads((run / "metrics.json").read_text())["metrics"]
    assert {"kl", "reconstruction"} <= set(metrics)
    assert {"elbo", "bound", "bits_per_dim"}.isdisjoint(metrics)
    page = re.sub(r"<(script|style).*?</\1>", "", (run / "report.html").read_text(), flags=re.DOTALL)
    told = re.findall(r"[^<>]*ELBO[^<>]*", page)
    assert {text.strip() for text in told} == {TITLE}
    shown = lambent("info", run)
    kept = re.search(r"features\s+learned from (\d+) training pictures, SHA-256 ([0-9a-f]{64})", shown.out)  # type: ignore[attr-defined]
    assert kept
    assert kept[1] == "65"  # of ninety a tenth is to be tested on, and a fifth of the rest was held out
    assert (tmp_path / "seen.safetensors").exists()


def test_what_needs_a_bound_refuses(trained: tuple[Path, Path, str], lambent: Callable[..., object]) -> None:
    run, source, _ = trained
    done = lambent("score", run, source, "--out", "scores.csv")
    assert "Perceptual is a distance and no log p(x|z), so rows have no score" in done.complaint  # type: ignore[attr-defined]
    for verb in (
        ("evaluate", run, source),
        ("reconstruct", run, source, "--out", "again.png"),
        ("sample", run, "--out", "new.npz"),
    ):
        done = lambent(*verb)
        assert done.status == 0, done.err  # type: ignore[attr-defined]
        assert "ELBO" not in done.out + done.err  # type: ignore[attr-defined]
