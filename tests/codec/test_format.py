"""The page on the format, followed by a second reader that shares no code with the first: what it reads is the same."""

import hashlib
import json
import math
import struct

import numpy as np
import torch
import zstandard

from lambent import Conv, Flat, LatentModel, Vamp
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
