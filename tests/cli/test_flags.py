"""Flags: every field of every part can be said, in any order, and comes back as it was meant."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lambent.cli.program import VERBS
from lambent.cli.reading import strict
from lambent.cli.reading.flags import Parser, add_rows, add_run, common, divided
from lambent.cli.reading.plan import Plan, modalities, sourced
from lambent.cli.reading.specs import completed
from lambent.errors import UsageError
from lambent.model.likelihoods import Likelihood
from lambent.model.networks import Network
from lambent.model.posteriors import Posterior
from lambent.model.priors import Prior
from lambent.objectives import Objective
from lambent.part import Part, registered

Spec = dict[str, Any]
Flags = Callable[[Spec, str], list[str]]
Said = Callable[[type[Part], Spec], None]


@pytest.fixture(scope="module")
def said(flags_of: Flags) -> Said:
    """What flags say, and what YAML says, is what was meant."""

    def checked(kind: type[Part], spec: Spec) -> None:
        meant = kind.from_spec(spec).spec()
        rest, tree = divided(["DATA", *flags_of(meant, "latent"), "--out", "x"])
        assert rest == ["DATA", "--out", "x"]
        assert completed(kind, tree["latent"], None, "latent") == meant
        assert completed(kind, strict.parsed(strict.dumped(meant), "x"), None, "latent") == meant

    return checked


def test_every_prior(any_prior_spec: Spec, said: Said) -> None:
    said(Prior, any_prior_spec)


def test_every_posterior(any_posterior_spec: Spec, said: Said) -> None:
    said(Posterior, any_posterior_spec)


def test_every_latent(any_latent_spec: Spec, said: Said) -> None:
    from lambent.model.latents import Latent

    said(Latent, any_latent_spec)


def test_every_likelihood(any_likelihood_spec: Spec, said: Said) -> None:
    said(Likelihood, any_likelihood_spec)


def test_every_network(any_network_spec: Spec, said: Said) -> None:
    said(Network, any_network_spec)


def test_every_objective(any_objective_spec: Spec, said: Said) -> None:
    said(Objective, any_objective_spec)


def test_every_modality(said: Said) -> None:
    for name in registered(modalities()):
        said(modalities(), {"type": name})
    said(modalities(), {"type": "Image", "size": [64, 32], "flip": True, "binarize": "dynamic"})
    said(
        modalities(), {"type": "Table", "label": "2024", "drop": ["1", "true", "x y", "a, b", "it's"], "delimiter": ";"}
    )


@pytest.mark.parametrize(
    ("flags", "tree"),
    [
        (["--latent.size", "3"], {"latent": {"size": "3"}}),
        (["--latent", "Flat", "--latent.prior", "Vamp", "--latent.prior.components", "3"],
         {"latent": {"type": "Flat", "prior": {"type": "Vamp", "components": "3"}}}),
        (["--latent.prior.components=3", "--latent.prior=Vamp"], {"latent": {"prior": {"components": "3", "type": "Vamp"}}}),
        (["--data.flip", "--latent.size=3"], {"data": {"flip": "true"}, "latent": {"size": "3"}}),
        (["--data.skip-bad"], {"data": {"skip_bad": "true"}}),
        (["--objective.target", "-500"], {"objective": {"target": "-500"}}),
        (["--data.label=a=b"], {"data": {"label": "a=b"}}),
        (["--", "--latent.size", "3"], {}),
        (["--data.flip", "-q"], {"data": {"flip": "true"}}),
        (["--data.flip", "-o", "r"], {"data": {"flip": "true"}}),
        (["--objective.target", "-.5", "-h"], {"objective": {"target": "-.5"}}),
    ],
)  # fmt: skip
def test_flags_become_a_tree(flags: list[str], tree: Spec) -> None:
    assert divided(flags)[1] == tree


def test_lists_may_be_bare() -> None:
    for text in ("[8, 16]", "8,16", "[8,16]"):
        tree = divided([f"--network.channels={text}", "--network=Conv"])[1]
        assert completed(Network, tree["network"], None, "network")["channels"] == [8, 16]
    assert completed(Network, divided(["--network=Conv", "--network.channels", "8"])[1]["network"], None, "n")[
        "channels"
    ] == [8]


def test_a_part_may_be_written_in_braces() -> None:
    tree = divided(["--latent", "{type: Flat, size: 3, prior: {type: Vamp, components: 5}}"])[1]
    from lambent.model.latents import Latent

    assert completed(Latent, tree["latent"], None, "latent")["prior"] == {"type": "Vamp", "components": 5}


def test_data_names_a_modality_or_the_data() -> None:
    assert sourced({"data": "fashion"}, None)["data"] == {"source": "fashion"}
    assert sourced({"data": "Image"}, "x.npy")["data"] == {"type": "Image", "source": "x.npy"}
    assert sourced({"data": {"size": "3,3"}}, "x")["data"] == {"size": "3,3", "source": "x"}
    assert sourced({}, None) == {}
    with pytest.raises(UsageError, match="did you mean 'Table'"):
        sourced({"data": "Tabel"}, "x.csv")


@pytest.mark.parametrize(
    "text", ["nan", "inf", "1e999", "three", "[1]", "{a: 1}", "1.5", "true", "9" * 5000, "-3", "0", "1e9"]
)
def test_L13_sizes_out_of_range(text: str) -> None:
    """A number of units that is no whole number, none, negative or far too large is refused by its flag's path."""
    tree = divided(["--latent.size", text])[1]
    with pytest.raises(UsageError, match=r"^latent: Flat\.size"):
        Plan.of(tree).described({})


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--epochs=-1", "fit.epochs must be at least 1, not -1"),
        ("--epochs=0", "fit.epochs must be at least 1, not 0"),
        (f"--epochs={2**63}", f"fit.epochs must be at most 10,000,000, not {2**63}"),
        ("--batch=0", "fit.batch must be at least 1, not 0"),
        ("--learning-rate=-1", "fit.learning_rate must lie in 0 … 100, not -1"),
        ("--warmup=2", "fit.warmup must lie in 0 … 1, not 2"),
        ("--clip=-0.5", "fit.clip must be at least 0, not -0.5"),
        ("--clip=inf", "fit.clip takes a finite number, not 'inf'"),
        ("--limit=0", "data.limit must be at least 1, not 0"),
        ("--rows=1e3", "evaluate.rows takes a whole number, not '1e3'"),
    ],
)
def test_L13_settings_out_of_range_are_refused_in_words(lambent: Any, flag: str, words: str) -> None:
    """A setting out of its range is refused before any data are read, with the end of the range that it passed."""
    refused = lambent("train", "no-such-data.csv", flag, "--out=r")
    assert refused.status == 2
    assert words in refused.complaint
    assert not re.search(r"\d{19}", refused.complaint.partition("not")[0])


