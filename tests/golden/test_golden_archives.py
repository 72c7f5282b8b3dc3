"""Archives that earlier versions coded: on any machine they decode to the same content, or are refused."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

import lambent
from lambent import Codec
from lambent.codec.archive import Reader
from lambent.codec.exact.dyadic import UNIT
from lambent.codec.exact.probing import HEARD
from lambent.codec.extracting import Reading, in_memory, opened
from lambent.codec.files import Options, compress
from lambent.codec.opening import coder
from lambent.codec.pack import unpacked
from lambent.codec.rows import Coded, RowCodec
from lambent.errors import MachineError

HERE = Path(__file__).parent
FOLDERS = sorted(path.parent for path in HERE.glob("*/archives/contents.json"))
ARCHIVES = [path for folder in FOLDERS for path in sorted(folder.glob("*.lam"))]
NAMES = [f"{path.parent.parent.name}-{path.stem}" for path in ARCHIVES]
CAPABILITIES = {
    "default": {"MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "ONEDNN_MAX_CPU_ISA": "SSE41"},
    "avx2": {"MKL_ENABLE_INSTRUCTIONS": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "avx512": {},
}


@pytest.fixture(scope="module")
def writer(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("scripts/write_golden_archives.py")


@cache
def kept(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "contents.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("path", ARCHIVES, ids=NAMES)
def test_C22_a_golden_archive_decodes_to_what_it_held(path: Path, writer: ModuleType) -> None:
    """Data that every earlier version coded, of each kind of model, come back by the model inside: the same hashes."""
    with Reader(path) as archive:
        assert sum(block.is_coded for block in archive.blocks()) == kept(path.parent)[path.stem]["coded"] > 0
    assert writer.digests(Codec().decompress(path)) == kept(path.parent)[path.stem]["content"]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("capability", CAPABILITIES)
def test_C9_golden_archives_decode_by_other_code_threads_and_batches(capability: str, threads: int) -> None:
    """Golden archives decode the same in processes of other vector instructions, with 1 and 2 threads, 1 and 256 rows at once."""
    known = [name.upper() for name in CAPABILITIES]
    if torch.backends.cpu.get_cpu_capability() not in known[known.index(capability.upper()) :]:
        pytest.skip(f"this processor has no {capability}")
    environment = os.environ | {"ATEN_CPU_CAPABILITY": capability, "OMP_NUM_THREADS": str(threads)}
    for folder in FOLDERS:
        done = subprocess.run(
            [sys.executable, str(HERE / "decoding.py"), str(threads), str(folder), str(HERE.parents[1] / "scripts")],
            capture_output=True, text=True, check=False, env=environment | CAPABILITIES[capability],
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        used, found = done.stdout.splitlines()
        assert used == capability.upper()
        content = {name: each["content"] for name, each in kept(folder).items()}
        assert json.loads(found) == [content, content]


# ---- a machine that is one unit of the last place amiss ------------------------------------------------------------------


@contextmanager
def told(what: Callable[[nn.Module, Tensor], Tensor | None]) -> Iterator[None]:
    """Everything that an exact layer gives is shown, and replaced by what is given back, if anything is."""

    def hook(module: nn.Module, given: Any, made: Tensor) -> Tensor | None:
        return what(module, made) if type(module).__module__ in HEARD else None

    handle = register_module_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def amiss(made: Tensor, place: int) -> Tensor:
    """The same, one number of it one unit of the last place greater."""
    other = made.clone(memory_format=torch.contiguous_format)
    other.view(-1)[place % made.numel()] += 1 / UNIT
    return other


def name_of(module: nn.Module) -> tuple[object, ...]:
    """What tells a layer from others, in any copy of a model."""
    weights = (tensor.numpy().tobytes() for tensor in module.state_dict().values())
    return (type(module), *weights)


@pytest.mark.parametrize("path", ARCHIVES, ids=NAMES)
def test_C9_one_unit_of_one_layer_is_caught_by_the_self_test(path: Path) -> None:
    """Any one number that any layer gives in the self-test, one unit of the last place too great: the self-test differs."""
    with opened(path, Reading()) as archive:
        codec, wanted = archive.model.codec, archive.archive.header["probe"]
    calls = 0

    def one(number: int, module: nn.Module, made: Tensor) -> Tensor | None:
        nonlocal calls
        calls += 1
        return amiss(made, 7919 * number) if calls == number else None

    with told(lambda module, made: one(0, module, made)):
        assert codec.probe().hex() == wanted
    every = calls
    assert every > 8
    for number in range(1, every + 1):
        calls = 0
        with told(lambda module, made, number=number: one(number, module, made)):
            assert codec.probe().hex() != wanted, number


@pytest.mark.parametrize("path", ARCHIVES, ids=NAMES)
def test_C9_the_self_test_is_of_every_layer_that_decodes(path: Path) -> None:
    """No layer takes part in decoding, whose numbers the self-test of the archive did not see."""
    seen = set[tuple[object, ...]]()

    def see(module: nn.Module, made: Tensor) -> None:
        seen.add(name_of(module))

    with Reader(path) as archive:
        header, fitted = archive.header, unpacked(archive.model or b"")
    codec = coder(fitted, header["kind"], "cpu", header["weight_bits"])
    with told(see):
        codec.probe()
    probed = set(seen)
    with told(see):
        in_memory(path, Reading())
    assert seen - probed == set()


@pytest.mark.parametrize("path", ARCHIVES, ids=NAMES)
def test_C9_an_archive_is_refused_by_a_machine_that_is_one_unit_amiss(path: Path, tmp_path: Path) -> None:
    """One number of the last layer's is always one unit too great: nothing is decoded, and nothing is written."""
    last: list[nn.Module] = []
    with opened(path, Reading()) as archive, told(lambda module, made: last.append(module)):
        archive.model.codec.probe()
    name = name_of(last[-1])
    with (
        told(lambda module, made: amiss(made, 0) if name_of(module) == name else None),
        pytest.raises(MachineError, match="no block is decoded"),
    ):
        Codec().decompress(path, tmp_path / "out.npy")
    assert list(tmp_path.iterdir()) == []


