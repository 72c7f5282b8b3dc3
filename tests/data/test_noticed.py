"""What is noticed of a table while it is learned: low counts, and cells far from all others."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lambent.data import load, on_disk
from lambent.data.kinds.census import FEW
from lambent.data.kinds.modality import Modality
from lambent.data.kinds.table import Table
from lambent.data.notices import sentences
from lambent.model.likelihoods import Autoregressive, Categorical, Gaussian, Mixed, Poisson

DRAW = np.random.default_rng(5)
COUNTS = {
    "over-dispersed": DRAW.negative_binomial(1, 0.3, (200, 6)),
    "poisson, many zeros": DRAW.poisson(0.7, (400, 5)),
    "single cells": DRAW.negative_binomial(0.3, 0.05, (300, 20)),
    "as floats": DRAW.negative_binomial(1, 0.3, (200, 6)).astype(float),
}
OTHERS = {
    "real numbers": DRAW.normal(size=(200, 4)),
    "bits": DRAW.integers(0, 2, (200, 4)),
    "genotypes": DRAW.binomial(2, 0.1, (200, 4)),
    "grades from 0 to 4": DRAW.integers(0, 5, (200, 4)),
    "negative": DRAW.negative_binomial(1, 0.3, (200, 4)) - 1,
    "ages": DRAW.integers(18, 80, (200, 2)),
    "pixels": np.minimum(16, DRAW.negative_binomial(0.4, 0.05, (300, 9))),
    "incomes": DRAW.integers(0, 90_000, (200, 3)),
    "ages, yes and no, and categories in codes": np.column_stack(
        [
            DRAW.integers(29, 78, 300),
            *DRAW.integers(0, 2, (3, 300)),
            *DRAW.integers(0, 4, (4, 300)),
            DRAW.integers(94, 200, 300),
        ]
    ),
    "many categories in codes": DRAW.integers(0, 30, (300, 3)),
    "weeks, days and hours": np.column_stack(
        [DRAW.integers(low, high, 300) for low, high in ((1, 53), (1, 32), (0, 24))]
    ),
    "numbers of rows, and codes": np.column_stack([np.arange(300), *DRAW.integers(0, 3, (2, 300))]),
    "counts beside a measurement": np.column_stack([DRAW.poisson(0.7, 300), DRAW.normal(size=300)]),
}


@pytest.mark.parametrize("name", COUNTS)
def test_low_counts_suggest_their_likelihood(name: str) -> None:
    rows = COUNTS[name].copy()
    rows[3], rows[:, 2] = 0, 0
    encoded = load(rows)
    assert encoded.modality.defaults()["likelihood"] == {"type": "NegativeBinomial"}
    assert np.array_equal(encoded.x.numpy(), np.delete(rows, 2, 1).astype(np.float32)), "not scaled"
    assert np.array_equal(encoded.modality.decode(encoded.x), rows), "the column of zeros comes back"
    assert "NegativeBinomial" in sentences(encoded.source)["low_counts"]
    assert encoded.source["noticed"]["constant"] == ["x2"]
    twin = Modality.from_spec(encoded.modality.spec()).restore(encoded.modality.state())
    assert twin.defaults() == encoded.modality.defaults()


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_low_count_stays_scaled(name: str) -> None:
    encoded = load(OTHERS[name])
    assert encoded.modality.defaults()["likelihood"]["type"] == "StudentT"
    np.testing.assert_allclose(encoded.x.double().std(0, correction=0), 1, rtol=1e-5)
    assert "low_counts" not in encoded.source["notices"]


def test_the_scale_asked_for_or_the_likelihood_settles_it() -> None:
    rows = COUNTS["over-dispersed"]
    assert Table(scale="standard").fit(rows).defaults()["likelihood"]["type"] == "StudentT"
    for likelihood, scale in (
        (Poisson(), "none"),
        (Gaussian(), "standard"),
        (Mixed(), "mixed"),
        (Autoregressive(), "ranks"),
    ):
        assert Table().suited(likelihood.encoding).scale == scale
    assert Mixed((Poisson(), Categorical(3))).encoding == "none"
    assert Mixed((Poisson(), Gaussian())).encoding == "standard"
    assert Table(scale="robust").suited("none").scale == "robust"


@pytest.mark.parametrize("value", [1e15, -1e15, 1e7])
def test_one_cell_far_out_is_told(value: float, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(300, 3))
    rows[41, 1] = value
    others = np.delete(rows[:, 1], 41)
    low, high = np.quantile(rows[:, 1], [0.25, 0.75])
    encoded = load(pd.DataFrame(rows, columns=list("abc")))
    assert encoded.source["noticed"]["far"] == [
        f"column 'b', row 42: is {value:g}, and the others lie between {others.min():g} and {others.max():g}, half of them "
        f"between {low:g} and {high:g}: mend or leave out the cell, or take the scale robust (--data.scale robust)"
    ]
    np.save(tmp_path / "t.npy", rows)
    stored = on_disk(tmp_path / "t.npy", tmp_path / "cache")
    assert stored.source["noticed"]["far"][0].startswith(f"column 'x1', row 42: is {value:g}")
    assert "far" not in load(rows, modality=Table(scale="robust")).source["notices"]


def test_heavy_tails_and_sparse_columns_are_no_single_cells() -> None:
    heavy = np.random.default_rng(0).lognormal(0, 1, (2000, 1))
    many = np.random.default_rng(0).normal(size=(2000, 1))
    many[: FEW + 1] = 1e9
    sparse = np.zeros((2000, 1))
    sparse[:10] = 1e6
    for rows in (heavy, many, sparse):
        assert "far" not in load(rows).source["notices"]
