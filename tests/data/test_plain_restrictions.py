"""What is asked of columns that are scaled."""

import numpy as np
import pandas as pd
import pytest

from lambent.data.kinds.table import Table
from lambent.errors import UsageError

FRAME = pd.DataFrame({"a": np.random.default_rng(0).normal(50, 9, 300).round(2), "b": np.arange(300.0)[::-1] ** 2})


@pytest.mark.parametrize("scale", ["standard", "robust", "none"])
@pytest.mark.parametrize("operator", ["<", "<=", ">", ">=", "=", "!=", "in", "not in"])
def test_intervals_of_scaled_numbers(scale: str, operator: str) -> None:
    """The encoded values in the intervals are those of the rows that satisfy it, the bound itself on its side."""
    table = Table(scale=scale).fit(FRAME)
    bound, other = FRAME["a"][7], FRAME["a"][11]
    several = operator in ("in", "not in")
    text = f"a {operator} {{{bound},{other}}}" if several else f"a{operator}{bound}"
    place, found = table.intervals(table.restriction(text))
    x = table.encode(FRAME)[:, place].double().numpy()
    inside = np.any([(x >= low) & (x < high) for low, high in found], axis=0)
    a = FRAME["a"]
    wanted = {
        "<": a < bound, "<=": a <= bound, ">": a > bound, ">=": a >= bound, "=": a == bound, "!=": a != bound,
        "in": a.isin([bound, other]), "not in": ~a.isin([bound, other]),
    }[operator]  # fmt: skip
    assert (place, inside.tolist()) == (0, wanted.tolist())


def test_what_cannot_be_asked_of_numbers() -> None:
    table = Table().fit(FRAME.assign(c=1.0))
    for text, words in {
        "a=old": "compares it with what is no number",
        "a=missing": "has no gaps to ask for: gaps have indicators under ranks alone",
        "c=1": "'c' is constant, and no part of the model",
    }.items():
        with pytest.raises(UsageError, match=words):
            table.intervals(table.restriction(text))
