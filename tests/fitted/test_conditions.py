"""Conditions: columns beside the data as vectors, by name; what is missing, unknown or of another type is said in one line."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import norm

from lambent import VAE, Elbo, Flat, Gaussian, LatentModel, Mixture, Mlp, evaluate, fit, fit_prior, load, priors
from lambent.data import encode_like
from lambent.data import load as encode
from lambent.data.condition import Category, Number
from lambent.data.conditions import Conditions, named
from lambent.data.readers.raw import Raw
from lambent.data.splitting import take
from lambent.errors import ArtifactError, DataError, UsageError
from lambent.fitted import Fitted
from lambent.tasks.explore import generate
from lambent.tasks.predict import predict

NETWORK = {"type": "Mlp", "width": 32, "depth": 1}


@pytest.fixture
def both() -> Conditions:
    return Conditions.fit({"site": np.array(["b", "a", "b", "b"], object), "age": np.array([20.0, 30.5, 40.0, 50.0])})


def test_categories_are_one_hot_and_numbers_scaled(both: Conditions) -> None:
    site, age = both.items
    assert isinstance(site, Category)
    assert isinstance(age, Number)
    assert (site.levels, site.counts) == (["a", "b"], [1, 3])
    assert both.width == 3
    found = both.encode({"site": np.array(["a", "b"], object), "age": np.array([35.125, 35.125 + age.scale])})
    torch.testing.assert_close(found, torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]))
    torch.testing.assert_close(site.log_frequencies.exp(), torch.tensor([0.25, 0.75], dtype=torch.float64))


def test_which_columns_are_categories() -> None:
    columns = {
        "few": np.arange(40) % 3,
        "many": np.arange(40),
        "truth": np.arange(40) % 2 == 0,
        "real": np.linspace(0, 1, 40),
        "text": np.array(["u", "v"] * 20, object),
    }
    kinds = [item.kind for item in Conditions.fit(columns).items]
    assert kinds == ["category", "number", "category", "number", "category"]
    assert Conditions.fit({"n": np.array([10, 9, 2] * 4)}).items[0].known == "2, 9, 10"  # by number, not by letter


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "no site was given.*known: a, b"),
        ({"site": "a"}, "no age was given.*20 … 50"),
        ({"site": "c", "age": 1}, "no level is called 'c'.*Allowed: a, b"),
        ({"site": "a", "age": "old"}, "'age' takes numbers, and 'old' is none"),
        ({"site": "a", "age": float("nan")}, "missing or not finite"),
        ({"sites": "a", "age": 1}, "not conditioned on 'sites'; did you mean 'site'"),
    ],
)
def test_what_is_given_wrongly_is_said(both: Conditions, values: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        both.given(values, 3)


def test_what_cannot_condition_is_said() -> None:
    with pytest.raises(DataError, match="'c' is 1 in every row"):
        Conditions.fit({"c": np.ones(5)})
    with pytest.raises(DataError, match="'c', row 2: has no value"):
        Conditions.fit({"c": np.array(["a", None, "b"], object)})
    with pytest.raises(UsageError, match="takes NAME=VALUE"):
        named(["label"])
    with pytest.raises(UsageError, match="twice"):
        named(["a=1", "a=2"])
    assert named(["a=1", "b=x=y"]) == {"a": "1", "b": "x=y"}


def test_plain_json_and_back(both: Conditions) -> None:
    again = Conditions.restored(both.state())
    assert again == both
    for damage in (
        [{"kind": "nothing"}],
        [{**both.state()[0], "counts": [1]}],
        [{**both.state()[1], "scale": 0.0}],
        both.state() * 2,
    ):
        with pytest.raises(ArtifactError):
            Conditions.restored(damage)


# ---- models -----------------------------------------------------------------------------------------------------------


def frame(rows: int = 900, seed: int = 0) -> pd.DataFrame:
    """x is N(m, 0.5²) with m = −3, 0, 3 by site; two thirds of the rows are of site c."""
    random = np.random.default_rng(seed)
    site = random.choice(["a", "b", "c"], rows, p=[1 / 6, 1 / 6, 2 / 3])
    mean = pd.Series(site).map({"a": -3.0, "b": 0.0, "c": 3.0}).to_numpy()
    return pd.DataFrame({"x": mean + 0.5 * random.normal(size=rows), "noise": random.normal(size=rows), "site": site})


@pytest.fixture(scope="module")
def by_site() -> VAE:
    table = VAE(latent=2, condition="site", network=NETWORK, epochs=60, learning_rate=3e-3, precision="fp32")
    return table.fit(frame())


def test_samples_follow_what_is_given(by_site: VAE) -> None:
    for site, mean in (("a", -3.0), ("b", 0.0), ("c", 3.0)):
        drawn = by_site.sample(2000, given={"site": site}, random_state=1)
        assert list(drawn.columns) == ["x", "noise"]
        assert drawn["x"].mean() == pytest.approx(mean, abs=0.25)
        assert drawn["x"].std() == pytest.approx(0.5, abs=0.2)


def test_levels_by_bayes_rule(by_site: VAE) -> None:
    """P(site | x) in closed form, the levels as often as they are."""
    test = frame(300, seed=1)
    found = predict(by_site, test, "site", samples=64)
    counts = np.array(by_site.fitted_.conditions.category("site").counts)
    joint = np.stack([norm.logpdf(test["x"], m, 0.5) for m in (-3.0, 0.0, 3.0)], 1) + np.log(counts / counts.sum())
    exact = joint - np.logaddexp.reduce(joint, axis=1, keepdims=True)
    assert found.levels == ["a", "b", "c"]
    np.testing.assert_allclose(found.log_posterior.exp().sum(1), 1, atol=1e-9)
    assert np.mean(np.array(found.likeliest) == np.array(["a", "b", "c"])[exact.argmax(1)]) > 0.97
    np.testing.assert_allclose(found.log_posterior.exp().numpy(), np.exp(exact), atol=0.35)
    assert np.abs(found.log_posterior.exp().numpy() - np.exp(exact)).mean() < 0.03


def test_rows_are_scored_under_their_own_or_a_given_level(by_site: VAE) -> None:
    test = frame(200, seed=2)
    own = by_site.score_samples(test)
    bare = test[["x", "noise"]]
    wrong = by_site.score_samples(bare, given={"site": "a"})
    of_a = (test["site"] == "a").to_numpy()
    np.testing.assert_allclose(own[of_a], wrong[of_a], atol=1e-9)
    assert wrong[~of_a].mean() < own[~of_a].mean() - 5
    with pytest.raises(DataError, match="have no 'site'"):
        by_site.score_samples(bare)
    np.testing.assert_allclose(by_site.score_samples(test[["site", "noise", "x"]]), own, atol=1e-9)


def test_the_same_code_under_another_level(by_site: VAE) -> None:
    rows = frame(50, seed=3)
    moved = by_site.reconstruct(rows, given={"site": "a"})
    assert moved["x"].mean() == pytest.approx(-3.0, abs=0.4)
    own = by_site.reconstruct(rows)
    np.testing.assert_allclose(
        own["x"][0],
        by_site.inverse_transform(by_site.transform(rows.head(1)), given={"site": rows["site"][0]})["x"][0],
        atol=1e-6,
    )
    assert np.corrcoef(own["x"], rows["x"])[0, 1] > 0.9


def test_kept_in_the_model_file(by_site: VAE, tmp_path: Path) -> None:
    test = frame(100, seed=4)
    again = load(by_site.save(tmp_path / "m.safetensors"))
    assert again.fitted_.conditions == by_site.fitted_.conditions
    np.testing.assert_allclose(again.score_samples(test), by_site.score_samples(test), atol=1e-6)
    found, other = (evaluate(v, test, samples=4, seed=0).metrics["elbo"].value for v in (by_site, again))
    assert found == pytest.approx(other, abs=1e-4)


KINDS: dict[str, dict[str, Any]] = {
    "plain": {"latent": 2, "prior": "Standard"},
    "sphere": {"latent": {"type": "Flat", "size": 3, "prior": "Sphere", "posterior": "MisesFisher"}},
    "InfoVae": {"latent": 2, "prior": "Standard", "objective": {"type": "InfoVae", "weight": 10}},
    "Lagging": {"latent": 2, "prior": "Standard", "objective": {"type": "Lagging", "most": 3, "longest": 0.2}},
    "Transformer": {"latent": 2, "prior": "Standard", "network": {"type": "Transformer", "width": 16, "depth": 1}},
}


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_pictures_condition(kind: str) -> None:
    """Grey by label: dark, middle, light."""
    random = np.random.default_rng(0)
    labels = np.arange(240) % 3
    pictures = (60 + 70 * labels[:, None, None] + random.integers(-10, 10, (240, 8, 8))).astype(np.uint8)
    parts = {"likelihood": "Gaussian", "network": NETWORK, "learning_rate": 3e-3, **KINDS[kind]}
    vae = VAE(condition="label", epochs=60, batch=32, precision="fp32", **parts).fit(pictures, labels)
    levels = [vae.sample(20, given={"label": label}).mean() for label in range(3)]
    assert np.diff(levels) == pytest.approx([70, 70], abs=20)
    found = predict(vae, pictures[:60], "label", samples=8)
    assert np.mean(np.array(found.likeliest) == labels[:60].astype(str)) > 0.95


def test_a_part_of_the_rows_keeps_its_conditions() -> None:
    encoded = encode(frame(30), modality={"type": "Table", "condition": ["site"]})
    assert encoded.context is not None
    part = take(encoded, np.array([3, 1]))
    assert part.context is not None
    assert torch.equal(part.context, encoded.context[[3, 1]])
    assert part.beside["site"].tolist() == [encoded.beside["site"][3], encoded.beside["site"][1]]


@pytest.mark.parametrize(
    ("prior", "best"),
    [
        (Mixture(components=3, conditional=False), 1.59),
        (Mixture(components=3), 0.73),
        (priors.Flow(transforms=2, width=32), 0.73),
    ],
)
def test_a_prior_is_fitted_under_the_context(prior: Any, best: float) -> None:
    """Codes N(−4, 0 or 4, ½²) by site: −E log p(z | c) is ½ log(2πe/4), and H(c) more for a prior that does not know c."""
    encoded = encode(frame(1200), modality={"type": "Table", "condition": ["site"]})
    model = LatentModel(Flat(1), Gaussian(), Mlp(4, 1), context=3).setup((2,))
    head = model.latent.posterior.head
    with torch.no_grad():
        head.weight.zero_()
        head.weight[0, -3:] = torch.tensor([-4.0, 0.0, 4.0])
        head.bias.copy_(torch.tensor([0.0, np.log(0.5)]))
    fitted = Fitted(model, encoded.modality)
    history = fit_prior(fitted, encoded, prior, epochs=40, learning_rate=5e-3, precision="fp32")
    assert history["loss"][-1] == pytest.approx(best, abs=0.12)
    rows = generate(fitted, 16, context=fitted.given({"site": "b"}, 16))
    assert rows.shape == (16, 2)


def test_a_model_without_conditions_takes_none() -> None:
    vae = VAE(latent=2, network=NETWORK, epochs=1).fit(np.random.default_rng(0).normal(size=(50, 3)))
    with pytest.raises(UsageError, match="no column is called 'label'; Allowed: x0, x1, x2"):
        vae.sample(2, given={"label": 1})
    with pytest.raises(UsageError, match="neither a column nor a condition 'label' to predict"):
        predict(vae, np.zeros((2, 3)))


def test_what_is_not_there_cannot_condition() -> None:
    with pytest.raises(UsageError, match="they have no labels"):
        VAE(condition="label", latent=2, network=NETWORK, epochs=1).fit(
            np.zeros((20, 8, 8), np.uint8) + np.arange(8, dtype=np.uint8)
        )
    with pytest.raises(UsageError, match="has no column 'sit'; did you mean 'site'"):
        VAE(condition="sit", latent=2, network=NETWORK, epochs=1).fit(frame(30))


def test_an_empty_cell_is_no_level(both: Conditions) -> None:
    for empty in ("", "  ", None, float("nan")):
        column = np.array(["a", "b", empty], object)
        with pytest.raises(DataError, match="row 3: has no value"):
            Conditions.fit({"site": column})
        with pytest.raises(DataError, match="row 3: has no value"):
            both.encode({"site": column, "age": np.arange(3.0)})


def test_one_value_is_given_for_all_rows(both: Conditions) -> None:
    with pytest.raises(UsageError, match="'site' is given one value for all rows, not 2"):
        both.given({"site": ["a", "b"], "age": 1}, 2)
    wanted = both.given({"site": "a", "age": 30.0}, 1)
    torch.testing.assert_close(both.given({"site": "a", "age": torch.tensor(30.0)}, 1), wanted)


def labelled(rows: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a table whose centre is 5 under "a" and −5 under "b"."""
    chance = np.random.default_rng(0)
    y = np.array(["a", "b"], object)[chance.integers(0, 2, rows)]
    return chance.normal(size=(rows, 3)) + np.where(y == "a", 5.0, -5.0)[:, None], y


