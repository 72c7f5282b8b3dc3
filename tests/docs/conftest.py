"""The documentation's pages, taken apart."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lambent.part import Part

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if path.name != "reliability-table.md")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(path: Path, language: str) -> list[tuple[int, str]]:
    """(first line, text) of every fenced block in that language."""
    text = path.read_text("utf-8")
    found = FENCE.finditer(text)
    return [(text.count("\n", 0, m.start(2)) + 1, m[2]) for m in found if m[1] == language]


def commands(path: Path) -> list[str]:
    """What a person would type: lines after `$ ` in console blocks, or all of them where none has one."""
    typed = []
    for _, text in blocks(path, "console"):
        lines = text.replace("\\\n", " ").splitlines()
        prompted = [line[2:] for line in lines if line.startswith("$ ")]
        typed += prompted or [line for line in lines if line.strip()]
    return typed


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`page`: every page with Python in it; `command`: everything that a page or the README tells a reader to type."""
    if "page" in metafunc.fixturenames:
        pages = [path for path in PAGES if blocks(path, "python")]
        metafunc.parametrize("page", pages, ids=map(named, pages))
    if "command" in metafunc.fixturenames:
        found = [(path, c) for path in (*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md") for c in commands(path)]
        metafunc.parametrize("command", [c for _, c in found], ids=[f"{named(path)}: {c[:60]}" for path, c in found])
    if "configuration" in metafunc.fixturenames:
        found = [(named(path), text) for path in PAGES for _, text in blocks(path, "yaml")]
        found += [(named(path), path.read_text("utf-8")) for path in sorted((ROOT / "examples").glob("*.yaml"))]
        found += [
            (named(path), path.read_text("utf-8")) for path in sorted((ROOT / "benchmarks/recipes").glob("*.yaml"))
        ]
        metafunc.parametrize("configuration", [text for _, text in found], ids=[name for name, _ in found])


@pytest.fixture
def python() -> Callable[[Path], list[tuple[int, str]]]:
    """The Python of a page."""
    return lambda path: blocks(path, "python")


@pytest.fixture
def docs() -> Path:
    return DOCS


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of its own, and a registry that forgets what the page defines."""
    monkeypatch.chdir(tmp_path)
    known = list(Part._classes)
    yield tmp_path
    Part._classes[:] = [c for c in Part._classes if c in known or c.__module__.startswith("lambent.")]
