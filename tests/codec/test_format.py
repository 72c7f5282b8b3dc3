"""The page on the format, followed by a second reader that shares no code with the first: what it reads is the same."""

import hashlib
import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import zstandard

from lambent import Conv, Flat, LatentModel, Vamp
from lambent.codec.archive import Reader
from lambent.codec.exact.layers import Leaking, Rounding
from lambent.codec.exact.resizing import ExactAverage, ExactLarger
from lambent.codec.pace import Pace
from lambent.codec.pack import packed, unpacked
from lambent.codec.stack import Stack
from lambent.codec.symbols import Uniform
from lambent.model.likelihoods import DiscretizedLogistics

MASK = 2**64 - 1


class PlainStack:
    """docs/format.md, "The stack", with Python's whole numbers."""

    def __init__(self, data: bytes, lanes: int, seed: int = 0, borrowed: int = 0) -> None:
        self.heads = list(struct.unpack_from(f"<{lanes}Q", data))
        self.words = list(struct.unpack(f"<{(len(data) - 8 * lanes) // 4}I", data[8 * lanes :]))
        self.seed, self.borrowed = seed, borrowed

    def made(self, n: int, stream: int) -> int:
        x = (n * 0x9E3779B97F4A7C15 + self.seed * 0x632BE59BD9B4E019 + stream) & MASK
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
        return x ^ (x >> 31)

    def taken(self, count: int) -> list[int]:
        while len(self.words) < count:
            self.borrowed += 1
            self.words.insert(0, self.made(self.borrowed, 2) & 0xFFFFFFFF)
        taken, self.words = self.words[len(self.words) - count :], self.words[: len(self.words) - count]
        return taken

    def pop(self, starts: list[list[int]]) -> list[int]:
        """One symbol for each list of where its intervals begin, the end of the last included."""
        symbols = []
        for first in range(0, len(starts), len(self.heads)):
            low = []
            for lane, own in enumerate(starts[first : first + len(self.heads)]):
                slot = self.heads[lane] % 2**24
                symbol = max(i for i, start in enumerate(own[:-1]) if start <= slot)
                symbols.append(symbol)
                size = own[symbol + 1] - own[symbol]
                self.heads[lane] = size * (self.heads[lane] >> 24) + slot - own[symbol]
                low += [lane] if self.heads[lane] < 2**32 else []
            for lane, word in zip(low, self.taken(len(low)), strict=True):
                self.heads[lane] = self.heads[lane] * 2**32 + word
        return symbols

    def stands_as_it_began(self) -> bool:
        heads = [self.made(i, 1) >> 1 | 2**62 for i in range(len(self.heads))]
        below = [self.made(n, 2) & 0xFFFFFFFF for n in range(self.borrowed, 0, -1)]
        return self.heads == heads and self.words == below


def test_the_stack_as_the_page_has_it() -> None:
    rng = np.random.default_rng(0)
    symbols = Uniform(np.zeros(100, np.int64), rng.integers(1, 20, 100))
    stack = Stack(7, seed=2**63 + 5)
    first = symbols.pop(stack)  # from below the bottom
    values = rng.integers(0, symbols.high + 1)
    symbols.push(stack, values)
    starts = [[i * 2**24 // int(size) for i in range(size + 1)] for size in symbols.sizes]
    plain = PlainStack(stack.to_bytes(), 7, 2**63 + 5, stack.borrowed)
    assert plain.pop(starts) == values.tolist()
    again = PlainStack(b"".join(struct.pack("<Q", int(h)) for h in Stack(7, 2**63 + 5).heads), 7, 2**63 + 5)
    assert again.stands_as_it_began()
    assert again.pop(starts) == first.tolist()


def unfolded(data: bytes, size: int) -> bytes:
    return data if len(data) == size else zstandard.ZstdDecompressor().decompress(data)


def weights_by_the_page(data: bytes) -> dict[str, np.ndarray]:
    """docs/format.md, "The packed model"."""
    version, bits, lanes, first, text, second, tables = struct.unpack_from("<BBHIIII", data)
    assert version == 1
    told = json.loads(unfolded(data[20 : 20 + first], text))["tensors"]
    rest = unfolded(data[20 + first : 20 + first + second], tables)
    stack, found = PlainStack(data[20 + first + second :], lanes), {}
    for tensor in told:
        size = math.prod(tensor["shape"])
        if "dtype" in tensor:
            kind = np.dtype({"F32": "<f4", "I64": "<i8", "BOOL": "?", "U8": "u1"}[tensor["dtype"]])
            found[tensor["name"]] = np.frombuffer(rest, kind, size).reshape(tensor["shape"])
            rest = rest[size * kind.itemsize :]
            continue
        counts = []
        for _ in range(tensor["bins"]):
            end = next(i for i, byte in enumerate(rest) if byte < 128) + 1
            counts.append(sum((byte & 127) << 7 * i for i, byte in enumerate(rest[:end])))
            rest = rest[end:]
        quanta = [1 + count * (2**24 - len(counts)) // sum(counts) for count in counts]
        quanta[counts.index(max(counts))] += 2**24 - sum(quanta)
        starts = [sum(quanta[:i]) for i in range(len(quanta) + 1)]
        bins = stack.pop([starts] * size) if len(counts) > 1 else [0] * size
        places = [0] * size
        if tensor["shift"]:
            unit = 2 ** (24 - tensor["shift"])
            places = stack.pop([list(range(0, 2**24 + 1, unit))] * size)
        whole = [tensor["low"] + (b << tensor["shift"]) + p for b, p in zip(bins, places, strict=True)]
        found[tensor["name"]] = (np.array(whole) * 2.0**-bits).astype(np.float32).reshape(tensor["shape"])
    assert not rest
    assert stack.stands_as_it_began()
    return found


def test_a_packed_model_as_the_page_has_it() -> None:
    model = LatentModel(Flat(2, Vamp(2)), DiscretizedLogistics(), Conv((2,), 4)).setup((1, 4, 4))
    data = packed(model, 6)
    found, state = weights_by_the_page(data), unpacked(data).model.state_dict()
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


def batches_by_the_page(p: int, left: int, rows: int, numbers: int, most: int) -> list[tuple[int, int]]:
    """docs/format.md, "Batches": (rows, lanes) of each."""
    found, done, lanes = [], 0, 4
    while done < rows:
        held = done * left
        size = min(most, rows - done, 1 + 3 * held // (4 * max(1, p)), max(1, 8 * done))
        spare = held - (4 * size * p) // 3
        while lanes < 1024 and 144 * lanes <= spare and 16 * lanes <= size * numbers:
            lanes *= 2
        found.append((size, lanes))
        done += size
    return found


@pytest.mark.parametrize("pace", [(1, 0), (0, 5), (7, 23), (173, 334), (900, 4000)])
def test_batches_as_the_page_has_them(pace: tuple[int, int]) -> None:
    batches = [(batch.size, batch.lanes) for batch in Pace(*pace).batches(3000, 784, 256)]
    assert batches == batches_by_the_page(*pace, 3000, 784, 256)


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
