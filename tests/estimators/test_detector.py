"""Detector: scikit-learn's own law-book, with an empty list of expected failures; the same bits whatever stands beside a row."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import lambent
from lambent import VAE, ArtifactError, DataError, Detector, Table, UsageError, load
from lambent.data import load as loaded
from lambent.estimators.parting import grouped_cut, in_parts
from lambent.tasks.detection.scores import Evidence

SMALL = {"epochs": 2, "network": {"type": "Mlp", "width": 16, "depth": 1}}


@parametrize_with_checks(
    [
        Detector(VAE(2, epochs=2), oddness="Evidence"),
        Detector(VAE(2, epochs=2), oddness=Evidence(samples=4), contamination=0.1, clean=True),
    ],
    expected_failed_checks=lambda _: {},
)
def test_scikit_learn_check(estimator, check):
    check(estimator)


def plane(rows: int, seed: int) -> np.ndarray:
    """Rows near a plane in five dimensions."""
    rng, axes = np.random.default_rng(seed), np.random.default_rng(99).normal(size=(2, 5))
    return rng.normal(size=(rows, 2)) @ axes + 0.1 * rng.normal(size=(rows, 5))


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(VAE(2, epochs=60), oddness="Evidence", clean=True).fit(plane(600, 0))


@pytest.fixture(scope="module")
def mixed() -> tuple[np.ndarray, np.ndarray]:
    """200 new rows, 40 of them off the plane; and which."""
    odd = np.zeros(200, bool)
    odd[::5] = True
    x = plane(200, 1)
    x[odd] = np.random.default_rng(2).normal(size=(40, 5)) * 4
    return x, odd


def test_tells_odd_rows(detector: Detector, mixed) -> None:
    x, odd = mixed
    flagged = detector.select(x)
    assert flagged[odd].mean() > 0.8
    assert flagged[~odd].sum() <= 0.25 * flagged.sum()
    assert np.array_equal(detector.select(x, by="e"), flagged), "of one split both flag the same"
    assert (detector.predict(x) == -1)[odd].mean() > 0.85
    assert (detector.predict(plane(1000, 3)) == -1).mean() == pytest.approx(0.1, abs=0.07)
    assert detector.score_samples(x)[~odd].mean() > detector.score_samples(x)[odd].mean(), "higher is more normal"
    found = lambent.detect(detector, x)
    assert np.array_equal(found.flagged, flagged)
    assert found.rule == {"fdr": 0.1}
    assert np.array_equal(found.scores, -detector.score_samples(x))


def test_tells_why(detector: Detector) -> None:
    """A cell that does not go with the others of its row is the reason, beside what was there."""
    x = plane(50, 7)
    x[3, 2] += 9
    found = lambent.detect(detector, x, contamination=0.04, reasons=1)
    assert list(found.why) == [3]
    assert found.why[3].startswith(f"x2 {x[3, 2]:.3g}"[:5])
    assert "expected" in found.why[3]
    assert found.columns()["why"].values[3] == found.why[3]
    assert not lambent.detect(detector, x, contamination=0.04).why


def test_p_values_of_new_normal_rows_are_uniform(detector: Detector) -> None:
    """Within what 120 held-out rows allow: the share of p ≤ α lies around α with an error of √(α (1 − α) / 120)."""
    p = detector.p_values(plane(4000, 5))
    for alpha in (0.1, 0.25, 0.5, 0.75):
        assert (p <= alpha).mean() == pytest.approx(alpha, abs=3 * np.sqrt(alpha * (1 - alpha) / 120))


def test_the_same_rows_give_the_same_bits(detector: Detector, mixed, tmp_path: Path) -> None:
    x, _ = mixed
    scores, p = detector.score_samples(x), detector.p_values(x)
    order = np.random.default_rng(0).permutation(len(x))
    assert np.array_equal(detector.score_samples(x[order]), scores[order])
    assert np.array_equal(np.concatenate([detector.score_samples(x[i : i + 1]) for i in range(20)]), scores[:20])
    np.save(tmp_path / "x.npy", x)
    detector.save(tmp_path / "m")
    code = (
        "import lambent, numpy, sys; d = lambent.load(sys.argv[1] + '/m'); x = numpy.load(sys.argv[1] + '/x.npy');"
        "numpy.save(sys.argv[1] + '/s.npy', numpy.stack([d.score_samples(x), d.p_values(x), d.predict(x)]))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True)
    there = np.load(tmp_path / "s.npy")
    assert np.array_equal(there, np.stack([scores, p, detector.predict(x)]))


def test_the_default_score_hangs_on_no_order_either() -> None:
    x, new = plane(150, 0), plane(60, 1)
    found = Detector(VAE(2, **SMALL)).fit(x)
    assert found.fitted_.detection.score["type"] == "Blend"
    both = np.r_[new, x]
    order = np.random.default_rng(0).permutation(len(both))
    for verb in (found.score_samples, found.p_values, found.predict):
        whole = verb(both)
        assert np.array_equal(verb(both[order]), whole[order])
        assert np.array_equal(verb(both[70:71]), whole[70:71])
    assert np.array_equal(-found.score_samples(x), found.decision_scores_), "training rows are read out as such"


def test_the_same_seed_gives_the_same_detector() -> None:
    x = plane(100, 0)
    first, again, other = (Detector(VAE(2, **SMALL), random_state=seed).fit(x) for seed in (1, 1, 2))
    assert np.array_equal(first.decision_scores_, again.decision_scores_)
    assert first.threshold_ == again.threshold_
    assert not np.array_equal(first.decision_scores_, other.decision_scores_)


def test_scores_of_the_rows_of_fit_are_in_their_order(detector: Detector) -> None:
    x = plane(600, 0)
    assert np.array_equal(detector.decision_scores_, -detector.score_samples(x))
    assert np.array_equal(detector.labels_ == 1, detector.decision_scores_ > detector.threshold_)
    assert np.array_equal(np.where(detector.labels_ == 1, -1, 1), detector.predict(x))
    assert detector.offset_ == -detector.threshold_
    assert np.array_equal(detector.decision_function(x), detector.score_samples(x) - detector.offset_)
    for name in ("decision_scores_", "labels_", "threshold_", "offset_", "fitted_"):
        with pytest.raises(AttributeError):
            setattr(detector, name, 1)
        assert not hasattr(Detector(), name)
    detector.decision_scores_[:] = 0
    assert detector.decision_scores_.any(), "a copy"


@pytest.mark.parametrize(("rule", "flagged"), [({"contamination": 0.05}, 10), ({"contamination": 0.5}, 100)])
def test_contamination_flags_its_share(rule: dict, flagged: int) -> None:
    found = Detector(VAE(2, **SMALL), **rule).fit(plane(200, 0))
    assert found.labels_.sum() == flagged
    assert (found.fit_predict(plane(200, 0)) == -1).sum() == flagged


def test_a_tail_sets_the_threshold() -> None:
    x = plane(1000, 0)
    found = Detector(VAE(2, **SMALL), oddness="Evidence", tail=0.005).fit(x)
    held_out = found.fitted_.detection.held_out.numpy()
    assert found.threshold_ > np.quantile(held_out, 0.9)
    assert (found.predict(plane(4000, 1)) == -1).mean() < 0.02
    with pytest.raises(DataError, match="40 held-out rows at least"):
        Detector(VAE(2, **SMALL), tail=0.005).fit(x[:100])


def test_nothing_held_out() -> None:
    found = Detector(VAE(2, **SMALL), calibration=0, contamination=0.1).fit(plane(100, 0))
    assert found.labels_.sum() == 10
    with pytest.raises(UsageError, match=r"calibration=0\.2"):
        found.p_values(plane(3, 0))
    with pytest.raises(UsageError, match="give contamination instead"):
        Detector(calibration=0).fit(plane(100, 0))


def test_copies_stay_on_one_side() -> None:
    x = np.repeat(plane(40, 0), 5, 0)
    x = np.r_[x, np.repeat(plane(1, 9), 100, 0)]
    whole = loaded(x, modality=Table())
    kept, held = grouped_cut(whole, 0.2, 3)
    assert len(held) == 60
    assert sorted([*kept, *held]) == list(range(300))
    assert not {tuple(row) for row in x[kept]} & {tuple(row) for row in x[held]}
    assert not np.array_equal(held, grouped_cut(whole, 0.2, 4)[1])


def test_three_parts_without_a_common_row() -> None:
    """What early stopping looks at is none of the rows that others are compared with, and scales are of the training rows."""
    x = plane(200, 0)
    x[:, 0] *= 100
    parts = in_parts(VAE(), x, None, 0.2, 0)
    assert (len(parts.training), len(parts.validation), len(parts.held_out)) == (144, 16, 40)
    each = [{tuple(row) for row in rows.x.tolist()} for rows in (parts.training, parts.validation, parts.held_out)]
    assert len(set.union(*each)) == 200
    assert torch.allclose(parts.training.x.mean(0), torch.zeros(5), atol=1e-5)
    places = np.concatenate([parts.kept_numbers, parts.held_numbers])
    assert sorted(places) == list(range(200))
    back = parts.training.modality.decode(parts.held_out.x)
    assert np.allclose(back, x[parts.held_numbers], rtol=1e-4, atol=1e-3)


def test_in_pipelines_and_searches() -> None:
    x, y = plane(150, 0), np.ones(150)
    x[::10], y[::10] = np.random.default_rng(1).normal(size=(15, 5)) * 6, -1
    pipeline = make_pipeline(StandardScaler(), Detector(VAE(2, **SMALL))).fit(x)
    assert set(pipeline.predict(x)) == {-1, 1}
    search = GridSearchCV(
        Detector(VAE(2, **SMALL)), {"vae__latent": [1, 2], "contamination": [0.1]}, scoring="roc_auc", cv=2
    ).fit(x, y)
    assert search.best_score_ > 0.7
    assert search.best_estimator_.vae_.model_.latent.size == search.best_params_["vae__latent"]
    assert "vae__epochs" in Detector(VAE()).get_params()


def frame(rows: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    job = rng.choice(["clerk", "cook", "nurse"], rows)
    made = pd.DataFrame({"job": job, "pay": rng.lognormal(7, 1, rows).round(2), "ok": rng.random(rows) < 0.4})
    made.loc[rng.random(rows) < 0.2, "job"] = None
    made.loc[rng.random(rows) < 0.2, "pay"] = np.nan
    return made


def test_mixed_tables_of_any_library_and_files(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    whole = frame(200)
    found = Detector(VAE(2, epochs=2, batch=64), oddness="Evidence", clean=True).fit(whole)
    assert list(found.feature_names_in_) == ["job", "pay", "ok"]
    scores = found.score_samples(whole)
    assert np.isfinite(scores).all()
    order = np.random.default_rng(1).permutation(200)
    assert np.array_equal(found.score_samples(whole.iloc[order]), scores[order])
    assert np.array_equal(found.score_samples(whole[["ok", "pay", "job"]]), scores), "by name, in whatever order"
    whole.to_csv(tmp_path / "t.csv", index=False)
    assert np.array_equal(found.score_samples(tmp_path / "t.csv"), scores)
    in_polars = polars.from_pandas(whole)
    assert np.array_equal(found.score_samples(in_polars), scores)
    assert isinstance(lambent.detect(found, in_polars).frame(), polars.DataFrame)
    assert isinstance(lambent.detect(found, whole).frame(), pd.DataFrame)
    from_file = Detector(VAE(2, epochs=2, batch=64), oddness="Evidence").fit(str(tmp_path / "t.csv"))
    assert from_file.labels_.shape == (200,)
    assert from_file.select(str(tmp_path / "t.csv")).shape == (200,)


def test_images() -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 9, 7), dtype=np.uint8)
    found = Detector(VAE(2, network={"type": "Conv", "channels": [4, 8]}, epochs=1), oddness="Evidence").fit(images)
    assert found.predict(images).shape == (60,)
    assert np.array_equal(found.score_samples(images[::-1]), found.score_samples(images)[::-1])
    assert lambent.detect(found, images, contamination=0.1).flagged.sum() == 6


@pytest.mark.parametrize("rows", [5, 6, 12, 50])
def test_few_rows(rows: int) -> None:
    found = Detector(VAE(1, **SMALL)).fit(plane(rows, 0))
    assert np.isfinite(found.decision_function(plane(4, 1))).all()
    assert len(found.fitted_.detection.held_out) == round(0.2 * rows)


@pytest.mark.parametrize("distinct", [1, 3])
def test_rows_of_which_none_can_be_held_out_are_refused(distinct: int) -> None:
    with pytest.raises(DataError, match="copies of a row stay on one side, and each of these 60 rows"):
        Detector(VAE(1, **SMALL)).fit(np.repeat(plane(distinct, 0), 60 // distinct, 0))


def test_what_comes_with_fit_is_asked_for_too_early() -> None:
    for name in ("fitted_", "threshold_", "decision_scores_", "labels_"):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            getattr(Detector(), name)


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_fewer_rows_are_refused(rows: int) -> None:
    with pytest.raises(DataError, match=f"n_samples = {rows}.*at least 5 are needed"):
        Detector().fit(plane(rows, 0))


def test_labels_that_leak_are_refused() -> None:
    x = pd.DataFrame(plane(100, 0), columns=list("abcde"))
    y = np.where(np.arange(100) % 10 == 3, "fraud", "fine")
    for column in (y == "fraud", np.where(y == "fraud", 7.5, -2.0), np.where(y == "fraud", None, "paid")):
        with pytest.raises(DataError, match=r"column 'leak' is the label under another name.*--data.drop leak"):
            Detector(VAE(2, **SMALL)).fit(x.assign(leak=column), y)
    near = (y == "fraud") ^ (np.arange(100) == 5)
    Detector(VAE(2, **SMALL)).fit(x.assign(near=near.astype(float)), y)
    Detector(VAE(2, **SMALL)).fit(x.assign(class_=np.arange(100.0)), np.arange(100))
    with pytest.raises(DataError, match="column 'leak'"):
        Detector(VAE(2, modality=Table(label="y"), **SMALL)).fit(x.assign(leak=(y == "fraud") * 1.0, y=y))


def test_labels_are_not_learned_from() -> None:
    x, y = plane(100, 0), np.arange(100) % 10 == 3
    with_labels, without = Detector(VAE(2, **SMALL)).fit(x, y), Detector(VAE(2, **SMALL)).fit(x)
    assert np.array_equal(with_labels.decision_scores_, without.decision_scores_)


def test_clean_rows_are_not_trimmed(monkeypatch: pytest.MonkeyPatch) -> None:
    suits = Table.detecting

    def trimmed(self) -> dict:
        return {
            **suits(self),
            "objective": {"type": "Elbo", "trim": 0.3, "untrimmed": 1},
            "model": {"members": 2},
            "latent": {"type": "Flat", "size": 2},
            "fit": {"epochs": 1},
        }

    monkeypatch.setattr(Table, "detecting", trimmed)
    for clean, trim in ((False, 0.3), (True, 0.0)):
        found = Detector(clean=clean).fit(plane(60, 0))
        assert found.vae_._objective().trim == trim
        assert found.vae_.model_.members == 2
        assert found.fitted_.detection.facts["clean"] is clean
        assert found.fitted_.detection.score["untrimmed"] == (0 if clean else 1)
    own = Detector(VAE(2, objective={"type": "Elbo", "trim": 0.2}, **SMALL), clean=True).fit(plane(60, 0))
    assert own.vae_._objective().trim == 0.0


def test_file_and_pickle_give_the_same_detector(detector: Detector, mixed, tmp_path: Path) -> None:
    x, _ = mixed
    read = load(detector.save(tmp_path / "m"))
    assert isinstance(read, Detector)
    assert read.clean
    assert read.oddness == "Evidence"
    assert read.threshold_ == detector.threshold_
    assert read.n_features_in_ == 5
    for other in (read, pickle.loads(pickle.dumps(detector))):
        assert np.array_equal(other.score_samples(x), detector.score_samples(x))
        assert np.array_equal(other.select(x, 0.2), detector.select(x, 0.2))
    with pytest.raises(AttributeError, match="not kept in files"):
        read.decision_scores_  # noqa: B018
    again = load(read.save(tmp_path / "n"))
    assert np.array_equal(again.p_values(x), detector.p_values(x))
    assert isinstance(load(VAE(2, **SMALL).fit(plane(60, 0)).save(tmp_path / "v")), VAE)


def test_a_file_with_a_score_that_is_unknown_is_refused(detector: Detector, tmp_path: Path) -> None:
    damaged = pickle.loads(pickle.dumps(detector))
    damaged.fitted_.detection.score = {"type": "Gut feeling"}
    with pytest.raises(ArtifactError, match="no Score is called 'Gut feeling'"):
        load(damaged.save(tmp_path / "m"))


def test_several_splits(mixed) -> None:
    x, odd = mixed
    found = Detector(VAE(2, epochs=20), oddness="Evidence", clean=True, splits=3).fit(plane(600, 0))
    assert len(found.splits_) == 2
    held = [set(each.fitted_.detection.held_out.tolist()) for each in (found, *found.splits_)]
    assert not held[0] & held[1]
    e = found.e_values(x)
    assert len(np.unique(e)) > 2
    flagged = found.select(x, 0.2, by="e")
    assert flagged[odd].mean() > 0.5
    assert flagged[~odd].sum() <= 0.4 * flagged.sum()
    with pytest.raises(UsageError, match="one model"):
        found.save("never")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"contamination": 0.1, "tail": 0.1}, "contamination and tail are several"),
        ({"contamination": 0.6}, r"share in \(0, 0.5\]"),
        ({"fdr": 1.5}, "fdr must be a share"),
        ({"calibration": 1.0}, "calibration must be a share"),
        ({"clean": "no"}, "clean must be True"),
        ({"splits": 0}, "splits must be a whole number"),
        ({"vae": "VAE"}, "vae is a lambent.VAE"),
        ({"oddness": "Evidenc"}, "did you mean 'Evidence'"),
    ],
)
def test_wrong_settings_are_explained(settings: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Detector(**{"vae": VAE(2, **SMALL), **settings}).fit(plane(60, 0))
    with pytest.raises(UsageError, match="by p-values or by e-values"):
        Detector().select(plane(3, 0), by="x")  # type: ignore[arg-type]


def test_rows_with_gaps_are_kept_in_the_file(tmp_path: Path) -> None:
    frame = pd.DataFrame(plane(80, 0), columns=list("abcde"))
    frame.loc[::5, "a"] = np.nan
    fitted = Detector(VAE(2, **SMALL), oddness="Nearest", clean=True).fit(frame)
    again = lambent.load(fitted.save(tmp_path / "gaps.safetensors"))
    kept = again.fitted_.detection.kept["rows"]
    assert kept.isnan().any()
    assert torch.equal(kept.nan_to_num(7), fitted.fitted_.detection.kept["rows"].nan_to_num(7))
    assert (again.score_samples(frame) == fitted.score_samples(frame)).all()
