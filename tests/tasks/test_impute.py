"""Gaps filled, and columns predicted, on data whose joint is known; what was there stays to the bit."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from scipy import stats

import lambent
from lambent import VAE, Fitted, Imputer, Table, UsageError, impute, predict
from lambent.tasks.impute import imputed
from lambent.tasks.predict import NumberPrediction, Prediction

Frame = Callable[..., pd.DataFrame]
Untrained = Callable[..., Fitted]
NOISE = 0.5
LOADINGS = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [1.0, -1.0]])
COVARIANCE = LOADINGS @ LOADINGS.T + NOISE**2 * np.eye(4)


def gaussian(rows: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, 2)) @ LOADINGS.T + NOISE * rng.normal(size=(rows, 4))


def gapped(x: np.ndarray, share: float, seed: int) -> np.ndarray:
    x = x.copy()
    x[np.random.default_rng(seed).random(x.shape) < share] = np.nan
    return x


def best(row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The exact conditional mean and variance of each column."""
    there = ~np.isnan(row)
    gain = COVARIANCE[:, there] @ np.linalg.inv(COVARIANCE[there][:, there])
    return gain @ row[there], np.diag(COVARIANCE - gain @ COVARIANCE[there])


@pytest.fixture(scope="module")
def trained() -> VAE:
    modality = Table(missing="yes", hidden=0.5)
    settings = {"likelihood": "Gaussian", "prior": "Standard", "epochs": 60, "learning_rate": 3e-3, "validation": 0}
    return VAE(2, modality=modality, **settings).fit(gapped(gaussian(3000, 0), 0.2, 1))


@pytest.fixture(scope="module")
def tested() -> tuple[np.ndarray, np.ndarray]:
    whole = gaussian(400, 2)
    return whole, gapped(whole, 0.3, 3)


def test_fills_are_near_the_exact_conditional_means(trained: VAE, tested: tuple[np.ndarray, np.ndarray]) -> None:
    whole, x = tested
    found = impute(trained, x)
    missing = np.isnan(x)
    assert np.array_equal(found[~missing], x[~missing])
    exact = np.stack([best(row)[0] for row in x])
    error = np.sqrt(np.mean((found - exact)[missing] ** 2))
    assert error < 0.2  # of numbers whose own deviation is 1.1 to 1.5
    assert np.mean((found - whole)[missing] ** 2) < 1.1 * np.mean((exact - whole)[missing] ** 2)


def test_intervals_cover_as_often_as_they_say(trained: VAE, tested: tuple[np.ndarray, np.ndarray]) -> None:
    whole, x = tested
    found = imputed(trained, x, interval=0.9)
    inside, count = 0, 0
    for place in range(4):
        missing = np.isnan(x[:, place])
        low, high = (found.beside[f"x{place}_{end}"].values[missing] for end in ("low", "high"))
        inside += int(((whole[missing, place] >= low) & (whole[missing, place] <= high)).sum())
        count += int(missing.sum())
    assert 0.87 <= inside / count <= 0.93
    assert found.filled(x).shape == (400, 12)


def test_draws_vary_as_the_exact_conditional(trained: VAE, tested: tuple[np.ndarray, np.ndarray]) -> None:
    x = tested[1]
    copies = np.stack(impute(trained, x, draws=30))
    missing = np.isnan(x)
    assert np.array_equal(copies[7][~missing], x[~missing])
    exact = np.stack([best(row)[1] for row in x])
    assert copies.var(0, ddof=1)[missing].mean() == pytest.approx(exact[missing].mean(), rel=0.12)
    turned = np.stack(impute(trained, x[::-1], draws=30))[:, ::-1]
    assert np.array_equal(turned, copies), "whatever the order of the rows"


def test_a_prediction_is_the_exact_conditional(trained: VAE, tested: tuple[np.ndarray, np.ndarray]) -> None:
    whole, _ = tested
    found = predict(trained, whole[:100], "x1", quantiles=(0.1, 0.9))
    assert isinstance(found, NumberPrediction)
    given = whole[:100].copy()
    given[:, 1] = np.nan
    exact = [best(row) for row in given]
    mean, deviation = np.array([m[1] for m, _ in exact]), np.sqrt([v[1] for _, v in exact])
    assert np.sqrt(np.mean((found.mean - mean) ** 2)) < 0.15
    wanted = np.stack([mean, mean], 1) + deviation[:, None] * stats.norm.ppf([0.1, 0.9])
    assert np.sqrt(np.mean((found.quantiles - wanted) ** 2)) < 0.25
    again = trained.predict(given, target="x1")
    np.testing.assert_array_equal(again, found.mean)


