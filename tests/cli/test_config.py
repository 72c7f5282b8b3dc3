"""Configurations: what is written is read back, any text is read or refused, flags are laid on files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambent.cli.reading import strict
from lambent.cli.reading.plan import Plan, families, modalities
from lambent.cli.reading.specs import completed
from lambent.cli.reading.trees import Tree, merged
from lambent.data import Image
from lambent.errors import UsageError
from lambent.part import Spec

Run = Callable[..., Any]
FIFTY = {"type": "Mixture", "components": 50, "covariance": "full", "conditional": True}

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(plain)
@settings(max_examples=300, deadline=None)
def test_what_is_written_is_read_back(value: Any) -> None:
    assert strict.parsed(strict.dumped(value), "x") == value
    assert repr(strict.parsed(strict.dumped(value), "x")) == repr(value)


@given(st.text(alphabet="ab 1:,#'\"-", min_size=100, max_size=400))
@settings(max_examples=100, deadline=None)
def test_long_text_is_read_back_from_several_lines(text: str) -> None:
    for value in ({"a": text}, {"a": {"b": [text, text]}}):
        assert strict.parsed(strict.dumped(value), "x") == value


def test_what_is_written_looks_like_a_configuration_written_by_hand() -> None:
    """Order kept, a mapping on lines of its own, a list of plain values on one, quotes only where a word would be another."""
    value = {
        "name": "a run", "fit": {"rate": 1e-05, "epochs": None, "quick": True, "word": "true", "digits": "12"},
        "sizes": [8, 4], "parts": [{"type": "Mlp", "ü": "x: y"}, "Conv"], "none": [], "nothing": {},
    }  # fmt: skip
    assert strict.dumped(value) == (
        'name: a run\nfit:\n  rate: 1e-05\n  epochs: null\n  quick: true\n  word: "true"\n  digits: "12"\n'
        'sizes: [8, 4]\nparts:\n- type: Mlp\n  ü: "x: y"\n- Conv\nnone: []\nnothing: {}\n'
    )


@given(st.text(max_size=60) | st.text(alphabet="{}[]:,-&*!|>'\"#%@ \n\tab1.~?", max_size=60))
@settings(max_examples=500, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (strict.parsed, strict.parsed_json):
        try:
            read(text, "x")
        except UsageError as error:
            refused = str(error)
        else:
            continue
        assert "\n" not in refused


@given(plain)
@settings(max_examples=200, deadline=None)
def test_any_tree_is_a_plan_or_refused(tree: Any) -> None:
    for section in ("data", "latent", "likelihood", "network", "objective", "fit", "evaluate", "name", "lambent"):
        try:
            plan = Plan.of({section: tree})
            plan.check()
            plan.described({})
        except UsageError:
            continue


@pytest.mark.parametrize(
    ("given", "prior"),
    [
        ({}, FIFTY),
        ({"latent": {"size": 40}}, FIFTY),
        ({"latent": {"prior": "Standard"}}, {"type": "Standard"}),
        ({"latent": {"posterior": "Point"}}, {"type": "Standard"}),
        ({"latent": {"posterior": "MisesFisher"}}, {"type": "Sphere"}),
        ({"objective": {"type": "BetaTc"}}, {"type": "Standard"}),
        ({"objective": {"beta": 4}}, {"type": "Standard"}),
        (
            {"objective": {"beta": 4}, "latent": {"prior": "Mixture"}},
            FIFTY | {"components": 10, "covariance": "diagonal"},
        ),
        ({"latent": {"size": 128}}, FIFTY),
        ({"latent": {"size": 129}}, FIFTY | {"covariance": "diagonal"}),
        ({"objective": {"beta": "auto"}}, FIFTY),
        ({"latent": "Ladder"}, {"type": "Standard"}),
    ],
    ids=repr,
)
def test_images_suggest_a_prior_that_gives_way(given: Tree, prior: Spec) -> None:
    assert Plan.of(given).described(Image().defaults())["latent"]["prior"] == prior


# ---- merging and completing ------------------------------------------------------------------------------------------


def test_flags_are_laid_on_a_file() -> None:
    base = {"latent": {"type": "Flat", "size": 4, "prior": {"type": "Mixture", "components": 7}}, "objective": "Elbo"}
    over = {"latent": {"size": 8}, "objective": {"beta": 2}}
    assert merged(base, over)["latent"] == {**base["latent"], "size": 8}  # type: ignore[dict-item]
    assert merged(base, over)["objective"] == {"type": "Elbo", "beta": 2}
    # another type starts afresh: the 7 components were those of the mixture
    assert merged(base, {"latent": {"prior": {"type": "Vamp"}}})["latent"]["prior"] == {"type": "Vamp"}
    assert merged(base, {"latent": "Ladder"})["latent"] == "Ladder"
    assert merged(base, {"latent": "Flat"})["latent"]["size"] == 4
    assert merged({"latent": {"size": 8}}, {"latent": "Flat"})["latent"] == {"type": "Flat", "size": 8}


def test_fields_without_a_type_are_those_of_the_default() -> None:
    likelihood = families()["likelihood"]
    usual = {"type": "Gaussian", "scale": "each"}
    assert completed(likelihood, {"floor": 0.1}, usual, "likelihood") == {
        "type": "Gaussian", "scale": "each", "value": 1.0, "floor": 0.1,
    }  # fmt: skip
    assert completed(likelihood, {"type": "Gaussian"}, usual, "likelihood")["scale"] == "each"
    assert completed(likelihood, {"type": "Laplace"}, usual, "likelihood")["scale"] == "one"


def test_no_modality_has_a_field_that_the_command_line_keeps_for_itself() -> None:
    from lambent.cli.reading.settings import of_rows
    from lambent.cli.reading.specs import fields_of
    from lambent.part import registered

    for cls in registered(modalities()).values():
        assert not set(fields_of(cls)) & {*of_rows(), "type"}


def test_json_serves_as_well(lambent: Run, table: Path, small: tuple[str, ...]) -> None:
    Path("run.json").write_text(json.dumps({"data": {"source": str(table), "label": "kind"}, "fit": {"epochs": 1}}))
    assert lambent("train", "--config", "run.json", "--out", "run", *small).status == 0
