"""Models made to fail, one for each cause, on pictures, tables and counts, told why; healthy ones, that must not alarm."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

import lambent
from lambent import Diagnosis, diagnose
from lambent.cli.reading.flags import divided
from lambent.cli.verbs.train import tree_of_command
from lambent.errors import DataError, UsageError
from lambent.tasks.diagnosis import cures
from lambent.tasks.diagnosis.rules import RULES

pytestmark = pytest.mark.filterwarnings("ignore::lambent.errors.DataWarning")  # of constant columns
Rows = tuple[Any, Any]


def factors(rows: int, seed: int) -> NDArray[np.float64]:
    """Ten columns of three factors and noise: a table with a code."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(7).normal(size=(3, 10))
    return np.asarray(rng.normal(size=(rows, 3)) @ mixing + 0.3 * rng.normal(size=(rows, 10)))


def table() -> Rows:
    return factors(500, 1), factors(300, 2)


def noise() -> Rows:
    rng = np.random.default_rng(0)
    return rng.normal(size=(500, 8)), rng.normal(size=(300, 8))


def alike() -> Rows:
    return np.tile(factors(1, 3), (100, 1)), np.tile(factors(1, 3), (50, 1))


def counts() -> Rows:
    rng = np.random.default_rng(1)
    mixing = 0.6 * np.random.default_rng(7).normal(size=(3, 20))
    found = rng.poisson(np.exp(1 + rng.normal(size=(800, 3)) @ mixing)).astype(np.float32)
    return found[:500], found[500:]


def digits() -> Rows:
    x = load_digits().data.astype(np.float32) / 16
    return x[:700], x[1400:1700]


def few_digits() -> Rows:
    x = load_digits().data.astype(np.float32) / 16
    return x[:40], x[1400:1700]


def small_pictures() -> Rows:
    x = (load_digits().images * 255 / 16).astype(np.uint8)
    return x[:700], x[1400:1700]


def sentences() -> Rows:
    rng = np.random.default_rng(0)
    parts = ["the cat sat", "a dog ran", "we eat bread", "rain falls", "big red sun"]
    every = [" and ".join(rng.choice(parts, 2)) for _ in range(500)]
    return every[:300], every[300:]


def parities() -> Rows:
    """Four triples of bits, the third of each the parity of the others: no two tell of each other, and no slope shows."""

    def drawn(rows: int, seed: int) -> NDArray[np.float32]:
        pairs = np.random.default_rng(seed).integers(0, 2, (rows, 4, 2))
        return np.concatenate([pairs, pairs.sum(2, keepdims=True) % 2], 2).reshape(rows, -1).astype(np.float32)

    return drawn(500, 0), drawn(300, 1)


class Case(NamedTuple):
    """Rows, and what a model of them is built and trained with beside the usual."""

    rows: Callable[[], Rows]
    settings: dict[str, Any]


def elbo(**fields: Any) -> dict[str, Any]:
    return {"type": "Elbo", **fields}


def fixed(value: float) -> dict[str, Any]:
    return {"type": "Gaussian", "scale": "fixed", "value": value}


FAILED = {
    "alike": Case(alike, {"epochs": 2}),
    "noise": Case(noise, {}),
    "fast": Case(digits, {"learning_rate": 0.5, "epochs": 10}),
    "slow": Case(digits, {"learning_rate": 1e-6, "epochs": 3}),
    "scale-low": Case(table, {"likelihood": fixed(0.02)}),
    "scale-high": Case(table, {"likelihood": fixed(4.0)}),
    "cheap": Case(digits, {"objective": elbo(beta=0.001)}),
    "dear": Case(digits, {"objective": elbo(beta=30.0)}),
    "capacity": Case(counts, {"likelihood": "Poisson", "objective": elbo(capacity=0.01, beta=20.0)}),
    "free-price": Case(table, {"objective": elbo(free_bits=4.0)}),
    "late": Case(digits, {"objective": elbo(anneal="linear", warmup=1.0)}),
    "short": Case(digits, {"epochs": 1, "batch": 350}),
    "lag": Case(table, {"objective": elbo(settle=0.1), "epochs": 60}),
    "at-once": Case(parities, {"likelihood": "Bernoulli"}),
    "few": Case(few_digits, {"epochs": 400, "network": {"type": "Mlp", "width": 64, "depth": 2}}),
    "level": Case(table, {"latent": {"type": "Ladder", "sizes": [4, 8]}}),
}
HEALTHY = {
    "table": Case(table, {"epochs": 100}),
    "counts": Case(counts, {"likelihood": "Poisson", "epochs": 60}),
    "digits": Case(digits, {"epochs": 60}),
    "annealed": Case(table, {"objective": elbo(anneal="linear", warmup=0.2), "epochs": 100}),
}


