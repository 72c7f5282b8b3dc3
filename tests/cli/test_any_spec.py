"""Any description of parts that the fields allow, by Hypothesis: said in YAML, JSON, flags and a model file, it stays itself."""

import dataclasses
import json
import tempfile
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import hypothesis
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lambent import fitted as store
from lambent.cli.reading import strict
from lambent.cli.reading.flags import divided
from lambent.cli.reading.plan import PARTS, Plan, families, modalities
from lambent.cli.reading.specs import completed
from lambent.errors import LambentError, UsageError
from lambent.model import LatentModel
from lambent.model.latents import Latent
from lambent.model.likelihoods import Likelihood
from lambent.model.networks import Network
from lambent.model.priors import Prior
from lambent.part import Part, registered

Spec = dict[str, Any]
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)  # no argument can hold a NUL


# Of fields that take some words alone.
TAKEN = {
    ("Autoregressive", "kinds"): st.lists(st.sampled_from(["levels", "values", "bins"]), min_size=1, max_size=3),
    ("Grid", "layers"): st.sampled_from(["1x1 /2x1", "/4x1 /2x2", "1x2"]),
    ("Finite", "levels"): st.lists(st.integers(2, 8), min_size=1, max_size=3),
    ("Audio", "pattern"): st.sampled_from([None, "{label}", "{speaker}/x {label}_{take}"]),
    ("Audio", "bands"): st.sampled_from([None, 2, 128]),
    ("Table", "kinds"): st.lists(
        st.sampled_from(["age=count", "a=b=text", " =real", 'say "x", y=ordinal']), max_size=3
    ),
}


def value_of(hint: Any, limits: Any, small: bool, depth: int) -> st.SearchStrategy[Any]:
    """Any value that a field takes, from its annotation and its range, as plain data."""
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is Literal:
        return st.sampled_from(arguments)
    if typing.get_origin(hint) is tuple:
        if arguments[-1] is not Ellipsis:
            return st.tuples(*(value_of(a, limits, small, depth) for a in arguments)).map(list)
        return st.lists(value_of(arguments[0], limits, small, depth), min_size=arguments[0] is not str, max_size=3)
    if arguments:  # a union; text that says nothing is not told from nothing
        return st.one_of(*(value_of(a, limits, small, depth) for a in arguments)).filter(
            lambda v: v not in ("null", "~")
        )
    if hint is int:
        low = limits.get("minimum", 0)
        return st.integers(low, low + 3 if small else limits.get("maximum", 2**40))
    if hint is float:
        low, high = limits.get("minimum", limits.get("above")), limits.get("maximum", limits.get("below"))
        open_ends = {"exclude_min": "above" in limits, "exclude_max": "below" in limits}
        return st.floats(low, high, **open_ends, allow_nan=False, allow_infinity=False)
    plain = {bool: st.booleans(), str: WORDS, type(None): st.none()}
    return plain[hint] if hint in plain else spec_of(hint, small, depth + 1)


@st.composite
def spec_of(draw: st.DrawFn, kind: type[Part], small: bool = False, depth: int = 0) -> Spec:
    """Any part of a family, all fields given; small ones hold parts that can serve in them."""
    known = [n for n in registered(kind) if depth == 0 or n != "Mixed"]
    known = [n for n in known if registered(kind)[n].__module__.startswith("lambent.")]
    name = draw(st.sampled_from(known))
    cls = registered(kind)[name]
    hints = typing.get_type_hints(cls)
    fields = {
        f.name: draw(
            TAKEN[name, f.name] if (name, f.name) in TAKEN else value_of(hints[f.name], f.metadata, small, depth)
        )
        for f in dataclasses.fields(cls)
    }
    if fields.get("crop") is not None:
        fields["size"] = None  # of the two one alone may be given
    if small and issubclass(cls, Latent) and "prior" in fields:
        served = [
            n for n, p in registered(Prior).items() if p.discrete == cls.discrete and p.support in (None, "space")
        ]
        fields["prior"] = draw(spec_of(Prior, small=True).filter(lambda spec: spec["type"] in served))
    return {"type": name, **fields}


KINDS = {**families(), "data": modalities()}


@pytest.mark.parametrize("section", KINDS)
@given(data=st.data())
def test_any_description_is_the_same_in_yaml_json_and_flags(
    section: str, flags_of: Callable[[Spec, str], list[str]], data: st.DataObject
) -> None:
    kind = KINDS[section]
    spec = data.draw(spec_of(kind))
    assert repr(kind.from_spec(spec).spec()) == repr(spec)
    for said in (
        strict.parsed(strict.dumped({section: spec}), "x")[section],
        strict.parsed_json(json.dumps({section: spec}), "x")[section],
        divided(flags_of(spec, section))[1][section],
    ):
        assert repr(completed(kind, said, None, section)) == repr(spec)


