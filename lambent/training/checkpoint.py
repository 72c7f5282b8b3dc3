"""Checkpoints: all the state of a loop in one safetensors file; a resumed run ends in the same bits."""

import contextlib
import hashlib
import json
import math
import os
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lambent.disk import strict_json, tensorfile
from lambent.disk.tensorfile import digest
from lambent.disk.whole import remove_leftovers, write_whole
from lambent.errors import ArtifactError
from lambent.training.callbacks import Quiet
from lambent.training.loop import Loop

FORMAT = 1
SCALARS = ("epoch", "position", "step", "skipped", "waited", "best", "history", "sums")


class Checkpoint(Quiet):
    """Write the loop's state after every epoch, every `seconds` within one, and on interruption."""

    def __init__(self, path: str | Path, seconds: float = 60.0) -> None:
        self.path = Path(path)
        self.seconds = seconds
        self.last = time.monotonic()

    def on_start(self, loop: Loop) -> None:
        self.identity = identity(loop)
        with contextlib.suppress(OSError):  # a folder that cannot be listed will be complained of when it is written to
            remove_leftovers(self.path)

    def on_step(self, loop: Loop) -> None:
        if time.monotonic() - self.last > self.seconds:
            loop._flush(None)
            self.write(loop)

    def on_epoch(self, loop: Loop) -> None:
        self.write(loop)

    def on_interrupt(self, loop: Loop) -> None:
        if not loop.whole:  # a second Ctrl-C in the middle of a step: the last file is good, this state is not
            return
        loop._flush(None)
        self.write(loop)

    def write(self, loop: Loop) -> None:
        if not loop.finite:  # the next step will say so; the last good state stays
            return
        state = {name: getattr(loop, name) for name in SCALARS}
        state["best"] = None if math.isinf(loop.best) else loop.best
        state["average_steps"] = loop.average.steps if loop.average is not None else 0
        metadata = {
            "lambent_checkpoint": str(FORMAT),
            "state": json.dumps(state),
            "identity": json.dumps(self.identity),
        }
        tensors = {name: t.detach().to("cpu", copy=True).contiguous() for name, t in _tensors(loop).items()}
        metadata["sha256"] = _seal(tensors, metadata)
        write_whole(self.path, lambda p: tensorfile.write(p, tensors, metadata))
        self.last = time.monotonic()


def identity(loop: Loop) -> dict[str, Any]:
    """What must not change between a run and its resumption."""
    names = (
        "epochs",
        "learning_rate",
        "weight_decay",
        "schedule",
        "warmup",
        "clip",
        "spike",
        "decay",
        "patience",
        "precision",
        "seed",
    )
    return {
        "model": loop.model.spec(),
        "objective": loop.objective.spec(),
        "data": loop.batches.fingerprint(),
        "validation": None if loop.validation is None else loop.validation.fingerprint(),
        "steps": loop.batches.steps,
        "batch": getattr(loop.batches, "batch", 0),
        "device": loop.device.type,
        **{name: getattr(loop, name) for name in names},
    }


def restore(loop: Loop, path: str | Path) -> None:
    """Bring a fresh loop to the state in the file; `ArtifactError` lists everything that differs."""
    path = Path(path)
    state, then, tensors = _read(path)
    now = json.loads(json.dumps(identity(loop)))
    changed = [f"{name}: {then.get(name)!r} then, {now[name]!r} now" for name in now if then.get(name) != now[name]]
    if changed:
        raise ArtifactError(f"{path} belongs to another run, so it cannot be resumed exactly: " + "; ".join(changed))
    try:
        _refill(loop, path, state, tensors)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        if isinstance(error, ArtifactError):
            raise
        raise ArtifactError(f"{path} holds no state that a run can be in ({error!r}): start the run anew") from None


