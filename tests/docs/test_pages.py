"""What the pages say is tried: their Python runs, their commands parse, every part is explained."""

import inspect
import re
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lambent
from lambent.cli import program
from lambent.cli.reading import flags, strict
from lambent.cli.reading.kept import everything
from lambent.cli.reading.plan import Plan
from lambent.cli.verbs import train
from lambent.part import Part, family, registered

ROOT = Path(__file__).parents[2]
FAMILY_PAGES = {
    "Likelihood": "likelihoods",
    "Prior": "priors",
    "Posterior": "posteriors",
    "Latent": "latents",
    "Quantizer": "quantizers",
    "Network": "networks",
    "Objective": "objectives",
    "Missingness": "missingness",
    "Score": "scores",
    "Modality": "data",
}


def test_python_of_a_page_runs(
    page: Path,
    python: Callable[[Path], list[tuple[int, str]]],
    elsewhere: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if any("LAMBENT_DATA" in text for _, text in python(page)):
        monkeypatch.setenv("LAMBENT_DATA", str(request.getfixturevalue("real_data")))
    names: dict[str, Any] = {"__name__": "page"}
    for line, text in python(page):
        code = compile("\n" * (line - 1) + text, str(page), "exec")  # errors show the page's own line
        exec(code, names)


class ParsedError(Exception):
    """A command's flags were all understood."""


def test_a_command_parses(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program_name, *arguments = shlex.split(command, comments=True)
    monkeypatch.chdir(ROOT)
    if program_name == "lambent":
        _lambent(arguments, monkeypatch)
    elif program_name == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        assert arguments[0] in targets
    elif program_name == "pip":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
        assert set(re.findall(r"[\[,](\w+)", arguments[-1])) <= set(extras)
    elif program_name == "python":
        assert (ROOT / arguments[0]).is_file()
    else:
        assert (ROOT / program_name).is_file(), f"nobody knows how to check {command!r}"


def _lambent(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    verb, *rest = arguments
    read = flags.Parser.read

    def reading(parser: flags.Parser, given: Any, also: Any = ()) -> Any:
        read(parser, given, also)
        raise ParsedError

    if verb == "train":
        _train([token for token in rest if token != "--help"])
    else:
        assert verb in program.VERBS
        monkeypatch.setattr(flags.Parser, "read", reading)
        with pytest.raises(ParsedError):
            program._run(arguments)


def _train(arguments: list[str]) -> None:
    rest, tree = flags.divided(arguments)
    options = train._parser(everything()).read(rest)
    if options.resume is not None:
        return
    if options.config is not None and not Path(options.config).is_file():
        assert options.config.startswith("runs/"), f"there is no {options.config}"
        options.config = None  # that of a run which the reader has made
    Plan.of(train.tree_of(options, tree)).check()


def test_a_configuration_is_one(configuration: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(configuration, "utf-8")
    Plan.of(strict.read(path)).check()


def test_a_part_is_explained_on_its_familys_page(part: type[Part], docs: Path) -> None:
    kind, name = family(part).__name__, part.__name__
    if kind in ("LatentModel", "Training", "Labelling"):
        pytest.skip("the whole, and the settings: no part that is chosen")
    text = (docs / "parts" / f"{FAMILY_PAGES[kind]}.md").read_text("utf-8")
    section = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section, f"docs/parts/{FAMILY_PAGES[kind]}.md has no heading {name}"
    assert re.search(r"\$\$.+\$\$", section[1], re.DOTALL), "no formula"
    assert f"```{{part}} {kind} {name}\n" in section[1], "the directive that shows papers and fields"
    prose = re.sub(r"\$\$.+?\$\$|```.+?```", "", section[1], flags=re.DOTALL)
    assert len(prose.split()) > 5, "no word on when to use it"


@pytest.mark.parametrize("kind", list(FAMILY_PAGES))
def test_a_familys_page_explains_nothing_that_is_not_there(kind: str, docs: Path) -> None:
    text = (docs / "parts" / f"{FAMILY_PAGES[kind]}.md").read_text("utf-8")
    cls = next(c for c in Part._classes if c.__name__ == kind)
    assert set(re.findall(r"```\{part\} \w+ (\w+)", text)) <= set(registered(cls))


def test_every_public_name_is_in_the_api(docs: Path) -> None:
    text = (docs / "api.md").read_text("utf-8")
    listed = {cls.__name__ for cls in Part._classes if not inspect.isabstract(cls)}  # by the directive {parts-api}
    modules = ("data", "posteriors", "priors", "quantizers")
    errors = {name for name in lambent.__all__ if name.endswith("Error") or name == "InterruptedRun"}  # by automodule
    for name in set(lambent.__all__) - listed - errors - set(modules):
        assert re.search(rf"\b{name}\b", text), name
