"""--condition and --given: p(x | c) trained, sampled, decoded and scored by name."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
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


def test_rows_that_do_not_tell_are_taken_under_what_is_given(
    lambent: Lambent, conditioned: Path, small: list[str]
) -> None:
    lines = Path("t.csv").read_text().splitlines()
    Path("one.csv").write_text("\n".join([lines[0], *(line for line in lines if ",u,20" in line)]) + "\n")
    Path("bare.csv").write_text(
        "\n".join(line.rsplit(",", 2)[0] for line in Path("one.csv").read_text().split()) + "\n"
    )
    under = ("--given", "site=u", "--given", "age=20")
    told = [json.loads(lambent("evaluate", "run", "--samples=2", "--json", *words).out) for words in (
        ("one.csv",), ("bare.csv", *under), ("bare.csv", "--given", "site=v", "--given", "age=20"),
    )]  # fmt: skip
    assert told[0]["metrics"] == told[1]["metrics"] != told[2]["metrics"]
    for source in ("one", "bare"):
        done = lambent("reconstruct", "run", f"{source}.csv", *under, "-o", f"{source}-again.csv")
        assert done.status == 0, done.err
    assert Path("one-again.csv").read_bytes() == Path("bare-again.csv").read_bytes()


def test_the_report_says_what_samples_were_drawn_under(lambent: Lambent, conditioned: Path, small: list[str]) -> None:
    assert "The values of site, age are drawn as often as in training." in Path("run/report.html").read_text()
    done = lambent("train", "t.csv", "--condition", "site", "--epochs=1", "--out=one", *small)
    assert done.status == 0, done.err
    assert "Each site has equally many, in this order: u, v." in Path("one/report.html").read_text()


def test_reconstruct_under_what_rows_do_not_tell(lambent: Lambent, conditioned: Path) -> None:
    """--given stands in for a column that the data lack, and for one of two alone; the age stays the rows' own."""
    own = Path("t.csv").read_text().splitlines()
    Path("bare.csv").write_text("\n".join(",".join((*row.split(",")[:2], row.split(",")[3])) for row in own) + "\n")
    for data, out in (("bare.csv", "a.csv"), ("t.csv", "b.csv")):
        done = lambent("reconstruct", "run", data, "--given", "site=u", "-o", out)
        assert done.status == 0, done.err
    a, b = (np.loadtxt(name, delimiter=",", skiprows=1, usecols=(-2, -1)) for name in ("a.csv", "b.csv"))
    of_u = np.array([row.split(",")[2] == "u" for row in own[1:]])
    np.testing.assert_allclose(a[of_u], b[of_u], atol=1e-5)  # encoded under u either way
    assert not np.allclose(a[~of_u], b[~of_u], atol=1e-5)  # encoded under v where the rows say so


def test_part_of_what_is_given_wrongly_is_said(lambent: Lambent, conditioned: Path) -> None:
    done = lambent("score", "run", "t.csv", "--given", "site=w", "-o", "no.csv")
    assert (done.status, "condition 'site': no level is called 'w'" in done.err) == (2, True), done.err


def test_rows_from_disk_keep_what_is_not_given(lambent: Lambent, conditioned: Path, small: list[str]) -> None:
    done = lambent("train", "t.csv", "--condition", "site,age", "--memory", "1KB", "--epochs=2", "--out=disk", *small)
    assert done.status == 0, done.err
    for run in ("run", "disk"):
        done = lambent("score", run, "--by", "site", "--samples=2", "-o", f"{run}-by.csv")
        assert done.status == 0, done.err
        done = lambent("score", run, "--given", "site=u", "--samples=2", "-o", f"{run}-u.csv")
        assert done.status == 0, done.err
    assert Path("run-by.csv").read_text() == Path("disk-by.csv").read_text()
    assert Path("run-u.csv").read_text() == Path("disk-u.csv").read_text()


def test_labels_that_few_rows_have_are_told_for_all(lambent: Lambent) -> None:
    """Of two kinds far apart 20 labels tell all, by the classifier; a row without a label is no mistake of Bayes' rule either."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, 300)
    frame = pd.DataFrame(
        {"height": 150 + 30 * kind + rng.normal(0, 3, 300), "weight": 50 + 30 * kind + rng.normal(0, 3, 300)}
    )
    names = np.array(["a", "b"])[kind]
    frame.assign(kind=np.where(np.arange(300) < 20, names, None)).to_csv("few.csv", index=False)
    frame.assign(kind=names).to_csv("all.csv", index=False)
    done = lambent("train", "few.csv", "--condition", "kind", "-o", "plain", "--epochs=1", "--precision=fp32")
    assert done.status == 3
    assert "SemiSupervised" in done.complaint
    options = ("--objective=SemiSupervised", "-o", "run", "--epochs=30", "--precision=fp32", "--quiet")
    done = lambent("train", "few.csv", "--condition", "kind", *options)
    assert done.status == 0, done.err
    for source, rows in (("few.csv", 20), ("all.csv", 300)):
        done = lambent("predict", "run", source, "--target", "kind", "-o", f"{rows}.csv", "--json")
        assert done.status == 0, done.err
        assert json.loads(done.out)["accuracy"] > 0.95, rows
        assert (pd.read_csv(f"{rows}.csv")["predicted"] == names).mean() > 0.95
    done = lambent("score", "run", "few.csv", "--by", "kind", "-o", "by.csv", "--json")
    right = (pd.read_csv("by.csv")["predicted"] == names)[:20].mean()
    assert json.loads(done.out)["accuracy"] == pytest.approx(right)