def test_a_row_is_filled_alike_in_any_company(trained: VAE, tested: tuple[np.ndarray, np.ndarray]) -> None:
    x = tested[1]
    found = impute(trained, x)
    assert np.array_equal(impute(trained, x[::-1])[::-1], found)
    assert np.array_equal(impute(trained, x[5:6]), found[5:6])


def test_rows_of_nothing_but_gaps_get_what_the_prior_says(trained: VAE) -> None:
    x = np.full((2, 4), np.nan)
    found = imputed(trained, x)
    assert found.silent == 2
    filled = found.filled(x)
    np.testing.assert_allclose(filled, 0, atol=0.25)
    assert np.array_equal(filled[0], filled[1])


@pytest.fixture(scope="module")
def mixed(frame: Frame, untrained: Untrained) -> Fitted:
    return untrained(frame(gaps=0.2), sharpness=0.3)


def test_frames_keep_what_was_there_and_their_types(mixed: Fitted, frame: Frame) -> None:
    data = frame(gaps=0.3, seed=4).head(80)
    data.index = pd.Index(np.arange(80)[::-1] // 2)  # neither ordered nor unique
    found = impute(mixed, data)
    assert list(found.dtypes) == list(data.dtypes)
    assert found.index.equals(data.index)
    assert not found.isna().any(axis=None)
    there = data.notna()
    assert found.where(there).equals(data.where(there))
    assert data.isna().any(axis=None), "what was given is not changed"


def test_frames_of_other_libraries(mixed: Fitted, frame: Frame) -> None:
    data = frame(gaps=0.3, seed=4).head(80)
    wanted = impute(mixed, data)
    ours = pl.from_pandas(data).with_columns(pl.col("age").cast(pl.Int16), pl.col("job").cast(pl.Categorical))
    found = impute(mixed, ours)
    assert found.schema == ours.schema
    assert found.null_count().sum_horizontal()[0] == 0
    assert found["pay"].to_list() == wanted["pay"].tolist()
    table = pa.Table.from_pandas(data, preserve_index=False)
    filled = impute(mixed, table)
    assert filled.schema.equals(table.schema)
    assert filled["job"].to_pylist() == wanted["job"].tolist()


def test_levels_in_a_category_stay_categories(mixed: Fitted, frame: Frame) -> None:
    data = frame(gaps=0.3, seed=4).head(80).astype({"job": "category", "age": "Int64"})
    found = impute(mixed, data)
    assert isinstance(found["job"].dtype, pd.CategoricalDtype)
    assert str(found["age"].dtype) == "Int64"
    assert not found.isna().any(axis=None)


def test_levels_have_their_probabilities_beside_them(mixed: Fitted, frame: Frame) -> None:
    data = frame(gaps=0.3, seed=4).head(80)
    found = impute(mixed, data, interval=0.8)
    gone = data["job"].isna()
    chances = predict(mixed, data[gone], "job")
    assert isinstance(chances, Prediction)
    np.testing.assert_allclose(found["job_probability"][gone], chances.probabilities.max(1), rtol=1e-6)
    assert found["job_probability"][~gone].isna().all()
    low, high = found["age_low"], found["age_high"]
    assert (low.isna() == data["age"].notna()).all()
    assert (low.dropna() <= high.dropna()).all()


def test_a_prediction_needs_no_column_of_the_target(mixed: Fitted, frame: Frame) -> None:
    data = frame(seed=5).head(30)
    whole, bare = (predict(mixed, rows, "job") for rows in (data, data.drop(columns=["job", "since"])))
    assert isinstance(whole, Prediction)
    assert isinstance(bare, Prediction)
    assert whole.levels == bare.levels == ["clerk", "cook", "nurse"]
    np.testing.assert_allclose(whole.probabilities.sum(1), 1)
    np.testing.assert_allclose(bare.probabilities.sum(1), 1)
    others = data.assign(job="cook")
    other = predict(mixed, others, "job")
    assert isinstance(other, Prediction)
    assert torch.equal(other.log_posterior, whole.log_posterior), "its own cells are not looked at"


def test_truths_and_times_are_predicted_as_such(mixed: Fitted, frame: Frame) -> None:
    data = frame(seed=5).head(10)
    truths = predict(mixed, data, "ok")
    assert isinstance(truths, Prediction)
    assert truths.values == [False, True]
    times = predict(mixed, data, "since")
    assert isinstance(times, NumberPrediction)
    assert times.mean.dtype.kind == "M"
    assert (times.quantiles[:, 0] <= times.median).all()


def test_the_evidence_is_in_the_units_of_the_data(trained: VAE, tested: tuple[np.ndarray, np.ndarray]) -> None:
    whole = tested[0][:200]
    found = predict(trained, whole, "x3", samples=200)
    exact = stats.multivariate_normal(np.zeros(3), COVARIANCE[:3, :3]).logpdf(whole[:, :3])
    assert float(found.evidence.mean()) == pytest.approx(exact.mean(), abs=0.1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m, x: impute(m, x, draws=-1), "draws"),
        (lambda m, x: impute(m, x, interval=1.0), "interval must be a share"),
        (lambda m, x: impute(m, x, samples=0), "at least 1"),
        (lambda m, x: predict(m, x, "jobb"), "did you mean 'job'"),
        (lambda m, x: predict(m, x, "age", quantiles=(0, 1)), "between 0 and 1"),
        (lambda m, x: impute(m, x[["ok"]].rename(columns={"ok": "other"})), "lacks"),
    ],
)
def test_what_cannot_be_asked_is_said(mixed: Fitted, frame: Frame, call: Callable, words: str) -> None:
    with pytest.raises((UsageError, lambent.DataError), match=words):
        call(mixed, frame(gaps=0.3).head(5))


