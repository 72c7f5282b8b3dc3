"""--condition and --given: p(x | c) trained, sampled, decoded and scored by name."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lambent.fitted import load

Lambent = Callable[..., Any]


@pytest.fixture
def conditioned(lambent: Lambent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: list[str]) -> Path:
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    rows = [
        f"{3 * (i % 2) + 0.1 * random.normal():.4f},{random.normal():.4f},{'uv'[i % 2]},{20 + i % 40}"
        for i in range(120)
    ]
    Path("t.csv").write_text("\n".join(["x,y,site,age", *rows]) + "\n")
    done = lambent("train", "t.csv", "--condition", "site,age", "--epochs=2", "--out=run", *small)
    assert done.status == 0, done.err
    return tmp_path


def test_sample_needs_every_condition(lambent: Lambent, conditioned: Path) -> None:
    done = lambent("sample", "run", "-n", "5", "--given", "site=u", "--given", "age=30", "-o", "s.csv")
    assert done.status == 0, done.err
    assert len(Path("s.csv").read_text().splitlines()) == 6
    assert Path("s.csv").read_text().startswith("x,y\n")
    for given, words in (
        ((), "no site was given"),
        (("--given", "site=u"), "no age was given"),
        (("--given", "site=w", "--given", "age=1"), "no level is called 'w'"),
        (("--given", "site=u", "--given", "age=old"), "takes numbers"),
        (("--given", "site"), "takes NAME=VALUE"),
    ):
        done = lambent("sample", "run", *given, "-o", "no.csv")
        assert done.status == 2
        assert words in done.err
        assert done.err.count("\n") == 1
        assert not Path("no.csv").exists()


def test_score_under_each_level(lambent: Lambent, conditioned: Path) -> None:
    done = lambent("score", "run", "t.csv", "--by", "site", "--samples=4", "-o", "by.csv", "--json")
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert found["levels"] == ["u", "v"]
    assert 0 <= found["accuracy"] <= 1
    head = Path("by.csv").read_text().splitlines()[0]
    assert head == "row,predicted,p_u,p_v,bound"
    done = lambent("score", "run", "t.csv", "--by", "age", "-o", "no.csv")
    assert (done.status, "not conditioned on levels of 'age'" in done.err) == (2, True)


def test_every_verb_takes_a_conditioned_run(lambent: Lambent, conditioned: Path) -> None:
    for verb in (
        ("reconstruct", "run", "--given", "site=v", "--given", "age=25", "-o", "r.csv"),
        ("reconstruct", "run", "-o", "r2.csv"),
        ("embed", "run", "-o", "e.csv"),
        ("score", "run", "-o", "sc.csv", "--samples=2"),
        ("interpolate", "run", "--from=0", "--to=1", "-o", "i.csv"),
        ("traverse", "run", "--row=1", "-o", "t2.csv"),
        ("evaluate", "run", "--samples=2"),
        ("report", "run", "--samples=2"),
    ):
        done = lambent(*verb)
        assert done.status == 0, (verb, done.err)


def test_an_unknown_column_is_said_before_training(lambent: Lambent, conditioned: Path, small: list[str]) -> None:
    done = lambent("train", "t.csv", "--condition", "sit", "--out=other", *small)
    assert done.status == 2
    assert "Allowed: " in done.err or "did you mean" in done.err


def test_rows_from_disk_condition_as_those_in_memory(lambent: Lambent, conditioned: Path, small: list[str]) -> None:
    done = lambent("train", "t.csv", "--condition", "site,age", "--memory", "1KB", "--epochs=2", "--out=disk", *small)
    assert done.status == 0, done.err
    found = [load(run) for run in ("run", "disk")]
    assert found[0].conditions.names == found[1].conditions.names
    np.testing.assert_allclose(found[0].conditions.items[1].centre, found[1].conditions.items[1].centre)
    weights = [f.model.state_dict() for f in found]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_what_to_do_next_can_be_done(lambent: Lambent, conditioned: Path, small: list[str]) -> None:
    loud = [word for word in small if word != "--quiet"]
    done = lambent("train", "t.csv", "--condition", "site,age", "--epochs=1", "--out=other", *loud)
    line = next(line for line in done.out.splitlines() if line.strip().startswith("lambent sample"))
    words = shlex.split(line)[1:]
    again = lambent(*words)
    assert again.status == 0, again.err
