"""A training that is killed, interrupted and resumed: test_stopping.py runs this file as a program."""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from lambent.errors import ArtifactError, InterruptedRun
from lambent.model import LatentModel
from lambent.model.latents import Flat
from lambent.model.likelihoods import Gaussian
from lambent.model.networks import Mlp
from lambent.objectives import Elbo
from lambent.training.checkpoint import Checkpoint
from lambent.training.fitting import fit

EPOCHS = 6


def train(folder: Path) -> None:
    """Train, or go on where a checkpoint stands, with a checkpoint after each step; keep weights and history."""
    path = folder / "checkpoint.safetensors"
    x = torch.randn(70, 4, generator=torch.Generator().manual_seed(0))
    model = LatentModel(Flat(2), Gaussian(), Mlp(width=8, depth=1))
    objective = Elbo(anneal="linear")
    history = fit(
        model, objective, x, epochs=EPOCHS, batch=8, schedule="cosine", average=0.9, validation=0.2, device="cpu",
        checkpoint=path, resume=path.exists(), callbacks=[Checkpoint(path, seconds=0.0)],
    )  # fmt: skip
    save_file(model.state_dict(), folder / "weights.safetensors")
    (folder / "history.json").write_text(json.dumps({k: v for k, v in history.items() if k != "seconds"}))


def started(folder: Path) -> int:
    """The process id of a fork that trains; it exits with the status that the run ends with."""
    child = os.fork()
    if child:
        return child
    status = 99
    try:
        train(folder)
        status = 0
    except InterruptedRun as stopped:
        status = stopped.exit_status
    except ArtifactError as error:
        sys.stderr.write(f"{error}\n")
        status = error.exit_status
    finally:
        os._exit(status)


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def same(one: Path, other: Path) -> bool:
    a, b = (load_file(folder / "weights.safetensors") for folder in (one, other))
    histories = [(folder / "history.json").read_text() for folder in (one, other)]
    return all(torch.equal(a[name], b[name]) for name in a) and histories[0] == histories[1]


def killed(folder: Path, span: float) -> list[int]:
    """Kill the training at random moments, again and again, until it ends; the exit status of each attempt."""
    chance = random.Random(time.time_ns())
    statuses = []
    for attempt in range(60):
        child = started(folder)
        time.sleep(chance.uniform(0, span * (0.1 + attempt / 6)))
        os.kill(child, signal.SIGKILL)
        statuses.append(ended(child))
        if statuses[-1] >= 0:
            break
    return statuses


def interrupted(folder: Path, number: int) -> list[int]:
    """Send the signal in the middle, then go on to the end; both exit statuses."""
    child = started(folder)
    while not (folder / "checkpoint.safetensors").exists():
        time.sleep(0.001)
    time.sleep(0.03)
    os.kill(child, number)
    return [ended(child), ended(started(folder))]


def main(root: Path) -> None:
    torch.set_num_threads(1)
    folders = {name: root / name for name in ("first", "whole", "kill", "SIGINT", "SIGTERM")}
    for folder in folders.values():
        folder.mkdir()
    train(folders["first"])  # here, so that the forks find everything imported
    begin = time.monotonic()
    train(folders["whole"])
    span = time.monotonic() - begin
    found = {
        "kill": killed(folders["kill"], span),
        "SIGINT": interrupted(folders["SIGINT"], signal.SIGINT),
        "SIGTERM": interrupted(folders["SIGTERM"], signal.SIGTERM),
    }
    results = {name: {"statuses": found[name], "same": same(folders["whole"], folders[name])} for name in found}
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