def face(**settings: Any) -> VAE:
    return VAE(
        2, condition="label", network=NETWORK, batch=64, epochs=30, learning_rate=3e-3, precision="fp32", **settings
    )


def test_the_y_of_a_table_conditions() -> None:
    x, y = labelled()
    vae = face().fit(x, y)
    for level, centre in (("a", 5.0), ("b", -5.0)):
        np.testing.assert_allclose(vae.sample(500, given={"label": level}).mean(0), centre, atol=0.7)
    assert predict(vae, x).likeliest == list(y)
    np.testing.assert_array_equal(face().fit_transform(x, y), vae.transform(x, y))


def test_the_labels_of_an_archive_condition_a_table(tmp_path: Path) -> None:
    x, y = labelled(60)
    np.savez(tmp_path / "rows.npz", X=x, y=(y == "a").astype(int))
    found = encode(tmp_path / "rows.npz", modality={"type": "Table", "condition": ["label"]})
    assert found.context is not None
    np.testing.assert_array_equal(found.context[:, 1].numpy(), y == "a")


def test_labels_that_are_no_whole_numbers_are_a_quantity() -> None:
    x, _ = labelled(60)
    y = np.linspace(-1.5, 4.25, 60)
    (item,) = face(validation=0.0).set_params(epochs=1).fit(x, y).fitted_.conditions.items
    assert isinstance(item, Number)
    np.testing.assert_allclose((item.centre, item.scale, item.low, item.high), (y.mean(), y.std(), y.min(), y.max()))
    with pytest.raises(DataError, match="row 2: has no value"):
        face().fit(x, np.where(np.arange(60) == 1, np.nan, y))


