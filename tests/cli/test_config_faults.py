"""Configurations that are wrong, in YAML, JSON and flags: one line that says where, and nothing begun (cases G)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lambent.cli.reading import strict
from lambent.cli.reading.flags import divided
from lambent.cli.reading.plan import Plan

Run = Callable[..., Any]
Refuses = Callable[..., None]


@pytest.fixture
def refuses(lambent: Run, table: Path) -> Refuses:
    """refuses(text, words): a run with that configuration ends with status 2, those words in its one line, no folder."""

    def tried(text: str, words: str, suffix: str = "yaml") -> None:
        Path(f"run.{suffix}").write_text(text)
        refused = lambent("train", table, "--data.label=kind", f"--config=run.{suffix}", "--out=run", "--quiet")
        assert refused.status == 2
        assert words in refused.complaint
        assert not Path("run").exists()

    return tried


def test_G1_yaml_reads_numbers_as_numbers() -> None:
    """YAML such as `1e-3` becomes a number and never text, and reaches its field as one."""
    text = "{a: 1e-3, b: 1.5E+2, e: 12:30:00, f: 1_000, g: 0x10, h: .5, i: '1e-3'}"
    assert strict.parsed(text, "x") == {
        "a": 0.001, "b": 150.0, "e": "12:30:00", "f": "1_000", "g": "0x10", "h": 0.5, "i": "1e-3",
    }  # fmt: skip
    plan = Plan.of(strict.parsed("fit: {learning_rate: 1e-3}\nobjective: {beta: 1e-3}", "x"))
    assert plan.fit["learning_rate"] == 0.001
    assert plan.described({})["objective"]["beta"] == 0.001


def test_G2_on_and_no_are_words() -> None:
    """`on: no` is the word on with the value no, and never {True: False}: only true and false are truth values."""
    assert strict.parsed("{c: 'no', on: no, off: y, j: ~, k: True, l: FALSE}", "x") == {
        "c": "no", "on": "no", "off": "y", "j": None, "k": True, "l": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data: {1: x}", "line 1: the key 1 is no text"),
        ("? [a, b]\n: x", "is no text"),
        ("~: x", "is no text"),
        ("data: {true: x}", "line 1: the key True is no text"),
        ("on: no", "on: no such section"),
    ],
)
def test_G2_keys_that_are_not_text(refuses: Refuses, text: str, words: str) -> None:
    """A key that is a number, a list, a truth value or nothing is refused with its line."""
    refuses(text, words)


@pytest.mark.parametrize(
    ("text", "words", "suffix"),
    [
        ("fit: {epochs: 1}\nfit: {epochs: 2}", "line 2: the key 'fit' stands there twice", "yaml"),
        ("fit:\n  epochs: 1\n  epochs: 2", "line 3: the key 'epochs' stands there twice", "yaml"),
        ('{"fit": {"epochs": 1, "epochs": 2}}', "the key 'epochs' stands there twice", "json"),
    ],
)
def test_G3_duplicate_keys(refuses: Refuses, text: str, words: str, suffix: str) -> None:
    """A key that stands there twice is refused: the last does not win unseen."""
    refuses(text, words, suffix)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fit: &a {epochs: 1}\nevaluate: *a", "anchors and aliases"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]", "anchors and aliases"),
        ("x: &x [*x]", "anchors and aliases"),
        ("data: [" + "x, " * 30_000 + "x]", "more than 20,000 values"),
    ],
)
def test_G4_alias_bombs(refuses: Refuses, text: str, words: str) -> None:
    """Aliases, with which a few lines become a billion values, are not taken; nor are more than 20,000 values."""
    refuses(text, words)


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system [touch sprung]",
        "!!python/name:os.system x",
        "!!str 3",
        "!own x",
        "!!binary eA==",
    ],
)
def test_G5_tags(refuses: Refuses, tag: str) -> None:
    """A tag is refused, whether it would run a program or only name a type; nothing of it is carried out."""
    refuses(f"fit: {tag}", "tags such as")
    assert not Path("sprung").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("laten: {size: 3}", "laten: no such section; did you mean 'latent'?"),
        ("latent: {type: Flatt}", "latent: the name of a Latent is expected"),
        (
            "objective: {type: Gann}",
            "objective: the name of an Objective is expected, and 'Gann' is none; did you mean 'Gan'?",
        ),
        ("latent: {prior: {type: Vamp, componets: 3}}", "did you mean 'components'?"),
        ("latent: {prior: {components: 3}}", "latent.prior.components: Standard has no field"),
        ("fit: {epoch: 3}", "fit.epoch: no such setting; did you mean 'epochs'?"),
        ("evaluate: {sample: 3}", "did you mean 'samples'?"),
        ("data: {sorce: x}", "did you mean 'source'?"),
        ("data: {type: Table, labl: x}", "data.labl: Table has no field 'labl'; did you mean 'label'?"),
    ],
)
def test_G6_unknown_keys(refuses: Refuses, text: str, words: str) -> None:
    """An unknown section, part, field or setting is refused by its path, with the nearest name."""
    refuses(text, words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fit: {epochs: many}", "fit.epochs takes a whole number or null, not 'many'"),
        ("fit: {epochs: '3'}", "fit.epochs takes a whole number"),
        ("fit: {epochs: true}", "fit.epochs takes a whole number"),
        ("fit: {epochs: 2.0}", "fit.epochs takes a whole number"),
        ("latent: {size: 2.5}", "latent: Flat.size takes a whole number"),
        ("latent: {size: true}", "latent: Flat.size takes a whole number"),
        ("latent: [Flat]", "latent: a Latent is named"),
        ("latent: {size: {a: 1}}", "latent: Flat.size takes a whole number"),
        ("fit: 3", "fit: a mapping of settings is expected"),
        ("- fit", "a configuration is a mapping"),
        ("fit: {learning_rate: .nan}", "line 1: .nan is not a finite number"),
        ("fit: {learning_rate: nan}", "fit.learning_rate takes a finite number, not 'nan'"),
        ("objective: {beta: -.inf}", "line 1: -.inf is not a finite number"),
        ("objective: {beta: inf}", "objective: Elbo.beta takes a finite number"),
        ("fit: {learning_rate: 1e999}", "beyond any number"),
    ],
)
def test_G7_wrong_types_and_numbers_that_are_not_finite(refuses: Refuses, text: str, words: str) -> None:
    """A value of the wrong type, NaN and infinity are refused by the path or the line, with what the field takes."""
    refuses(text, words)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000])
def test_G7_json_numbers_that_are_not_finite(refuses: Refuses, number: str) -> None:
    """JSON's NaN, Infinity, overflow and endless digits, which Python's reader takes, are refused."""
    refuses(f'{{"fit": {{"learning_rate": {number}}}}}', "run.json: ", "json")


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        ("latent: " + "[" * 100_000, "yaml"),
        ("latent: " + "[" * 100_000 + "]" * 100_000, "yaml"),
        ("{a: " * 50, "yaml"),
        ("- " * 50_000, "yaml"),
        ("[" * 100_000, "json"),
        ("[" * 100_000 + "]" * 100_000, "json"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "json"),
        ("[" * 40 + "]" * 40, "json"),
    ],
)
def test_G8_nesting_without_end(refuses: Refuses, text: str, suffix: str) -> None:
    """YAML and JSON nested up to 100,000 deep are refused as a configuration, without exhausting the stack."""
    refuses(text, "run.", suffix)


@pytest.mark.parametrize(("text", "suffix"), [("", "yaml"), ("# nothing", "yaml"), ("null", "json"), ("~", "yaml")])
def test_G9_empty_configurations(refuses: Refuses, text: str, suffix: str) -> None:
    """An empty configuration is refused, with what it should hold at least."""
    refuses(text, "is empty; at least give it the data", suffix)


def test_G9_an_empty_mapping_is_all_defaults(lambent: Run, table: Path, small: tuple[str, ...]) -> None:
    """A configuration that sets nothing, and empty sections, leave every setting at its default."""
    Path("run.json").write_text('{"fit": null, "latent": {}, "evaluate": {}}')
    done = lambent("train", table, "--data.label=kind", "--config=run.json", "--epochs=1", "--out=run", *small)
    assert done.status == 0, done.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("objective: {beta: auto, capacity: 3}", "Elbo cannot both steer"),
        ("fit: {patience: 3, validation: 0}", "patience waits for a better validation loss"),
        ("latent: {prior: Vamp, posterior: Point}", "Point"),
        ("data: {test: train}", "data.test: 'train' is what the model is trained on"),
        ("fit: {validation: train}", "fit.validation: 'train' is what the model is trained on"),
    ],
)
def test_G10_settings_that_exclude_each_other(refuses: Refuses, text: str, words: str) -> None:
    """Two settings of which each rules out the other are refused in a sentence that names both."""
    refuses(text, words)


@pytest.mark.parametrize(
    ("text", "words"),
    [("lambent: 2", "a later version"), ("lambent: new", "whole number"), ("lambent: 0", "whole number")],
)
def test_G11_a_later_version(refuses: Refuses, text: str, words: str) -> None:
    """A configuration of a later version, or of none that can be, is refused before anything in it is believed."""
    refuses(text, words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("objective: {beta: -1}", "objective: Elbo.beta must be at least 0"),
        ("objective: {free_bits: -1}", "objective: Elbo.free_bits must be at least 0"),
        ("objective: {free_bits: 2, capacity: 3}", "Elbo cannot steer the KL to 3 nats with 2 free nats for each of 3 units"),
        ("likelihood: {type: Gaussian, value: 1e-300}", "likelihood: Gaussian.value must be at least 1e-12"),
        ("likelihood: {type: NegativeBinomial, value: 1e300}", "NegativeBinomial.value must be at most 1"),
        ("objective: {type: Iwae, samples: 0}", "objective: Iwae.samples must be at least 1"),
        ("evaluate: {samples: -1}", "evaluate.samples must lie in 1 … 5,000, not -1"),
        ("evaluate: {samples: 5001}", "evaluate.samples must lie in 1 … 5,000"),
        ("evaluate: {rows: 0}", "evaluate.rows must be at least 1"),
        ("data: {limit: 0}", "data.limit must be at least 1"),
        ("data: {test: 1.5}", "data.test: a share to hold out lies between 0 and 1"),
        ("latent: {prior: {type: Vamp, components: 0}}", "latent.prior: Vamp.components must be at least 1"),
    ],
)  # fmt: skip
def test_G12_numbers_out_of_range(refuses: Refuses, text: str, words: str) -> None:
    """A negative weight, no samples, no components, more free nats than the capacity: refused with the range."""
    refuses(text, words)


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "x", "[1.0]", "1e999"])
def test_G12_weights_out_of_range_as_flags(lambent: Run, text: str) -> None:
    """The same by flags, before any data are read."""
    refused = lambent("train", "no-such-data.csv", "--objective.beta", text, "--out=run")
    assert refused.status == 2
    assert "objective: Elbo.beta" in refused.complaint


def test_G12_a_weight_of_nought_is_one() -> None:
    """β = 0 is taken: it trains without the KL."""
    assert Plan.of(divided(["--objective.beta", "0"])[1]).described({})["objective"]["beta"] == 0.0


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/x", ".ssh", "-x", "x" * 300, '"a\\0b"', "a/b", "'a\\b'", "C:x", "'x '", "..", '""']
)
def test_G13_names_that_lead_elsewhere(refuses: Refuses, name: str) -> None:
    """A run's name becomes a folder: one that leads out of it, is hidden or too long is refused."""
    refuses(f"name: {name}", "cannot be a run's name")


