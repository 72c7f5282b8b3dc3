"""The cross product of all parts: each combination trains one step and gives one sample, or is refused in a sentence."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lambent.distributions import sample
from lambent.errors import UsageError
from lambent.model import LatentModel
from lambent.model.latents import Latent
from lambent.model.trace import from_prior
from lambent.objectives import Objective
from lambent.part import Spec, registered
from lambent.training.fitting import fit

Row = dict[str, Spec]
Unassembled = Callable[..., tuple[LatentModel, Tensor]]
FAMILIES = ("latent", "prior", "posterior", "likelihood", "network", "objective")

# Every pair of parts that is refused whatever the rest, and what the refusal advises. What is not listed here must work.
REFUSED = {
    ("Mixture", "Point"): "use the Standard prior",
    ("Vamp", "Point"): "use the Standard prior|use the Diagonal posterior",
    ("FlowPrior", "Point"): "use the Standard prior",
    ("Categorical", "Conv"): "use the Mlp network",
    ("Categorical", "ResNet"): "use the Mlp network",
    ("Autoregressive", "Conv"): "use the Mlp network",
    ("Autoregressive", "ResNet"): "use the Mlp network",
    ("Mixed", "Conv"): "use the Mlp network",
    ("Mixed", "ResNet"): "use the Mlp network",
    ("Hurdle", "Conv"): "use the Mlp network",
    ("Hurdle", "ResNet"): "use the Mlp network",
    ("Ladder", "BetaTc"): "use Flat",
    ("Ladder", "DipVae"): "use Flat",
    ("Ladder", "Piwae"): "use Miwae or Ciwae",
    ("Grid", "Mlp"): "use the Conv or ResNet network",
    ("Grid", "Full"): "use Diagonal or Point",
    ("Grid", "FlowPosterior"): "use Diagonal or Point",
    ("Grid", "BetaTc"): "use Flat",
    ("Grid", "DipVae"): "use Flat",
    ("Grid", "Piwae"): "use Miwae or Ciwae",
    ("Full", "BetaTc"): "use Diagonal",
    ("FlowPosterior", "BetaTc"): "use Diagonal",
    ("FlowPosterior", "DipVae"): "use Diagonal",
    ("FlowPosterior", "Piwae"): "use Miwae or Ciwae",
    ("Point", "BetaTc"): "use Diagonal",
    ("Point", "DipVae"): "use Diagonal",
    ("Point", "Iwae"): "use Diagonal",
    ("Point", "Miwae"): "use Diagonal",
    ("Point", "Ciwae"): "use Diagonal",
    ("Point", "Piwae"): "use Miwae or Ciwae|use Diagonal",
    ("Point", "Factor"): "use Diagonal",
    ("Point", "NotMiwae"): "use Diagonal",
    ("Bernoulli", "NotMiwae"): "use Gaussian or StudentT",
    ("Categorical", "NotMiwae"): "use Gaussian or StudentT",
    ("DiscretizedLogistics", "NotMiwae"): "use Gaussian or StudentT",
    ("Poisson", "NotMiwae"): "use Gaussian or StudentT",
    ("NegativeBinomial", "NotMiwae"): "use Gaussian or StudentT",
    ("ZeroInflatedNegativeBinomial", "NotMiwae"): "use Gaussian or StudentT",
    ("Ordinal", "NotMiwae"): "use Gaussian or StudentT",
    ("RoundedLogistic", "NotMiwae"): "use Gaussian or StudentT",
    ("Hurdle", "NotMiwae"): "use Gaussian or StudentT",
    ("Autoregressive", "NotMiwae"): "use Gaussian or StudentT",
    ("Mixture", "Wae"): "use the Standard or Flow prior",
    ("Vamp", "Wae"): "use the Standard or Flow prior",
}


def full_name(family: str, spec: Spec) -> str:
    """The type's name; two families have a Flow."""
    return f"Flow{family.capitalize()}" if spec["type"] == "Flow" else spec["type"]


def excuses(row: Row) -> list[tuple[str, str]]:
    """The pairs in this row that the table says are refused."""
    names = [full_name(family, row[family]) for family in FAMILIES]
    return [pair for pair in itertools.combinations(names, 2) if pair in REFUSED]


def tried(row: Row, unassembled: Unassembled, device: torch.device) -> None:
    """One step, one sample; or, where the table says so, a refusal that names both and advises."""
    parts = {family: row[family] for family in FAMILIES if family != "objective"}
    model, x = unassembled(**parts)
    objective = Objective.from_spec(row["objective"])
    expected = excuses(row)
    try:
        history = fit(model, objective, x[:4], epochs=1, batch=4, precision="fp32", device=device.type)
    except UsageError as refusal:
        words = str(refusal)
        assert expected, f"refused, but not in the table: {words}"
        named = [
            pair for pair in expected if all(n.removesuffix("Prior").removesuffix("Posterior") in words for n in pair)
        ]
        assert named, f"{words} names no pair of {expected}"
        assert any(advice in words for pair in named for advice in REFUSED[pair].split("|")), words
        return
    assert not expected, f"{expected} should have been refused"
    assert history["loss"][0] is not None
    assert all(torch.isfinite(p).all() for p in model.parameters())
    with torch.no_grad():
        drawn = sample(model.generate(2, from_prior(torch.Generator(device).manual_seed(0))))
    assert drawn.shape == (2, *x.shape[1:])
    assert torch.isfinite(drawn.double()).all()
    if model.likelihood.discrete:
        model.likelihood.check(drawn.float() if drawn.dtype == torch.int64 else drawn)