def _refill(loop: Loop, path: Path, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    for name in SCALARS:
        kind = float if name == "best" else type(getattr(loop, name))
        if not isinstance(state[name], kind) and (name, state[name]) != ("best", None):
            raise TypeError(f"{name} is {state[name]!r}")
    for name in SCALARS:
        setattr(loop, name, state[name])
    loop.best = math.inf if state["best"] is None else state["best"]
    if loop.average is not None:
        loop.average.steps = int(state["average_steps"])
    _prime(loop.optimizer, "optimizer", tensors)
    if loop.opponent is not None:
        _prime(loop.opponent, "opponent", tensors)
    if any(name.startswith("kept.") for name in tensors):
        loop.kept = [t.clone() for t in loop.model.state_dict().values()]
    targets = _tensors(loop)
    if missing := sorted(set(targets) ^ set(tensors)):
        raise ArtifactError(f"{path} does not fit this model: {', '.join(missing[:8])} stand on one side only")
    unlike = [name for name, t in targets.items() if (t.shape, t.dtype) != (tensors[name].shape, tensors[name].dtype)]
    if unlike:  # copying would stretch a shape or round a type, and say nothing
        raise ArtifactError(f"{path} does not fit this model: {', '.join(unlike[:8])} have another shape or type")
    loop.generator.set_state(tensors["generator"])
    with torch.no_grad():
        for name, target in targets.items():
            if name != "generator":
                target.copy_(tensors[name])


def _tensors(loop: Loop) -> dict[str, Tensor]:
    """Every tensor of the loop's state by name, as live references (the generator's state as a copy)."""
    found = {f"model.{name}": t for name, t in loop.model.state_dict().items()}
    found |= {f"objective.{name}": t for name, t in loop.objective.state_dict().items()}
    for title, optimizer in (("optimizer", loop.optimizer), ("opponent", loop.opponent)):
        parameters = [p for group in optimizer.param_groups for p in group["params"]] if optimizer is not None else []
        for index, parameter in enumerate(parameters):
            assert optimizer is not None
            found |= {f"{title}.{index}.{name}": t for name, t in optimizer.state.get(parameter, {}).items()}
    if loop.average is not None:
        found |= {f"average.{index}": t for index, t in enumerate(loop.average.values)}
    if loop.kept is not None:
        found |= {f"kept.{index}": t for index, t in enumerate(loop.kept)}
    return found | {"limit": loop.limit, "generator": loop.generator.get_state()}


def _prime(optimizer: torch.optim.Optimizer, title: str, tensors: dict[str, Tensor]) -> None:
    """Give the optimizer the empty moments that the file has values for."""
    for index, parameter in enumerate(p for group in optimizer.param_groups for p in group["params"]):
        if f"{title}.{index}.step" in tensors:
            optimizer.state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }


def _seal(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    """SHA-256 over all that the file says, for safetensors checks no more than its own shape."""
    return hashlib.sha256((digest(tensors) + metadata["state"] + metadata["identity"]).encode()).hexdigest()


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Tensor]]:
    if not os.path.exists(path):  # which, unlike the path's own method, takes any name
        raise ArtifactError(f"there is no checkpoint at {path} to resume from: start the run without resume")
    try:
        header = tensorfile.read_header(path)
        metadata = header.metadata
        if metadata.get("lambent_checkpoint") != str(FORMAT):
            raise ArtifactError(f"{path} is no checkpoint of this version (format {FORMAT})")
        tensors = tensorfile.read_tensors(path, header)
        if not {"state", "identity"} <= set(metadata) or metadata.get("sha256") != _seal(tensors, metadata):
            raise ArtifactError(f"{path} is damaged: it does not match its SHA-256")
        state, then = (strict_json.parsed(metadata[name], finite=False) for name in ("state", "identity"))
        if not isinstance(state, dict) or not isinstance(then, dict):
            raise ArtifactError(f"{path} is damaged: its state is no object")
    except ArtifactError as error:
        raise ArtifactError(f"{error}; start the run anew") from None
    except ValueError as error:
        raise ArtifactError(f"{path} is damaged ({error}); start the run anew") from None
    return state, then, tensors
