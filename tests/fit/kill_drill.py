"""A training that is killed at every stage of writing its files: test_kills.py runs this file as a program.

Usage: kill_drill.py FOLDER KILLS. Each attempt is a fork of this process, ended by a real SIGKILL at a chosen stage of a
chosen write, or at a random moment; the next one resumes. Prints what was found as JSON.
"""

import builtins
import hashlib
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch

import lambent.disk.whole
from lambent import fitted as store
from lambent.disk import tensorfile
from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import Gaussian
from lambent.model.networks import Mlp
from lambent.objectives.factor import Factor
from lambent.training.callbacks import Journal
from lambent.training.checkpoint import SCALARS, Checkpoint, _read
from lambent.training.fitting import fit

STAGES = ("opened", "half written", "before fsync", "before replace", "replaced, folder not flushed", "any moment")
FILES = ("checkpoint.safetensors", "history.jsonl", "model.safetensors")


def train(folder: Path) -> None:
    """Train, or go on; a checkpoint after each step, the journal after each epoch, the model file at the end."""
    path = folder / FILES[0]
    x = torch.randn(36, 3, generator=torch.Generator().manual_seed(0))
    model = LatentModel(Flat(2), Gaussian(), Mlp(width=4, depth=1))
    fit(
        model, Factor(width=4, depth=1), x, epochs=4, batch=8, schedule="cosine", average=0.9, validation=0.2,
        patience=3, device="cpu", precision="fp32", checkpoint=path, resume=path.exists(),
        callbacks=[Journal(folder / FILES[1]), Checkpoint(path, seconds=-1.0)],
    )  # fmt: skip
    store.save(folder / FILES[2], store.Fitted(model, provenance={"name": "drill"}))


def killed_at(stage: str, count: int) -> None:
    """Have this process kill itself at a stage of its `count`-th write."""
    writes = [0]
    real = {"open": builtins.open, "fsync": os.fsync, "replace": os.replace, "flush": lambent.disk.whole._flush_folder}

    def die(here: str) -> None:
        if here == stage and writes[0] == count:
            os.kill(os.getpid(), signal.SIGKILL)

    class Half:
        def __init__(self, file: Any) -> None:
            self.file = file

        def write(self, data: Any) -> int:
            if stage == "half written" and writes[0] == count and len(data) > 8:
                self.file.write(bytes(data)[: len(data) // 2])
                self.file.flush()
                die("half written")
            return self.file.write(data)

        def __enter__(self) -> "Half":
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

    def open_(path: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        file = real["open"](path, mode, *rest, **more)
        if "x" not in mode:
            return file
        writes[0] += 1
        die("opened")
        return Half(file)

    def before(name: str, here: str) -> Any:
        return lambda *given: (die(here), real[name](*given))[1]

    builtins.open = open_
    os.fsync = before("fsync", "before fsync")
    os.replace = before("replace", "before replace")
    lambent.disk.whole._flush_folder = before("flush", "replaced, folder not flushed")


def attempt(folder: Path, stage: str | None, count: int, span: float) -> int:
    """One fork that trains and is killed (or not); its exit status."""
    child = os.fork()
    if not child:
        status = 1
        try:
            if stage in STAGES[:-1]:
                killed_at(stage, count)
            train(folder)
            status = 0
        finally:
            os._exit(status)
    if stage == "any moment":
        time.sleep(span)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def whole(folder: Path) -> bool:
    """Whether each file is there as a whole or not at all."""
    checkpoint, journal, model = (folder / name for name in FILES)
    if checkpoint.exists():
        _read(checkpoint)
    if journal.exists():
        rows = [json.loads(line) for line in journal.read_text().splitlines()]
        assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
    if model.exists():
        store.load(model)
    return True


def state_of(folder: Path) -> str:
    """SHA-256 over parameters, optimizers, averages, best weights, generator, counters, journal and model; no seconds."""
    state, then, tensors = _read(folder / FILES[0])
    history = {k: v for k, v in state["history"].items() if k != "seconds"}
    counters = {name: state[name] for name in SCALARS if name not in ("history", "sums")}
    rows = [json.loads(line) for line in (folder / FILES[1]).read_text().splitlines()]
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
    plain = json.dumps([counters, history, then, rows], sort_keys=True)
    names = {name.split(".")[0] for name in tensors}
    assert {"model", "objective", "optimizer", "opponent", "average", "generator"} <= names
    own = tensorfile.digest(store.load(folder / FILES[2]).model.state_dict())
    return hashlib.sha256((plain + tensorfile.digest(tensors) + own).encode()).hexdigest()


def main(root: Path, kills: int) -> None:
    torch.set_num_threads(1)
    chance = random.Random(0)
    (root / "whole").mkdir()
    train(root / "whole")
    begin = time.monotonic()
    assert attempt(root / "whole", None, 0, 0.0) == 0  # a fork that finds nothing left to do: what starting costs
    started = time.monotonic() - begin
    wanted = state_of(root / "whole")
    killed: Counter[str] = Counter()
    same, runs, leftovers = True, 0, 0
    while sum(killed.values()) < kills:
        folder = root / str(runs)
        folder.mkdir()
        runs += 1
        while True:
            stage = min(STAGES, key=lambda s: (killed[s], s))
            count = chance.randint(1, 7)
            status = attempt(folder, stage, count, started * chance.uniform(0.2, 3.0))
            assert status in (0, -signal.SIGKILL), f"{stage} of write {count}: status {status}"
            assert whole(folder)
            if status == 0:
                break
            killed[stage] += 1
            if sum(killed.values()) >= kills:
                assert attempt(folder, None, 0, 0.0) == 0
                break
        leftovers += sum(name not in FILES for name in os.listdir(folder))
        same = same and state_of(folder) == wanted
    found = {"killed": killed, "runs": runs, "same": same, "leftovers": leftovers}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
