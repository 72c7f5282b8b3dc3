"""Judging synthetic rows: the answer, its evidence, and the face of the command line."""

import json

import numpy as np
import pandas as pd
import pytest

import lambent
from lambent.errors import DataError, UsageError
from lambent.report import Findings, render
from lambent.tasks.judged import judged
from lambent.tasks.sharing import answered


def people(rows: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    age = random.integers(18, 90, rows)
    work = np.where(age > 65, "retired", random.choice([" office", " field"], rows))
    pay = np.where(work == "retired", 20.0, 30.0) + 0.2 * age + random.normal(size=rows).round(3)
    gone = random.random(rows) < 0.1
    return pd.DataFrame({"age": age, "work": work, "pay": np.where(gone, np.nan, pay), "rich": pay > pay.mean()})


@pytest.fixture(scope="module")
def real() -> pd.DataFrame:
    return people(500, 0)


def test_fresh_rows_may_be_shared_and_copies_may_not(real: pd.DataFrame) -> None:
    unseen = people(400, 1)
    fresh = lambent.judge(real, people(500, 2), unseen, target="rich")
    assert fresh.shared == "yes"
    assert not [remark for remark in fresh.remarks if remark.level == "problem"]
    copied = lambent.judge(real, real.sample(500, replace=True, random_state=0), unseen, target="rich")
    assert copied.shared == "no"
    assert copied.metrics["copies"].value == 1.0
    assert copied.metrics["membership"].value > 0.6
    titles = [remark.title for remark in copied.remarks if remark.level == "problem"]
    assert "Rows are copied" in titles
    assert copied.metrics["detection_unseen"].value > copied.metrics["detection"].value


def test_without_unseen_rows_nothing_can_be_said(real: pd.DataFrame) -> None:
    found = lambent.judge(real, people(300, 2))
    assert found.shared == "unknown"
    assert "membership" not in found.metrics
    assert "detection_unseen" not in found.metrics
    assert found.rows == {"real": 500, "synthetic": 300}


def test_what_stands_beside_shows_what_a_number_means(real: pd.DataFrame) -> None:
    found = lambent.judge(real, people(500, 2), people(400, 1), target="rich")
    shape, told = found.metrics["shape"], found.metrics["detection"]
    assert set(told.beside) == {"independent", "bootstrap", "unseen"}
    assert shape.beside["independent"] > 0.93  # it wins where single columns are looked at
    assert told.beside["independent"] > 0.9
    assert abs(told.value - 0.5) < 0.1
    assert found.metrics["use"].beside["real"] > 0.95
    assert found.metrics["use"].beside["independent"] < 0.7


def test_gaps_of_both_and_the_worst_pairs(real: pd.DataFrame) -> None:
    fake = people(500, 2)
    fake["pay"] = fake["pay"].fillna(0.0)
    found = lambent.judge(real, fake)
    pay = next(column for column in found.columns if column.name == "pay")
    assert pay.gaps == (pytest.approx(real["pay"].isna().mean()), 0.0)
    assert pay.shape < 0.95
    fake = people(500, 2)
    fake["work"] = np.random.default_rng(0).permutation(fake["work"])
    found = lambent.judge(real, fake)
    assert (found.pairs[0].first, found.pairs[0].second) == ("age", "work")
    assert [pair.trend for pair in found.pairs] == sorted(pair.trend for pair in found.pairs)


def test_the_same_seed_the_same_numbers(real: pd.DataFrame) -> None:
    first, again = (lambent.judge(real, people(300, 2), people(300, 1), seed=4).plain() for _ in range(2))
    assert first == again
    json.dumps(first, allow_nan=True)


def test_numbers_that_are_names_are_categories(real: pd.DataFrame) -> None:
    numbered = [
        table.assign(zip=np.random.default_rng(9).integers(0, 40, len(table))) for table in (real, people(300, 2))
    ]
    kinds = {column.name: column.kind for column in lambent.judge(*numbered, categories=["zip"]).columns}
    assert kinds == {"age": "number", "work": "category", "pay": "number", "rich": "category", "zip": "category"}


def test_it_refuses_what_cannot_be_judged(real: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="did you mean 'work'"):
        lambent.judge(real, people(300, 2), target="wrk")
    with pytest.raises(DataError, match="too few to be judged"):
        lambent.judge(real, people(10, 2))


def test_its_sections_make_a_page(real: pd.DataFrame) -> None:
    found = lambent.judge(real, people(300, 2), people(300, 1))
    page = render(Findings("judged"), judged(found), alone=True)
    for told in ("May this be shared?", "Column by column", "Pair by pair", "retired", "independent"):
        assert told.lower() in page.lower()
    assert "too little here to judge the run" not in page


def test_names_and_levels_cannot_write_the_page() -> None:
    random = np.random.default_rng(0)

    def made(rows: int) -> pd.DataFrame:
        kind = random.choice(["<script>alert(1)</script>", 'a"b', "c & d"], rows)
        return pd.DataFrame({"<b>bold</b>": random.normal(size=rows), 'x" onload="': kind})

    page = render(Findings("judged"), judged(lambent.judge(made(100), made(100), made(100))), alone=True)
    assert "<script>alert" not in page
    assert "<b>bold" not in page
    assert 'x" onload' not in page


def test_rules_are_broken_by_their_own_measure_alone(real: pd.DataFrame) -> None:
    found = lambent.judge(real, people(500, 2), people(400, 1)).metrics
    for name, value in (("copies", 0.2), ("closest", 0.0), ("nearer_training", 0.8), ("membership", 0.8)):
        from dataclasses import replace

        worse = found | {name: replace(found[name], value=value)}
        answer, remarks = answered(worse)
        assert answer == "no"
        assert sum(remark.level == "problem" for remark in remarks) == 2  # the answer and the reason
