"""A fuzzer for what reads model files and checkpoints: no error but ArtifactError, and never a silently wrong model.

Usage: python tests/store/fuzz_model_file.py [--seconds 60] [--seed 0] [--atheris] [--keep FOLDER]

Two kinds of mutations: of the bytes, after which a file that can still be read must give the very model it gave before;
and of the description, sealed anew as a forger would, after which it may give any model, or be refused. With --atheris
(pip install atheris) coverage guides the first kind. An input that breaks a rule is kept in corpus/, for ever:
test_fuzz.py replays it.
"""

import argparse
import contextlib
import hashlib
import json
import random
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import torch

from lambent import VAE, Conv, Elbo, Flat, Gaussian, Ladder, LatentModel, Mixture, Mlp, Vamp, fit
from lambent import fitted as store
from lambent.disk import tensorfile
from lambent.errors import ArtifactError
from lambent.estimators import load_estimator
from lambent.model.likelihoods import DiscretizedLogistics
from lambent.model.priors import Flow
from lambent.training import checkpoint as checkpoints

CORPUS = Path(__file__).parent / "corpus"
INTERESTING = (0, 1, -1, 7, 8, 127, 128, 255, 2**16, 2**31, -(2**31), 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**30)
PLAIN: tuple[Any, ...] = (
    *INTERESTING,
    None,
    True,
    "",
    "x",
    "Vamp",
    "Mlp",
    0.5,
    1e308,
    [],
    {},
    [[]],
    "é",
    "\ud800",
    "\x00",
)


