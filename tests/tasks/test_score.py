"""Bounds of tables are in the data's own units, whole and column by column."""

import math

import numpy as np
import pandas as pd
import pytest

from lambent import VAE, evaluate
from lambent.report.run.gather import gather
from lambent.tasks.score import scored, scored_by_column


def table() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(300, 2)) @ rng.normal(size=(2, 3)) + rng.normal(size=(300, 3))


@pytest.fixture(scope="module")
def models() -> tuple[VAE, VAE]:
    """The same table in metres and in millimetres: the scaled rows are the same."""
    return tuple(VAE(2, epochs=20, validation=0).fit(table() * unit) for unit in (1, 1000))  # type: ignore[return-value]


def test_a_change_of_units_moves_the_bound_by_its_logarithm(models: tuple[VAE, VAE]) -> None:
    metres, millimetres = (model.score_samples(table() * unit) for model, unit in zip(models, (1, 1000), strict=True))
    np.testing.assert_allclose(metres - millimetres, 3 * math.log(1000), rtol=1e-3)
    scale = table().std(0)
    model = models[0]
    rows = model.fitted_.rows(table())
    np.testing.assert_allclose(model.fitted_.log_slope(rows.x), -np.log(scale).sum(), rtol=1e-6)


def test_an_evaluation_is_in_the_same_units(models: tuple[VAE, VAE]) -> None:
    first, second = (evaluate(model, table() * unit) for model, unit in zip(models, (1, 1000), strict=True))
    for name in ("elbo", "bound"):
        assert first.metrics[name].value - second.metrics[name].value == pytest.approx(3 * math.log(1000), rel=1e-3)
    assert first.metrics["kl"].value == pytest.approx(second.metrics["kl"].value, abs=0.02)
    assert first.metrics["bound"].value == pytest.approx(models[0].score(table()), abs=1e-6)


def test_columns_sum_to_the_reconstruction_term(models: tuple[VAE, VAE]) -> None:
    fitted = models[0].fitted_
    rows = fitted.rows(table())
    each = scored_by_column(fitted, rows)
    assert list(each) == ["x0", "x1", "x2"]
    np.testing.assert_allclose(sum(each.values()), scored(fitted, rows).log_px, rtol=1e-5)
    np.testing.assert_allclose(models[0].score_samples(table(), per_column=True)[:, 1], each["x1"], rtol=1e-12)


def test_a_column_in_other_units_moves_alone() -> None:
    frame = pd.DataFrame(table(), columns=["a", "b", "c"])
    first, second = (
        VAE(2, epochs=3, validation=0).fit(data).score_samples(data, per_column=True).mean(0)
        for data in (frame, frame.assign(b=frame["b"] * 100))
    )
    np.testing.assert_allclose(first - second, [0, math.log(100), 0], atol=0.01)


def test_a_report_compares_like_with_like(models: tuple[VAE, VAE]) -> None:
    """Curves, metrics and what knowing nothing gives all move by the same."""
    found = []
    for model, unit in zip(models, (1, 1000), strict=True):
        fitted = model.fitted_
        fitted.provenance["history"] = model.history_
        rows = fitted.rows(table() * unit).encoded
        assert rows is not None
        found.append(gather(fitted, rows, evaluate(fitted, rows)))
    moved = 3 * math.log(1000)
    first, second = found
    assert first.chance is not None
    assert second.chance is not None
    assert first.chance.nats - second.chance.nats == pytest.approx(moved, rel=1e-3)
    assert first.history["elbo"][-1] - second.history["elbo"][-1] == pytest.approx(moved, rel=1e-3)
    assert first.history["elbo"][-1] == pytest.approx(first.metrics["elbo"]["value"], abs=0.5)
    assert [one.title for one in verdicts(first)] == [one.title for one in verdicts(second)]


def verdicts(findings):
    from lambent.report.run.verdict import verdict

    return verdict(findings)
