"""RowCodec: rows through a trained model onto a stack and back, at about their negative ELBO in bits."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from lambent.codec import leb128
from lambent.codec.codebooks import top
from lambent.codec.exact.compiling import exact
from lambent.codec.exact.dyadic import UNIT, whole
from lambent.codec.exact.probing import probe
from lambent.codec.leaves import STEP, coder, emission
from lambent.codec.pace import Batch, Pace
from lambent.codec.stack import Numbers, Stack
from lambent.distributions import DiagonalNormal, EntryMaps, vector
from lambent.errors import ArtifactError
from lambent.fitted import Fitted
from lambent.model import LatentModel
from lambent.model.trace import Draw, Node
from lambent.part import Shape, elements
from lambent.training.heap import settle

PILOTS = 16  # rows by which a block's pace is found
BATCH = 1 << 22  # numbers of a batch's raw output, at most
BLOCK = 1 << 22  # numbers of a block, about
DRAWN = 64  # rows that the model makes, by which the steps of its codes are found
PROBED = 16  # such rows of a self-test
OCTAVE = round(math.log(2) * UNIT)  # of a log scale
ROWS = 256  # of a batch, at most: enough to keep the networks busy
Given = TypeVar("Given")
Made = TypeVar("Made")


class Coded(NamedTuple):
    """Rows as bytes, and beside them what decoding has to know: the stack's seed, the words it borrowed, the pace of batches."""

    rows: int
    seed: int
    borrowed: int
    pace: Pace
    data: bytes

    def to_bytes(self) -> bytes:
        """All of it: the numbers in LEB128, then the data."""
        return leb128.encoded(self.rows, self.seed, self.borrowed, *self.pace) + self.data

    @classmethod
    def from_bytes(cls, data: bytes) -> "Coded":
        """The inverse of `to_bytes`; `ArtifactError` for bytes that do not begin so."""
        numbers, place = list[int](), 0
        try:
            while len(numbers) < 5:
                number, place = leb128.decoded(data, place)
                numbers.append(number)
        except ValueError:
            raise ArtifactError("coded rows begin with five numbers of up to 63 bits, and these bytes do not") from None
        rows, seed, borrowed, popped, left = numbers
        return cls(rows, seed, borrowed, Pace(popped, left), data[place:])