def test_a_model_without_gaps_says_what_to_do() -> None:
    whole = gaussian(100, 0)
    vae = VAE(2, epochs=1).fit(whole)
    with pytest.raises(lambent.DataError, match="missing=yes"):
        impute(vae, gapped(whole, 0.2, 0))
    with pytest.raises(AttributeError) as raised:
        vae.predict(whole, target="x0")
    assert "predicts nothing" in str(raised.value.__cause__)
    assert not hasattr(vae, "predict")


def test_files_keep_their_text(mixed: Fitted, frame: Frame, tmp_path: Path) -> None:
    from lambent.cli import main

    mixed.save(tmp_path / "m.lambent")
    text = (
        "pay,job,age,ok,since\n 3100.50 ,  nurse,,True,2020-01-05\n4000,,041,False,\n,cook,50,True,2020-02-01\n,,,,\n"
    )
    (tmp_path / "in.csv").write_text(text)
    command = ["impute", str(tmp_path / "m.lambent"), str(tmp_path / "in.csv"), "-q", "--samples", "8", "--out"]
    assert main([*command, str(tmp_path / "out.csv")]) == 0
    own = [line.split(",") for line in text.splitlines()]
    found = [line.split(",") for line in (tmp_path / "out.csv").read_text().splitlines()]
    assert found[0] == own[0]
    for before, after in zip(own, found, strict=True):
        assert all(new if not old else old == new for old, new in zip(before, after, strict=True))
    assert len(found[2][4]) == len("2020-01-05"), "as the file writes its dates"
    assert main([*command, str(tmp_path / "draws.csv"), "--draws", "3"]) == 0
    draws = pd.read_csv(io.StringIO((tmp_path / "draws.csv").read_text()))
    assert draws["draw"].tolist() == [1] * 4 + [2] * 4 + [3] * 4
    assert main([*command, str(tmp_path / "out.parquet"), "--interval", "0.5"]) == 0
    assert {"age_low", "age_high", "job_probability"} <= set(pd.read_parquet(tmp_path / "out.parquet").columns)
    assert main([*command, str(tmp_path / "no.csv"), "--interval", "2"]) == 2


def test_an_imputer_fills_what_it_was_given(frame: Frame) -> None:
    data = frame(gaps=0.2)
    imputer = Imputer(epochs=2, codes=4)
    found = imputer.fit_transform(data)
    assert not found.isna().any(axis=None)
    assert list(imputer.get_feature_names_out()) == list(data.columns)
    assert found.equals(imputer.transform(data))
    assert impute(imputer, data, samples=4).equals(found)


def test_gaps_of_a_column_that_held_one_value_get_it() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=60), "b": rng.normal(size=60), "same": 2.5, "word": "yes"})
    frame.loc[:9, "same"], frame.loc[5:20, "word"], frame.loc[3, "a"] = np.nan, None, np.nan
    filled = Imputer(epochs=1).fit_transform(frame)
    assert (filled["same"] == 2.5).all()
    assert (filled["word"] == "yes").all()
    assert filled.notna().all().all()
    assert (filled["b"] == frame["b"]).all()
