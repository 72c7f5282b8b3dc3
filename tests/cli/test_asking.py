"""sample under conditions, predict, impute and score --per-column on a table of mixed columns."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

Lambent = Callable[..., Any]


def census(rows: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    job = rng.choice(["clerk", "cook", "nurse"], rows, p=[0.5, 0.2, 0.3])
    age = np.select([job == "nurse", job == "cook"], [30, 50], 40) + rng.integers(-5, 6, rows)
    found = pd.DataFrame({"job": job, "age": age, "pay": (100.0 * age + rng.normal(0, 50, rows)).round(2)})
    found.loc[rng.random(rows) < 0.1, "pay"] = np.nan
    return found


@pytest.fixture
def run(lambent: Lambent, tmp_path: Path) -> Path:
    census().to_csv("census.csv", index=False)
    done = lambent("train", "census.csv", "-o", "run", "--epochs", "30", "--batch", "32", "--precision", "fp32")
    assert done.status == 0, done.err
    return tmp_path / "run"


def test_a_table_is_asked_for_anything(lambent: Lambent, run: Path) -> None:
    done = lambent(
        "sample", "run", "-n", "5000", "--given", "job=nurse", "--given", "age>28", "--complete", "-o", "s.csv"
    )
    assert done.status == 0, done.err
    assert "job=nurse, age>28: has a probability of" in done.err
    made = pd.read_csv("s.csv")
    assert len(made) == 5000
    assert set(made["job"]) == {"nurse"}
    assert (made["age"] > 28).all()
    assert not made.isna().any(axis=None)
    again = lambent(
        "sample", "run", "-n", "5000", "--given", "job=nurse", "--given", "age>28", "--complete", "-o", "t.parquet"
    )
    assert again.status == 0
    assert pd.read_parquet("t.parquet")["age"].tolist() == made["age"].tolist()
    told = json.loads(lambent("sample", "run", "-n", "90", "--balance", "job", "-o", "b.tsv", "--json").out)
    assert [one["rows"] for one in told["conditions"]] == [30, 30, 30]
    assert pd.read_csv("b.tsv", sep="\t")["job"].value_counts().tolist() == [30, 30, 30]
    done = lambent("sample", "run", "--given-rows", "census.csv", "--where", "age<=pay", "-o", "r.csv")
    assert done.status == 0, done.err
    completed = pd.read_csv("r.csv")
    assert completed["job"].tolist() == census()["job"].tolist()
    assert (completed["age"] <= completed["pay"]).all()
    _predicted(lambent)
    _scored(lambent)
    _refused(lambent)


def _predicted(lambent: Lambent) -> None:
    done = lambent("predict", "run", "census.csv", "--target", "job", "-o", "p.csv", "--json", "--samples", "8")
    assert done.status == 0, done.err
    found = pd.read_csv("p.csv")
    assert list(found.columns) == ["row", "predicted", "p_clerk", "p_cook", "p_nurse"]
    np.testing.assert_allclose(found[["p_clerk", "p_cook", "p_nurse"]].sum(axis=1), 1, atol=1e-5)
    right = float((found["predicted"] == census()["job"]).mean())
    assert json.loads(done.out)["accuracy"] == pytest.approx(right)
    census()[["job"]].head(7).to_csv("bare.csv", index=False)
    assert lambent("predict", "run", "bare.csv", "--target", "age", "-o", "q.csv").status == 0
    assert list(pd.read_csv("q.csv").columns) == ["row", "mean", "median", "q0.05", "q0.25", "q0.5", "q0.75", "q0.95"]


def _scored(lambent: Lambent) -> None:
    assert lambent("score", "run", "census.csv", "--per-column", "--samples", "4", "-o", "c.csv").status == 0
    found = pd.read_csv("c.csv")
    each = [name for name in found.columns if name.startswith("nats:")]
    assert each == ["nats:job", "nats:age", "nats:pay", "nats:pay is missing"]
    np.testing.assert_allclose(found[each].sum(axis=1), found["log_likelihood"], atol=1e-3)


def _refused(lambent: Lambent) -> None:
    for arguments, words in (
        (("sample", "run", "--given", "job=nurze", "-o", "n.csv"), "did you mean 'nurse'"),
        (("sample", "run", "--given", "jop=nurse", "-o", "n.csv"), "did you mean 'job'"),
        (("sample", "run", "--given", "age>50", "--given", "age<20", "-o", "n.csv"), "no value of column 'age'"),
        (("sample", "run", "--where", "age>=pay", "-o", "n.csv"), "satisfy it"),
        (("sample", "run", "--noise", "no", "--complete", "-o", "n.csv"), "leave it out"),
        (("predict", "run", "census.csv", "--target", "pey", "-o", "n.csv"), "did you mean 'pay'"),
        (("impute", "run", "census.csv", "--draws", "2", "--interval", "0.9", "-o", "n.csv"), "leave one out"),
        (("impute", "run", "census.csv", "--interval", "9", "-o", "n.csv"), "share between 0 and 1"),
        (("impute", "run", "census.csv", "-o", "census.csv"), "is an input"),
    ):
        done = lambent(*arguments)
        assert done.status == 2, (arguments, done.err)
        assert words in done.complaint
    assert not Path("n.csv").exists()