def test_labels_of_true_and_false_are_given_as_such() -> None:
    x, y = labelled(60)
    vae = face().set_params(epochs=1).fit(x, y == "a")
    np.testing.assert_array_equal(vae.sample(3, given={"label": True}), vae.sample(3, given={"label": 1}))


def test_validation_rows_come_with_their_labels() -> None:
    x, y = labelled()
    told = face(validation=(x[:100], y[:100])).fit(x[100:], y[100:])
    wrong = face(validation=(x[:100], y[:100][::-1])).fit(x[100:], y[100:])
    assert told.history_["validation_elbo"][-1] > wrong.history_["validation_elbo"][-1] + 1
    with pytest.raises(DataError, match="conditioned on label, and these rows have no 'label'"):
        face(validation=x[:100]).fit(x[100:], y[100:])


def test_what_conditions_comes_back_with_the_estimator(by_site: VAE, tmp_path: Path) -> None:
    by_site.save(tmp_path / "model.safetensors")
    assert load(tmp_path / "model.safetensors").get_params()["condition"] == "site"


def test_scores_follow_a_prior_that_was_fitted_afterwards() -> None:
    x, y = labelled()
    vae = face().fit(x, y)
    before = vae.score(x, y)
    fit_prior(vae, encode_labelled(vae, x, y), Mixture(3), epochs=1)
    after = vae.score(x, y)
    assert after != before
    assert after == VAE.score(copy.deepcopy(vae), x, y)  # a copy keeps nothing that was worked out before


