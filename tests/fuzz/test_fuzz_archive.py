"""What the fuzzer of archives found once, for ever; some thousand new inputs; and a short search guided by coverage."""

import importlib.util
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent
CORPUS = sorted(p for p in (HERE / "corpus").iterdir() if p.name != "README.md")


@pytest.fixture(scope="module")
def fuzz(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("tests/fuzz/fuzz_archive.py")


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_C7_every_input_that_once_broke_a_rule(path: Path, fuzz: ModuleType, tmp_path: Path) -> None:
    """Each archive or packed model with which the fuzzer once found a fault is refused in one line, or reads as a whole one."""
    data = path.read_bytes()
    assert (
        fuzz.broken_model(data) if path.name.startswith("model") else fuzz.broken_rule(data, None, tmp_path)
    ) is None


def test_C7_random_changes_are_refused_or_harmless(fuzz: ModuleType) -> None:
    """Some hundred changes of bytes, forged records and forged models: refused in one line, or the very same content."""
    counted, found = fuzz.search(seconds=60.0, seed=1, tries=600)
    assert not found
    assert min(counted.values()) > 80


@pytest.mark.slow
def test_C7_very_many_random_changes(fuzz: ModuleType) -> None:
    """The same for three minutes."""
    counted, found = fuzz.search(seconds=180.0, seed=2)
    assert not found
    assert counted.total() > 2000


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed: pip install atheris")
def test_C7_a_search_guided_by_coverage(tmp_path: Path) -> None:
    """atheris, guided by the coverage of the parsers, finds no input that breaks a rule in some seconds."""
    command = [sys.executable, str(HERE / "fuzz_archive.py"), "--atheris", "--seconds", "10"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ})
    assert done.returncode == 0, done.stderr[-3000:]
    assert "INITED cov:" in done.stderr
    assert "DONE" in done.stderr or "Done" in done.stderr


def test_the_fuzzer_notices(fuzz: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that passes over a digest, fails in a way of its own or takes too much memory breaks a rule."""
    data = fuzz.archive()
    wanted = fuzz.contents(list(fuzz.Reader(io.BytesIO(data)).blocks()))
    assert fuzz.broken_rule(data, wanted, tmp_path) is None
    assert fuzz.broken_rule(data, wanted[:-1], tmp_path) == "silently different blocks"
    with monkeypatch.context() as patch:
        patch.setattr(fuzz.block, "unfolded", lambda folded, size: [][0])
        assert "IndexError" in fuzz.broken_rule(data, wanted, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(fuzz.block, "unfolded", lambda folded, size: bytes(1 << 23)[:size] + folded[:0])
        patch.setattr(fuzz, "ROOM", 1 << 12)
        assert fuzz.broken_rule(data, None, tmp_path) is not None
    monkeypatch.setattr(fuzz.pack, "strict_json", None)
    assert "AttributeError" in fuzz.broken_model(fuzz.model())
