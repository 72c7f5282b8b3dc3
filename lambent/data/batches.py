"""Batches: rows in memory shuffled by one permutation an epoch, or any iterable of batches as it comes."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lambent.data.readers.frames import from_array, from_frame, is_frame, numbers
from lambent.data.sparse import resident
from lambent.errors import DataError, UsageError
from lambent.seeds import mixed_seed, stream

Transform = Callable[[Tensor, torch.Generator | None], Tensor]
Batch = tuple[Tensor, Tensor | None, Tensor | None]  # rows, context, row numbers (None when streaming)


class Batches(ABC):
    """What the loop draws from."""

    rows: int  # in one epoch; 0 where unknown
    steps: int  # batches in one epoch; 0 where unknown

    @abstractmethod
    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from the `start`-th on; the same number gives the same order."""

    @abstractmethod
    def examples(self, count: int) -> Tensor:
        """A few rows, for shapes and for priors that start from data."""

    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 of the rows, or of a sample of them where they only stream by."""


class InMemory(Batches):
    """Rows kept as they came (bytes as bytes), on the device; each epoch one permutation, drawn from (seed, epoch)."""

    def __init__(
        self,
        x: Tensor,
        batch: int,
        seed: int,
        device: torch.device,
        context: Tensor | None = None,
        numbers: Tensor | None = None,
    ) -> None:
        x = resident(x, device)
        # Windows of a series share their memory, and are copied a batch at a time.
        self.x = x if x.dim() == 2 and x.stride(1) == 1 and x.stride(0) < x.shape[1] else x.contiguous()
        self.context = None if context is None else context.to(device).float()
        self.numbers = None if numbers is None else numbers.to(device)  # in the data that these rows are a share of
        self.rows = len(x)
        self.batch = min(batch, self.rows)
        self.seed = seed
        self.steps = -(-self.rows // self.batch)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, number))
        order = torch.randperm(self.rows, generator=generator).to(self.x.device)
        buffer = torch.empty((self.batch, *self.x.shape[1:]), dtype=self.x.dtype, device=self.x.device)
        for rows in order.split(self.batch)[start:]:
            x = torch.index_select(self.x, 0, rows, out=buffer[: len(rows)])
            context = None if self.context is None else self.context[rows]
            yield x, context, rows if self.numbers is None else self.numbers[rows]

    def examples(self, count: int) -> Tensor:
        generator = torch.Generator().manual_seed(stream(self.seed, "examples"))
        rows = torch.randperm(self.rows, generator=generator)[:count]
        return self.x[rows.to(self.x.device)]

    def fingerprint(self) -> str:
        digest = hashlib.sha256(f"{self.x.dtype} {list(self.x.shape)}".encode())
        for held in (self.x,) if self.context is None else (self.x, self.context):
            for piece in held.split(max(1, (1 << 26) // max(1, held[:1].nbytes))):
                digest.update(piece.cpu().numpy().tobytes())
        return digest.hexdigest()


class Streaming(Batches):
    """An iterable of batches: tensors or arrays [rows, *event], or pairs of those and their context.

    Its order is its own business. Where it, its `sampler` or its `batch_sampler` has `set_epoch`, that is called before each
    epoch; where one has a `generator` (as a DataLoader may), that is seeded from (seed, epoch). A source that shuffles by
    neither, such as a DataLoader without a generator, gives another order when a run is resumed.
    """

    def __init__(self, source: Iterable[Any], steps: int | None, device: torch.device, seed: int = 0) -> None:
        self.seed = seed
        self.source = source
        self.device = device
        known = len(source) if isinstance(source, Sized) else None
        self.steps = steps or known or 0
        self.rows = 0
        self._first: Tensor | None = None
        if not self.steps:
            raise UsageError(
                "the number of batches in an epoch is not known: give steps=…, "
                "for annealing and schedules count from the real number"
            )

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        produced = rows = 0
        self._arrange(number)
        for index, item in enumerate(self.source):
            if index >= self.steps:
                break
            x, context = _rows_and_context(item)
            produced += 1
            rows += len(x)
            if index >= start:
                yield x.to(self.device), None if context is None else context.to(self.device), None
        self.rows = rows
        if produced == 0:
            raise DataError(
                f"the iterable gave no batch in epoch {number + 1}: a generator runs out after one pass; "
                "give a list, a DataLoader, or an object whose __iter__ starts afresh"
            )
        if produced < self.steps:
            raise DataError(
                f"the iterable gave {produced} batches in epoch {number + 1}, and not {self.steps}: annealing and schedules "
                "count from the real number, so give it as steps=…"
            )

    def examples(self, count: int) -> Tensor:
        if self._first is None:
            items = iter(self.source)
            if items is self.source:
                raise DataError(
                    "an iterator can be read only once: give a list, a DataLoader, or an object whose __iter__ starts afresh"
                )
            item = next(items, None)
            if item is None:
                raise DataError("the iterable of batches is empty")
            self._first = _rows_and_context(item)[0]
        return self._first[:count]

    def _arrange(self, number: int) -> None:
        """Have the source take the order of an epoch, where it can be told."""
        seeded: list[torch.Generator] = []
        for part in (self.source, *(getattr(self.source, name, None) for name in ("sampler", "batch_sampler"))):
            if callable(set_epoch := getattr(part, "set_epoch", None)):
                set_epoch(number)
            generator = getattr(part, "generator", None)
            if isinstance(generator, torch.Generator) and not any(generator is other for other in seeded):
                generator.manual_seed(mixed_seed(self.seed, number))
                seeded.append(generator)

    def fingerprint(self) -> str:
        """Of lists, whose order is fixed, with the rows of the first batch; of the rest only what no order changes."""
        first = self.examples(1 << 20)
        held = getattr(self.source, "dataset", None)
        sizes = [len(part) for part in (self.source, held) if isinstance(part, Sized)]
        told = hashlib.sha256(f"{first.dtype} {list(first.shape[1:])} {self.steps} {sizes}".encode())
        if isinstance(self.source, (list, tuple)):
            told.update(f"{len(first)}".encode() + first.cpu().numpy().tobytes())
        return told.hexdigest()


def _rows_and_context(item: Any) -> tuple[Tensor, Tensor | None]:
    """One batch of an iterable: rows, alone or in a list with their context."""
    parts = list(item) if isinstance(item, (tuple, list)) else [item]
    tensors = [None if part is None else as_tensor(part) for part in parts[:2]]
    if not tensors or len(parts) > 2 or tensors[0] is None or tensors[0].dim() < 2 or len(tensors[0]) == 0:
        raise DataError(
            "each item of the iterable must be a batch of rows [rows, …], or a pair of those and their context; "
            "for rows themselves give one array [rows, …]"
        )
    return tensors[0], tensors[1] if len(tensors) > 1 else None


def as_tensor(x: Any) -> Tensor:
    """Rows as a tensor: bytes and whole numbers as they are, other numbers as float32."""
    if isinstance(x, Tensor):
        tensor = x.detach()
    else:
        array = np.asarray(x)
        if array.dtype.kind not in "biuf":
            array = _numbers(x, array)
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        tensor = torch.from_numpy(np.ascontiguousarray(array) if array.flags.writeable else array.copy())
    if tensor.dtype.is_floating_point:
        return tensor.float()
    if tensor.dtype == torch.uint16:  # on which torch computes little
        return tensor.to(torch.int32)
    return tensor.to(torch.uint8) if tensor.dtype == torch.bool else tensor


def _numbers(x: Any, array: np.ndarray) -> np.ndarray:
    """Rows of another type as float64 [rows, columns] where all are numbers; `DataError` names what is none."""
    if hasattr(x, "toarray"):
        raise DataError("a sparse matrix holds no rows to train on; give its dense form, matrix.toarray()")
    if array.ndim != 2:
        raise DataError(f"rows must be numbers, and these are of type {array.dtype}")
    table = from_frame(x) if is_frame(x) else from_array(array)
    return np.stack([numbers(table, name) for name in table.names], 1)
