"""A second reader of archives, by docs/format.md alone: it shares no code with the first but the elementary functions, which the
page asks to be computed step by step as they are there."""

import itertools
import json
import math
import struct
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np
import zstandard

from lambent.codec.exact import elementary

Whole = np.ndarray[Any, np.dtype[np.int64]]
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

    def pop(self, starts: Sequence[Sequence[int]]) -> list[int]:
        """One symbol for each list of where its intervals begin, the end of the last included."""
        symbols = []
        for first in range(0, len(starts), len(self.heads)):
            low = []
            for lane, own in enumerate(starts[first : first + len(self.heads)]):
                slot = self.heads[lane] % 2**24
                symbol = bisect_right(own, slot) - 1
                symbols.append(symbol)
                size = own[symbol + 1] - own[symbol]
                self.heads[lane] = size * (self.heads[lane] >> 24) + slot - own[symbol]
                low += [lane] if self.heads[lane] < 2**32 else []
            for lane, word in zip(low, self.taken(len(low)), strict=True):
                self.heads[lane] = self.heads[lane] * 2**32 + word
        return symbols

    def push(self, intervals: list[tuple[int, int]]) -> None:
        """Symbols by (start, quanta), the first of which is to be popped first."""
        lanes = len(self.heads)
        for first in reversed(range(0, len(intervals), lanes)):
            for lane, (start, f) in enumerate(intervals[first : first + lanes]):
                if self.heads[lane] >> 40 >= f:
                    self.words.append(self.heads[lane] & 0xFFFFFFFF)
                    self.heads[lane] >>= 32
                self.heads[lane] = self.heads[lane] // f * 2**24 + self.heads[lane] % f + start

    def pop_bits(self, bits: list[int]) -> list[int]:
        return self.pop([range(0, 2**24 + 1, 2 ** (24 - n)) for n in bits])

    def push_bits(self, values: list[int], bits: list[int]) -> None:
        self.push([(v * 2 ** (24 - n), 2 ** (24 - n)) for v, n in zip(values, bits, strict=True)])

    def widen(self) -> None:
        n = self.pop_bits([5] * len(self.heads))
        low = [min(each, 16) for each in n]
        upper = self.pop_bits([a - b for a, b in zip(n, low, strict=True)])
        lower = self.pop_bits(low)
        words = self.taken(len(n))
        for a, b, c, d, w in zip(n, low, upper, lower, words, strict=True):
            self.heads.append((2**a + (c << b) + d) * 2**32 + w)

    def narrow(self) -> None:
        lanes = len(self.heads) // 2
        gone, self.heads = self.heads[lanes:], self.heads[:lanes]
        self.words += [head & 0xFFFFFFFF for head in gone]
        n = [(head >> 32).bit_length() - 1 for head in gone]
        low = [min(each, 16) for each in n]
        rest = [(head >> 32) - 2**a for head, a in zip(gone, n, strict=True)]
        self.push_bits([r % 2**b for r, b in zip(rest, low, strict=True)], low)
        self.push_bits([r >> b for r, b in zip(rest, low, strict=True)], [a - b for a, b in zip(n, low, strict=True)])
        self.push_bits(n, [5] * lanes)

    def stands_as_it_began(self) -> bool:
        heads = [self.made(i, 1) >> 1 | 2**62 for i in range(len(self.heads))]
        below = [self.made(n, 2) & 0xFFFFFFFF for n in range(self.borrowed, 0, -1)]
        return self.heads == heads and self.words == below


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


def batches(p: int, left: int, rows: int, numbers: int, most: int) -> list[tuple[int, int]]:
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


# ---- networks, in whole 2^-12 --------------------------------------------------------------------------------------------


def linear(x: Whole, weight: np.ndarray, bias: np.ndarray, bits: int) -> Whole:
    """docs/format.md, "Networks": linear layers."""
    w, b = (np.floor(each.astype(np.float64) * 2**bits + 0.5).astype(np.int64) for each in (weight, bias))
    return (np.clip(x, -(2**22), 2**22) @ w.T + (b << 12) + (1 << (bits - 1))) >> bits


def silu(x: Whole) -> Whole:
    """docs/format.md, "Networks": SiLU."""
    near = np.clip(x, -(12 << 12), 12 << 12)
    table = np.floor(elementary.silu(near / 4096) * 4096 + 0.5).astype(np.int64) - np.maximum(near, 0)
    return np.maximum(x, 0) + table


