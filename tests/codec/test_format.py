"""The page on the format, followed by a second reader that shares no code with the first: what it reads is the same."""

import hashlib
import json
import math
import struct
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from lambent import Conv, Flat, LatentModel, Vamp
from lambent.codec.archive import Reader
from lambent.codec.exact.layers import Leaking, Rounding
from lambent.codec.exact.resizing import ExactAverage, ExactLarger
from lambent.codec.leaves import emission
from lambent.codec.pace import Pace
from lambent.codec.pack import packed, unpacked
from lambent.codec.stack import Stack
from lambent.codec.symbols import Uniform
from lambent.model.likelihoods import DiscretizedLogistics


@pytest.fixture(scope="module")
def reader(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("tests/codec/second_reader.py")


def test_the_stack_as_the_page_has_it(reader: ModuleType) -> None:
    rng = np.random.default_rng(0)
    symbols = Uniform(np.zeros(100, np.int64), rng.integers(1, 20, 100))
    stack = Stack(7, seed=2**63 + 5)
    first = symbols.pop(stack)  # from below the bottom
    values = rng.integers(0, symbols.high + 1)
    symbols.push(stack, values)
    starts = [[i * 2**24 // int(size) for i in range(size + 1)] for size in symbols.sizes]
    plain = reader.PlainStack(stack.to_bytes(), 7, 2**63 + 5, stack.borrowed)
    assert plain.pop(starts) == values.tolist()
    again = reader.PlainStack(b"".join(struct.pack("<Q", int(h)) for h in Stack(7, 2**63 + 5).heads), 7, 2**63 + 5)
    assert again.stands_as_it_began()
    assert again.pop(starts) == first.tolist()


def test_a_packed_model_as_the_page_has_it(reader: ModuleType) -> None:
    model = LatentModel(Flat(2, Vamp(2)), DiscretizedLogistics(), Conv((2,), 4)).setup((1, 4, 4))
    data = packed(model, 6)
    found, state = reader.weights_by_the_page(data), unpacked(data).model.state_dict()
    assert found.keys() == state.keys()
    for name, tensor in state.items():
        assert torch.equal(torch.from_numpy(found[name].copy()), tensor), name
    assert hashlib.sha256(data).digest() == hashlib.sha256(packed(model, 6)).digest()


# ---- what the codec says of its data -----------------------------------------------------------------------------------

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*/archives/*.lam"))


def tiles(kept: int, height: int, width: int, event: list[int]) -> int:
    """docs/format.md, "Pictures": how many rows a picture is cut into."""
    return -(-height // event[1]) * -(-width // event[2]) * (kept if event[0] == 1 else 1)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_descriptions_are_as_the_page_has_them(path: Path) -> None:
    """Every name in a description and beside a block is one of the page's, and rows and sizes follow from them."""
    planes = {"event", "white", "binary"}
    with Reader(path) as archive:
        assert set(archive.header) == {"kind", "model", "numerics", "event", "weight_bits", "content", "probe"}
        content, kind = archive.header["content"], archive.header["kind"]
        assert set(content) == {"arrays": {"form", "planes", "members"}, "pictures": {"planes"}}.get(kind, set())
        assert set(content.get("planes") or planes) == planes
        for member in content.get("members", []):
            assert set(member) == {"key", "shape", "dtype", "fortran", "scalar", "told"}
        for block in archive.blocks():
            side = json.loads(block.side)
            if kind == "table":
                assert set(side) == {"rows"}
            elif kind == "arrays":
                assert set(side) == {"member", "first", "rows", "unit", "pace"}
                assert block.size == side["rows"] * np.dtype(member["dtype"]).itemsize * math.prod(member["shape"])
            elif side["as"] == "files":
                assert block.size == sum(size for _, size in side["items"])
            else:
                assert set(side) == {"as", "items"} | ({"pace"} if kind == "pictures" else set())
                sizes = [(n, h, w, 1 + (bits == 16)) for _, _, bits, h, w, n in side["items"]]
                assert block.size == sum(n * h * w * size for n, h, w, size in sizes)
                if kind == "pictures":
                    assert block.rows == sum(tiles(n, h, w, content["planes"]["event"]) for n, h, w, _ in sizes)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_model_is_named_as_the_page_has_it(path: Path) -> None:
    with Reader(path) as archive:
        model, header = unpacked(archive.model or b"").model, archive.header
    told = {"bits": header["weight_bits"], "event": header["event"], "model": model.spec()}
    hashed = hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode("ascii"))
    weights = dict(model.named_parameters())
    for name, tensor in sorted(model.state_dict().items()):
        hashed.update(f"\n{name} {list(tensor.shape)}\n".encode())
        values = tensor.numpy().reshape(-1)
        whole = [round(float(w) * 2 ** header["weight_bits"]) for w in values]
        hashed.update(struct.pack(f"<{len(whole)}q", *whole) if name in weights else values.tobytes())
    assert hashed.hexdigest() == header["model"]


@pytest.mark.parametrize("pace", [(1, 0), (0, 5), (7, 23), (173, 334), (900, 4000)])
def test_batches_as_the_page_has_them(pace: tuple[int, int], reader: ModuleType) -> None:
    batches = [(batch.size, batch.lanes) for batch in Pace(*pace).batches(3000, 784, 256)]
    assert batches == reader.batches(*pace, 3000, 784, 256)


def places_by_the_page(n: int, m: int, whole: bool) -> list[range]:
    """docs/format.md, "Averages": the places of each average."""
    k = -(-n // m)
    if whole:
        return [range(i * k, min(n, i * k + k)) for i in range(m)]
    return [range(i * n // m, -(-(i + 1) * n // m)) for i in range(m)]


@pytest.mark.parametrize(("size", "to"), [((7, 9), (4, 3)), ((7, 9), (3, 4)), ((5, 5), (5, 3)), ((28, 28), (3, 3))])
def test_averages_and_enlarging_as_the_page_has_them(size: tuple[int, int], to: tuple[int, int]) -> None:
    """Whole numbers, by Python's."""
    x = np.random.default_rng(0).integers(-(2**22), 2**22, size)
    whole = all(-(-n // -(-n // m)) == m for n, m in zip(size, to, strict=True))
    down, across = (places_by_the_page(n, m, whole) for n, m in zip(size, to, strict=True))
    wanted = []
    for rows, columns in ((r, c) for r in down for c in across):
        total, count = sum(int(x[i, j]) for i in rows for j in columns), len(rows) * len(columns)
        wanted.append((4 * total + 2 * count + 1) // (4 * count))  # ⌊(2 S + c + ½) / 2 c⌋
    found = ExactAverage(to)(torch.from_numpy(x / 4096)[None, None])
    assert (found * 4096).reshape(-1).tolist() == wanted
    steps = [-(-m // n) if whole else 0 for n, m in zip(to, size, strict=True)]
    larger = ExactLarger(size)(found)[0, 0]
    for i, j in np.ndindex(*size):
        place = [a // k if k else a * n // m for a, k, n, m in zip((i, j), steps, to, size, strict=True)]
        assert larger[i, j] == found[0, 0, place[0], place[1]]


def test_what_an_encoder_reads_is_rounded_as_the_page_has_it() -> None:
    edge = 0.5 / 4096
    x = torch.tensor([edge, edge - 2.0**-40, -edge, 3 * edge - 1e-10, 3 * edge - 1e-9, 1e6], dtype=torch.float64)
    assert (Rounding()(x) * 4096).tolist() == [1, 1, 0, 2, 1, 2**22]


def test_a_slope_is_rounded_to_24_bits_as_the_page_has_it() -> None:
    slope = math.floor(0.01 * 2**24 + 0.5)
    x = [-4_194_304, -409_600, -12_345, -50, -1, 0, 7]
    wanted = [max(k, 0) + (2 * min(k, 0) * slope + 2**24) // 2**25 for k in x]
    assert (Leaking(0.01)(torch.tensor(x) / 4096.0) * 4096).tolist() == wanted


def test_an_archive_is_decoded_by_the_page(reader: ModuleType) -> None:
    """Rows of truth values by Bernoulli, Flat, Standard and Mlp: every byte of them, by another's decoder."""
    path = next(path for path in GOLDEN if path.stem == "binary")
    with Reader(path) as archive:
        block = archive.block(0)
        content = reader.decoded_binary(
            archive.model, block.payload, block.rows, block.seed, block.borrowed, block.side
        )
        assert block.size == len(content)
        block.check(content)


@pytest.mark.parametrize("levels", [256, 4096])
def test_pixels_have_the_quanta_that_the_page_gives_them(levels: int, reader: ModuleType) -> None:
    """Three coupled channels under three components, also far from where they are."""
    likelihood = DiscretizedLogistics(3, levels)
    rng, width, channels = np.random.default_rng(0), 10, 3
    likelihood.setup((channels, 4, 5))
    raw = rng.integers(-9000, 9000, (2, 3, width, 4, 5))
    x = rng.integers(0, levels, (2, channels, 4, 5))
    x[0, 1], x[0, 2, 0], x[1, :, 1] = 0, levels - 1, levels // 2
    emitted = emission(likelihood, torch.from_numpy(raw.reshape(2, -1, 4, 5) / 4096))
    parts, last = emitted.parted(x), None
    found = []
    for stage in range(channels):
        last = emitted.symbols(stage, parts[:stage], last)
        found.append(np.stack(last.intervals(parts[stage]), 1).reshape(2, 4, 5, 2))
    for row, i, j in np.ndindex(2, 4, 5):
        wanted = reader.pixel(raw[row, :, :, i, j].tolist(), x[row, :, i, j].tolist(), levels - 1)
        assert [tuple(each[row, i, j].tolist()) for each in found] == wanted