class RowCodec:
    """Bits-back coding of rows by a trained model, with whole numbers alone, so that they decode on any machine.

    Of each batch z is popped by q(z|x), then x pushed by p(x|z), then z by p(z), from the lowest level to the top: a row costs
    log q(z|x) − log p(z) − log p(x|z), its negative ELBO. Decoding undoes these steps in reverse order. Only what the first row
    pops has to be borrowed, for batches grow with what the stack holds. Frey & Hinton, Efficient Stochastic Source Coding, 1997;
    Townsend, Bird & Barber, Practical Lossless Compression with Latent Variables, 2019; Kingma, Abbeel & Ho, Bit-Swap, 2019.

    Errors: `UsageError` for a model that has parts without an exact form.
    """

    def __init__(self, fitted: Fitted | LatentModel, device: str | torch.device = "cpu", weight_bits: int = 16) -> None:
        settle()
        given = Fitted.of(fitted).model
        self.model = exact(given, weight_bits).to(device)
        self.top = top(given.latent.prior, self.model.latent.shapes_of_levels[0], self.model)
        self.event, latent = given.event_shape, self.model.latent
        self.steps = [np.full(size, STEP) for size in latent.sizes_of_levels]  # bits of the codes of each unit
        self.certain = latent.discrete  # z is a function of x, so that no bits come back
        self.numbers = elements(self.event)
        self.most = max(1, min(ROWS, BATCH // elements(given.raw_shape)))
        if not self.certain:
            self.steps = [_steps(q, shape) for q, shape in zip(self._drawn(), latent.shapes_of_levels, strict=True)]
            self.top.steps = self.steps[0]

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
        if min(coded.rows, coded.borrowed, *coded.pace) < 0:
            raise ArtifactError("these bytes are damaged: their rows, or the pace of these, are less than nought")
        stack = Stack.from_bytes(coded.data, 1, coded.seed, coded.borrowed)
        x = np.empty((coded.rows, *self.event), np.int64)
        for batch in reversed(list(self._batches(coded.rows, coded.pace))):
            stack.widen(batch.lanes)  # for the last alone: each before it has as many lanes, or fewer
            stack.narrow(batch.lanes)
            x[batch.rows] = self._pop(stack, batch.size)
        stack.narrow(1)
        if not stack.is_empty:
            raise ArtifactError(
                "these bytes were coded by another model, or are damaged: they do not end as rows begin"
            )
        return torch.from_numpy(x.astype(np.uint8) if x.max(initial=0) < 256 else x)

    def probe(self) -> bytes:
        """What this machine's arithmetic makes of fixed inputs: the same wherever these bytes can be decoded."""
        return probe(self.model, self._told, () if self.top.network is None else self.top.network.modules())

    # ---- several -------------------------------------------------------------------------------------------------

    def blocks(self, rows: int) -> list[slice]:
        """Rows in blocks of about equal size, each of which is decoded by itself."""
        count = max(1, round(rows * self.numbers / BLOCK))
        return [slice(rows * i // count, rows * (i + 1) // count) for i in range(count)]

    def encode_each(self, blocks: Iterable[Tensor], threads: int = 1) -> Iterator[Coded]:
        """Blocks of rows, in order, so many at a time."""
        return in_order(self.encode, blocks, threads)

    def decode_each(self, blocks: Iterable[Coded], threads: int = 1) -> Iterator[Tensor]:
        """The inverse of `encode_each`."""
        return in_order(self.decode, blocks, threads)

    # ---- one batch -----------------------------------------------------------------------------------------------

    def _push(self, stack: Stack, x: Tensor) -> int:
        """One batch onto the stack; how many bits were popped for it."""
        before, numbers = stack.bits, list[Numbers]()
        raw, nodes = self.model.passed(self._given(x), from_stack(stack, numbers, self.steps, self.model.device))
        popped = before - stack.bits
        emission(self.model.likelihood, raw).push(stack, x.cpu().numpy().astype(np.int64))
        for level in range(len(nodes) - 1, 0, -1):
            coder(nodes[level].p, window=False, steps=self.steps[level]).push(stack, numbers[level])
        self.top.push(stack, numbers[0].reshape(len(x), -1))
        return round(popped)

    def _pop(self, stack: Stack, rows: int) -> Numbers:
        """The inverse of `_push`, [rows, *event]."""
        numbers = [self.top.pop(stack, rows).reshape(-1)]
        raw = self.model.decoded(rows, from_stack(stack, numbers, self.steps, self.model.device))
        x = emission(self.model.likelihood, raw).pop(stack)
        for level, q in () if self.certain else reversed(list(enumerate(self._posteriors(x, numbers)))):
            coder(q, window=True, steps=self.steps[level]).push(stack, numbers[level])
        return x

    def _posteriors(self, x: Numbers, numbers: list[Numbers]) -> list[Distribution]:
        """q of each level for rows whose codes are known."""
        given = from_stack(Stack(1), numbers, self.steps, self.model.device)  # which holds nothing, nor needs to
        return [node.q for node in self.model.infer(self._given(torch.from_numpy(x)), draw=given) if node.q is not None]

    def _given(self, x: Tensor) -> Tensor:
        """Rows as the exact model reads them, whatever numbers they are stored as."""
        return x.to(self.model.device, torch.float64)

    # ---- the steps of codes, the pace of batches -------------------------------------------------------------------------

    @torch.no_grad()
    def _drawn(self) -> list[Distribution]:
        """q of each level for rows that the model itself makes, whose codes are known."""
        return self._posteriors(*self._made(Stack(16), min(DRAWN, self.most)))

    def _made(self, stack: Stack, rows: int) -> tuple[Numbers, list[Numbers]]:
        """Rows that the model makes of a stack, and their codes."""
        numbers = [self.top.pop(stack, rows).reshape(-1)]
        raw = self.model.decoded(rows, from_stack(stack, numbers, self.steps, self.model.device))
        return emission(self.model.likelihood, raw).pop(stack), numbers

    def _told(self) -> bytes:
        """Some rows that the model makes, and what the stack is then: of prior and likelihood, their networks and tables."""
        stack = Stack(16)
        x, _ = self._made(stack, PROBED)
        return x.astype("<i8").tobytes() + stack.to_bytes()

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


def from_stack(stack: Stack, numbers: list[Numbers], steps: list[Numbers], device: torch.device) -> Draw:
    """z popped from a stack, by q(z|x) where rows are given and else by p(z); of the levels in `numbers`, those numbers.

    numbers: of each level, the top first, the whole numbers k [rows · units] that stand for z = k 2^-steps, or of a codebook
    those of its entries [rows · places]; those popped are added. steps: of each level, those of its units.
    """

    def draw(node: Node, level: int) -> Tensor:
        if level == len(numbers):
            d, windowed = (node.p, False) if node.q is None else (node.q, True)
            numbers.append(coder(d, window=windowed, steps=steps[level]).pop(stack))
        if isinstance(node.p, EntryMaps):
            places = torch.from_numpy(numbers[level]).to(device).reshape(*node.shape, *node.p.event_shape[1:])
            return node.p.entry(places)
        z = numbers[level].reshape(-1, len(steps[level])) / (1 << steps[level])  # exact; numpy's powers need not be
        return torch.from_numpy(z).to(device).reshape(*node.shape, *node.p.event_shape)

    return draw


def _steps(q: Distribution, shape: Shape) -> Numbers:
    """Bits of the codes of each unit, [units]: with steps of the posteriors' deviations, or up to half of them.

    Coarser steps pop fewer bits, and cost next to nothing until they are wider: as z tells less of x, q costs less. Of maps,
    one for all places of a channel. By whole numbers.
    """
    own = vector(q)
    assert isinstance(own, DiagonalNormal)
    log_scale = whole(own.log_scale.expand_as(own.location)).reshape(-1, shape[0], elements(shape[1:]))
    mean = log_scale.sum((0, 2)) // (log_scale.shape[0] * log_scale.shape[2])
    bits = -(mean // OCTAVE)
    return np.repeat(np.minimum(np.maximum(bits, 0), STEP), elements(shape[1:]))


def in_order(work: Callable[[Given], Made], given: Iterable[Given], threads: int) -> Iterator[Made]:
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
