"""Kinds of columns: which is found, why, and what a user says instead."""

import re
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lambent.data.kinds.columns.base import KINDS
from lambent.data.kinds.columns.kinds import kind_of
from lambent.data.kinds.columns.tally import Tally
from lambent.data.kinds.table import Table
from lambent.data.readers.frames import from_frame
from lambent.errors import DataError, UsageError

RNG = np.random.default_rng(0)
N = 400
SURNAMES = ["Adams", "Berg", "Cole", "Diaz", "Eng", "Frost", "Gray", "Hahn", "Ito", "Jung"]
FOUND: dict[str, tuple[Any, str, str]] = {
    "age": (RNG.integers(17, 91, N), "integer", r"\d+ different whole numbers from 17 to 90"),
    "visits": (RNG.poisson(0.8, N) ** 2, "count", r"different whole numbers from 0 to \d+, many of them low"),
    "flag": (RNG.integers(0, 2, N), "binary", "only 0 and 1"),
    "yes": (RNG.choice(["yes", "no"], N), "binary", "only 'no' and 'yes'"),
    "truth as text": (RNG.choice(["True", "False"], N), "binary", "only 'False' and 'True'"),
    "member": (RNG.integers(0, 2, N).astype(bool), "boolean", "only true and false"),
    "height": (RNG.normal(170, 10, N), "real", "400 different numbers from"),
    "income": (np.exp(RNG.normal(10, 1, N)), "positive", "many of them low, few high"),
    "share": (RNG.beta(2, 3, N), "bounded", "all lie between 0 and 1"),
    "town": (RNG.choice(SURNAMES, N), "categorical", "10 different names in 400 cells"),
    "size": (
        pd.Categorical(RNG.choice(["S", "M", "L"], N), ["S", "M", "L"], ordered=True),
        "ordinal",
        "declare an order of 3",
    ),
    "group": (
        pd.Categorical(RNG.choice(["a", "b", "c"], N)),
        "categorical",
        "the data declare categories, of which 3 occur",
    ),
    "born": (
        [date(1980, 1, 1) + timedelta(int(d)) for d in RNG.integers(0, 9000, N)],
        "datetime",
        "from 1980-.* to 2004-",
    ),
    "seen": (
        [datetime(2024, 1, 1) + timedelta(minutes=int(m)) for m in RNG.integers(0, 9**6, N)],
        "datetime",
        "2024-01-01T",
    ),
    "lasted": ([timedelta(seconds=int(s)) for s in RNG.integers(0, 9000, N)], "duration", "seconds"),
    "always": (["same"] * N, "constant", "every cell is 'same'"),
    "always 3": ([3.5] * N, "constant", "every cell is 3.5"),
    "code": (
        [f"AB-{i:04d}" for i in RNG.permutation(N)],
        "identifier",
        "every value is different and looks like a code",
    ),
    "customer_id": (RNG.permutation(10 * N)[:N], "identifier", "every value is a different whole number"),
    "row": (np.arange(1, N + 1), "identifier", "from 1 to 400, as in a list of keys"),
    "year": (np.arange(1900, 1900 + N), "integer", "400 different whole numbers from 1900"),
    "note": ([" ".join(RNG.choice(SURNAMES, 7)) for _ in range(N)], "text", "every value is different and is words"),
    "nothing": ([None] * N, "empty", "no cell holds a value"),
    "blank": (["", "  "] * (N // 2), "empty", "no cell holds a value"),
    "only a": (["a", None] * (N // 2), "categorical", "only 'a', and gaps"),
}


@pytest.mark.parametrize("name", FOUND)
def test_the_kind_that_is_found_and_why(name: str) -> None:
    values, kind, why = FOUND[name]
    tally = Tally(name)
    tally.add(from_frame(pd.DataFrame({name: values})))
    found = kind_of(tally)
    assert found.name == kind
    assert re.search(why, found.why), found.why


def test_spikes_are_told() -> None:
    paid = np.where(RNG.random(N) < 0.6, 0.0, np.exp(RNG.normal(5, 1, N)).round(2))
    hours = np.where(RNG.random(N) < 0.5, 40, RNG.integers(10, 80, N))
    table = Table(scale="ranks").fit(pd.DataFrame({"paid": paid, "hours": hours}))
    share = f"{(paid == 0).mean():.0%}"
    assert f"inflated at 0 in {share} of the rows" in table.column("paid").why
    assert "inflated at 40 in" in table.column("hours").why


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "zip": RNG.choice([10115, 20095, 80331], N),
            "post": RNG.choice(["EC1A", "W1", "N1"], N),
            "age": RNG.integers(17, 91, N),
            "number": [str(v) for v in RNG.normal(size=N).round(3)],
            "day": [str(date(2020, 1, 1) + timedelta(int(d))) for d in RNG.integers(0, 900, N)],
            "x": RNG.normal(size=N),
        }
    )


@pytest.mark.parametrize(
    ("name", "kind", "tokens"),
    [("zip", "categorical", 4), ("zip", "ordinal", 4), ("age", "count", None), ("age", "real", None), ("number", "real", None),
     ("day", "datetime", None), ("post", "text", 0), ("age", "identifier", 0), ("post", "identifier", 0)],
)  # fmt: skip
def test_D14_what_the_user_says_counts(name: str, kind: str, tokens: int | None) -> None:
    """A kind that is asked for is taken where values fit: codes as categories, text of numbers as numbers, of days as dates."""
    raw = frame()
    table = Table(kinds=(f"{name}={kind}",)).fit(raw.drop(columns=[] if name == "number" else ["number"]))
    column = table.column(name)
    assert (column.kind, column.why.partition(";")[0]) == (kind, "you said so")
    assert tokens is None or column.tokens == tokens
    back = table.decode(table.encode(raw))
    if kind not in ("text", "identifier", "real"):
        assert back[name].astype(str).str[:10].tolist() == raw[name].astype(str).tolist()
    if name == "number":
        assert np.allclose(back[name].astype(float), raw[name].astype(float), atol=1e-3)


@pytest.mark.parametrize(
    ("kinds", "error", "words"),
    [
        (("post=real",), DataError, r"column 'post' cannot be real: it holds 'EC1A'|it holds 'N1'|it holds 'W1'"),
        (("x=integer",), DataError, r"column 'x' cannot be integer: it holds -?\d.*, which is not whole"),
        (("x=positive",), DataError, r"column 'x' cannot be positive: it holds -"),
        (("age=binary",), DataError, r"column 'age' cannot be binary: it holds \d\d different values"),
        (("age=datetime",), DataError, r"column 'age' cannot be datetime: it holds numbers, such as 17"),
        (("age=constant",), DataError, r"column 'age' cannot be constant: it holds 17, 18, 19"),
        (("age=empty",), DataError, r"column 'age' cannot be empty"),
        (("aeg=count",), UsageError, r"has no column 'aeg'; did you mean 'age'"),
        (("age=coutn",), UsageError, r"no kind is called 'coutn'; did you mean 'count'"),
        (("age",), UsageError, r"'age' is no column=kind, such as age=count"),
    ],
)
def test_D14_a_kind_that_does_not_fit_says_why(kinds: tuple[str, ...], error: type[Exception], words: str) -> None:
    """A kind that values do not fit is refused with the first that does not, an unknown column or kind with the nearest."""
    with pytest.raises(error, match=words):
        Table(kinds=kinds).fit(frame().drop(columns=["number"]))


def test_numbers_as_text_are_asked_about() -> None:
    with pytest.raises(DataError, match=r"column 'number': holds numbers as text.*--data\.kinds number=real"):
        Table().fit(frame())
    codes = pd.DataFrame({"n": RNG.normal(size=50), "s": [f"{i:05d}" for i in RNG.permutation(10**5)[:50]]})
    assert Table().fit(codes).column("s").kind == "identifier"


def test_numbers_that_are_declared_names_alone_make_a_table_of_ranks() -> None:
    raw = frame()[["zip", "age", "x"]]
    assert not Table().fit(raw).encoding.ranks
    assert not Table(kinds=("age=count",)).fit(raw).encoding.ranks
    assert Table(kinds=("zip=categorical",)).fit(raw).encoding.ranks
    left = Table(kinds=("zip=identifier",)).fit(raw)
    assert (left.encoding.ranks, left.event) == (False, (2,))


def test_text_that_is_left_out_leaves_a_table_of_numbers() -> None:
    raw = pd.DataFrame({"a": RNG.normal(size=50), "b": RNG.normal(size=50), "id": [f"k{i}" for i in range(50)]})
    table = Table().fit(raw)
    assert (table.encoding.ranks, table.event) == (False, (2,))
    assert table.noticed == {"identifiers": ["id"]}
    assert (table.encode(raw) == Table().fit(raw[["a", "b"]]).encode(raw[["a", "b"]])).all()
    without = table.encode(raw.drop(columns="id"))  # nobody needs it
    assert (without == table.encode(raw)).all()
    assert table.decode(without)["id"].tolist()[:3] == ["k50", "k51", "k52"]


def test_all_kinds_have_a_name_that_can_be_asked_for() -> None:
    assert {kind for _, kind, _ in FOUND.values()} == set(KINDS)
