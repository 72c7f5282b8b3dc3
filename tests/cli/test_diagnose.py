"""lambent diagnose: what is wrong with a run, and the run again with the cure, beside the old one."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def collapsed_run(lambent: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a table of three factors, whose λ is 25."""
    folder = tmp_path_factory.mktemp("collapsed")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 6)) + 0.3 * rng.normal(size=(400, 6))
    np.savetxt(folder / "factors.csv", x, "%.4f", ",", header="a,b,c,d,e,f", comments="")
    done = lambent(
        "train", folder / "factors.csv", "--epochs=30", "--latent.size=3", "--latent.prior=Standard", "--likelihood=Gaussian",
        "--objective.beta=25", "--network.width=16", "--network.depth=1", "--model.members=1", "--precision=fp32", "--batch=32",
        "--learning-rate=0.005", "--samples=2", "--rows=50", "--out", folder / "run",
    )  # fmt: skip
    assert done.status == 0, done.err
    assert "the code has collapsed" in done.err  # while it trained
    return folder / "run"


def test_a_run_is_cured_beside_itself(lambent: Run, collapsed_run: Path) -> None:
    kept = {path.name: hashlib.sha256(path.read_bytes()).digest() for path in collapsed_run.iterdir() if path.is_file()}
    page = collapsed_run.parent / "page.html"
    done = lambent("diagnose", collapsed_run, "--cure", "--json", "--report", page)
    assert done.status == 0, done.err
    told = json.loads(done.out)
    assert told["cause"] == "dear"
    assert told["findings"][0]["flags"] == ["--objective.beta", "1"]
    new = Path(told["cured"]["run"])
    assert new == collapsed_run.parent / "run-cured"
    assert "beta: 1" in (new / "config.yaml").read_text()
    before, after = told["evidence"], told["cured"]["evidence"]
    assert told["cured"]["cause"] != "dear"
    assert before["active_units"]["living"] == 0
    assert after["active_units"]["living"] == 3
    text = page.read_text()
    for words in (
        "λ is too large",
        "--objective.beta",
        "After the cure",
        ">0 of 3<",
        ">3 of 3<",
        "Units",
        "Training",
    ):
        assert words in text
    assert after["elbo"]["nats"] > before["elbo"]["nats"] + 0.5
    assert kept == {p.name: hashlib.sha256(p.read_bytes()).digest() for p in collapsed_run.iterdir() if p.is_file()}


def test_the_words_name_the_cause_the_numbers_and_the_command(lambent: Run, collapsed_run: Path) -> None:
    done = lambent("diagnose", collapsed_run, "--limit", 30)
    assert done.status == 0, done.err
    assert "λ is too large." in done.out
    assert "shown by: β = 25" in done.out
    command = f"lambent train --config {collapsed_run}/config.yaml --objective.beta 1 --out NEW"
    assert command in done.out
    assert command in lambent("diagnose", collapsed_run / "model.safetensors", "--limit", 30).out


def test_a_refined_run_is_diagnosed_and_not_trained_anew(lambent: Run, collapsed_run: Path) -> None:
    folder = collapsed_run.parent / "refined"
    assert lambent("refine", collapsed_run, "--prior=Mixture", "--epochs=1", "--out", folder).status == 0
    assert "lambent train DATA --" in lambent("diagnose", folder, "--limit", 30).out
    assert "was made by lambent refine" in lambent("diagnose", folder, "--cure").complaint


def test_what_cannot_be_is_refused_before_anything_is_measured(lambent: Run, collapsed_run: Path) -> None:
    assert "or the page of --report" in lambent("diagnose", collapsed_run, "--force").complaint
    assert ".html" in lambent("diagnose", collapsed_run, "--report", "page.pdf").complaint
    page = collapsed_run.parent / "run-cured-2" / "report.html"
    assert (
        "name a place beside it"
        in lambent("diagnose", collapsed_run, "--cure", "--out", page.parent, "--report", page).complaint
    )
    assert "add --cure" in lambent("diagnose", collapsed_run, "--out", "new").complaint
    assert "stays as it is" in lambent("diagnose", collapsed_run, "--cure", "--out", collapsed_run).complaint
    assert lambent("diagnose", "nowhere").status == 4