def seeds() -> dict[str, bytes]:
    """Small files to start from, by name; those of checkpoints begin with `checkpoint`."""
    tiny: dict[str, Any] = {"type": "Mlp", "width": 2, "depth": 1}
    models = {
        "mixture": LatentModel(Flat(2, Mixture(2)), DiscretizedLogistics(), Conv((2,), 2)).setup((1, 3, 3)),
        "flow": LatentModel(Ladder((1, 1), 2, Flow(1, 2)), Gaussian(), tiny).setup((2,)),
        "vamp": LatentModel(Flat(1, Vamp(2)), Gaussian("each"), tiny).setup((3,)),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for title, model in models.items():
            store.save(folder / title, model)
        frame = pandas.DataFrame({"a": [1.0, 2.0, 4.0], "b": [0.0, 1.0, 0.0], "c": [5.0, 6.0, 9.0]})
        VAE(1, network=tiny, epochs=1, device="cpu").fit(frame).save(folder / "estimator")
        trained(checkpoint=folder / "checkpoint")
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


# ---- the rules -----------------------------------------------------------------------------------------------------


def read_model(path: Path) -> str:
    """A digest of all that a model file gives."""
    stored = store.load(path)
    modality = None if stored.modality is None else [stored.modality.spec(), stored.modality.state()]
    load_estimator(path)
    plain = json.dumps([stored.model.spec(), stored.model.event_shape, modality, stored.provenance], sort_keys=True)
    return hashlib.sha256((plain + tensorfile.digest(stored.model.state_dict())).encode()).hexdigest()


class Restored(Exception):  # noqa: N818
    """The training need not go on."""


def read_checkpoint(path: Path) -> str:
    """A digest of all that a checkpoint brings a training to."""
    found: list[str] = []

    class Restore:
        def on_start(self, loop: Any) -> None:
            checkpoints.restore(loop, path)
            counters = json.dumps([getattr(loop, name) for name in (*checkpoints.SCALARS, "best")], sort_keys=True)
            found.append(counters + tensorfile.digest(checkpoints._tensors(loop)))
            raise Restored

    with contextlib.suppress(Restored):
        trained(callbacks=[Restore()])
    return hashlib.sha256(found[0].encode()).hexdigest()


def trained(**more: Any) -> None:
    x = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    fit(LatentModel(Flat(1), Gaussian(), Mlp(2, 1)), Elbo(), x, epochs=1, batch=6, average=0.5, device="cpu", **more)


def reader(name: str) -> Callable[[Path], str]:
    return read_checkpoint if name.startswith("checkpoint") else read_model


def broken_rule(name: str, content: bytes, wanted: str | None, folder: Path) -> str | None:
    """What is wrong with how a file is read; None where it is refused or, if `wanted` is given, reads as that."""
    path = folder / "fuzzed"
    path.write_bytes(content)
    try:
        found = reader(name)(path)
    except ArtifactError as error:
        return None if str(path) in str(error) and "\n" not in str(error) else f"unhelpful: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None if wanted in (None, found) else "a silently different model"


# ---- mutations -----------------------------------------------------------------------------------------------------


def mutated(content: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """The file with a few of its bytes changed, cut, doubled, or taken from another file."""
    data = bytearray(content)
    header = min(len(data), 8 + int.from_bytes(data[:8], "little"))
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        end = len(data) if chance.random() < 0.3 else min(header, len(data))
        at = chance.randrange(max(1, end))
        kind = chance.randrange(8)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << chance.randrange(8)
        elif kind == 1 and data:
            data[at % len(data)] = chance.randrange(256)
        elif kind == 2:
            del data[at : at + chance.choice((1, 2, 8, 100))]
        elif kind == 3:
            data[at:at] = bytes(data[at : at + chance.choice((1, 8, 64))])
        elif kind == 4:
            data[at : at + 8] = struct.pack("<Q", chance.choice(INTERESTING) % 2**64)
        elif kind == 5:
            data[at:at] = str(chance.choice(INTERESTING)).encode()
        elif kind == 6:
            other = chance.choice(others)
            start = chance.randrange(len(other))
            data[at : at + 64] = other[start : start + 64]
        else:
            data = data[: chance.randrange(len(data) + 1)]
    return bytes(data)


def forged(content: bytes, chance: random.Random) -> bytes:
    """The file with its description changed and sealed anew, and sometimes its list of tensors."""
    length = int.from_bytes(content[:8], "little")
    listed = json.loads(content[8 : 8 + length])
    metadata = listed["__metadata__"]
    title = "lambent" if "lambent" in metadata else "state"
    said = json.loads(metadata[title])
    for _ in range(chance.choice((1, 1, 2, 3))):
        said = changed(said, chance)
    metadata[title] = json.dumps(said)
    if chance.random() < 0.2:
        rest = changed({name: entry for name, entry in listed.items() if name != "__metadata__"}, chance)
        listed = {"__metadata__": metadata, **(rest if isinstance(rest, dict) else {"x": rest})}
    if title == "lambent":  # a checkpoint's seal is over its tensors too: see `resealed`
        metadata["sha256"] = hashlib.sha256(metadata["lambent"].encode()).hexdigest()
    head = json.dumps(listed).encode()
    return struct.pack("<Q", len(head)) + head + content[8 + length :]


def resealed(content: bytes, folder: Path) -> bytes:
    """A checkpoint whose seal fits what it says, where its tensors can be read at all."""
    path = folder / "resealed"
    path.write_bytes(content)
    try:
        header = checkpoints.tensorfile.read_header(path)
        seal = checkpoints._seal(checkpoints.tensorfile.read_tensors(path, header), header.metadata)
    except (ArtifactError, KeyError):
        return content
    return content.replace(header.metadata["sha256"].encode(), seal.encode())


def changed(value: Any, chance: random.Random) -> Any:
    """JSON with one value somewhere replaced, removed, renamed or doubled."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        name = chance.choice(list(value))
        kind = chance.randrange(12)
        if kind == 0:
            return {k: v for k, v in value.items() if k != name}
        if kind == 1:
            return {(k + "x" if k == name else k): v for k, v in value.items()}
        return {k: (changed(v, chance) if k == name else v) for k, v in value.items()}
    if isinstance(value, list) and value and chance.random() < 0.7:
        at = chance.randrange(len(value))
        if chance.random() < 0.2:
            return value[:at] + value[at : at + 1] * chance.choice((0, 2, 50)) + value[at + 1 :]
        return [changed(v, chance) if i == at else v for i, v in enumerate(value)]
    if isinstance(value, int) and chance.random() < 0.4:
        return value + chance.choice((-1, 1, 2))
    return chance.choice(PLAIN)


# ---- running -------------------------------------------------------------------------------------------------------


def search(
    seconds: float, seed: int, tries: int | None = None, keep: Path | None = None
) -> tuple[Counter[str], list[str]]:
    """Mutate until the time or the tries are over; how many files of each kind were tried, and what broke a rule."""
    chance = random.Random(seed)
    starts, counted, found = seeds(), Counter[str](), []
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wanted = {}
        for title, content in starts.items():
            (folder / "start").write_bytes(content)
            wanted[title] = reader(title)(folder / "start")
        while time.monotonic() - begin < seconds and (tries is None or counted.total() < tries):
            title = chance.choice(list(starts))
            forging = chance.random() < 0.5
            if forging:
                content = forged(starts[title], chance)
                content = resealed(content, folder) if title == "checkpoint" else content
            else:
                content = mutated(starts[title], list(starts.values()), chance)
            counted["forged" if forging else "mutated"] += 1
            wrong = broken_rule(title, content, None if forging else wanted[title], folder)
            if wrong:
                kind = "checkpoint" if title == "checkpoint" else "model"
                found.append(f"{title}: {wrong}")
                if keep is not None:
                    keep.mkdir(exist_ok=True)
                    (keep / f"{kind}-{hashlib.sha256(content).hexdigest()[:12]}").write_bytes(content)
    return counted, found


def guided(seconds: int) -> None:
    """atheris' own search over bytes; its crash files go into corpus/."""
    import atheris

    folder, starts = Path(tempfile.mkdtemp()), seeds()
    inputs = folder / "inputs"
    inputs.mkdir()
    for title, content in starts.items():
        (inputs / title).write_bytes(content)

    def one(data: bytes) -> None:
        for title in ("model", "checkpoint"):
            wrong = broken_rule(title, data, None, folder)
            if wrong:
                raise AssertionError(f"{title}: {wrong}")

    for module in (checkpoints, checkpoints.tensorfile, store):
        atheris.instrument_func(one)
        for function in vars(module).values():
            if callable(function) and getattr(function, "__module__", "") == module.__name__:
                atheris.instrument_func(function) if hasattr(function, "__code__") else None
    atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", f"-artifact_prefix={CORPUS}/", str(inputs)], one)
    atheris.Fuzz()


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
