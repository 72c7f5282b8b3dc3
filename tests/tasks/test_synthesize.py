"""New rows under conditions: against sums over all rows that there can be, and over a grid of codes."""

import copy
import itertools
import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from lambent import VAE, Fitted, Table, UsageError, impute, synthesize
from lambent.distributions.columnwise import columnwise
from lambent.model.trace import fixed
from lambent.tasks.demands import intersected
from lambent.tasks.predict import Prediction, predict
from lambent.tasks.resampling import evenly_chosen, worth_of
from lambent.tasks.synthesize import synthesis

Frame = Callable[..., pd.DataFrame]
Untrained = Callable[..., Fitted]


def small() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    data = {
        "a": rng.choice(["p", "q", "r"], 300),
        "b": rng.choice(["s", "t"], 300),
        "c": rng.choice(["u", "v", "w"], 300),
    }
    return pd.DataFrame(data)


@pytest.fixture(scope="module")
def levels(untrained: Untrained) -> Fitted:
    return untrained(small())


@pytest.fixture(scope="module")
def joint(levels: Fitted) -> Tensor:
    """P(row) of every row that there can be, [4, 3, 4], by quadrature over z."""
    codes = torch.linspace(-6, 6, 401)
    weights = torch.exp(-0.5 * codes**2) / math.sqrt(2 * math.pi) * (codes[1] - codes[0])
    every = torch.tensor(list(itertools.product(range(4), range(3), range(4)))).float()
    with torch.no_grad():
        px = columnwise(levels.model.generate(401, fixed(codes[:, None])))
        log_prob = torch.stack([px.log_prob(row.expand(401, -1)) for row in every], 1)
    found = (weights[:, None] * log_prob.exp()).sum(0).reshape(4, 3, 4)
    assert float(found.sum()) == pytest.approx(1, abs=1e-3)
    apart = found.sum((1, 2))[:, None, None] * found.sum((0, 2))[None, :, None] * found.sum((0, 1))
    assert float((found - apart).abs().sum()) > 0.2, "the columns do depend on each other"
    return found.double()


def first(levels: Fitted) -> int:
    """The column that the model draws first: given it alone, the rest is as in the joint."""
    return int(levels.model.likelihood.order[0])


def frequencies(x: Tensor) -> Tensor:
    found = torch.zeros(4, 3, 4, dtype=torch.float64)
    for row in x.long():
        found[tuple(row)] += 1
    return found / len(x)


def test_rows_come_as_often_as_in_the_joint(levels: Fitted, joint: Tensor) -> None:
    found = frequencies(synthesis(levels, 20_000).encoded())
    assert float((found - joint).abs().sum()) < 0.05


def test_a_condition_gives_the_exact_conditional(levels: Fitted, joint: Tensor) -> None:
    column = first(levels)
    name, token = "abc"[column], 1
    level = levels.modality.column(name).levels[token]
    made = synthesis(levels, 20_000, given=[f"{name}={level}"])
    x = made.encoded()
    exact = joint.select(column, token)
    assert set(x[:, column].tolist()) == {float(token)}
    found = frequencies(x).select(column, token)
    assert float((found - exact / exact.sum()).abs().sum()) < 0.05
    assert made.worth[0].probability == pytest.approx(float(exact.sum()), rel=0.1)


def test_a_set_gives_the_exact_conditional(levels: Fitted, joint: Tensor) -> None:
    column = first(levels)
    name = "abc"[column]
    two = levels.modality.column(name).levels[:2]
    x = synthesis(levels, 20_000, given={name: two}).encoded()
    exact = joint.movedim(column, 0)[:2]
    found = frequencies(x).movedim(column, 0)[:2]
    assert float((found - exact / exact.sum()).abs().sum()) < 0.05


def test_a_prediction_is_the_exact_conditional(levels: Fitted, joint: Tensor) -> None:
    """Of the column that comes last, given all before it."""
    last = int(levels.model.likelihood.order[-1])
    name = "abc"[last]
    rows = small().drop_duplicates()
    found = predict(levels, rows, name, samples=3000)
    assert isinstance(found, Prediction)
    table = levels.modality
    x = table.encode(rows).long()
    for row, chances in zip(x, found.probabilities, strict=True):
        place = tuple(slice(None) if i == last else int(row[i]) for i in range(3))
        exact = joint[place][: len(found.levels)]
        np.testing.assert_allclose(chances, exact / exact.sum(), atol=0.03)


def test_balance_and_the_number_of_rows(levels: Fitted) -> None:
    found = synthesize(levels, 301, balance="a")
    assert len(found) == 301
    counts = found["a"].value_counts()
    assert counts.max() - counts.min() <= 1


def test_the_same_seed_gives_the_same_rows(levels: Fitted) -> None:
    given = ["a=p"]
    assert synthesize(levels, 50, given=given).equals(synthesize(levels, 50, given=given))
    assert not synthesize(levels, 50, given=given).equals(synthesize(levels, 50, given=given, seed=1))


@pytest.fixture(scope="module")
def mixed(frame: Frame, untrained: Untrained) -> Fitted:
    return untrained(frame(gaps=0.1), sharpness=0.5)


def test_every_condition_holds_in_every_row(mixed: Fitted) -> None:
    found = synthesize(mixed, 400, given=["age>=45", "job!=nurse", "since<2020-06-01", "pay>4000"])
    assert len(found) == 400
    assert (found["age"] >= 45).all()
    assert set(found["job"]) <= {"clerk", "cook"}
    assert (found["since"] < "2020-06-01").all()
    gone = synthesize(mixed, 100, given={"age": None})
    assert gone["age"].isna().all()


