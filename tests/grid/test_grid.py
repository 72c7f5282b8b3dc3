"""The cross product of all parts: each combination trains one step and gives one sample, or is refused in a sentence."""

import itertools
import math
import random
import typing
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lambent.distributions import sample
from lambent.errors import UsageError
from lambent.model import LatentModel
from lambent.model.latents import Latent
from lambent.model.posteriors import Posterior
from lambent.model.priors import Prior
from lambent.model.trace import from_prior
from lambent.objectives import Objective
from lambent.part import Spec, registered
from lambent.training.fitting import fit

Row = dict[str, Spec]
Unassembled = Callable[..., tuple[LatentModel, Tensor]]
FAMILY = {"prior": Prior, "posterior": Posterior}
FAMILIES = ("latent", "prior", "posterior", "likelihood", "network", "objective")
SHARE = 12_000  # rows of the whole product that are tried by --slow
SHARED = ("Flow", "Transformer", "Uniform")  # names of parts of several families

# Every pair of parts that is refused whatever the rest, and what the refusal advises. What is not listed here must work.
REFUSED = {
    ("Mixture", "Point"): "use the Standard prior",
    ("Vamp", "Point"): "use the Standard prior|use the Diagonal posterior",
    ("FlowPrior", "Point"): "use the Standard prior",
    ("Diffusion", "Point"): "use the Standard prior",
    ("Categorical", "Conv"): "use the Mlp network",
    ("Categorical", "ResNet"): "use the Mlp network",
    ("Categorical", "TransformerNetwork"): "use the Mlp network",
    ("Autoregressive", "TransformerNetwork"): "use the Mlp network",
    ("Mixed", "TransformerNetwork"): "use the Mlp network",
    ("Hurdle", "TransformerNetwork"): "use the Mlp network",
    ("Autoregressive", "Conv"): "use the Mlp network",
    ("Autoregressive", "ResNet"): "use the Mlp network",
    ("Mixed", "Conv"): "use the Mlp network",
    ("Mixed", "ResNet"): "use the Mlp network",
    ("Hurdle", "Conv"): "use the Mlp network",
    ("Hurdle", "ResNet"): "use the Mlp network",
    **{(name, "Wave"): "use the Mlp network" for name in ("Categorical", "Autoregressive", "Mixed", "Hurdle")},
    ("Grid", "Wave"): "use the Conv, ResNet or Transformer network",
    ("Codebook", "Wave"): "use the Conv, ResNet or Transformer network",
    ("Ladder", "BetaTc"): "use Flat",
    ("Ladder", "DipVae"): "use Flat",
    ("Ladder", "Piwae"): "use Miwae or Ciwae",
    ("Grid", "Mlp"): "use the Conv, ResNet or Transformer network",
    ("Grid", "Sphere"): "use the Standard prior",
    ("Grid", "MisesFisher"): "use the Standard prior",
    ("Grid", "Full"): "use Diagonal or",
    ("Grid", "FlowPosterior"): "use Diagonal or",
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
    **{
        (likelihood, name): "use the Elbo objective"
        for likelihood in ("Perceptual", "Spectrogram")
        for name in ("Iwae", "Miwae", "Piwae", "Ciwae", "NotMiwae")
    },
    **{
        ("Codebook", name): "use the Elbo objective"
        for name in (
            "Iwae",
            "Miwae",
            "Piwae",
            "Ciwae",
            "NotMiwae",
            "BetaTc",
            "DipVae",
            "Wae",
            "Aae",
            "InfoVae",
            "Lagging",
            "Factor",
        )
    },
    **{
        ("Codebook", name): "use Transformer or Uniform"
        for name in ("Standard", "Factorized", "Mixture", "Vamp", "FlowPrior", "Diffusion", "Sphere")
    },
    **{
        (name, prior): "use Standard or|use Sphere or Vamp"
        for name in ("Flat", "Ladder", "Grid", "Styled")
        for prior in ("UniformPrior", "TransformerPrior")
    },
    **{
        (latent, network): "use the Conv, ResNet or Transformer network"
        for latent in ("Codebook", "Grid")
        for network in ("Attention", "Gru")
    },
    **{("Tokens", network): "use the Mlp network" for network in ("Conv", "ResNet", "TransformerNetwork", "Wave")},
    ("Tokens", "NotMiwae"): "use Gaussian or StudentT",
    ("Codebook", "Mlp"): "use the Conv, ResNet or Transformer network",
    ("Mixture", "Wae"): "use the Standard or Flow prior",
    ("Vamp", "Wae"): "use the Standard or Flow prior",
    **{("Factorized", name): "use the Standard or Flow prior" for name in ("Wae", "Aae", "InfoVae", "Gan")},
    ("Factorized", "Point"): "use the Standard prior",
    ("Factorized", "MisesFisher"): "or the Sphere or Vamp prior",
    **{
        (prior, "UniformPosterior"): "use the Factorized or Standard prior"
        for prior in ("Mixture", "Vamp", "FlowPrior", "Diffusion")
    },
    ("Sphere", "UniformPosterior"): "use the MisesFisher posterior",
    **{("UniformPosterior", name): "use Diagonal" for name in ("BetaTc", "DipVae")},
    ("UniformPosterior", "Piwae"): "use Miwae or Ciwae",
    ("Mixture", "Aae"): "use the Standard or Flow prior",
    ("Vamp", "Aae"): "use the Standard or Flow prior",
    ("Mixture", "InfoVae"): "use the Standard or Flow prior",
    ("Vamp", "InfoVae"): "use the Standard or Flow prior",
    **{
        (likelihood, rivalled): "use the DiscretizedLogistics likelihood"
        for likelihood in (
            "Bernoulli",
            "Categorical",
            "Ordinal",
            "Poisson",
            "NegativeBinomial",
            "ZeroInflatedNegativeBinomial",
            "RoundedLogistic",
            "Hurdle",
            "Mixed",
            "Autoregressive",
            "Tokens",
        )
        for rivalled in ("Gan", "Adversarial", "VaeGan")
    },
    ("Styled", "Absent"): "use Diagonal",
    ("Styled", "Gan"): "use Diagonal|use the Flat latent",
    ("Codebook", "Gan"): "use the Elbo objective",
    **{
        (posterior, "Gan"): "use the Absent posterior"
        for posterior in ("Diagonal", "Constant", "UniformPosterior", "Full", "FlowPosterior", "MisesFisher", "Point")
    },
    **{
        ("Absent", objective): "use the Diagonal posterior"
        for objective in (
            "Aae",
            "Adversarial",
            "BetaTc",
            "Ciwae",
            "DipVae",
            "Elbo",
            "Factor",
            "InfoVae",
            "Invariant",
            "Iwae",
            "Lagging",
            "Matched",
            "Miwae",
            "NotMiwae",
            "SemiSupervised",
            "VaeGan",
            "Wae",
        )
    },
    ("Absent", "Piwae"): "use Miwae or Ciwae|use the Diagonal posterior",
    ("Vamp", "Absent"): "use the Diagonal posterior",
    ("Mixture", "Gan"): "use the Standard or Flow prior",
    ("Point", "InfoVae"): "use Diagonal",
    ("Point", "Lagging"): "use Diagonal",
    ("Standard", "MisesFisher"): "or the Sphere or Vamp prior",
    ("Mixture", "MisesFisher"): "or the Sphere or Vamp prior",
    ("FlowPrior", "MisesFisher"): "or the Sphere or Vamp prior",
    ("Diffusion", "MisesFisher"): "or the Sphere or Vamp prior",
    ("Sphere", "Diagonal"): "use the MisesFisher posterior",
    ("Sphere", "Constant"): "use the MisesFisher posterior",
    ("Sphere", "Full"): "use the MisesFisher posterior",
    ("Sphere", "FlowPosterior"): "use the MisesFisher posterior",
    ("Sphere", "Point"): "use the MisesFisher posterior",
    ("Ladder", "Sphere"): "use Flat|use the MisesFisher posterior",
    ("Ladder", "MisesFisher"): "use Flat",
    ("Sphere", "BetaTc"): "use Diagonal",
    ("Sphere", "DipVae"): "use Diagonal",
    ("Sphere", "Factor"): "use Diagonal",
    ("Vamp", "Invariant"): "give the column",
    ("Vamp", "Matched"): "give the column",
    ("Vamp", "SemiSupervised"): "give the column",
    ("Styled", "SemiSupervised"): "use the Flat latent",
    **{("Styled", name): "use Flat" for name in ("BetaTc", "DipVae")},
    **{("Styled", name): "use the Elbo objective" for name in ("Iwae", "Miwae", "Ciwae", "Piwae", "NotMiwae")},
    ("MisesFisher", "BetaTc"): "use Diagonal",
    ("MisesFisher", "DipVae"): "use Diagonal",
    ("MisesFisher", "Factor"): "use Diagonal",
}


