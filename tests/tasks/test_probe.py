"""probe: codes made by hand tell all or nothing; a trained model beside its rows, their PCA and an autoencoder."""

import numpy as np
import pytest
import torch

from lambent import VAE, DataError, Encoded, Flat, Gaussian, Image, LatentModel, Mlp, Point, UsageError
from lambent.fitted import Rows
from lambent.tasks.features.labels import labels_of, read
from lambent.tasks.features.probe import probe
from lambent.tasks.features.readers import apart, evened, reading_of

HEAPS = np.array([[8.0, 0, 0, 0], [0, 8, 0, 0], [0, 0, 8, 0]])


def heaps(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows in three heaps far apart, and which."""
    random = np.random.default_rng(seed)
    of = random.integers(0, 3, count)
    return (HEAPS[of] + 0.3 * random.normal(size=(count, 4))).astype(np.float32), of


def test_heaps_far_apart_are_told_and_labels_by_chance_are_not() -> None:
    (x, y), (held, z) = heaps(300, 0), heaps(200, 1)
    sure = reading_of(read("y", y), read("y", z), (1, 10), 10, 0)
    found = sure.outcome(x, held)
    assert found.linear.value == found.neighbours.value == found.few[1].value == found.few[10].value == 1
    random = np.random.default_rng(2)
    noise = reading_of(read("y", random.integers(0, 2, 2000)), read("y", random.integers(0, 2, 2000)), (10,), 10, 0)
    nothing = noise.outcome(random.normal(size=(2000, 4)), random.normal(size=(2000, 4)))
    for one in (nothing.linear, nothing.neighbours, nothing.few[10]):
        assert one.value == pytest.approx(0.5, abs=0.05)
    assert nothing.linear.low < 0.51
    assert noise.chance == pytest.approx(0.5, abs=0.05)


def test_numbers_are_told_by_their_own_features_and_not_by_noise() -> None:
    random = np.random.default_rng(0)
    x, held = random.normal(size=(2, 1500, 5))
    weights = np.array([1.0, -2, 0, 0, 3])
    reading = reading_of(read("y", x @ weights), read("y", held @ weights), (1, 10, 1000), 10, 0)
    found = reading.outcome(x, held)
    assert found.linear.value == pytest.approx(1, abs=1e-4)
    assert set(found.few) == {10, 100}  # and 10,000 rows there are not
    assert "fewer than 10000 rows" in reading.notes[0]
    assert found.few[100].value > 0.99
    noise = reading.outcome(random.normal(size=x.shape), random.normal(size=x.shape))
    assert abs(noise.linear.value) < 0.03
    assert apart(found, noise)["linear"].value == pytest.approx(found.linear.value - noise.linear.value)


def test_few_labels_read_by_one_scale_and_dead_units_stay_small() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(500, 3)) * [2, 1, 1e-4]
    first, second = evened(x, x + 1)
    assert first.var(0).mean() == pytest.approx(1)
    assert first.std(0)[0] / first.std(0)[1] == pytest.approx(x.std(0)[0] / x.std(0)[1])
    assert first.std(0)[2] < 1e-3
    np.testing.assert_allclose(second - first, 1 / np.sqrt(x.var(0).mean()))


@pytest.fixture(scope="module")
def trained() -> tuple[VAE, np.ndarray, np.ndarray]:
    x, y = heaps(400, 3)
    return VAE(2, epochs=40, likelihood="Gaussian", random_state=0, members=1).fit(x), x, y


def test_a_models_codes_stand_beside_what_is_no_vae(trained: tuple[VAE, np.ndarray, np.ndarray]) -> None:
    vae, x, y = trained
    found = probe(vae, x, y, few=(1, 10), epochs=40)
    assert list(found.spaces) == ["codes", "data", "PCA", "autoencoder"]
    assert [one.units for one in found.spaces.values()] == [2, 4, 2, 2]
    assert found.spaces["data"].linear.value == 1
    assert found.spaces["PCA"].neighbours.value == 1
    assert found.spaces["codes"].neighbours.value > 0.95
    assert found.spaces["autoencoder"].neighbours.value > 0.95
    assert found.rows == (300, 100)
    assert found.apart["data"]["linear"].value <= 0
    assert found.plain()["spaces"]["codes"]["linear"]["value"] == found.spaces["codes"].linear.value
    again = probe(vae, x, y, few=(1, 10), autoencoder=False)
    assert list(again.spaces) == ["codes", "data", "PCA"]
    assert again.spaces["codes"].few == found.spaces["codes"].few
    shuffled = probe(vae, x, np.random.default_rng(0).permutation(y), few=(1,), autoencoder=False)
    assert shuffled.spaces["codes"].linear.low < 0.4


def test_rows_to_test_on_may_be_others(trained: tuple[VAE, np.ndarray, np.ndarray]) -> None:
    vae, x, y = trained
    others, z = heaps(120, 9)
    found = probe(vae, x, y, test=others, test_label=z, few=(), autoencoder=False)
    assert found.rows == (400, 120)
    assert found.spaces["data"].neighbours.value == 1
    with pytest.raises(UsageError, match="test_label"):
        probe(vae, x, y, test=others)
    number = probe(vae, x, x[:, 0] * 2.5, few=(), autoencoder=False)
    assert number.kind == "number"
    assert number.spaces["data"].linear.value == pytest.approx(1, abs=1e-3)


def test_rows_without_a_label_are_left_out(trained: tuple[VAE, np.ndarray, np.ndarray]) -> None:
    vae, x, y = trained
    gappy = np.where(np.arange(400) % 2 == 0, y.astype(object), None)
    found = probe(vae, x, gappy, few=(), autoencoder=False)
    assert sum(found.rows) == 200
    assert found.classes == ["0", "1", "2"]


def test_what_cannot_be_probed_is_said(trained: tuple[VAE, np.ndarray, np.ndarray]) -> None:
    vae, x, y = trained
    with pytest.raises(DataError, match="same label"):
        probe(vae, x, np.zeros(400, int))
    with pytest.raises(DataError, match="all alike"):
        probe(vae, x, np.full(400, 0.5))
    with pytest.raises(DataError, match="399 labels"):
        probe(vae, x, y[1:])
    with pytest.raises(UsageError, match="no labels along"):
        probe(vae, x, "kind")
    with pytest.raises(DataError, match="rows of this side have a label"):
        probe(vae, x[:30], y[:30])
    with pytest.raises(UsageError, match="most"):
        probe(vae, x, y, most=3)
    words = np.array(["a", "b"] * 200, object)
    with pytest.raises(DataError, match="holds 'a'"):
        probe(vae, x, words, kind="number")
    conditioned = VAE(2, condition="label", epochs=1).fit(x, y)
    with pytest.raises(UsageError, match="is told 'label'"):
        probe(conditioned, x, "label")


def test_labels_are_classes_or_numbers_by_what_they_hold() -> None:
    assert read("y", np.array([3, 1, 10])).classes == ["1", "3", "10"]
    assert read("y", np.array([0.5, 1.25])).numeric
    assert read("y", np.arange(60)).numeric
    assert not read("y", np.arange(60), "classes").numeric
    assert read("y", np.array([0, 1, 1]), "number").numeric
    assert read("y", np.array([True, False])).classes == ["false", "true"]
    gappy = read("y", np.array(["b", "", None, "a"], object))
    assert gappy.values.tolist() == [1, -1, -1, 0]
    assert gappy.known.tolist() == [0, 3]
    x = torch.zeros(4, 1, 2, 2)
    factors = np.arange(8).reshape(4, 2)
    encoded = Encoded(x, Image(), np.array([0, 1, 1, 0]), ["ape", "bee"], factors, ["shape", "size"])
    rows = Rows(x, None, encoded)
    assert labels_of("label", rows).classes == ["ape", "bee"]
    assert labels_of("size", rows).values.tolist() == [0, 1, 2, 3]
    with pytest.raises(UsageError, match="did you mean 'shape'"):
        labels_of("shpe", rows)


def test_a_network_without_a_form_for_one_vector_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    model = LatentModel(Flat(2, posterior=Point()), Gaussian(), Mlp(8)).setup((4,))
    x, y = heaps(100, 5)
    monkeypatch.setattr("lambent.tasks.features.spaces.Flat", _refusing)
    found = probe(model, torch.from_numpy(x), y, few=(50,))
    assert "autoencoder" not in found.spaces
    assert any("no autoencoder of the same network: not so" in note for note in found.notes)
    assert any("not every class has 50" in note for note in found.notes)


def _refusing(*_: object, **__: object) -> Flat:
    raise UsageError("not so")