def fitted(case: Case, **other: Any) -> tuple[lambent.VAE, Rows]:
    rows = case.rows()
    usual: dict[str, Any] = {
        "latent": 8, "prior": "Standard", "network": {"type": "Mlp", "width": 32, "depth": 1}, "members": 1,
        "likelihood": "Gaussian", "epochs": 30, "batch": 32, "validation": 0.0, "patience": 0, "threads": 1,
    }  # fmt: skip
    settings = usual | case.settings | other
    if not isinstance(settings["latent"], int):
        del settings["prior"]
    return lambent.VAE(**settings).fit(rows[0]), rows


def diagnosed(case: Case, **other: Any) -> Diagnosis:
    model, (train, test) = fitted(case, **other)
    return diagnose(model, test, train)


def test_a_richer_prior_than_a_mixture_is_a_flow() -> None:
    plain, mixed = SimpleNamespace(components=None), SimpleNamespace(components=object())
    assert cures.richer_prior(plain).flags == ("--latent.prior", "Mixture")  # type: ignore[arg-type]
    assert cures.richer_prior(mixed).flags == ("--latent.prior", "Flow")  # type: ignore[arg-type]


@pytest.mark.parametrize("cause", FAILED)
def test_a_model_made_to_fail_is_told_why(cause: str) -> None:
    found = diagnosed(FAILED[cause])
    assert found.cause == cause, found.findings
    assert not found.healthy
    assert any(letter.isdigit() for letter in found.problems[0].shown) or cause == "alike"


def test_a_codebook_of_which_hardly_an_entry_is_used() -> None:
    train, test = small_pictures()
    settings: dict[str, Any] = {"members": 1, "epochs": 2, "validation": 0.0, "patience": 0, "threads": 1}
    model = lambent.VAE(latent="Codebook", network={"type": "Conv", "width": 8}, **settings).fit(train[:300])
    found = diagnose(model, test, train[:300])
    assert found.cause == "dead-codes", found.findings
    assert found.evidence.codebook is not None
    assert found.evidence.codebook[1] == 1000


@pytest.mark.slow
def test_a_decoder_of_texts_that_does_without_the_code() -> None:
    train, test = sentences()
    settings: dict[str, Any] = {
        "epochs": 20,
        "batch": 32,
        "learning_rate": 0.005,
        "validation": 0.0,
        "patience": 0,
        "threads": 1,
    }
    parts: dict[str, Any] = {
        "prior": "Standard", "likelihood": {"type": "Tokens", "width": 32, "rank": 16}, "network": {"type": "Gru", "width": 32},
    }  # fmt: skip
    model = lambent.VAE(latent=4, objective="Elbo", **parts, **settings).fit(train)
    found = diagnose(model, test[:120], train)
    assert found.cause == "strong", found.findings
    assert found.evidence.reading.alone.nats > 10
    assert "--objective.pretrain" in found.flags


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_model_does_not_alarm(name: str) -> None:
    found = diagnosed(HEALTHY[name])
    assert found.healthy, found.findings
    assert found.cause is None
    assert found.flags == ()


@pytest.mark.slow
@pytest.mark.parametrize("rows", [small_pictures, table])
def test_the_defaults_do_not_alarm(rows: Callable[[], Rows]) -> None:
    """Nothing given but rows: the recipe that the package trains by itself."""
    train, test = rows()
    model = lambent.VAE(random_state=0, threads=1).fit(train)
    found = diagnose(model, test, train)
    assert found.healthy, found.findings