def test_every_pair_of_parts(
    smalls: dict[str, list[Spec]], pairs: Callable[..., list[Row]], unassembled: Unassembled, device: torch.device
) -> None:
    """Every two parts meet at least once; rows that are refused meet again without what refuses them."""
    rows = pairs(smalls)
    met = set()
    for row in rows:
        try:
            tried(row, unassembled, device)
        except Exception as error:
            raise AssertionError(described(row)) from error
        met |= set(itertools.combinations([full_name(f, row[f]) for f in FAMILIES], 2))
    names = {f: [full_name(f, s) for s in smalls[f]] for f in FAMILIES}
    every = {(a, b) for f, g in itertools.combinations(FAMILIES, 2) for a in names[f] for b in names[g]}
    assert met == every


def described(row: Row) -> str:
    return " × ".join(full_name(family, row[family]) for family in FAMILIES)


def in_company(row: Row, kept: set[str], smalls: dict[str, list[Spec]]) -> Row:
    """The row with a network that gives what its latent takes, as far as the kept families leave that open."""
    if registered(Latent)[row["latent"]["type"]].takes == "vector" or "network" in kept:
        return row
    return {**row, "network": next(s for s in smalls["network"] if s["type"] == "Conv")}


def working_rows(smalls: dict[str, list[Spec]]) -> list[Row]:
    """For every pair that may work, a row in which nothing is refused: the rest as plain as can be."""
    plain = {"latent": "Flat", "prior": "Standard", "posterior": "Diagonal", "likelihood": "Gaussian", "network": "Mlp"}
    start: Row = {f: next(s for s in smalls[f] if s["type"] == name) for f, name in plain.items()}
    start["objective"] = next(s for s in smalls["objective"] if s["type"] == "Elbo")
    rows = []
    for f, g in itertools.combinations(FAMILIES, 2):
        for a, b in itertools.product(smalls[f], smalls[g]):
            row = in_company({**start, f: a, g: b}, {f, g}, smalls)
            if not excuses(row):
                rows.append(row)
    return rows


def test_every_pair_that_is_not_refused_works(
    smalls: dict[str, list[Spec]], unassembled: Unassembled, device: torch.device
) -> None:
    """In plain company, so that no third part's refusal hides the two."""
    seen: set[str] = set()
    for row in working_rows(smalls):
        if described(row) in seen:
            continue
        seen.add(described(row))
        try:
            tried(row, unassembled, device)
        except Exception as error:
            raise AssertionError(described(row)) from error


@pytest.mark.parametrize("pair", REFUSED, ids="-".join)
def test_every_pair_in_the_table_is_refused(
    pair: tuple[str, str], smalls: dict[str, list[Spec]], unassembled: Unassembled, device: torch.device
) -> None:
    plain: dict[str, Any] = {
        "latent": "Flat", "prior": "Standard", "posterior": "Diagonal", "likelihood": "Gaussian", "network": "Mlp",
        "objective": "Elbo",
    }  # fmt: skip
    row: Row = {}
    for family in FAMILIES:
        wanted = [s for s in smalls[family] if full_name(family, s) in pair]
        row[family] = wanted[0] if wanted else next(s for s in smalls[family] if s["type"] == plain[family])
    row = in_company(row, {f for f in FAMILIES if full_name(f, row[f]) in pair}, smalls)
    parts = {family: row[family] for family in FAMILIES if family != "objective"}
    model, x = unassembled(**parts)
    with pytest.raises(UsageError) as refusal:
        fit(model, Objective.from_spec(row["objective"]), x, epochs=1, device=device.type)
    words = str(refusal.value)
    assert all(name.removesuffix("Prior").removesuffix("Posterior") in words for name in pair)
    assert any(advice in words for advice in REFUSED[pair].split("|")), words
    assert len(words.split()) > 8, "a refusal is a sentence"


@pytest.mark.slow
def test_the_whole_product(smalls: dict[str, list[Spec]], unassembled: Unassembled, device: torch.device) -> None:
    failures = []
    for parts in itertools.product(*(smalls[family] for family in FAMILIES)):
        row = dict(zip(FAMILIES, parts, strict=True))
        try:
            tried(row, unassembled, device)
        except Exception as error:
            failures.append(f"{described(row)}: {error!r}")
    assert not failures, "\n".join(failures[:50])
