"""A small model, its file, and files that say something else."""

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from lambent import Conv, Flat, LatentModel, Mixture
from lambent.likelihoods import DiscretizedLogistics
from lambent.store import save
from lambent.tensorfile import read_header, read_tensors, write

Change = Callable[[dict[str, Any], dict[str, Tensor]], object]


@pytest.fixture
def model() -> LatentModel:
    return LatentModel(Flat(3, Mixture(4)), DiscretizedLogistics(), Conv((4, 8))).setup((1, 9, 7), seed=1)


@pytest.fixture
def path(model: LatentModel, tmp_path: Path) -> Path:
    return save(tmp_path / "model.safetensors", model, provenance={"name": "a run"})


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