def test_gaps_are_as_in_the_data_or_none(mixed: Fitted) -> None:
    assert synthesize(mixed, 300).isna().any(axis=None)
    assert not synthesize(mixed, 300, complete=True).isna().any(axis=None)


def test_what_training_did_not_see_is_not_drawn(mixed: Fitted, frame: Frame) -> None:
    seen, known = frame(gaps=0.1), frame(gaps=0.5).head(100)
    drawn = [
        synthesize(mixed, 2000),
        synthesize(mixed, 500, given=["ok=true"]),
        synthesize(mixed, given_rows=known),
        *impute(mixed, known, draws=2),
    ]
    for made in drawn:
        for name in ("age", "pay", "since"):
            assert made[name].min() >= min(seen[name].min(), known[name].min())
            assert made[name].max() <= max(seen[name].max(), known[name].max())


def test_relations_hold(mixed: Fitted) -> None:
    found = synthesize(mixed, 300, where=["age<=pay"])
    both = found.dropna(subset=["age", "pay"])
    assert len(found) == 300
    assert (both["age"] <= both["pay"]).all()
    with pytest.raises(UsageError, match=r"of [\d,]+ rows \d+ satisfy it, where 50 are wanted"):
        synthesize(mixed, 50, where=["age>=pay"], complete=True)


def test_rows_known_in_part_keep_what_they_have(mixed: Fitted, frame: Frame) -> None:
    known = frame(gaps=0.3).head(60).drop(columns="ok")
    found = synthesize(mixed, given_rows=known)
    assert len(found) == 60
    assert not found.isna().any(axis=None)
    for name in ("job", "age", "since"):
        there = known[name].notna()
        assert (found[name][there].to_numpy() == known[name][there].to_numpy()).all()
    assert len(synthesize(mixed, 75, given_rows=known)) == 75
    with pytest.raises(UsageError, match=r"row \d+ has a value of its own that contradicts age>100"):
        synthesize(mixed, given_rows=known, given=["age>100"])


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"given": ["age>50", "age<40"]}, "no value of column 'age' satisfies"),
        ({"given": ["age>200"]}, "age>200: none of .* codes of the prior allows it; its probability is below"),
        ({"given": ["agee>50"]}, "did you mean 'age'"),
        ({"given": ["job=xyzzy"]}, "has no level 'xyzzy'. It has clerk"),
        ({"given": ["job>5"]}, "its levels have no order"),
        ({"given": ["job=nurs"]}, "did you mean 'nurse'"),
        ({"given": ["ok=missing"]}, "no gaps to ask for"),
        ({"given": ["age=45", "pay<3000", "since=2020-02-03", "job=cook", "ok=true"]}, "has a probability of about"),
        ({"where": ["age<5"]}, "Values are for --given"),
        ({"where": ["job<=age"]}, "not so compared"),
        ({"where": ["age"]}, "takes COLUMN<=COLUMN"),
        ({"balance": "pay"}, "only columns of levels"),
        ({"balance": "jobb"}, "job"),
        ({"temperature": 0.0}, "temperature"),
        ({"n": 0}, "at least 1"),
    ],
)
def test_what_cannot_be_is_said(mixed: Fitted, asked: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        synthesize(mixed, **{"n": 10, **asked})


def test_columns_of_one_order_answer_no_conditions(mixed: Fitted, frame: Frame) -> None:
    """They never saw what comes after them; rows without conditions are as ever."""
    one = copy.deepcopy(mixed)
    one.model.likelihood.agnostic = 0.0
    for asked in ({"given": ["age>40"]}, {"balance": "job"}, {"given_rows": frame(5)[["age"]]}):
        with pytest.raises(UsageError, match=r"one order alone .*--likelihood\.agnostic 0\.25"):
            synthesize(one, **{"n": 10, **asked})
    assert len(synthesize(one, 10)) == 10


def test_resampling_takes_each_as_often_as_it_weighs() -> None:
    weights = torch.tensor([0.0, 1.0, 3.0, 0.5])
    chosen = evenly_chosen(weights, 900, torch.Generator().manual_seed(0))
    assert chosen.bincount(minlength=4).tolist() == [0, 200, 600, 100]
    assert worth_of(weights.log()) == pytest.approx(4.5**2 / (1 + 9 + 0.25))
    assert worth_of(torch.full((3,), -math.inf)) == 0


def test_intervals_meet() -> None:
    assert intersected([(0, 2), (4, 9)], [(1, 5), (8, 12)]) == [(1, 2), (4, 5), (8, 9)]
    assert intersected(None, [(1, 2)]) == [(1, 2)]
    assert intersected([(0, 1)], [(1, 2)]) == []


def test_numbers_under_a_gaussian_are_cut_exactly() -> None:
    """A table of plain numbers: x0 > 1 of a standard normal, and of a correlated one its conditional mean."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(2000, 1))
    data = np.hstack([z, z]) * 0.9 + 0.436 * rng.normal(size=(2000, 2))
    vae = VAE(2, epochs=60, likelihood="Gaussian", validation=0).fit(data)
    found = vae.sample(4000, given=["x0>1"])
    assert (found[:, 0] > 1).all()
    wanted = data[data[:, 0] > 1].mean(0)
    np.testing.assert_allclose(found.mean(0), wanted, atol=0.12)
    assert isinstance(vae.modality_, Table)


def test_an_empty_column_is_not_asked_for_gaps(untrained: Untrained) -> None:
    fitted = untrained(small().assign(nothing=np.nan))
    with pytest.raises(UsageError, match="'nothing' is empty: it is missing in every row"):
        synthesize(fitted, 5, given=["nothing=missing"])