class Model:
    """Flat(3), Standard, Diagonal, Bernoulli and an Mlp of one layer, by the weights of a packed model."""

    def __init__(self, packed: bytes) -> None:
        self.bits, self.weights = packed[1], weights_by_the_page(packed)

    def layer(self, name: str, x: Whole) -> Whole:
        return linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], self.bits)

    def logits(self, z: Whole) -> Whole:
        return self.layer("decoder.3", silu(self.layer("decoder.1", z)))

    def posterior(self, x: Whole) -> tuple[Whole, Whole]:
        """Means and log scales, limited as the model limits them."""
        head = self.layer("latent.posterior.head", silu(self.layer("encoder.1", (2 * x - 1) << 12)))
        return head[:, :3], np.clip(head[:, 3:], SCALES[0] << 12, SCALES[1] << 12)


# ---- symbols -------------------------------------------------------------------------------------------------------------

SCALES = (-9, 7)
NORMAL = np.floor(elementary.normal_cdf(np.arange(-512, 513) / 64) * 2**24).astype(np.int64).tolist()
NORMAL = [0, *NORMAL[1:-1], 2**24]


class Code:
    """docs/format.md, "Codes": a normal over k, of mean and log scale in 2^-12, k in 2^-s."""

    def __init__(self, mean: int, log_scale: int, s: int) -> None:
        self.edge = 64 << s
        self.mean = min(max(mean << (s + 1), -self.edge << 13), self.edge << 13)
        rounded = min(max((log_scale + 16) >> 5, -2048), 2048)
        inverse = math.floor(float(elementary.exp(np.array(-rounded / 128))) * 2**19 + 0.5)
        self.inverse = min(max(min(max(inverse, 1), 2**32) << (8 - s), 1), 2**32)
        r, middle = (6 << 27) // self.inverse + 1, min(self.mean >> 13, self.edge - 1)
        self.low, self.high = max(middle - r, -self.edge), min(middle + 1 + r, self.edge - 1)

    def __len__(self) -> int:
        return self.high - self.low + 2

    def __getitem__(self, place: int) -> int:
        """Quanta below the value low + place: where its interval begins."""
        if place <= 0:
            return 0
        v, count = self.low + place, self.high - self.low + 1
        if v > self.high:
            return 2**24
        at = min(max((((v << 13) - 2**12 - self.mean) * self.inverse + (8 << 40)) >> 18, 0), (8 << 23) - 1)
        cell, rest = at >> 16, at & 0xFFFF
        quanta = NORMAL[cell] + ((NORMAL[cell + 1] - NORMAL[cell]) * rest >> 16)
        return (quanta * (2**24 - count) >> 24) + place


