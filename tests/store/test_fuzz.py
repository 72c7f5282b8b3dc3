"""What the fuzzer of model files found once, for ever; and some thousand new mutations."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent
CORPUS = sorted(p for p in (HERE / "corpus").iterdir() if p.name != "README.md")


@pytest.fixture(scope="module")
def fuzz(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("tests/store/fuzz_model_file.py")


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_K2_every_input_that_once_broke_a_rule(path: Path, fuzz: ModuleType, tmp_path: Path) -> None:
    """Each file with which the fuzzer once found a fault is refused in one line, or reads as a whole model."""
    assert fuzz.broken_rule(path.name, path.read_bytes(), None, tmp_path) is None


def test_K2_random_mutations_are_refused_or_harmless(fuzz: ModuleType) -> None:
    """Some hundred random mutations of bytes and forged descriptions: refused with one typed line, or the very same model."""
    counted, found = fuzz.search(seconds=20.0, seed=1, tries=700)
    assert not found
    assert min(counted.values()) > 100


@pytest.mark.slow
def test_K2_very_many_random_mutations(fuzz: ModuleType) -> None:
    """The same for three minutes."""
    counted, found = fuzz.search(seconds=180.0, seed=2)
    assert not found
    assert counted.total() > 2000


def test_the_fuzzer_notices(fuzz: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that passes over a seal, or fails in a way of its own, breaks a rule."""
    content = fuzz.seeds()["vamp"]
    other = content.replace(b'\\"value\\": 1.0', b'\\"value\\": 2.0')
    (tmp_path / "m").write_bytes(content)
    wanted = fuzz.read_model(tmp_path / "m")
    assert other != content
    assert fuzz.broken_rule("vamp", other, wanted, tmp_path) is None
    monkeypatch.setattr(fuzz.store.modelfile, "opened", opened_without_seal(fuzz))
    assert fuzz.broken_rule("vamp", other, wanted, tmp_path) == "a silently different model"
    monkeypatch.setattr(fuzz.store.modelfile, "opened", lambda path: [][0])
    assert "IndexError" in fuzz.broken_rule("vamp", other, wanted, tmp_path)


def opened_without_seal(fuzz: ModuleType):
    def opened(path: Path):
        found = fuzz.checkpoints.tensorfile.read_header(path)
        return fuzz.json.loads(found.metadata["lambent"]), found

    return opened