def encode_labelled(vae: VAE, x: np.ndarray, y: np.ndarray) -> Any:
    return encode_like(vae.modality_, Raw(x, labels=y))


def two_columns(rows: int = 240) -> pd.DataFrame:
    """x is 4 for site b and 0 for site a, plus the age in units of ten."""
    random = np.random.default_rng(5)
    site, age = random.choice(["a", "b"], rows), random.uniform(0, 10, rows)
    x = 4.0 * (site == "b") + age / 10 + 0.1 * random.normal(size=rows)
    return pd.DataFrame({"x": x, "noise": random.normal(size=rows), "site": site, "age": age})


@pytest.fixture(scope="module")
def by_both() -> VAE:
    names = ("site", "age")
    vae = VAE(latent=1, condition=names, network=NETWORK, epochs=60, batch=16, learning_rate=3e-3, precision="fp32")
    return vae.fit(two_columns())


def test_some_conditions_are_replaced_and_the_others_kept(both: Conditions) -> None:
    own = both.encode({"site": np.array(["a", "b"], object), "age": np.array([35.125, 20.0])})
    moved = both.replaced(own, {"site": "b"})
    torch.testing.assert_close(moved[:, :2], torch.tensor([[0.0, 1.0], [0.0, 1.0]]))
    assert torch.equal(moved[:, 2], own[:, 2])
    assert torch.equal(both.replaced(own.double(), {"age": 35.125})[:, 2], torch.zeros(2, dtype=torch.float64))
    with pytest.raises(
        UsageError, match=r"^condition 'site': no level is called 'c'"
    ):  # of what was given, not of a row
        both.completed({"age": np.array([1.0])}, {"site": "c"}, 1)