def test_units_that_the_decoder_does_not_read_are_dead_however_many_free_bits_they_hold() -> None:
    model, (train, test) = fitted(Case(table, {"objective": elbo(free_bits=0.5), "epochs": 40}))
    first = next(part for part in model.model_.decoder.modules() if isinstance(part, torch.nn.Linear))
    with torch.no_grad():
        first.weight[:, 4:] = 0.0
    found = diagnose(model, test, train)
    assert found.evidence.reported == 8
    assert found.evidence.alive[0] == [True] * 4 + [False] * 4
    assert found.cause in ("free-bits", "free-price"), found.findings
    assert "free-bits" in {finding.cause for finding in found.findings}


def test_components_without_codes_are_ghosts() -> None:
    model, (train, test) = fitted(Case(table, {"prior": {"type": "Mixture", "components": 4}, "epochs": 60}))
    assert "ghosts" not in {finding.cause for finding in diagnose(model, test, train).findings}
    prior = model.model_.latent.prior
    with torch.no_grad():
        prior.location[2:] += 40.0
        prior.logits.zero_()
    found = diagnose(model, test, train)
    assert "ghosts" in {finding.cause for finding in found.findings}
    assert found.evidence.components is not None
    assert found.evidence.components.ghostly == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.cause}-{rule.state.__name__}")
def test_the_flags_of_every_cure_are_flags_of_train(rule: Any, table_diagnosis: Diagnosis) -> None:
    flags = rule.cure(table_diagnosis.evidence).flags
    assert divided(list(flags)) is not None
    tree_of_command(["data.csv", *flags])


@pytest.fixture(scope="module")
def table_diagnosis() -> Diagnosis:
    return diagnosed(HEALTHY["table"], epochs=2)


def test_the_numbers_are_plain_json_and_the_same_again(table_diagnosis: Diagnosis) -> None:
    import json

    again = diagnosed(HEALTHY["table"], epochs=2)
    assert json.dumps(again.plain(), allow_nan=False) == json.dumps(table_diagnosis.plain(), allow_nan=False)


def test_what_cannot_be_diagnosed_is_refused() -> None:
    model, (_, test) = fitted(HEALTHY["table"], epochs=1)
    with pytest.raises(DataError, match="at least 20 rows"):
        diagnose(model, test[:5])
    point, _ = fitted(Case(table, {"posterior": "Point"}), epochs=1)
    with pytest.raises(UsageError, match="no KL to collapse"):
        diagnose(point, test)


REVIVED: dict[str, dict[str, Any]] = {
    "dear": {"objective": elbo(beta=1.0)},
    "scale-high": {"likelihood": {"type": "Gaussian", "scale": "one"}},
    "slow": {"learning_rate": 1e-3, "epochs": 60},
    "capacity": {"objective": elbo(beta=1.0)},
    "cheap": {"objective": elbo(beta=1.0)},
    "lag": {"objective": elbo(settle=1.0)},
    "fast": {"learning_rate": 1e-3, "epochs": 60},
    "scale-low": {"likelihood": {"type": "Gaussian", "scale": "one"}},
    "free-price": {"objective": elbo()},
    "late": {"objective": elbo(anneal="linear", warmup=0.2), "epochs": 60},
    "short": {"epochs": 60, "batch": 32},
    "level": {"objective": elbo(free_group=1.0, anneal="linear", warmup=0.5), "epochs": 60},
    # As many epochs at full weight from the first step on bring a hundredth of a nat.
    "at-once": {"objective": elbo(anneal="linear", warmup=0.5, free_bits=0.1), "epochs": 300},
}


@pytest.mark.slow
@pytest.mark.parametrize("cause", REVIVED)
def test_the_cure_revives_the_model(cause: str) -> None:
    before, after = diagnosed(FAILED[cause]), diagnosed(FAILED[cause], **REVIVED[cause])
    assert before.cause == cause
    assert after.cause != cause
    assert after.evidence.elbo.nats > before.evidence.elbo.nats + 0.5
    assert after.evidence.living >= 3