@pytest.mark.parametrize(
    "words",
    [
        ["RUN", "DATA", "--limit=3"],
        ["RUN", "--limit=3", "DATA"],
        ["--limit", "3", "RUN", "--quiet", "DATA"],
        ["RUN", "--limit=3", "--", "DATA"],
        ["--limit=3", "--", "RUN", "DATA"],
    ],
)
def test_words_and_flags_in_any_order(words: list[str]) -> None:
    """DATA is found before flags, among them and after --, where it may begin with a dash."""
    dashed = "--" in words
    for data in ("x.csv", "-x.csv", "--limit") if dashed else ("x.csv",):
        parser = Parser("evaluate", "Words and flags.")
        add_run(parser)
        add_rows(parser, "rows")
        parser.add_argument("--limit", type=int)
        found = common(parser).read([data if word == "DATA" else word for word in words])
        assert (found.run, found.data, found.limit) == ("RUN", data, 3)


def test_a_word_too_many_is_named() -> None:
    for words in (["RUN", "DATA", "more"], ["RUN", "DATA", "--", "more"], ["--", "RUN", "DATA", "more"]):
        parser = Parser("evaluate", "Words and flags.")
        add_run(parser)
        add_rows(parser, "rows")
        with pytest.raises(UsageError, match="what to do with 'more'"):
            parser.read(words)


def test_short_forms_say_what_the_long_ones_say(lambent: Any, table_run: Path) -> None:
    long = lambent("sample", table_run, "--n", 3, "--out", "long.csv", "--quiet")
    assert (long.status, long.out, long.err) == (0, "", "")
    for name, count in (("a.csv", ["-n", 3]), ("b.csv", ["-n=3"]), ("c.csv", ["-n3"])):
        short = lambent("sample", table_run, *count, "-o", name, "-q")
        assert (short.status, short.out, short.err) == (0, "", "")
        assert Path(name).read_bytes() == Path("long.csv").read_bytes()
    assert len(Path("long.csv").read_text().splitlines()) == 4
    assert lambent("-V").out == lambent("--version").out


@pytest.mark.parametrize("verb", VERBS)
def test_every_long_form_has_its_short_one(lambent: Any, verb: str) -> None:
    shown = lambent(verb, "-h").out
    for long, short in (("--n", "-n"), ("--out", "-o"), ("--quiet", "-q")):
        assert len(re.findall(rf"^ +{long}\b", shown, re.MULTILINE)) == 0, long
        assert len(re.findall(rf"^ +{short}[ ,].*{long}\b", shown, re.MULTILINE)) == (f" {long} " in f"{shown} "), long


@pytest.mark.parametrize(
    ("arguments", "flag", "hint"),
    [
        (["sample", "r", "-out", "x.csv"], "-out", "did you mean '--out'?"),
        (["sample", "r", "-seed=3", "-o", "x.csv"], "-seed=3", "did you mean '--seed'?"),
        (["sample", "r", "-N", "3", "-o", "x.csv"], "-N", "did you mean '--n'?"),
        (["evaluate", "r", "-quiet"], "-quiet", "did you mean '--quiet'?"),
        (["evaluate", "r", "-qq"], "-qq", "did you mean '-q'?"),
        (["train", "x", "-epochs", "3"], "-epochs", "did you mean '--epochs'?"),
        (["train", "x", "-latent.size", "3"], "-latent.size", "did you mean '--latent'?"),
        (["train", "x", "--data.label", "-x"], "-x", "Allowed: --"),
        (["-v"], "-v", "did you mean '-V'?"),
    ],
)
def test_other_flags_of_one_dash_are_refused(lambent: Any, arguments: list[str], flag: str, hint: str) -> None:
    """`-out x.csv` is not `-o ut`."""
    refused = lambent(*arguments)
    assert refused.status == 2
    assert repr(flag) in refused.complaint
    assert hint in refused.complaint
