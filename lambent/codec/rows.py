"""RowCodec: rows through a trained model onto a stack and back, at about their negative ELBO in bits."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from lambent.codec.exact.compiling import exact, probe
from lambent.codec.leaves import STEP, coder, emission, top
from lambent.codec.pace import Batch, Pace
from lambent.codec.stack import Numbers, Stack
from lambent.errors import ArtifactError
from lambent.fitted import Fitted
from lambent.model import LatentModel
from lambent.model.trace import Draw, Node
from lambent.part import elements

PILOTS = 16  # rows by which a block's pace is found
BATCH = 1 << 22  # numbers of a batch's raw output, at most
BLOCK = 1 << 22  # numbers of a block, about
ROWS = 256  # of a batch, at most: enough to keep the networks busy
Given, Made = TypeVar("Given"), TypeVar("Made")


class Coded(NamedTuple):
    """Rows as bytes, and beside them what decoding has to know: the stack's seed, the words it borrowed, the pace of batches."""

    rows: int
    seed: int
    borrowed: int
    pace: Pace
    data: bytes


class RowCodec:
    """Bits-back coding of rows by a trained model, with whole numbers alone, so that they decode on any machine.

    Of each batch z is popped by q(z|x), then x pushed by p(x|z), then z by p(z), from the lowest level to the top: a row costs
    log q(z|x) − log p(z) − log p(x|z), its negative ELBO. Decoding undoes these steps in reverse order. Only what the first row
    pops has to be borrowed, for batches grow with what the stack holds. Frey & Hinton, Efficient Stochastic Source Coding, 1997;
    Townsend, Bird & Barber, Practical Lossless Compression with Latent Variables, 2019; Kingma, Abbeel & Ho, Bit-Swap, 2019.

    Errors: `UsageError` for a model that has parts without an exact form.
    """

    def __init__(self, fitted: Fitted | LatentModel, device: str | torch.device = "cpu", weight_bits: int = 16) -> None:
        given = Fitted.of(fitted).model
        self.model = exact(given, weight_bits).to(device)
        self.top = top(given.latent.prior, self.model.latent.shapes_of_levels[0], self.model)
        self.event = given.event_shape
        self.numbers = elements(self.event)
        self.most = max(1, min(ROWS, BATCH // elements(given.raw_shape)))

    # ---- one block -----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def encode(self, x: Tensor, seed: int = 0) -> Coded:
        """Stored rows [rows, *event], whole numbers in the likelihood's support, as bytes."""
        stack, pace = Stack(1, seed), self._pace(x, seed)
        for batch in self._batches(len(x), pace):
            stack.widen(batch.lanes)
            self._push(stack, x[batch.rows])
        stack.narrow(1)
        return Coded(len(x), seed, stack.borrowed, pace, stack.to_bytes())

    @torch.no_grad()
    def decode(self, coded: Coded) -> Tensor:
        """The rows, [rows, *event]: bytes where no number is above 255.

        Errors: `ArtifactError` for bytes that were not coded by this model.
        """
        stack = Stack.from_bytes(coded.data, 1, coded.seed, coded.borrowed)
        x = np.empty((coded.rows, *self.event), np.int64)
        for batch in reversed(list(self._batches(coded.rows, coded.pace))):
            stack.widen(batch.lanes)  # for the last alone: each before it has as many lanes, or fewer
            stack.narrow(batch.lanes)
            x[batch.rows] = self._pop(stack, batch.size)
        stack.narrow(1)
        if not stack.is_empty:
            raise ArtifactError("these bytes were coded by another model, or are damaged: they do not end as rows begin")
        return torch.from_numpy(x.astype(np.uint8) if x.max(initial=0) < 256 else x)

    def probe(self) -> bytes:
        """What this machine's arithmetic makes of fixed inputs: the same wherever these bytes can be decoded."""
        return probe(self.model)

    # ---- several -------------------------------------------------------------------------------------------------

    def blocks(self, rows: int) -> list[slice]:
        """Rows in blocks of about equal size, each of which is decoded by itself."""
        count = max(1, round(rows * self.numbers / BLOCK))
        return [slice(rows * i // count, rows * (i + 1) // count) for i in range(count)]

    def encode_each(self, blocks: Iterable[Tensor], threads: int = 1) -> Iterator[Coded]:
        """Blocks of rows, in order, so many at a time."""
        return _each(self.encode, blocks, threads)

    def decode_each(self, blocks: Iterable[Coded], threads: int = 1) -> Iterator[Tensor]:
        """The inverse of `encode_each`."""
        return _each(self.decode, blocks, threads)

    # ---- one batch -----------------------------------------------------------------------------------------------

    def _push(self, stack: Stack, x: Tensor) -> int:
        """One batch onto the stack; how many bits were popped for it."""
        before, numbers = stack.bits, list[Numbers]()
        raw, nodes = self.model.passed(self._given(x), from_stack(stack, numbers, self.model.device))
        popped = before - stack.bits
        emission(self.model.likelihood, raw).push(stack, x.cpu().numpy().astype(np.int64))
        for node, z in zip(nodes[:0:-1], numbers[:0:-1], strict=True):
            coder(node.p, window=False).push(stack, z)
        self.top.push(stack, numbers[0].reshape(len(x), -1))
        return round(popped)

    def _pop(self, stack: Stack, rows: int) -> Numbers:
        """The inverse of `_push`, [rows, *event]."""
        numbers = [self.top.pop(stack, rows).reshape(-1)]
        raw = self.model.decoded(rows, from_stack(stack, numbers, self.model.device))
        x = emission(self.model.likelihood, raw).pop(stack)
        nodes = self.model.infer(self._given(torch.from_numpy(x)), draw=from_stack(stack, numbers, self.model.device))
        for node, z in zip(nodes[::-1], numbers[::-1], strict=True):
            assert node.q is not None
            coder(node.q, window=True).push(stack, z)
        return x

    def _given(self, x: Tensor) -> Tensor:
        """Rows as the exact model reads them, whatever numbers they are stored as."""
        return x.to(self.model.device, torch.float64)

    # ---- the pace ------------------------------------------------------------------------------------------------

    def _batches(self, rows: int, pace: Pace) -> Iterator[Batch]:
        return pace.batches(rows, self.numbers, self.most)

    def _pace(self, x: Tensor, seed: int) -> Pace:
        """What rows pop and leave, by a few of them on a stack of their own."""
        some = x[:: max(1, len(x) // PILOTS)][:PILOTS]
        if len(some) < 2:
            return Pace(1, 0)
        stack = Stack(64, seed)
        popped = self._push(stack, some)
        return Pace(max(1, popped // len(some)), max(0, int(stack.bits) // len(some)))


def from_stack(stack: Stack, numbers: list[Numbers], device: torch.device) -> Draw:
    """z popped from a stack, by q(z|x) where rows are given and else by p(z); of the levels in `numbers`, those numbers.

    numbers: of each level, the top first, the whole numbers [rows · units] that stand for z = k 2^-8; those popped are added.
    """

    def draw(node: Node, level: int) -> Tensor:
        if level == len(numbers):
            symbols = coder(node.p, window=False) if node.q is None else coder(node.q, window=True)
            numbers.append(symbols.pop(stack))
        z = torch.from_numpy(numbers[level] * 2.0**-STEP).to(device)
        return z.reshape(*node.shape, *node.p.event_shape)

    return draw


def _each(work: Callable[[Given], Made], given: Iterable[Given], threads: int) -> Iterator[Made]:
    """work of each, in order; of those ahead no more are begun than there are threads."""
    if threads == 1:
        yield from map(work, given)
        return
    begun: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for each in given:
            begun.append(pool.submit(work, each))
            if len(begun) > threads:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
