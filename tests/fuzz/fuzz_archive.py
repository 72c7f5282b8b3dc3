"""A fuzzer for what reads archives: no error but a typed one of one line, bounded work, and never other content than was put in.

Usage: python tests/fuzz/fuzz_archive.py [--seconds 60] [--seed 0] [--atheris] [--keep FOLDER]

Three kinds of inputs: bytes of a right archive changed; its records changed and every check made anew, as a forger would;
packed models changed. With --atheris (pip install atheris) coverage guides all three. An input that breaks a rule is kept in
corpus/, for ever: test_fuzz_archive.py replays it.
"""

import argparse
import contextlib
import hashlib
import io
import random
import re
import struct
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import torch

from lambent import Flat, Gaussian, LatentModel, Mixture, Mlp
from lambent.codec import histogram, pack
from lambent.codec.archive import Block, Reader, Salvage, Writer, block, folding, layout, reader, salvage, source
from lambent.codec.archive.layout import HEAD_BYTES, Entry, Head, Index
from lambent.codec.pack import packed, unpacked
from lambent.errors import ArtifactError, LambentError

CORPUS = Path(__file__).parent / "corpus"
INTERESTING = (0, 1, 7, 8, 127, 255, 2**15, 2**16, 2**20, 2**28, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
ROOM = 1 << 22  # bytes that reading may take beyond a few times the archive
HEADER = {"kind": "arrays", "model": "ab" * 32, "numerics": 1, "event": [2, 2], "content": {"name": "x"}}


def archive() -> bytes:
    """A small archive with every kind of block."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.lam"
        with Writer(path, HEADER, b"the model") as writer:
            writer.add(
                Block.coded(b"content, twenty bytes", 5, rng.bytes(24), 2, seed=1, borrowed=1, side=b"a.png " * 9)
            )
            writer.add(Block.stored(rng.bytes(20), 5))
            writer.add(Block.stored(bytes(400), 100, side=b"b"))
        return path.read_bytes()


def model() -> bytes:
    """A small model, packed."""
    torch.manual_seed(0)
    return packed(LatentModel(Flat(2, Mixture(2)), Gaussian(), Mlp(2, 1)).setup((3,)), 8)


# ---- the rules -----------------------------------------------------------------------------------------------------


def contents(blocks: list[Block]) -> list[tuple[Any, ...]]:
    return [(b.number, b.rows, b.payload, b.side, None if b.is_coded else b.content()) for b in blocks]


def broken_rule(data: bytes, wanted: list[tuple[Any, ...]] | None, folder: Path) -> str | None:
    """What is wrong with how an archive is read, in each of three ways; None where it is refused or reads as `wanted`."""
    path = folder / "fuzzed.lam"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        faults = [way(data, path, wanted) for way in (streamed, by_index, salvaged)]
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    if most > ROOM + 8 * len(data):
        faults.append(f"{most} bytes of memory for an archive of {len(data)}")
    return next((fault for fault in faults if fault), None)


def told(error: LambentError) -> str | None:
    return None if len(str(error).splitlines()) == 1 else f"unhelpful: {error!r}"


def streamed(data: bytes, path: Path, wanted: list[tuple[Any, ...]] | None) -> str | None:
    try:
        found = contents(list(Reader(io.BytesIO(data)).blocks()))
    except LambentError as error:
        return told(error)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None if wanted in (None, found) else "silently different blocks"


def by_index(data: bytes, path: Path, wanted: list[tuple[Any, ...]] | None) -> str | None:
    try:
        indexed = Reader(io.BytesIO(data))
        found = contents([indexed.block(i) for i in range(len(indexed.index.entries))])
    except LambentError as error:
        return told(error)
    except Exception as error:
        return f"by its index: {type(error).__name__}: {error}"
    return None if wanted in (None, found) else "silently different blocks by the index"


def salvaged(data: bytes, path: Path, wanted: list[tuple[Any, ...]] | None) -> str | None:
    try:
        with Salvage(path) as found:
            for each in found.blocks():
                with contextlib.suppress(ArtifactError):
                    if wanted is not None and contents([each])[0] not in wanted:
                        return "salvage gives what was never put in"
    except LambentError as error:
        return told(error)
    except Exception as error:
        return f"salvage: {type(error).__name__}: {error}"
    return None


def broken_model(data: bytes) -> str | None:
    """What is wrong with how a packed model is read."""
    try:
        unpacked(data)
    except ArtifactError as error:
        return told(error)
    except Exception as error:
        return f"a packed model: {type(error).__name__}: {error}"
    return None


# ---- mutations -----------------------------------------------------------------------------------------------------


def mutated(content: bytes, chance: random.Random) -> bytes:
    """A few bytes changed, cut, doubled or moved."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        at, kind = chance.randrange(max(1, len(data))), chance.randrange(7)
        if kind == 0 and data:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del data[at : at + chance.choice((1, 2, 8, 100))]
        elif kind == 2:
            data[at:at] = data[at : at + chance.choice((1, 8, 128))]
        elif kind == 3:
            form = chance.choice("HIQ")
            data[at : at + struct.calcsize(form)] = struct.pack(
                f"<{form}", chance.choice(INTERESTING) % 2 ** (8 * struct.calcsize(form))
            )
        elif kind == 4:
            start = chance.randrange(max(1, len(data)))
            data[at:at] = data[start : start + 130]
        elif kind == 5:
            data = data[:at]
        else:
            data += data[at:]
    return bytes(data)


def resealed(data: bytes) -> bytes:
    """The archive with every check, link and digest made anew, as far as it can be told apart."""
    length, model = struct.unpack_from("<IQ", data.ljust(layout.PROLOGUE.size, b"\0"), 12)
    start = data[: layout.PROLOGUE.size + length]
    identity = link = layout.digest(start)
    made, at, entries = start + identity, len(start) + layout.DIGEST, list[Entry]()
    if model:
        inside = data[at : at + model]
        made, at = made + inside + layout.digest(inside), at + len(inside) + layout.DIGEST
    while data.startswith(layout.BLOCK_TAG, at) and len(data) >= at + HEAD_BYTES:
        _, kind, _, _, *fields = layout.HEAD.unpack_from(data, at)
        head = Head(kind, *fields)
        body = data[at + HEAD_BYTES :][: head.payload + head.side]
        record = replace(head, link=link, body=layout.digest(body)).to_bytes(identity)
        entries.append(Entry(len(made), head.rows, head.size, layout.head_check(record)))
        made, at, link = made + record + body, at + HEAD_BYTES + len(body), layout.digest(record)
    index = Index(tuple(entries), link).to_bytes()
    whole = made + index + layout.tail_start(index, len(made), identity)
    return whole + hashlib.sha256(whole).digest() + layout.END


def forged_model(content: bytes, chance: random.Random) -> bytes:
    """A packed model whose description, tables or stack are changed, and folded again."""
    version, bits, lanes, first, text, second, tables = pack.SIZES.unpack_from(content)
    at = pack.SIZES.size
    said = folding.unfolded(content[at : at + first], text)
    told = folding.unfolded(content[at + first : at + first + second], tables)
    stack = content[at + first + second :]
    which = chance.randrange(4)
    if which == 0:
        numbers = [found.span() for found in re.finditer(rb"-?[0-9]+", said)]
        begin, end = chance.choice(numbers)
        said = said[:begin] + str(chance.choice((*INTERESTING, -1))).encode() + said[end:]
    elif which == 1:
        said = mutated(said, chance)
    elif which == 2:
        told = mutated(told, chance)
    else:
        stack, lanes = mutated(stack, chance), chance.choice((lanes, 0, 2, 65535))
    pieces = folding.folded(said, 1), folding.folded(told, 1)
    sizes = pack.SIZES.pack(version, bits, lanes, len(pieces[0]), len(said), len(pieces[1]), len(told))
    return sizes + pieces[0] + pieces[1] + stack


# ---- running -------------------------------------------------------------------------------------------------------


def search(
    seconds: float, seed: int, tries: int | None = None, keep: Path | None = None
) -> tuple[Counter[str], list[str]]:
    """Mutate until the time or the tries are over; how many inputs of each kind were tried, and what broke a rule."""
    chance, counted, found = random.Random(seed), Counter[str](), list[str]()
    start, packing = archive(), model()
    wanted = contents(list(Reader(io.BytesIO(start)).blocks()))
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        while time.monotonic() - begin < seconds and (tries is None or counted.total() < tries):
            kind = chance.choice(("mutated", "mutated", "forged", "forged", "model"))
            counted[kind] += 1
            if kind == "model":
                data = (mutated if chance.random() < 0.2 else forged_model)(packing, chance)
                wrong = broken_model(data)
            else:
                data = mutated(start, chance)
                data = resealed(data) if kind == "forged" else data
                wrong = broken_rule(data, wanted if kind == "mutated" else None, Path(name))
            if wrong:
                found.append(f"{kind}: {wrong}")
                kept(data, "model" if kind == "model" else "archive", keep)
    return counted, found


def kept(data: bytes, kind: str, folder: Path | None) -> None:
    if folder is not None:
        folder.mkdir(exist_ok=True)
        (folder / f"{kind}-{hashlib.sha256(data).hexdigest()[:12]}").write_bytes(data)


def guided(seconds: int) -> None:
    """atheris' own search, into corpus/; the first byte says whether checks are made anew, or a model is read."""
    import atheris

    folder, start, packing = Path(tempfile.mkdtemp()), archive(), model()
    inputs = folder / "inputs"
    inputs.mkdir()
    for way, content in enumerate((start, start, packing)):
        (inputs / f"way-{way}").write_bytes(bytes([way]) + content)

    def one(data: bytes) -> None:
        way, data = data[:1], data[1:]
        data = resealed(data) if way == b"\1" else data
        wrong = broken_model(data) if way == b"\2" else broken_rule(data, None, folder)
        if wrong:
            kept(data, "model" if way == b"\2" else "archive", CORPUS)
            raise AssertionError(wrong)

    for function in parsers():
        atheris.instrument_func(function)
    atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", f"-artifact_prefix={folder}/", str(inputs)], one)
    atheris.Fuzz()


def parsers() -> list[FunctionType]:
    """Every function of the modules that read archives and models."""
    found: list[FunctionType] = []
    for module in (block, folding, layout, reader, salvage, source, histogram, pack):
        own = [value for value in vars(module).values() if getattr(value, "__module__", "") == module.__name__]
        methods = [method for value in own if isinstance(value, type) for method in vars(value).values()]
        found += [value for value in [*own, *methods] if isinstance(value, FunctionType)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--atheris", action="store_true")
    parser.add_argument("--keep", type=Path, default=CORPUS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.atheris:
        guided(given.seconds)
        return
    counted, found = search(given.seconds, given.seed, keep=given.keep)
    sys.stdout.write("\n".join([*sorted(set(found)), f"{dict(counted)}, {len(found)} broke a rule"]) + "\n")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
