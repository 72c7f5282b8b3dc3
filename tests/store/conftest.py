"""A small model, its file, and files that say something else."""

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lambent import Conv, Elbo, Flat, Gaussian, LatentModel, Mixture, Mlp, fit
from lambent.disk.tensorfile import read_header, read_tensors, write
from lambent.fitted import Fitted, load, save
from lambent.model.likelihoods import DiscretizedLogistics
from lambent.training import checkpoint

Change = Callable[[dict[str, Any], dict[str, Tensor]], object]


@pytest.fixture
def model() -> LatentModel:
    return LatentModel(Flat(3, Mixture(4)), DiscretizedLogistics(), Conv((4, 8))).setup((1, 9, 7), seed=1)


@pytest.fixture
def path(model: LatentModel, tmp_path: Path) -> Path:
    return save(tmp_path / "model.safetensors", Fitted(model, provenance={"name": "a run"}))


@pytest.fixture
def rewritten() -> Callable[[Path, Path, Change], Path]:
    """rewritten(path, target, change): a copy with `change(header, tensors)` applied, and sealed as if it were ours."""

    def copy(path: Path, target: Path, change: Change) -> Path:
        found = read_header(path)
        header, tensors = json.loads(found.metadata["lambent"]), read_tensors(path, found)
        change(header, tensors)
        text = json.dumps(header)
        target.unlink(missing_ok=True)
        write(target, tensors, {"lambent": text, "sha256": hashlib.sha256(text.encode()).hexdigest()})
        return target

    return copy


@pytest.fixture
def with_header() -> Callable[[Path, Path, Callable[[dict[str, Any]], object] | bytes], Path]:
    """with_header(path, target, change): a copy with the file's own list of tensors changed, or replaced by bytes."""

    def copy(path: Path, target: Path, change: Callable[[dict[str, Any]], object] | bytes) -> Path:
        whole = path.read_bytes()
        length = struct.unpack("<Q", whole[:8])[0]
        content = change
        if not isinstance(change, bytes):
            listed = json.loads(whole[8 : 8 + length])
            change(listed)
            content = json.dumps(listed).encode()
        target.write_bytes(struct.pack("<Q", len(content)) + content + whole[8 + length :])
        return target

    return copy


@pytest.fixture(params=["model file", "checkpoint"])
def kept(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[bytes, Callable[[Path], object]]:
    """The bytes of a file of each kind, and what reads it."""
    folder = tmp_path_factory.mktemp("kept")
    model = LatentModel(Flat(2), Gaussian(), Mlp(width=4, depth=1))
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    fit(model, Elbo(), x, epochs=1, batch=8, device="cpu", precision="fp32", checkpoint=folder / "checkpoint")
    save(folder / "model file", model)
    return (folder / request.param).read_bytes(), load if request.param == "model file" else checkpoint._read