def full_name(family: str, spec: Spec) -> str:
    """The type's name, with its family's where several have one of that name."""
    name: str = spec["type"]
    return name + family.capitalize() if name in SHARED else name


def plain_name(name: str) -> str:
    """The type's name without the family's."""
    return next((shared for shared in SHARED if name in {shared + f.capitalize() for f in FAMILIES}), name)


def excuses(row: Row) -> list[tuple[str, str]]:
    """The pairs in this row that the table says are refused."""
    hints = typing.get_type_hints(registered(Latent)[row["latent"]["type"]])
    bare = not hints.keys() & {"posterior", "content"}  # it has its own q
    names = [full_name(family, row[family]) for family in FAMILIES if not (bare and family == "posterior")]
    return [pair for pair in itertools.combinations(names, 2) if pair in REFUSED]


def tried(row: Row, unassembled: Unassembled, device: torch.device) -> None:
    """One step, one sample; or, where the table says so, a refusal that names both and advises."""
    parts = {family: row[family] for family in FAMILIES if family != "objective"}
    objective = Objective.from_spec(row["objective"])
    width = 2 if objective.needs_context and row["prior"]["type"] != "Vamp" else 0  # which refuses any
    model, x = unassembled(**parts, context=width)
    expected = excuses(row)
    given = torch.eye(2).repeat(2, 1) if width else None
    try:
        history = fit(model, objective, x[:4], context=given, epochs=1, batch=4, precision="fp32", device=device.type)
    except UsageError as refusal:
        words = str(refusal)
        assert expected, f"refused, but not in the table: {words}"
        named = [pair for pair in expected if all(plain_name(n) in words for n in pair)]
        assert named, f"{words} names no pair of {expected}"
        assert any(advice in words for pair in named for advice in REFUSED[pair].split("|")), words
        return
    assert not expected, f"{expected} should have been refused"
    assert history["loss"][0] is not None
    assert all(torch.isfinite(p).all() for p in model.parameters())
    with torch.no_grad():
        drawn = sample(
            model.generate(2, from_prior(torch.Generator(device).manual_seed(0)), torch.eye(2) if width else None)
        )
    assert drawn.shape == (2, *x.shape[1:])
    ended = model.likelihood.padding(drawn)
    assert (torch.isfinite(drawn.double()) if ended is None else torch.isfinite(drawn) | ended).all()
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


