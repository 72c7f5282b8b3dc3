"""drift: nothing is found where nothing has changed, and the column that has is named."""

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from lambent import VAE, Fitted
from lambent.errors import UsageError
from lambent.tasks.detection.drift import drift

Frames = Callable[..., pd.DataFrame]


@pytest.fixture(scope="module")
def fitted(frame: Frames) -> Fitted:
    return VAE(2, epochs=5, validation=0, random_state=0).fit(frame(600, gaps=0.05)).fitted_


def test_p_values_of_no_change_are_not_small(fitted: Fitted, frame: Frames) -> None:
    found = [drift(fitted, frame(60, 0.05, seed=s), frame(80, 0.05, seed=1000 + s), seed=s) for s in range(30)]
    p = np.array([one.p for one in found])
    assert (p <= 0.05).sum() <= 5  # of 30 at most 0.05 in expectation: 1.5, and 5 within three deviations
    assert np.median(p) > 0.25
    columns = [any(one.changed for one in each.columns) for each in found]
    assert sum(columns) <= 5
    assert len({one.name for one in found[0].columns}) == len(found[0].columns)


def test_a_shifted_column_is_named(fitted: Fitted, frame: Frames) -> None:
    new = frame(200, 0.05, seed=7)
    new["pay"] = new["pay"] + 1500
    found = drift(fitted, new, frame(200, 0.05, seed=8))
    assert found.changed
    assert found.p <= 0.01
    assert [one.name for one in found.columns if one.changed] == ["pay"]
    first = found.columns[0]
    assert first.test == "Kolmogorov–Smirnov"
    assert first.distance > 0.5
    old, moved = (float(word.replace(",", "")) for word in first.words.removeprefix("median ").split(" → "))
    assert 900 < moved - old < 2100
    assert "the whole has changed" in found.sentence
    assert "columns: pay" in found.sentence
    assert json.loads(json.dumps(found.plain()))["changed"] is True


def test_a_level_and_gaps_are_named(fitted: Fitted, frame: Frames) -> None:
    new = frame(300, 0.05, seed=7)
    new.loc[np.arange(300) % 3 > 0, "ok"] = True
    new.loc[np.arange(300) % 2 > 0, "age"] = np.nan
    found = drift(fitted, new, frame(300, 0.05, seed=8))
    changed = {one.name: one for one in found.columns if one.changed}
    assert set(changed) == {"ok", "age is missing"}
    assert changed["ok"].test == "χ²"
    assert changed["age is missing"].words.startswith("5 % →") or "→ 5" in changed["age is missing"].words
    assert changed["ok"].distance == pytest.approx(0.45, abs=0.12)


def test_the_same_twice_and_too_few(fitted: Fitted, frame: Frames) -> None:
    sides = frame(50, seed=1), frame(50, seed=2)
    assert drift(fitted, *sides, seed=3).plain() == drift(fitted, *sides, seed=3).plain()
    with pytest.raises(UsageError, match="19 new rows are too few"):
        drift(fitted, frame(19), frame(50))
    with pytest.raises(UsageError, match="1 rows of the reference"):
        drift(fitted, frame(50), frame(1))
