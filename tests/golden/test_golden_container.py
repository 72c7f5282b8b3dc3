"""Archives that earlier versions wrote: this version reads each block of them, and the model that travelled inside."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

import lambent
from lambent.codec.archive import Reader
from lambent.codec.pack import unpacked
from lambent.fitted import load

HERE = Path(__file__).parent
CONTAINERS = sorted(HERE.glob("*/container.lam"))


@pytest.mark.parametrize("path", CONTAINERS, ids=lambda path: path.parent.name)
def test_C22_a_golden_container_holds_what_it_held(path: Path) -> None:
    """An archive of every earlier version is read, front to back and by its index: description, blocks, side data, content."""
    kept = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    with Reader(path) as archive:
        assert archive.header == kept["header"]
        for found in (list(archive.blocks()), [archive.block(i) for i in range(len(kept["blocks"]))]):
            for block, held in zip(found, kept["blocks"], strict=True):
                assert (block.rows, block.is_coded, block.side.hex()) == (held["rows"], held["coded"], held["side"])
                if block.is_coded:
                    assert (block.payload.hex(), block.lanes, block.seed, block.borrowed) == (held["payload"], 3, 7, 5)
                    block.check(bytes.fromhex(held["content"]))
                else:
                    assert block.content().hex() == held["content"]


@pytest.mark.parametrize("path", CONTAINERS, ids=lambda path: path.parent.name)
def test_C22_the_model_inside_a_golden_container(path: Path) -> None:
    """The model inside an archive of every earlier version is the golden model file's, its weights rounded to 10 bits."""
    with Reader(path) as archive:
        assert archive.model is not None
        inside = unpacked(archive.model)
    whole = load(path.parent / "image.safetensors")
    assert inside.model.spec() == whole.model.spec()
    assert inside.modality is not None
    assert whole.modality is not None
    assert inside.modality.state() == whole.modality.state()
    for mine, theirs in zip(inside.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(mine.double(), (theirs.double() * 1024).round() / 1024)


def test_this_version_has_a_golden_container(script: Callable[[str], ModuleType], tmp_path: Path) -> None:
    assert (HERE / lambent.__version__ / "container.lam").is_file(), "python scripts/write_golden_container.py"
    (tmp_path / lambent.__version__).mkdir()
    (tmp_path / lambent.__version__ / "container.lam").touch()
    with pytest.raises(SystemExit, match="never written anew"):
        script("scripts/write_golden_container.py").main(tmp_path)
