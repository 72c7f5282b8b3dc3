"""scikit-learn's own law-book, with an empty list of expected failures, for four different priors."""

import pickle
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from lambent import VAE, Elbo, Flat, Ladder, UsageError, load
from lambent.model.priors import Flow

PRIORS = [None, "Mixture", {"type": "Vamp", "components": 10}, Flow(transforms=2, width=16)]


@parametrize_with_checks([VAE(2, prior=prior, epochs=2) for prior in PRIORS], expected_failed_checks=lambda _: {})
def test_scikit_learn_check(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def table() -> np.ndarray:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(300, 2))
    return z @ rng.normal(size=(2, 6)) + 0.1 * rng.normal(size=(300, 6)) + 5


@pytest.fixture(scope="module")
def fitted(table: np.ndarray) -> VAE:
    return VAE(3, epochs=150).fit(table)


def test_scores_do_not_depend_on_order_nor_on_company(fitted: VAE, table: np.ndarray) -> None:
    scores = fitted.score_samples(table)
    order = np.random.default_rng(1).permutation(len(table))
    np.testing.assert_allclose(fitted.score_samples(table[order]), scores[order], rtol=1e-12)
    np.testing.assert_allclose(fitted.score_samples(table[7:8]), scores[7:8], rtol=1e-12)
    assert np.array_equal(fitted.score_samples(table), scores)


def test_scoring_leaves_the_estimator_as_it_was(fitted: VAE, table: np.ndarray) -> None:
    before = {name: value.clone() for name, value in fitted.model_.state_dict().items()}
    fitted.score_samples(table)
    fitted.sample(3)
    assert all(np.array_equal(before[name], value) for name, value in fitted.model_.state_dict().items())


def test_learns_the_table(fitted: VAE, table: np.ndarray) -> None:
    error = ((fitted.reconstruct(table) - table) ** 2).mean(0)
    assert (error < 0.2 * table.var(0)).all()
    outlier = table[:1] + 20 * table.std(0) * np.array([1, -1, 1, -1, 1, -1])
    assert fitted.score_samples(outlier)[0] < fitted.score_samples(table).min()


def test_samples_come_in_the_units_of_the_data(fitted: VAE, table: np.ndarray) -> None:
    samples = fitted.sample(2000)
    assert samples.shape == (2000, 6)
    assert np.abs(samples.mean(0) - table.mean(0)).max() < 0.5 * table.std(0).max()
    assert np.array_equal(fitted.sample(5), fitted.sample(5))
    assert not np.array_equal(fitted.sample(5), fitted.sample(5, random_state=1))


def test_same_seed_same_fit(table: np.ndarray) -> None:
    first, second = (VAE(2, epochs=3, random_state=4).fit(table).transform(table) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, VAE(2, epochs=3, random_state=5).fit(table).transform(table))


def test_fit_leaves_the_parameters_alone(table: np.ndarray) -> None:
    latent, objective = Flat(2), Elbo(beta=2.0)
    vae = VAE(latent, objective=objective, epochs=1).fit(table)
    assert vae.latent is latent
    assert not list(latent.parameters())
    assert clone(vae).get_params()["objective"].beta == 2.0


def test_partial_fit_goes_on(table: np.ndarray) -> None:
    vae = VAE(3)
    scores = [vae.partial_fit(table).score(table) for _ in range(60)]
    assert scores[-1] > scores[10] > scores[0]


class Diary(Elbo):
    """Notes the progress and log λ of each step."""

    noted: ClassVar[list[tuple[float, float]]] = []

    def forward(self, *given, **named):
        self.noted.append((self.progress, float(self.log_beta)))
        return super().forward(*given, **named)


@pytest.fixture
def noted() -> Iterator[list[tuple[float, float]]]:
    Diary.noted.clear()
    yield Diary.noted
    Diary.noted.clear()