def without_encoder(chosen: Row) -> bool:
    """Whether a chosen part is for a model that has none."""
    posterior, objective = chosen.get("posterior"), chosen.get("objective")
    return (posterior is not None and not Posterior.from_spec(posterior).encodes) or (
        objective is not None and not Objective.from_spec(objective).encodes
    )


def in_plain_company(smalls: dict[str, list[Spec]], chosen: Row) -> Row:
    """The chosen parts, and beside them the plainest that serve: a prior over entries needs codes that are entries, and these
    such a prior; codes that are maps need a network that gives maps.
    """

    def plainest(family: str, name: str) -> Spec:
        return chosen.get(family) or next(s for s in smalls[family] if s["type"] == name)

    over_entries = "prior" in chosen and registered(Prior)[chosen["prior"]["type"]].discrete
    latent = plainest("latent", "Codebook" if over_entries else "Flat")
    cls = registered(Latent)[latent["type"]]
    spherical = any(f in chosen and FAMILY[f].from_spec(chosen[f]).support == "sphere" for f in FAMILY)
    return {
        "latent": latent,
        "prior": plainest("prior", "Uniform" if cls.discrete else "Sphere" if spherical else "Standard"),
        "posterior": plainest(
            "posterior",
            "Absent" if without_encoder(chosen) and not cls.discrete else "MisesFisher" if spherical else "Diagonal",
        ),
        "likelihood": plainest("likelihood", "Gaussian"),
        "network": plainest("network", "Conv" if cls.takes == "maps" else "Mlp"),
        "objective": plainest("objective", "Gan" if without_encoder(chosen) else "Elbo"),
    }


def working_rows(smalls: dict[str, list[Spec]]) -> list[Row]:
    """For every pair that may work, a row in which nothing is refused: the rest as plain as can be."""
    rows = []
    for f, g in itertools.combinations(FAMILIES, 2):
        for a, b in itertools.product(smalls[f], smalls[g]):
            row = in_plain_company(smalls, {f: a, g: b})
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
    chosen: Row = {}
    for family in FAMILIES:
        wanted = [spec for spec in smalls[family] if full_name(family, spec) in pair]
        chosen |= {family: wanted[0]} if wanted else {}
    row = in_plain_company(smalls, chosen)
    parts = {family: row[family] for family in FAMILIES if family != "objective"}
    model, x = unassembled(**parts)
    with pytest.raises(UsageError) as refusal:
        fit(model, Objective.from_spec(row["objective"]), x, epochs=1, device=device.type)
    words = str(refusal.value)
    assert all(plain_name(name) in words for name in pair)
    assert any(advice in words for advice in REFUSED[pair].split("|")), words
    assert len(words.split()) > 8, "a refusal is a sentence"


@pytest.mark.slow
def test_a_share_of_the_whole_product(
    smalls: dict[str, list[Spec]], unassembled: Unassembled, device: torch.device
) -> None:
    """The product has more rows than a machine tries in an hour: so many of them, drawn by a fixed seed."""
    every = [smalls[family] for family in FAMILIES]
    failures = []
    for place in random.Random(0).sample(range(math.prod(map(len, every))), SHARE):
        row: Row = {}
        for family, specs in zip(FAMILIES, every, strict=True):
            place, number = divmod(place, len(specs))
            row[family] = specs[number]
        try:
            tried(row, unassembled, device)
        except Exception as error:
            failures.append(f"{described(row)}: {error!r}")
    assert not failures, "\n".join(failures[:50])
