"""Imputer: scikit-learn's own law-book, with an empty list of expected failures; pipelines; and a VAE's verbs on mixed frames."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from lambent import VAE, Imputer, UsageError, load


@parametrize_with_checks([Imputer(2, epochs=2, codes=4)], expected_failed_checks=lambda _: {})
def test_scikit_learn_check(estimator, check):
    check(estimator)


def gappy() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(500, 1))
    whole = z @ np.array([[1.0, -2.0, 0.5]]) + 0.2 * rng.normal(size=(500, 3))
    x = whole.copy()
    x[rng.random(x.shape) < 0.2] = np.nan
    return whole, x, z[:, 0]


def test_a_pipeline_learns_through_gaps() -> None:
    whole, x, y = gappy()
    pipeline = make_pipeline(Imputer(1, epochs=40, batch=32), Ridge())
    assert pipeline.fit(x[:400], y[:400]).score(x[400:], y[400:]) > 0.9
    filled = pipeline[0].transform(x)
    gaps = np.isnan(x)
    assert np.array_equal(filled[~gaps], x[~gaps])
    means = np.broadcast_to(np.nanmean(x, 0), x.shape)
    assert np.mean((filled - whole)[gaps] ** 2) < 0.2 * np.mean((means - whole)[gaps] ** 2)
    again = pickle.loads(pickle.dumps(pipeline[0])).transform(x)
    assert np.array_equal(again, filled)
    assert clone(pipeline[0]).get_params() == pipeline[0].get_params()


def test_an_imputer_is_for_tables() -> None:
    with pytest.raises(UsageError, match="another kind of data"):
        Imputer(modality="Image").fit(gappy()[1])


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    job = rng.choice(["clerk", "cook", "nurse"], 200)
    found = pd.DataFrame({"job": job, "age": rng.integers(18, 70, 200), "pay": rng.lognormal(7, 1, 200).round(2)})
    found["since"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 300, 200), "D")
    found.loc[rng.random(200) < 0.2, "job"] = None
    return found


@pytest.fixture(scope="module")
def vae(frame: pd.DataFrame) -> VAE:
    return VAE(2, epochs=4, batch=32).fit(frame)


def test_the_verbs_take_and_return_mixed_frames(vae: VAE, frame: pd.DataFrame) -> None:
    codes = vae.transform(frame)
    assert codes.shape == (200, 2)
    assert np.isfinite(codes).all()
    for made in (vae.sample(30), vae.reconstruct(frame), vae.inverse_transform(codes)):
        assert list(made.columns) == list(frame.columns)
        assert made["since"].dtype == frame["since"].dtype
        assert made["age"].dropna().between(0, 200).all()
        assert set(made["job"].dropna()) <= {"clerk", "cook", "nurse"}
    scores = vae.score_samples(frame)
    assert np.isfinite(scores).all()
    order = np.random.default_rng(1).permutation(200)
    np.testing.assert_allclose(vae.score_samples(frame.iloc[order]), scores[order], rtol=1e-6)
    assert vae.score_samples(frame, per_column=True).shape == (200, 5)


def test_a_vae_draws_under_conditions_and_predicts(vae: VAE, frame: pd.DataFrame, tmp_path) -> None:
    assert set(vae.sample(20, given={"job": ["cook", "nurse"]})["job"]) <= {"cook", "nurse"}
    assert (vae.sample(20, given=["age>=40"], complete=True)["age"] >= 40).all()
    assert len(vae.sample(given_rows=frame[["age"]].head(7))) == 7
    assert vae.sample(9, balance="job")["job"].value_counts().tolist() == [3, 3, 3]
    found = vae.predict(frame.head(10), target="job")
    chances = vae.predict_proba(frame.head(10), target="job")
    assert found.tolist() == np.array(["clerk", "cook", "nurse"])[chances.argmax(1)].tolist()
    assert vae.predict(frame.head(10), target="age").shape == (10,)
    with pytest.raises(UsageError, match="no levels"):
        vae.predict_proba(frame.head(3), target="age")
    assert vae.predict(frame.head(3)).tolist() == vae.predict(frame.head(3), target="since").tolist()
    assert vae.predict_proba(frame.head(10)).tolist() == chances.tolist(), "the last column of levels"
    stored = load(vae.save(tmp_path / "m.lambent"))
    assert stored.predict(frame.head(10), target="job").tolist() == found.tolist()
    assert stored.sample(5, random_state=3).equals(vae.sample(5, random_state=3))