def test_partial_fit_is_one_training(table: np.ndarray, noted: list[tuple[float, float]]) -> None:
    """Calls over the same rows end in the bits of one fit of as many epochs: λ, moments, averages and orders go on."""
    objective = {"type": "Diary", "beta": "auto", "anneal": "linear"}
    settings = {"objective": objective, "likelihood": "Laplace", "epochs": 4, "precision": "fp32", "validation": 0}
    whole = VAE(2, **settings).fit(table)
    at_once, noted[:] = list(noted), []
    bit_by_bit = VAE(2, **settings)
    for call in range(4):
        bit_by_bit.partial_fit(table)
        bit_by_bit = pickle.loads(pickle.dumps(bit_by_bit))
        assert bit_by_bit.history_["epoch"] == list(range(1, call + 2))
    assert noted == at_once
    assert [progress for progress, _ in noted] == pytest.approx([k / 12 for k in range(1, 13)])
    assert noted[-1][1] != noted[0][1], "λ did move"
    assert bit_by_bit.history_["loss"] == whole.history_["loss"]
    for name, value in whole.model_.state_dict().items():
        assert np.array_equal(value, bit_by_bit.model_.state_dict()[name]), name
    for _ in range(2):
        bit_by_bit.partial_fit(table)
    assert [progress for progress, _ in noted[12:]] == [1.0] * 6


def test_partial_fit_keeps_the_opponent(table: np.ndarray) -> None:
    """The rival of FactorVAE goes on from its weights: four calls are one fit of four epochs."""
    settings = {
        "objective": {"type": "Factor", "width": 8, "depth": 1},
        "epochs": 4,
        "precision": "fp32",
        "validation": 0,
    }
    whole, bit_by_bit = VAE(2, **settings).fit(table), VAE(2, **settings)
    for _ in range(4):
        bit_by_bit.partial_fit(table)
    assert np.array_equal(whole.transform(table), bit_by_bit.transform(table))


def test_partial_fit_counts_over_the_first_rows_and_takes_others(table: np.ndarray, noted) -> None:
    """Without `epochs`, progress runs over the steps that `fit` would make with the first rows: 1,000 epochs of one."""
    vae = VAE(2, objective="Diary")
    for rows in (table[:100], table[100:], table[:50]):
        vae.partial_fit(rows)
    assert [progress for progress, _ in noted] == pytest.approx([k / 1000 for k in range(1, 5)])
    assert vae.history_["step"] == [1, 3, 4]


def test_partial_fit_after_fit_finds_the_objective_at_its_end(table: np.ndarray, noted) -> None:
    vae = VAE(2, objective={"type": "Diary", "anneal": "linear"}, epochs=2).fit(table)
    noted.clear()
    before = vae.score(table)
    for _ in range(3):
        vae.partial_fit(table)
    assert [progress for progress, _ in noted] == [1.0] * 9
    assert vae.score(table) > before
    vae.fit(table)
    assert [progress for progress, _ in noted[9:]] == pytest.approx([k / 6 for k in range(1, 7)])


def test_rows_of_another_level_are_learned_from_at_once(table: np.ndarray) -> None:
    """What counts as a spike is learned from the rows at hand: other rows are no spikes."""
    vae = VAE(2, batch=16)
    for _ in range(3):
        vae.partial_fit(table)
    vae.partial_fit(table + 40 * table.std(0))
    assert vae.history_["skipped"][-1] == 0


def test_file_and_pickle_give_the_same_estimator(fitted: VAE, table: np.ndarray, tmp_path) -> None:
    fitted.save(tmp_path / "model.safetensors")
    read = load(tmp_path / "model.safetensors")
    for other in (read, pickle.loads(pickle.dumps(fitted))):
        assert np.array_equal(other.transform(table), fitted.transform(table))
        assert np.array_equal(other.score_samples(table), fitted.score_samples(table))
    assert read.n_features_in_ == 6
    assert read.history_ == fitted.history_