def test_C19_a_block_that_comes_back_by_other_numbers_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: ModuleType
) -> None:
    """All that networks give is one unit too great when blocks are decoded to verify them: they are stored, counted, right."""
    with Reader(next(path for path in ARCHIVES if path.stem == "grey")) as archive:
        fitted = unpacked(archive.model or b"")
    decode = RowCodec.decode

    def off(self: RowCodec, coded: Coded) -> Tensor:
        with told(lambda module, made: made + 1 / UNIT):
            return decode(self, coded)

    monkeypatch.setattr(RowCodec, "decode", off)
    x = writer.slopes(100, 5)
    made = compress(fitted, x, tmp_path / "x.lam", Options(model=True))
    monkeypatch.undo()
    assert (made.failed, made.archive.coded_blocks, made.archive.stored_blocks) == (1, 0, 1)
    assert (in_memory(tmp_path / "x.lam", Reading())[1] == x).all()


# ---- the files ---------------------------------------------------------------------------------------------------------


def test_this_version_has_golden_archives(writer: ModuleType) -> None:
    folder = HERE / lambent.__version__ / "archives"
    assert folder in FOLDERS, "python scripts/write_golden_archives.py"
    assert {path.stem for path in folder.glob("*.lam")} == set(kept(folder)) == set(writer.ARCHIVES)


def test_golden_archives_are_never_written_anew(tmp_path: Path, writer: ModuleType) -> None:
    (tmp_path / lambent.__version__ / "archives").mkdir(parents=True)
    with pytest.raises(SystemExit, match="never written anew"):
        writer.main(tmp_path)


def test_golden_archives_are_small(writer: ModuleType) -> None:
    assert all(path.stat().st_size < writer.SMALL for path in ARCHIVES)