@given(st.fixed_dictionaries({name: spec_of(kind) for name, kind in families().items()}))
def test_any_plan_is_written_and_read_back(parts: Spec) -> None:
    plan = Plan.of(parts | {"data": "x.csv"})
    written = plan.plain({"type": "Table"}, plan.described({}))
    again = Plan.of(strict.parsed(strict.dumped(written), "x"))
    assert repr(again.plain({"type": "Table"}, again.described({}))) == repr(written)


SMALL = st.fixed_dictionaries({name: spec_of(kind, small=True) for name, kind in families().items()})


@st.composite
def company(draw: st.DrawFn) -> tuple[Spec, tuple[int, ...]]:
    """Small parts, most of which go together, and the shape of a row."""
    parts = draw(SMALL)
    if registered(Latent)[parts["latent"]["type"]].takes == "maps":
        parts["network"] = draw(spec_of(Network, small=True).filter(lambda s: registered(Network)[s["type"]].spatial))
    spatial = registered(Network)[parts["network"]["type"]].spatial
    return parts, (1, 6, 5) if spatial else draw(st.sampled_from([(1, 6, 5), (4,), (1,)]))


@hypothesis.settings(
    suppress_health_check=[hypothesis.HealthCheck.filter_too_much]
)  # most pairs go together, not most sets
@given(company())
def test_any_model_is_the_same_in_its_file(assembled: tuple[Spec, tuple[int, ...]]) -> None:
    """Of every set of parts that goes together, the model file gives back the description and the weights."""
    parts, event = assembled
    objective = parts["objective"]
    try:
        model = LatentModel.from_spec({"type": "LatentModel", **{k: v for k, v in parts.items() if k != "objective"}})
        model.setup(event, torch.rand(8, *event).round(), 0)
    except LambentError:
        hypothesis.reject()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.safetensors"
        store.save(path, store.Fitted(model, None, {"objective": objective}))
        stored = store.load(path)
        header = store.read_header(path)
    described = stored.model.spec()
    for name in PARTS[:3]:
        assert repr(described[name]) == repr(parts[name])
    assert repr(header["provenance"]["objective"]) == repr(objective)
    assert stored.model.state_dict().keys() == model.state_dict().keys()
    assert all(
        torch.equal(a, b) for a, b in zip(stored.model.state_dict().values(), model.state_dict().values(), strict=True)
    )


@st.composite
def spoilt(draw: st.DrawFn) -> tuple[str, Spec, str]:
    """(section, a description with one fault, the name that the error must hold)."""
    section = draw(st.sampled_from(sorted(KINDS)))
    spec = draw(spec_of(KINDS[section]))
    cls = registered(KINDS[section])[spec["type"]]
    fields = {f.name: f for f in dataclasses.fields(cls)}
    faults = ["unknown", *(["type"] if fields else [])]
    ranged = [n for n, f in fields.items() if {"minimum", "maximum", "above", "below"} & f.metadata.keys()]
    fault = draw(st.sampled_from([*faults, *(["range", "nan"] if ranged else [])]))
    if fault == "unknown":
        name = draw(st.from_regex(r"[a-z_]{1,12}", fullmatch=True).filter(lambda n: n not in fields and n != "type"))
        return section, spec | {name: 1}, name
    if fault == "type":
        name = draw(st.sampled_from(sorted(fields)))
        return section, spec | {name: draw(st.sampled_from([{"no such": 1}, [[[1]]], 1 + 2j, object, b"bytes"]))}, name
    name = draw(st.sampled_from(ranged))
    if fault == "nan":
        wrong: Any = draw(st.sampled_from([float("nan"), float("inf"), "nan"]))
    else:
        limits = fields[name].metadata
        ends = [
            limits[k] + step for k, step in (("minimum", -1), ("maximum", 1), ("above", 0), ("below", 0)) if k in limits
        ]
        wrong = draw(st.sampled_from(ends))
    return section, spec | {name: [wrong, wrong] if isinstance(spec[name], list) else wrong}, name


@given(spoilt())
def test_any_fault_is_a_usage_error_with_the_fields_name(case: tuple[str, Spec, str]) -> None:
    section, spec, name = case
    with pytest.raises(UsageError) as refused:
        completed(KINDS[section], spec, None, section)
    assert str(refused.value).startswith(section)
    assert name in str(refused.value)
    with pytest.raises(UsageError):
        KINDS[section].from_spec(spec)


@given(st.lists(spec_of(Likelihood, depth=1), min_size=1, max_size=3))
def test_lists_of_parts_are_the_same_in_braces(columns: list[Spec]) -> None:
    spec = {"type": "Mixed", "columns": columns}
    tree = divided([f"--likelihood.columns={json.dumps(columns)}", "--likelihood=Mixed"])[1]
    assert repr(completed(Likelihood, tree["likelihood"], None, "likelihood")) == repr(spec)