def test_frames_names_and_output(table: np.ndarray) -> None:
    import pandas

    frame = pandas.DataFrame(table, columns=list("abcdef"))
    vae = VAE(2, epochs=1).set_output(transform="pandas").fit(frame)
    assert list(vae.transform(frame).columns) == ["vae0", "vae1"] == list(vae.get_feature_names_out())
    assert list(vae.feature_names_in_) == list("abcdef")
    assert np.array_equal(vae.transform(frame[list("fedcba")]), vae.transform(frame)), "by name, in whatever order"


def test_images(tmp_path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 9, 7), dtype=np.uint8)
    vae = VAE(2, network={"type": "Conv", "channels": [4, 8]}, epochs=1).fit(images)
    assert vae.sample(3).shape == (3, 9, 7)
    assert vae.sample(3).dtype == np.uint8
    assert vae.transform(images).shape == (40, 2)
    assert vae.inverse_transform(np.zeros((2, 2))).shape == (2, 9, 7)
    vae.save(tmp_path / "m.safetensors")
    assert np.array_equal(load(tmp_path / "m.safetensors").sample(3), vae.sample(3))


def test_images_suggest_a_prior_to_a_number_of_units() -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 9, 7), dtype=np.uint8)

    def prior(**given):
        vae = VAE(**{"latent": 2, "network": {"type": "Conv", "channels": [4, 8]}, "epochs": 1, **given})
        return type(vae.fit(images).model_.latent.prior).__name__

    assert prior() == prior(latent=None) == "Mixture"
    assert prior(prior="Vamp") == "Vamp"
    assert prior(latent=Flat(2)) == "Standard"
    assert prior(posterior="Point") == "Standard"
    assert prior(objective="BetaTc") == "Standard"


def test_what_the_data_suggest_includes_the_number_of_units(table: np.ndarray) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 9, 7), dtype=np.uint8)
    small = {"network": {"type": "Conv", "channels": [4, 8]}, "epochs": 1}
    assert VAE(**small).fit(images).model_.latent.size == 32
    assert VAE(posterior="Point", **small).fit(images).model_.latent.size == 32
    assert VAE(network={"type": "Mlp", "width": 8}, epochs=1).fit(table).model_.latent.size == 6


def test_levels_side_by_side(table: np.ndarray) -> None:
    vae = VAE(Ladder((2, 3), width=16), epochs=1).fit(table)
    codes = vae.transform(table)
    assert codes.shape == (300, 5)
    assert vae.inverse_transform(codes).shape == (300, 6)


def test_wrong_use_is_explained(fitted: VAE, table: np.ndarray) -> None:
    with pytest.raises(UsageError, match="have 3"):
        fitted.inverse_transform(np.zeros((2, 5)))
    with pytest.raises(UsageError, match="did you mean 'Vamp'"):
        VAE(2, prior="Vam").fit(table)
    with pytest.raises(UsageError, match="Diagonal posterior"):
        VAE(2, posterior="Point", epochs=1).fit(table).score_samples(table)


def test_in_a_pipeline(table: np.ndarray) -> None:
    assert make_pipeline(StandardScaler(), VAE(2, epochs=1)).fit_transform(table).shape == (300, 2)


def test_a_classifier_behind_it_is_grid_searched() -> None:
    random = np.random.default_rng(0)
    y = np.arange(150) % 3
    x = np.eye(3)[y] @ random.normal(size=(3, 6)) * 4 + random.normal(size=(150, 6))
    pipeline = Pipeline(
        [
            ("scale", StandardScaler()),
            ("vae", VAE(random_state=0, epochs=15, members=1)),
            ("classifier", LogisticRegression()),
        ]
    )
    search = GridSearchCV(pipeline, {"vae__latent": [1, 3], "classifier__C": [1e-4, 1.0]}, cv=2).fit(x, y)
    assert search.best_score_ > 0.9
    assert search.best_params_["vae__latent"] == 3  # one unit cannot hold three classes
    assert search.best_estimator_["vae"].transform(x).shape == (150, 3)
    assert search.predict(x).shape == (150,)
    assert search.score(x, y) > 0.9
    again = pipeline.set_params(**search.best_params_).fit(x, y)
    np.testing.assert_array_equal(again.predict(x), search.predict(x))
