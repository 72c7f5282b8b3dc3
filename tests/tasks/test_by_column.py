"""What the report of a table says of its columns: nats beside the column alone, gaps, kinds."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

import lambent
from lambent.data import Table
from lambent.report import Findings, render
from lambent.tasks import by_column
from lambent.tasks.score import scored


def survey(rows: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    kind = random.choice(["a", "b", "c"], rows, p=[0.5, 0.25, 0.25])
    size = np.where(kind == "a", 0.0, 5.0) + random.normal(size=rows)
    size[random.random(rows) < 0.3] = np.nan
    return pd.DataFrame({"kind": kind, "same": np.where(kind == "a", "yes", "no"), "size": size, "site": "x"})


@pytest.fixture(scope="module")
def fitted() -> Any:
    with pytest.warns(lambent.DataWarning, match="the same in every row"):
        return lambent.VAE(epochs=30, random_state=0).fit(survey(800, 0)).fitted_


def test_nats_add_up_and_a_column_alone_is_its_entropy(fitted: Any) -> None:
    modality = fitted.modality
    assert isinstance(modality, Table)
    rows = fitted.rows(survey(400, 1))
    new = by_column.drawn(fitted, 4000)
    told = {one.name: one for one in by_column.told_by_column(fitted, modality, rows, new)}
    together = scored(fitted, rows, by_column.SAMPLES).log_px.double().mean()
    assert sum(one.nats for one in told.values()) == pytest.approx(float(together), abs=1e-4)
    shares = survey(400, 1)["kind"].value_counts(normalize=True)
    drawn = pd.Series(fitted.raw(new)["kind"]).value_counts(normalize=True)
    entropy = sum(shares[level] * math.log(drawn[level]) for level in shares.index)
    assert told["kind"].alone == pytest.approx(entropy, abs=0.01)
    known = told["kind"].gain + told["same"].gain  # one settles the other, whichever comes first
    assert known > 0.4


def test_gaps_of_real_and_drawn_rows(fitted: Any) -> None:
    modality = fitted.modality
    rows, new = fitted.rows(survey(500, 1)), by_column.drawn(fitted, 3000)
    real, drawn = by_column._gaps(modality, rows.x), by_column._gaps(modality, new)
    assert real["size"] == pytest.approx(survey(500, 1)["size"].isna().mean())
    assert drawn["size"] == pytest.approx(fitted.raw(new)["size"].isna().mean())
    assert real["kind"] == drawn["kind"] == 0
    assert "site" not in real


def test_sections_of_a_table_and_of_nothing_else(fitted: Any) -> None:
    encoded = lambent.data.encode_like(fitted.modality, survey(200, 1))
    found = by_column.by_column(fitted, encoded)
    assert [section.id for section in found] == ["columns", "nats", "marginals", "associations"]
    page = render(Findings("run"), found)
    for words in ("categorical", "Gaps, drawn", "Gained", "constant"):
        assert words in page
    pictures = np.random.default_rng(0).integers(0, 255, (40, 8, 8), dtype=np.uint8)
    images = lambent.VAE(epochs=1, random_state=0).fit(pictures).fitted_
    assert by_column.by_column(images, lambent.data.load(pictures)) == []


def test_numbers_alone_are_gaussians() -> None:
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"a": 10 * random.normal(size=400), "b": random.normal(size=400)})
    fitted = lambent.VAE(epochs=2, random_state=0).fit(rows).fitted_
    taken = fitted.rows(rows)
    told = by_column.told_by_column(fitted, fitted.modality, taken, by_column.drawn(fitted, 100))
    expected = -0.5 * (np.log(2 * np.pi * rows.var(ddof=0)) + 1)
    for one in told:
        assert one.alone == pytest.approx(expected[one.name], abs=1e-3)