def alike(size: int) -> list[int]:
    return [v * 2**24 // size for v in range(size + 1)]


def prior_popped(stack: PlainStack, steps: list[int], rows: int) -> Whole:
    """Codes [rows, units] under N(0, 1), in 2^-12."""
    every = steps * rows
    codes = [Code(0, 0, s) for s in every]
    found = [c.low + place for c, place in zip(codes, stack.pop(codes), strict=True)]
    ends = [i for i, k in enumerate(found) if k in (codes[i].low, codes[i].high)]
    sizes = [found[i] + codes[i].edge + 1 if found[i] == codes[i].low else codes[i].edge - found[i] for i in ends]
    for i, place in zip(ends, stack.pop([alike(size) for size in sizes]), strict=True):
        found[i] = place + (-codes[i].edge if found[i] == codes[i].low else found[i])
    return np.array([k << (12 - s) for k, s in zip(found, every, strict=True)], np.int64).reshape(rows, -1)


def bits_popped(stack: PlainStack, logits: Whole) -> Whole:
    share = elementary.sigmoid(np.clip(-logits, -(17 << 12), 17 << 12).reshape(-1) / 4096)
    zeros = np.clip(np.floor(share * 2**24 + 0.5).astype(np.int64), 1, 2**24 - 1).tolist()
    return np.array(stack.pop([[0, each, 2**24] for each in zeros]), np.int64).reshape(logits.shape)


def posterior_pushed(stack: PlainStack, q: tuple[Whole, Whole], z: Whole, steps: list[int]) -> None:
    intervals = []
    for m, log_scale, k, s in zip(*(each.reshape(-1).tolist() for each in (*q, z)), steps * len(z), strict=True):
        code = Code(m, log_scale, s)
        place = (k >> (12 - s)) - code.low
        intervals.append((code[place], code[place + 1] - code[place]))
    stack.push(intervals)


# ---- a block -------------------------------------------------------------------------------------------------------------


def begun(lanes: int) -> PlainStack:
    """A stack of seed 0 that holds nothing."""
    stack = PlainStack(struct.pack("<Q", 1) * lanes, lanes)
    stack.heads = [stack.made(i, 1) >> 1 | 2**62 for i in range(lanes)]
    return stack


def steps_of(model: Model, most: int) -> list[int]:
    """docs/format.md, "Probabilities", its end: the steps of the units' codes."""
    stack, rows = begun(16), min(64, most)
    z = prior_popped(stack, [8] * 3, rows)
    _, log_scale = model.posterior(bits_popped(stack, model.logits(z)))
    return [min(max(-(int(total) // rows // 2839), 0), 8) for total in log_scale.sum(0)]


def decoded_binary(packed: bytes, payload: bytes, rows: int, seed: int, borrowed: int, side: bytes) -> bytes:
    """The content of the coded block: truth values of pictures 8 × 8."""
    model, pace = Model(packed), json.loads(side)["pace"]
    stack = PlainStack(payload, 1, seed, borrowed)
    steps, found = steps_of(model, 256), []
    for size, lanes in reversed(batches(*pace, rows, 64, 256)):
        while not found and len(stack.heads) < lanes:
            stack.widen()
        while len(stack.heads) > lanes:
            stack.narrow()
        z = prior_popped(stack, steps, size)
        x = bits_popped(stack, model.logits(z))
        posterior_pushed(stack, model.posterior(x), z, steps)
        found.append(x)
    while len(stack.heads) > 1:
        stack.narrow()
    assert stack.stands_as_it_began()
    return np.concatenate(found[::-1]).astype(np.bool_).tobytes()


# ---- pixels --------------------------------------------------------------------------------------------------------------


class Logistic:
    """docs/format.md, "Logistics and normals on a grid": levels 0 … white under one component, before quanta are made of it."""

    def __init__(self, location: int, log_scale: int, white: int, whole: int) -> None:
        """location: M, in 2^-13 of a level; log_scale in 2^-12; whole: W."""
        rounded = min(max((log_scale + 16) >> 5, -2048), 2048)
        scaled = float(elementary.exp(np.array(-rounded / 128))) * (2 / white * 2**27)
        self.inverse = min(max(math.floor(scaled + 0.5), 1), 2**32)
        self.location = location
        table = np.floor(elementary.sigmoid(np.arange(-1280, 1281) / 64) * whole).astype(np.int64).tolist()
        self.table = [0, *table[1:-1], whole]

    def below(self, v: int) -> int:
        y = min(max(((2**13 * v - 2**12 - self.location) * self.inverse + 2**40 * 20) >> 18, 0), 2**23 * 20 - 1)
        c, d = y >> 16, y & 0xFFFF
        return self.table[c] + (d * (self.table[c + 1] - self.table[c]) >> 16)


def shares(weights: list[int]) -> list[int]:
    edges = [2**20 * sum(weights[:c]) // sum(weights) for c in range(len(weights) + 1)]
    return [b - a for a, b in itertools.pairwise(edges)]


def pixel(raw: list[list[int]], x: list[int], white: int) -> list[tuple[int, int]]:
    """docs/format.md, "DiscretizedLogistics": (start, quanta) of each channel; raw: of each component its numbers in 2^-12."""
    channels, least = len(x), math.floor((-7 - float(elementary.log(np.array(white / 255)))) * 4096 + 0.5)
    logits = [own[0] for own in raw]
    u = [math.floor(float(elementary.exp(np.array((k - max(logits)) / 4096))) * 2**22 + 0.5) for k in logits]
    weights, found, n = shares(u), [], white + 1
    for channel, v in enumerate(x):
        each: list[list[Logistic]] = [[], []]
        for own in raw:
            location = (own[1 + channel] + 4096) * white
            for before in range(channel):
                coupling = own[1 + 2 * channels + channel * (channel - 1) // 2 + before]
                bent = math.floor(float(elementary.tanh(np.array(coupling / 4096))) * 4096 + 0.5)
                location += bent * (2 * x[before] - white)
            scale = min(max(own[1 + channels + channel] - 2 * 4096, least), 3 * 4096)
            for whole, kept in ((2**24 - n, each[0]), (2**24, each[1])):
                kept.append(Logistic(location, scale, white, whole))

        def below(value: int, weights: list[int] = weights, parts: list[Logistic] = each[0]) -> int:
            if value in (0, n):
                return 2**24 if value else 0
            return (sum(w * part.below(value) for w, part in zip(weights, parts, strict=True)) >> 20) + value

        found.append((below(v), below(v + 1) - below(v)))
        alone = [
            (2**24 if v == white else part.below(v + 1) * (2**24 - n) >> 24)
            - (part.below(v) * (2**24 - n) >> 24 if v else 0)
            for part in each[1]
        ]
        masses = [max(1, w * quanta) for w, quanta in zip(weights, alone, strict=True)]
        weights = shares([2**18 * m // max(masses) for m in masses])
    return found
