"""Checkpoints: all the state of a run in one safetensors file; a resumed run ends in the same bits."""

import contextlib
import copy
import hashlib
import json
import math
import os
import time
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from lambent.disk import strict_json, tensorfile
from lambent.disk.tensorfile import digest
from lambent.disk.whole import remove_leftovers, write_whole
from lambent.errors import ArtifactError
from lambent.objectives.growing import Growing
from lambent.training.callbacks import Quiet
from lambent.training.precision import Precision
from lambent.training.run import Run
from lambent.training.sparing import Sparing
from lambent.training.threads import AUTO
from lambent.training.views import described

FORMAT = 2
SCALARS = ("total", "epoch", "position", "step", "skipped", "waited", "best", "best_epoch", "history", "sums")
MACHINE = ("threads", "pace", "watched")  # of how it computes; a checkpoint from before they were recorded has none


class Checkpoint(Quiet):
    """Write the run's state after an epoch, every `seconds` within one, and on interruption.

    Epochs that are short beside the writing are passed over, but for the last: it takes at most 3 % of the time.
    """

    def __init__(self, path: str | Path, seconds: float = 60.0) -> None:
        self.path = Path(path)
        self.seconds = seconds
        self.last = time.monotonic()
        self.sparing = Sparing()

    def on_start(self, run: Run) -> None:
        self.identity = identity(run)
        with contextlib.suppress(OSError):  # a folder that cannot be listed will be complained of when it is written to
            remove_leftovers(self.path)

    def on_step(self, run: Run) -> None:
        if time.monotonic() - self.last > self.seconds:
            run.flush()
            self.write(run)

    def on_epoch(self, run: Run) -> None:
        if run.epoch >= run.epochs:
            self.write(run)
        else:
            self.sparing.do(lambda: self.write(run))

    def on_interrupt(self, run: Run) -> None:
        if not run.whole:  # a second Ctrl-C in the middle of a step: the last file is good, this state is not
            return
        run.flush()
        self.write(run)

    def write(self, run: Run) -> None:
        if not run.finite:  # the next step will say so; the last good state stays
            return
        state, tensors = state_of(run)
        metadata = {
            "lambent_checkpoint": str(FORMAT),
            "state": json.dumps(state),
            "identity": json.dumps(self.identity),
        }
        metadata["sha256"] = _seal(tensors, metadata)
        write_whole(self.path, lambda p: tensorfile.write(p, tensors, metadata))
        self.last = time.monotonic()


def state_of(run: Run) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """All that a run has come to: plain numbers and lists, and tensors by name, copied to the processor's memory."""
    state = {name: copy.deepcopy(getattr(run, name)) for name in SCALARS + MACHINE}
    state["best"] = None if math.isinf(run.best) else run.best
    state["average_steps"] = run.average.steps if run.average is not None else 0
    return state, {name: t.detach().to("cpu", copy=True).contiguous() for name, t in _tensors(run).items()}


def identity(run: Run) -> dict[str, Any]:
    """What must not change between a run and its resumption."""
    return {
        "model": run.model.spec(),
        "objective": run.objective.spec(),
        "data": run.batches.fingerprint(),
        "validation": None if run.validation is None else run.validation.fingerprint(),
        **run.settings.identity(),
        "steps": run.batches.steps,
        "batch": getattr(run.batches, "batch", 0),
        "device": run.device.type,
        "transform": described(run.transform),
        "augment": described(run.augment),
    }


def restore(run: Run, path: str | Path) -> None:
    """Bring a fresh run to the state in the file; `ArtifactError` lists everything that differs.

    Threads and precision that are left open are those of the file, for what was measured once is not measured again.
    """
    path = Path(path)
    state, then, tensors = _read(path)
    if run.settings.threads == AUTO:
        run.settings = run.settings.changed(threads=then.get("threads"))
    if any(way.precision != run.precision for way in run.options) and then.get("precision") in get_args(Precision):
        run.settings = run.settings.changed(precision=then["precision"])
    now = json.loads(json.dumps(identity(run)))
    changed = [f"{name}: {then.get(name)!r} then, {now[name]!r} now" for name in now if then.get(name) != now[name]]
    if changed:
        raise ArtifactError(f"{path} belongs to another run, so it cannot be resumed exactly: " + "; ".join(changed))
    refill(run, str(path), state, tensors)


def refill(run: Run, origin: str, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Bring a fresh run to a state that `state_of` gave; `ArtifactError` says why `origin` holds none that fits."""
    try:
        _fill(run, origin, state, tensors)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        if isinstance(error, ArtifactError):
            raise
        raise ArtifactError(f"{origin} holds no state that a run can be in ({error!r}): start the run anew") from None


def _fill(run: Run, origin: str, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    state = {name: getattr(run, name) for name in MACHINE} | state
    for name in SCALARS + MACHINE:
        kind = float if name == "best" else type(getattr(run, name))
        if not isinstance(state[name], kind) and (name, state[name]) != ("best", None):
            raise TypeError(f"{name} is {state[name]!r}")
    for name in SCALARS + MACHINE:
        setattr(run, name, copy.deepcopy(state[name]))
    run.options = []
    run.best = math.inf if state["best"] is None else state["best"]
    if run.average is not None:
        run.average.steps = int(state["average_steps"])
    _prime(run.optimizer, "optimizer", tensors)
    if run.opponent is not None:
        _prime(run.opponent, "opponent", tensors)
    if any(name.startswith("kept.") for name in tensors):
        run.kept = [t.clone() for t in run.model.state_dict().values()]
    for place, module in run.objective.named_modules(prefix="objective"):
        if isinstance(module, Growing):
            module.fit_to({name.removeprefix(f"{place}."): t for name, t in tensors.items()})
    targets = _tensors(run)
    if missing := sorted(set(targets) ^ set(tensors)):
        raise ArtifactError(f"{origin} does not fit this model: {', '.join(missing[:8])} stand on one side only")
    unlike = [name for name, t in targets.items() if (t.shape, t.dtype) != (tensors[name].shape, tensors[name].dtype)]
    if unlike:  # copying would stretch a shape or round a type, and say nothing
        raise ArtifactError(f"{origin} does not fit this model: {', '.join(unlike[:8])} have another shape or type")
    run.generator.set_state(tensors["generator"])
    with torch.no_grad():
        for name, target in targets.items():
            if name != "generator":
                target.copy_(tensors[name])


def _tensors(run: Run) -> dict[str, Tensor]:
    """Every tensor of the run's state by name, as live references (the generator's state as a copy)."""
    found = {f"model.{name}": t for name, t in run.model.state_dict().items()}
    found |= {f"objective.{name}": t for name, t in run.objective.state_dict().items()}
    for title, optimizer in (("optimizer", run.optimizer), ("opponent", run.opponent)):
        parameters = [p for group in optimizer.param_groups for p in group["params"]] if optimizer is not None else []
        for index, parameter in enumerate(parameters):
            assert optimizer is not None
            found |= {f"{title}.{index}.{name}": t for name, t in optimizer.state.get(parameter, {}).items()}
    if run.average is not None:
        found |= {f"average.{index}": t for index, t in enumerate(run.average.values)}
    if run.kept is not None:
        found |= {f"kept.{index}": t for index, t in enumerate(run.kept)}
    if run.opponent_spikes is not None:
        found["opponent_limit"] = run.opponent_spikes.limit
    return found | {"limit": run.spikes.limit, "generator": run.generator.get_state()}


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
