"""Configurations: strict YAML and JSON, the same sentences for files and flags (cases G)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambent.cli import strict
from lambent.cli.plan import Plan, families, modalities
from lambent.cli.specs import completed
from lambent.cli.trees import merged
from lambent.errors import UsageError

Run = Callable[..., Any]

BAD = {
    "G2_key_that_is_a_number": ("data: {1: x}", "line 1: the key 1 is no text"),
    "G2_key_that_is_a_list": ("? [a, b]\n: x", "is no text"),
    "G2_key_that_is_nothing": ("~: x", "is no text"),
    "G3_duplicate_key": ("fit: {epochs: 1}\nfit: {epochs: 2}", "line 2: the key 'fit' stands there twice"),
    "G3_duplicate_key_inside": ("fit:\n  epochs: 1\n  epochs: 2", "line 3: the key 'epochs' stands there twice"),
    "G4_alias": ("fit: &a {epochs: 1}\nevaluate: *a", "anchors and aliases"),
    "G4_alias_bomb": ("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]", "anchors and aliases"),
    "G4_too_many_values": ("data: [" + "x, " * 30_000 + "x]", "more than 20,000 values"),
    "G5_tag": ("fit: !!python/object/apply:os.system [ls]", "tags such as"),
    "G5_harmless_tag": ("name: !!str 3", "tags such as"),
    "G6_unknown_section": ("laten: {size: 3}", "laten: no such section; did you mean 'latent'?"),
    "G6_unknown_part": ("latent: {type: Flatt}", "latent: the name of a Latent is expected"),
    "G6_unknown_field": ("latent: {prior: {type: Vamp, componets: 3}}", "did you mean 'components'?"),
    "G6_unknown_setting": ("fit: {epoch: 3}", "fit.epoch: no such setting; did you mean 'epochs'?"),
    "G6_unknown_evaluation": ("evaluate: {sample: 3}", "did you mean 'samples'?"),
    "G6_unknown_data_field": ("data: {sorce: x}", "did you mean 'source'?"),
    "G7_text_for_number": ("fit: {epochs: many}", "fit.epochs takes a whole number or null, not 'many'"),
    "G7_quoted_number": ("fit: {epochs: '3'}", "fit.epochs takes a whole number"),
    "G7_truth_for_number": ("fit: {epochs: true}", "fit.epochs takes a whole number"),
    "G7_fraction_for_whole": ("latent: {size: 2.5}", "latent: Flat.size takes a whole number"),
    "G7_list_for_part": ("latent: [Flat]", "latent: a Latent is named"),
    "G7_mapping_for_number": ("latent: {size: {a: 1}}", "latent: Flat.size takes a whole number"),
    "G7_wrong_depth": ("latent: {prior: {components: 3}}", "latent.prior.components: Standard has no field"),
    "G7_nan": ("fit: {learning_rate: .nan}", "line 1: .nan is not a finite number"),
    "G7_infinity": ("objective: {beta: -.inf}", "line 1: -.inf is not a finite number"),
    "G7_overflow": ("fit: {learning_rate: 1e999}", "beyond any number"),
    "G7_section_of_another_type": ("fit: 3", "fit: a mapping of settings is expected"),
    "G7_a_list_at_the_top": ("- fit", "a configuration is a mapping"),
    "G8_deep": ("latent: " + "[" * 100_000, "nested more than 32 deep"),
    "G8_deep_mapping": ("{a: " * 50, "nested more than 32 deep"),
    "G9_empty": ("", "is empty"),
    "G9_only_a_comment": ("# nothing", "is empty"),
    "G10_steer_and_set": ("objective: {beta: auto, capacity: 3}", "Elbo cannot both steer"),
    "G11_later_version": ("lambent: 2", "a later version"),
    "G11_no_version": ("lambent: new", "whole number"),
    "G12_negative_beta": ("objective: {beta: -1}", "objective: Elbo.beta must be at least 0"),
    "G12_no_samples": ("evaluate: {samples: -1}", "evaluate.samples must lie in 1 … 5,000, not -1"),
    "G12_too_many_samples": ("evaluate: {samples: 5001}", "evaluate.samples must lie in 1 … 5,000"),
    "G12_no_rows": ("evaluate: {rows: 0}", "evaluate.rows must be at least 1"),
    "G12_no_limit": ("data: {limit: 0}", "data.limit must be at least 1"),
    "G12_no_components": (
        "latent: {prior: {type: Vamp, components: 0}}",
        "latent.prior: Vamp.components must be at least 1",
    ),
    "G13_traversing_name": ("name: ../../x", "cannot be a run's name"),
    "G13_absolute_name": ("name: /etc/x", "cannot be a run's name"),
    "G13_hidden_name": ("name: .ssh", "cannot be a run's name"),
    "G13_long_name": ("name: " + "x" * 300, "cannot be a run's name"),
    "no_yaml": ("fit: {epochs: 1", "no YAML"),
    "two_documents": ("fit: {}\n---\nfit: {}", "a second document"),
    "control_characters": ("name: \x07", "no YAML"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_configuration(lambent: Run, tmp_path: Path, table: Path, case: str) -> None:
    text, words = BAD[case]
    path = tmp_path / "run.yaml"
    path.write_text(text)
    refused = lambent("train", table, "--data.label=kind", "--config", path, "--out", tmp_path / "run", "--quiet")
    assert refused.status == 2
    assert words in refused.complaint
    assert not (tmp_path / "run").exists()


BAD_JSON = {
    "G3_duplicate_key": ('{"fit": {"epochs": 1, "epochs": 2}}', "stands there twice"),
    "G7_nan": ('{"fit": {"learning_rate": NaN}}', "NaN is not a finite number"),
    "G7_overflow": ('{"fit": {"learning_rate": 1e999}}', "not a finite number"),
    "G8_deep": ("[" * 100_000, "no JSON|nested"),
    "G8_deep_and_closed": ("[" * 40 + "]" * 40, "nested more than 32 deep"),
    "no_json": ('{"fit": ', "no JSON"),
}


@pytest.mark.parametrize("case", BAD_JSON)
def test_bad_json(lambent: Run, tmp_path: Path, table: Path, case: str) -> None:
    text, words = BAD_JSON[case]
    (tmp_path / "run.json").write_text(text)
    refused = lambent("train", table, "--config", "run.json", "--out", "run")
    assert refused.status == 2
    assert any(word in refused.complaint for word in words.split("|"))


def test_unreadable_configurations(lambent: Run, tmp_path: Path, table: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("name: é".encode("latin-1"))
    (tmp_path / "large.yaml").write_text("# " + "x" * (1 << 21))
    (tmp_path / "folder.yaml").mkdir()
    for name, words, status in (
        ("latin", "UTF-8", 2),
        ("large", "at most", 2),
        ("nosuch", "nosuch", 3),
        ("folder", "folder", 3),
    ):
        refused = lambent("train", table, "--config", f"{name}.yaml", "--out", "run")
        assert refused.status == status
        assert words in refused.complaint


def test_G1_G2_yaml_words() -> None:
    """Numbers without a point are numbers, and only true and false are truth values."""
    text = (
        "{a: 1e-3, b: 1.5E+2, c: 'no', on: no, d: off, e: 12:30:00, f: 1_000, g: 0x10, h: .5, i: '1e-3', j: ~, k: True}"
    )
    assert strict.parsed(text, "x") == {
        "a": 0.001, "b": 150.0, "c": "no", "on": "no", "d": "off", "e": "12:30:00", "f": "1_000", "g": "0x10", "h": 0.5,
        "i": "1e-3", "j": None, "k": True,
    }  # fmt: skip


def test_G1_numbers_reach_their_fields(tmp_path: Path) -> None:
    plan = Plan.of(strict.parsed("fit: {learning_rate: 1e-3}\nobjective: {beta: 1e-3}", "x"))
    assert plan.fit["learning_rate"] == 0.001
    assert plan.described({})["objective"]["beta"] == 0.001


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
    from lambent.cli.settings import of_rows
    from lambent.cli.specs import fields_of
    from lambent.part import registered

    for cls in registered(modalities()).values():
        assert not set(fields_of(cls)) & {*of_rows(), "type"}


def test_json_serves_as_well(lambent: Run, table: Path, small: tuple[str, ...]) -> None:
    Path("run.json").write_text(json.dumps({"data": {"source": str(table), "label": "kind"}, "fit": {"epochs": 1}}))
    assert lambent("train", "--config", "run.json", "--out", "run", *small).status == 0
