"""Model files that earlier versions wrote: this version reads each of them, and it answers as it did then."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas
import pytest
import torch

import lambent
from lambent import VAE
from lambent import fitted as store

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("*/*.safetensors"))
NAMES = [f"{path.parent.name}-{path.stem}" for path in FILES]


@pytest.fixture(scope="module")
def writer(script: Callable[[str], ModuleType]) -> ModuleType:
    """It also knows what to ask."""
    return script("scripts/write_golden_models.py")


def rows_of(plain: dict[str, Any]) -> Any:
    if plain["kind"] == "frame":
        return pandas.DataFrame(plain["values"])
    if plain["kind"] == "texts":
        return plain["values"]
    if plain["kind"] == "tensor":
        return torch.tensor(plain["values"], dtype=getattr(torch, plain["dtype"]))
    return np.array(plain["values"], dtype=plain["dtype"])


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_K10_a_golden_file_answers_as_it_did(path: Path, writer: ModuleType) -> None:
    """A model file of every earlier version is read, and codes, scores and reconstructions agree with what was kept then."""
    kept = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    found = writer.answers(store.load(path), rows_of(kept["rows"]))
    assert found.keys() == kept["answers"].keys()
    for name, values in kept["answers"].items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-5, err_msg=name)
        assert not np.isinf(found[name]).any()  # NaN is the padding of texts, and compared above


@pytest.mark.parametrize("path", [path for path in FILES if path.stem == "estimator"], ids=lambda p: p.parent.name)
def test_K10_a_golden_estimator_is_fitted(path: Path) -> None:
    """An estimator's file of every earlier version gives a fitted estimator that knows its columns and transforms as then."""
    kept = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    vae, rows = lambent.load(path), rows_of(kept["rows"])
    assert isinstance(vae, VAE)
    assert list(vae.feature_names_in_) == list(rows)
    np.testing.assert_allclose(vae.transform(rows), kept["answers"]["codes"], atol=1e-5)
    assert np.shape(vae.sample(2)) == (2, rows.shape[1])
    assert np.isfinite(vae.score_samples(rows)).all()


def test_this_version_has_golden_files(writer: ModuleType) -> None:
    folder = HERE / lambent.__version__
    assert folder.is_dir(), "python scripts/write_golden_models.py"
    assert {path.stem for path in folder.glob("*.safetensors")} == {*writer.models(), "estimator"}


def test_golden_files_are_never_written_anew(tmp_path: Path, writer: ModuleType) -> None:
    """Those that are there stay as they are; others are added; where all are there, that is said."""
    folder = tmp_path / lambent.__version__
    shutil.copytree(HERE / lambent.__version__, folder)
    kept = (folder / "table.safetensors").stat().st_mtime_ns
    (folder / "text.safetensors").unlink()
    (folder / "text.json").unlink()
    writer.main(tmp_path)
    assert (folder / "text.json").exists()
    assert (folder / "table.safetensors").stat().st_mtime_ns == kept
    with pytest.raises(SystemExit, match="never written anew"):
        writer.main(tmp_path)


def test_they_are_small() -> None:
    assert all(path.stat().st_size < 16_000 for path in FILES)
