"""What suits the data stands where the user left it open: objective, batch, rate; a user's own settings win."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from sklearn.base import clone

from lambent import VAE
from lambent.cli.program import main
from lambent.model.likelihoods import Autoregressive
from lambent.objectives import Elbo


def mixed(rows: int = 60) -> pl.DataFrame:
    random = np.random.default_rng(0)
    names = random.choice(["red", "green", "blue"], rows)
    return pl.DataFrame({"name": names, "count": random.poisson(3, rows), "size": random.normal(size=rows)})


def test_a_table_with_names_is_modelled_by_columns_that_see_columns() -> None:
    vae = VAE(epochs=1, validation=0.0).fit(mixed())
    assert isinstance(vae.model_.likelihood, Autoregressive)
    assert vae.model_.likelihood.tokens[0] == 4
    assert vae.model_.likelihood.kinds[0] == "levels"
    assert vae.model_.gaps
    objective = vae._objective()
    assert isinstance(objective, Elbo)
    assert objective.floor == 1.5
    assert objective.settle < 1
    drawn = vae.sample(5)
    assert drawn.columns == ["name", "count", "size"]
    assert set(drawn["name"]) <= {"red", "green", "blue"}
    assert np.isfinite(vae.score_samples(mixed())).all()


def test_settings_of_a_training_suit_the_data_unless_they_are_given() -> None:
    suited = VAE(epochs=4, validation=0.0).fit(mixed(300))
    assert suited.history_["learning_rate"][-1] < 0.5 * max(suited.history_["learning_rate"])  # it falls
    assert max(suited.history_["learning_rate"]) > 1e-3
    given = VAE(epochs=2, batch=300, learning_rate=1e-4, validation=0.0).fit(mixed(300))
    assert given.history_["step"] == [1, 2]
    assert max(given.history_["learning_rate"]) <= 1e-4


def test_numbers_are_trained_as_ever() -> None:
    x = np.random.default_rng(0).normal(size=(256, 3))
    vae = VAE(epochs=1, validation=0.0).fit(x)
    assert vae.history_["step"] == [2]
    assert vae.history_["learning_rate"] == [1e-3]
    assert vae._objective().spec() == Elbo().spec()


def test_what_was_not_given_stays_so() -> None:
    vae = VAE(epochs=1).fit(mixed())
    assert vae.get_params()["batch"] is None
    assert vae.get_params()["learning_rate"] is None
    assert vae.get_params()["objective"] is None
    assert clone(vae).get_params() == vae.get_params()


def test_another_objective_or_likelihood_leaves_no_floor() -> None:
    assert VAE(epochs=1, objective=Elbo(beta=2.0)).fit(mixed())._objective().floor == 0
    numbers = mixed().select("count", "size")
    assert VAE(epochs=1, likelihood="Gaussian").fit(numbers)._objective().spec() == Elbo().spec()


def test_partial_fit_has_no_rate_that_ends() -> None:
    vae = VAE(epochs=2)
    for _ in range(4):
        vae.partial_fit(mixed())
    assert min(vae.history_["learning_rate"]) > 1e-3


@pytest.mark.parametrize("flags", [(), ("--batch", "20", "--objective.floor", "0.5", "--likelihood.dropout", "0.1")])
def test_the_configuration_of_a_run_holds_what_was_resolved(flags: tuple[str, ...], tmp_path: Path) -> None:
    mixed().write_csv(tmp_path / "rows.csv")
    run = tmp_path / "run"
    assert main(["train", str(tmp_path / "rows.csv"), "--out", str(run), "--epochs", "1", "--quiet", *flags]) == 0
    tree = yaml.safe_load((run / "config.yaml").read_text())
    assert tree["fit"]["epochs"] == 1
    assert tree["fit"]["schedule"] == "cosine"
    assert tree["fit"]["learning_rate"] == 2e-3
    assert tree["objective"]["type"] == "Elbo"
    assert tree["objective"]["settle"] < 1
    assert tree["fit"]["batch"] == 20 if flags else tree["fit"]["batch"] > 20
    assert tree["objective"]["floor"] == (0.5 if flags else 1.5)
    assert tree["likelihood"]["type"] == "Autoregressive"
    assert tree["likelihood"]["dropout"] == 0.1 if flags else tree["likelihood"]["dropout"] > 0.1