def test_rows_that_another_modality_read_are_conditioned_by_the_models_own(by_site: VAE) -> None:
    """Sites b, c alone: by themselves two levels, of which the first is b; to the model they are the second and the third."""
    test = frame(60, seed=6)
    test = test[test["site"] != "a"].reset_index(drop=True)
    other = encode(test, modality={"type": "Table", "condition": ["site"], "scale": "none"})
    assert other.context is not None
    assert other.context.shape[1] == 2
    found = by_site.fitted_.rows(other).context
    assert found is not None
    expected = np.eye(3)[test["site"].map({"a": 0, "b": 1, "c": 2})]
    np.testing.assert_array_equal(found.numpy(), expected)


def test_levels_are_predicted_for_rows_that_do_not_tell_theirs(by_site: VAE) -> None:
    test = frame(60, seed=7)
    own = predict(by_site, test, "site", samples=8)
    for values in (["unheard"] * 60, [None] * 60):
        blank = predict(by_site, test.assign(site=pd.Series(values, dtype=object)), "site", samples=8)
        torch.testing.assert_close(blank.log_posterior, own.log_posterior)
        with pytest.raises(DataError, match="condition 'site', row 1"):
            by_site.score_samples(test.assign(site=pd.Series(values, dtype=object)))
    with pytest.raises(DataError, match="no level is called 'unheard'"):
        VAE(latent=1, condition="site", network=NETWORK, epochs=1, validation=test.assign(site="unheard")).fit(
            frame(60)
        )


def test_levels_are_predicted_for_some_of_the_rows(by_both: VAE) -> None:
    """Of two conditions the other is kept, of rows picked by number and of the first so many, too."""
    test = two_columns(40)
    whole = predict(by_both, test, "site", samples=4).log_posterior
    rows = by_both.fitted_.rows(test)
    picked = predict(by_both, rows.at(torch.tensor([7, 3])), "site", samples=4).log_posterior
    torch.testing.assert_close(picked, whole[[7, 3]])
    first = predict(by_both, by_both.fitted_.rows(test, limit=5), "site", samples=4).log_posterior
    torch.testing.assert_close(first, whole[:5])
    torch.testing.assert_close(predict(by_both, rows, "site", samples=4).log_posterior, whole)


def test_decoded_under_some_conditions_rows_keep_the_others(by_both: VAE) -> None:
    rows = two_columns(40)
    moved, both = (by_both.reconstruct(rows, given=given) for given in ({"site": "b"}, {"site": "b", "age": 5.0}))
    assert np.corrcoef(moved["x"], rows["age"])[0, 1] > 0.9
    assert moved["x"].mean() == pytest.approx(4.5, abs=0.4)
    assert both["x"].std() < 0.5 * moved["x"].std()
    silent = rows.drop(columns="site")  # the rows do not tell, so they are encoded under b, too
    of_b = (rows["site"] == "b").to_numpy()
    np.testing.assert_allclose(by_both.reconstruct(silent, given={"site": "b"})["x"][of_b], moved["x"][of_b], atol=1e-6)


def test_a_context_without_names_is_checked() -> None:
    model = LatentModel(Flat(2), Gaussian(), Mlp(8, 1), context=3).setup((4,))
    x = torch.zeros(300, 4)
    good = torch.ones(300, 3)
    assert torch.equal(Fitted(model).rows(x, context=good, limit=7).context, good[:7])  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"context of shape \[300, 3\] with these rows, not one of shape \[200, 3\]"):
        Fitted(model).rows(x, context=good[:200])
    with pytest.raises(DataError, match="row 4 of the context"):
        Fitted(model).rows(x, context=good.index_fill(0, torch.tensor([4]), float("nan")))
    with pytest.raises(UsageError, match="takes no context with these rows"):
        Fitted(LatentModel(Flat(2), Gaussian(), Mlp(8, 1)).setup((4,))).rows(x, context=good)
    with pytest.raises(DataError, match="3 rows of context were given for 2 rows"):
        fit(model, Elbo(), x, context=good, validation=(x[:2], good[:3]), epochs=1)


def test_a_model_without_context_is_not_trained_on_rows_to_be_conditioned() -> None:
    encoded = encode(frame(30), modality={"type": "Table", "condition": ["site"]})
    with pytest.raises(UsageError, match=r"conditioned on site.*LatentModel\(context=3\)"):
        fit(LatentModel(Flat(2), Gaussian(), Mlp(8, 1)), Elbo(), encoded, epochs=1)
    with pytest.raises(UsageError, match="takes a context of 0 numbers, the conditions of the modality make 3"):
        Fitted(LatentModel(Flat(2), Gaussian(), Mlp(8, 1)).setup((2,)), encoded.modality).save("never.safetensors")
