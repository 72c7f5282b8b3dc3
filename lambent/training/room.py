"""Room: whether a training fits into memory, found out before any of it is taken.

A weight takes four bytes several times over: itself, its gradient, two moments, its average, and a copy of the best ones. A
batch takes what its backward pass keeps of the forward pass; that is counted on torch's meta device, where tensors have
shapes and no memory.
"""

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lambent.data.batches import Batches, InMemory
from lambent.data.sparse import bytes_of
from lambent.errors import MachineError, UsageError
from lambent.memory import free_memory, shown
from lambent.model import LatentModel
from lambent.model.networks import Convolutional
from lambent.model.recomputing import recomputing
from lambent.model.trace import mean
from lambent.objectives import Objective
from lambent.part import Shape, elements
from lambent.training.settings import Training

EACH = 4  # bytes of a number
TERMS = 12  # numbers that a likelihood keeps for each of the decoder's outputs, about
LARGE = 2**20  # numbers in a row
MOST = 200  # numbers that both halves and the likelihood keep for each number in a row or of the raw output, at most


@dataclass(frozen=True)
class Room:
    """What a training may take, and where: copies of each weight, rows that are computed together, codes of each, free bytes.

    here: on the machine; there: on a GPU, where training is on one. None: not known.
    """

    copies: float
    batch: int
    draws: int
    rows: int  # bytes of the data, which lie in memory already; 0 of those on disk
    here: int | None
    there: int | None
    recompute: bool = False

    @classmethod
    def of(
        cls, settings: Training, objective: Objective, batches: Batches, watched: bool, device: torch.device
    ) -> "Room":
        """What a training with settled settings takes, and what is free now, with its rows read."""
        kept = 1 if watched and settings.patience else 0
        low = 0.5 if settings.precision == "bf16" else 0
        copies = 4 + bool(settings.average) + kept + low
        rows = bytes_of(batches.x) if isinstance(batches, InMemory) else 0
        batch = -(-min(settings.batch, batches.rows or settings.batch) // settings.accumulate)
        return cls(copies, batch, objective.draws, rows, free_memory(), _free_on(device), settings.recompute)

    def set_up(self, model: LatentModel, event: Shape, examples: Tensor, seed: int) -> None:
        """Make the weights, and refuse what cannot fit before any of it is taken (`MachineError`). Errors as for `setup`."""
        taken = _weights(model) * EACH if model.ready else 0
        if elements(event) > LARGE:  # even the few examples of such rows take more than a look ahead does
            self.refuse(model, event, taken)
        if not model.ready:
            try:
                with _Counting(self._most()):
                    model.setup(event, examples, seed)
            except _TooManyError:
                self.refuse(model, event, taken, certain=True)
                model.setup(event, examples, seed)  # what was counted did not stay
        free = self._free()
        rows = self.batch * model.members
        passing = MOST * EACH * rows * (elements(event) + self.draws * elements(model.raw_shape))
        if free is not None and _weights(model) * EACH * self.copies - taken + passing > free:
            self.refuse(model, event, taken)

    def _free(self) -> int | None:
        return self.here if self.there is None else self.there

    def _most(self) -> float:
        """How many weights there is room for, in all their copies."""
        free = self._free()
        return math.inf if free is None else free / (EACH * self.copies)

    def refuse(self, model: LatentModel, event: Shape, taken: int, certain: bool = False) -> None:
        """`MachineError` if what is needed is more than what is free; `taken` bytes of it are held already.

        certain: of a model that cannot be looked at without memory it is known that its weights do not fit.
        """
        needed, free = self._needed(model, event), self._free()
        if free is None or (needed is None and not certain):
            return
        count, passing = needed or (self._most(), 0)
        weights = int(count * EACH * self.copies)
        if needed is not None and weights + passing - taken <= free:
            return
        beyond = "" if needed is not None else "more than "
        where = "memory" if self.there is None else "memory of the GPU"
        data = f", beside {shown(self.rows)} of data" if self.rows else ""
        raise MachineError(
            f"this training needs {beyond}{shown(weights + passing)} of {where}{data}, and {shown(free)} are free: "
            f"{_counted(count)} weights, with gradients, moments and averages, take {shown(weights)}, and what is kept of a "
            f"batch of {self.batch:,} rows about {shown(passing)}. {self._advice(model, event, weights > passing, free)}"
        )

    def _needed(self, model: LatentModel, event: Shape) -> tuple[float, int] | None:
        """(weights, bytes that a batch keeps) for rows of a shape; None where it cannot be known without memory."""
        twin = on_meta(model, event)
        return None if twin is None else (_weights(twin), kept_by(twin, self.batch, self.draws, self.recompute))

    def _advice(self, model: LatentModel, event: Shape, heavy: bool, free: int) -> str:
        """What to change. heavy: the weights take more than the rows."""
        found = []
        if (size := self._fitting(model, event, free)) is not None:
            shorter = ",".join(map(str, size))
            found.append(
                f"bring the images to a smaller size (--data.size {shorter}; in Python Image(size=({shorter})))"
            )
        network = model.network
        if heavy and isinstance(network, Convolutional):
            more = ",".join(map(str, (*network.channels, *(network.channels[-1:] * 2))))
            found.append(f"halve them more often (--network.channels {more})")
        if hasattr(network, "width"):
            found.append(f"choose a smaller --network.width than {network.width}")
        if not heavy:
            found.append("choose a smaller --batch, or take it in parts (--accumulate 4)")
        if not heavy and not self.recompute:
            found.append("keep less of it (--recompute true)")
        return "To fit it in, " + ", or ".join(found or ["choose a smaller network"]) + "."

    def _fitting(self, model: LatentModel, event: Shape, free: int) -> tuple[int, int] | None:
        """The largest of the halves, quarters, … of a picture's size that fits; None of rows that are no pictures."""
        part = 2
        while len(event) == 3 and min(event[1:]) // part >= 8:
            size = (event[1] // part, event[2] // part)
            with suppress(UsageError):  # of a network that cannot halve it so often
                needed = self._needed(model, (event[0], *size))
                if needed is not None and needed[0] * EACH * self.copies + needed[1] <= free:
                    return size
            part *= 2
        return None


class _TooManyError(Exception):
    """More numbers were asked for than there is room for."""


class _Counting(TorchFunctionMode):
    """Adds up the numbers of new tensors, and stops before there are too many."""

    def __init__(self, most: float) -> None:
        super().__init__()
        self.left = most

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") == "empty":  # which is how layers make their weights
            sizes = args[0] if args and isinstance(args[0], (tuple, list)) else [n for n in args if isinstance(n, int)]
            sizes = (kwargs or {}).get("size", sizes)
            self.left -= math.prod(sizes)
            if self.left < 0:
                raise _TooManyError
        return func(*args, **(kwargs or {}))


def on_meta(model: LatentModel, event: Shape) -> LatentModel | None:
    """The same model set up without memory; None for parts that compute with numbers as they are made, such as flows."""
    with suppress(NotImplementedError, RuntimeError), torch.device("meta"):
        twin: LatentModel = LatentModel.from_spec(model.spec())
        return twin.setup(event)
    return None


def kept_by(twin: LatentModel, batch: int, draws: int = 1, recompute: bool = False) -> int:
    """About how many bytes a pass over a batch, with so many codes of each row, keeps; of a model on the meta device."""
    batch *= twin.members  # each of which has its own pass
    kept: dict[int, Any] = {}  # by what holds their numbers, for several steps may keep one tensor
    weights = {p.untyped_storage()._cdata for p in twin.parameters()}

    def pack(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage
        return x

    keeping = torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x)
    with keeping, recomputing(recompute, pack), torch.device("meta"):
        if twin.latent.takes == "maps":  # where the latent itself keeps most
            context = torch.zeros(batch, twin.context) if twin.context else None
            if twin.latent.encodes:
                twin.infer(torch.zeros(batch, *twin.event_shape), draws, mean, context)
            else:
                twin.imagine(batch, mean, context)
        elif twin.latent.encodes:
            rows = twin.likelihood.observe(torch.zeros(batch, *twin.event_shape))
            twin.encoder(twin.likelihood.seen(rows))
        twin.decoder(torch.zeros(draws * batch, *twin.read_shape))
    outputs = EACH * draws * batch * elements(twin.raw_shape)
    sizes = [storage.nbytes() for storage in kept.values()]
    return int(sum(sizes) + max(sizes, default=0) + TERMS * outputs)


def _weights(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _counted(count: float) -> str:
    return (
        f"{count / 1e9:.3g} billion"
        if count >= 1e9
        else f"{count / 1e6:.3g} million"
        if count >= 1e6
        else f"{count:,.0f}"
    )


def _free_on(device: torch.device) -> int | None:
    """Free bytes of a GPU, with what torch has reserved and does not use; None of a processor."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