def test_G13_a_path_may_lead_anywhere(lambent: Run, table: Path, small: tuple[str, ...], monkeypatch: Any) -> None:
    """What a person writes after --out is theirs to choose; the name of a run is not."""
    Path("in/ner").mkdir(parents=True)
    with monkeypatch.context() as inside:
        inside.chdir("in/ner")
        assert lambent("train", table, "--data.label=kind", "--epochs=1", "--out=../../up", *small).status == 0
    assert Path("up/report.html").exists()
    assert lambent("train", table, "--data.label=kind", "--name=../../up").status == 2


@pytest.mark.parametrize("verb", [["data"], ["train", "mnist", "--out=r"], ["data", "mnist"]])
def test_G14_a_variable_with_a_bad_value(lambent: Run, monkeypatch: pytest.MonkeyPatch, verb: list[str]) -> None:
    """LAMBENT_DATA is the only variable that sets anything; a value that names no folder is refused by the variable's name."""
    monkeypatch.setenv("LAMBENT_DATA", "/nosuch/folder")
    refused = lambent(*verb)
    assert refused.status == 2
    assert "LAMBENT_DATA=/nosuch/folder: is no folder" in refused.complaint


def test_G14_no_other_variable_sets_anything(lambent: Run, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables named like settings change nothing, so none of them can hold a bad value."""
    before = lambent("train", table, "--help").out
    for name in ("LAMBENT_EPOCHS", "LAMBENT_FIT_EPOCHS", "EPOCHS", "LAMBENT_CONFIG", "LAMBENT_DEVICE", "DATA"):
        monkeypatch.setenv(name, "nonsense")
    assert lambent("train", table, "--help").out == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fit: {epochs: 1", "no YAML"),
        ("fit: {}\n---\nfit: {}", "a second document"),
        ("name: \x07", "no YAML"),
        ("fit: {learning_rate: 1}\n\tx: 1", "no YAML"),
    ],
)
def test_what_is_no_yaml(refuses: Refuses, text: str, words: str) -> None:
    refuses(text, words)


def test_what_is_no_json(refuses: Refuses) -> None:
    refuses('{"fit": ', "no JSON", "json")


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
