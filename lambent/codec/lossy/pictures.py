"""Pictures to bytes and back: codes rounded, pushed onto a stack by their exact probabilities, and decoded exactly."""

import hashlib
import struct
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lambent.codec.exact.dyadic import NUMERICS, UNIT, whole
from lambent.codec.exact.elementary import exp
from lambent.codec.exact.probing import as_bytes, listening
from lambent.codec.lossy.cells import FRACTION, MOST, Cells, factorized_table, normal_cells
from lambent.codec.lossy.model import Halves, Size
from lambent.codec.stack import LEAST, WHOLE, Numbers, Stack
from lambent.data.photographs import photograph, photographs, picture, pictured
from lambent.distributions import Boxed, DiagonalNormal, UnitBox, vector
from lambent.errors import ArtifactError, UsageError
from lambent.fitted import Fitted
from lambent.model.priors import Factorized
from lambent.model.trace import Node
from lambent.part import elements

MAGIC = b"LAMQ\x01"
TRAINED = 50  # the quality whose steps are those of training, 1
DOUBLING = 16  # so much less quality doubles the steps
QUALITIES = (1, 100)
LN2 = 0.6931471805599453
WORTH = 800  # bytes of a picture for each lane of its stack, whose head takes eight
MOST_LANES = 256
HEAD = struct.Struct("<IIBB")  # height, width, quality, log2 of the lanes
LARGEST = 1 << 20  # pixels of a side


class Lossy:
    """A codec of single pictures, stored rows [1, channels, height, width], by a fitted model with a Uniform posterior.

    encode: the codes' centres are rounded in steps from the means of p, and each level is pushed by the mass of its cells. The
    picture that decode gives is the same to the bit on every machine. Raises `UsageError` for a model that is not fit for it.
    """

    def __init__(self, fitted: Any) -> None:
        self.fitted = Fitted.of(fitted)
        self.halves = Halves(self.fitted.model)
        self.white = pictured(self.fitted.modality).white
        prior = self.halves.model.latent.prior
        assert isinstance(prior, Factorized)
        self.table = factorized_table(prior)

    def encode(self, x: Tensor, quality: int = TRAINED) -> bytes:
        """quality: 1 … 100; 50 has the steps of training, and 16 more half as large ones."""
        refuse_quality(quality)
        height, width = (int(n) for n in x.shape[-2:])
        observed = self._padded(self.fitted.model.likelihood.observe(x.cpu()))
        pushed: list[tuple[Cells, Numbers]] = []

        def draw(node: Node, level: int) -> Tensor:
            z, cells, values = self._rounded(node, level, quality)
            pushed.append((cells, values))
            return z

        self.halves.nodes(observed, _size(observed), draw)
        intervals = [cells.intervals(values) for cells, values in pushed]
        lanes = _lanes(sum(_bits(frequency) for _, frequency in intervals))
        stack = _begun(1 << lanes)
        for start, frequency in reversed(intervals):
            stack.push(start, frequency)
        return HEAD.pack(height, width, quality, lanes) + stack.to_bytes()

    def decode(self, data: bytes, tile: int | None = None) -> Tensor:
        """The picture as levels, [1, channels, height, width] in float64: whole numbers from 0 to the white.

        tile: pixels of a side of the pieces that are decoded at a time; the bits do not hang on it. Raises `ArtifactError`.
        """
        (height, width), quality, stack = _opened(data)
        size = self._whole(height), self._whole(width)

        def draw(node: Node, level: int) -> Tensor:
            return self._popped(node, level, quality, stack)

        hidden, _ = self.halves.nodes(None, size, draw)
        if stack.borrowed or stack._count or (stack.heads != LEAST).any():
            raise ArtifactError("the codes of a picture do not end where they should: its bytes are damaged")
        location = self.halves.location(hidden, size, *([] if tile is None else [tile]))
        levels = (location * self.white + 0.5).floor().clamp(0, self.white)
        return levels[..., :height, :width]

    def size(self, data: bytes) -> int:
        """Bytes of the picture that `decode` would give, by what its head says; nothing is made on its word."""
        (height, width), _, _ = _opened(data)
        return int(self.halves.model.event_shape[0] * height * width * (1 if self.white == 255 else 2))

    def probe(self) -> bytes:
        """Eight bytes of a hash of tables, and of what the layers of latent and decoder give for codes made of whole numbers."""
        told = hashlib.sha256(f"lambent numerics {NUMERICS} lossy\n".encode())
        told.update(self.table.flat.astype("<i8").tobytes())
        size = (self.halves.step, self.halves.step)

        def draw(node: Node, level: int) -> Tensor:
            count = elements(tuple(node.p.event_shape))
            values = torch.from_numpy((np.arange(count) * (level + 7) % 11 - 5).astype(np.float64))
            if level:
                told.update(as_bytes(_normal(node).log_scale))
            return values.reshape(1, 1, *node.p.event_shape)

        with listening(self.halves.exact(size)) as heard:
            hidden, _ = self.halves.nodes(None, size, draw)
            told.update(as_bytes(self.halves.location(hidden, size)))
        told.update(heard())
        return told.digest()[:8]

    # ---- levels --------------------------------------------------------------------------------------------------

    def _rounded(self, node: Node, level: int, quality: int) -> tuple[Tensor, Cells, Numbers]:
        """The code of a level, [1, 1, *shape], the whole numbers that it is, and the variables they are of."""
        q = vector(node.q) if node.q is not None else None
        assert isinstance(q, UnitBox)
        cells, around, step = self._cells(node, level, quality)
        steps = torch.floor((q.location.reshape(-1) - around) / step + 0.5).clamp(-MOST, MOST)
        z = (around + step * steps).reshape(1, 1, *node.p.event_shape)
        return z, cells, np.asarray(steps.numpy(), np.int64)

    def _popped(self, node: Node, level: int, quality: int, stack: Stack) -> Tensor:
        cells, around, step = self._cells(node, level, quality)
        steps = torch.from_numpy(cells.pop(stack).astype(np.float64))
        return (around + step * steps).reshape(1, 1, *node.p.event_shape)

    def _cells(self, node: Node, level: int, quality: int) -> tuple[Cells, Tensor, float]:
        """The variables of a level, where their nought lies, and how long their steps are."""
        shape = tuple(node.p.event_shape)
        if level == 0:
            rows = np.repeat(np.arange(shape[0]), elements(shape[1:]))
            return Cells(self.table, rows), torch.zeros((), dtype=torch.float64), 1.0
        p, (step, log_step) = _normal(node), steps_of(quality)
        return normal_cells(whole(p.log_scale).reshape(-1), log_step), p.location.reshape(-1), step

    def _padded(self, x: Tensor) -> Tensor:
        """Brought up to whole steps by repeating the last line and column."""
        height, width = _size(x)
        return functional.pad(x, (0, self._whole(width) - width, 0, self._whole(height) - height), mode="replicate")

    def _whole(self, side: int) -> int:
        return int(-(-side // self.halves.step) * self.halves.step)


def _normal(node: Node) -> DiagonalNormal:
    """The p of a level below the top, without its box."""
    p = vector(node.p)
    assert isinstance(p, Boxed)
    assert isinstance(p.base, DiagonalNormal)
    return p.base


def encode_lossy(fitted: Any, pictures: Iterable[Any], quality: int = TRAINED) -> bytes:
    """Pictures, each an array [height, width] or [height, width, channels] or the path of a file, as bytes; `Lossy.encode`."""
    codec = fitted if isinstance(fitted, Lossy) else Lossy(fitted)
    coded = [codec.encode(x, quality) for each in pictures for x in _rows(codec, each)]
    return b"".join(
        [MAGIC, codec.probe(), struct.pack("<I", len(coded)), *(struct.pack("<I", len(c)) + c for c in coded)]
    )


def decode_lossy(fitted: Any, data: bytes) -> list[np.ndarray]:
    """The pictures that `encode_lossy` made bytes of, as levels in 8 or 16 bits; `ArtifactError` for bytes of another model."""
    codec = fitted if isinstance(fitted, Lossy) else Lossy(fitted)
    if data[: len(MAGIC)] != MAGIC:
        raise ArtifactError("these are no bytes of lossy pictures")
    if data[len(MAGIC) : len(MAGIC) + 8] != codec.probe():
        raise ArtifactError(
            "these pictures are of another model, or this machine computes differently from the one they are from"
        )
    return [_shown(codec, codec.decode(part)) for part in _parts(data, len(MAGIC) + 8)]


def _rows(codec: Lossy, each: Any) -> Iterator[Tensor]:
    if isinstance(each, np.ndarray):
        yield photograph(codec.fitted.modality, each)
    else:
        yield from (x for _, x in photographs(codec.fitted.modality, each))


def _shown(codec: Lossy, levels: Tensor) -> np.ndarray:
    """Levels as the modality shows them."""
    stored = levels.to(torch.uint8) if codec.white == 255 else levels.to(torch.int32)
    return picture(codec.fitted.modality, stored)


def _parts(data: bytes, place: int) -> Iterator[bytes]:
    """Each after its length, of so many in all."""
    (count,) = _number(data, place)
    place += 4
    for _ in range(count):
        (length,) = _number(data, place)
        if len(data) < place + 4 + length:
            raise ArtifactError("the bytes end within a picture")
        yield data[place + 4 : place + 4 + length]
        place += 4 + length
    if place != len(data):
        raise ArtifactError(f"{len(data) - place} bytes lie behind the last picture")


def _number(data: bytes, place: int) -> tuple[int]:
    if len(data) < place + 4:
        raise ArtifactError("the bytes end within a picture")
    found: tuple[int] = struct.unpack_from("<I", data, place)
    return found


def refuse_quality(quality: int) -> None:
    low, high = QUALITIES
    if not isinstance(quality, int) or not low <= quality <= high:
        raise UsageError(f"quality takes a whole number from {low} to {high}, not {quality!r}")


def steps_of(quality: int) -> tuple[float, int]:
    """How long steps are, a multiple of 2^-12, and its logarithm in 2^-12."""
    power = (TRAINED - quality) * LN2 / DOUBLING
    step = float(np.floor(exp(np.array([power]))[0] * UNIT + 0.5) / UNIT)
    return step, int(np.floor(power * (1 << FRACTION) + 0.5))


def _opened(data: bytes) -> tuple[Size, int, Stack]:
    if len(data) < HEAD.size:
        raise ArtifactError("the bytes end within the head of a picture")
    height, width, quality, lanes = HEAD.unpack_from(data)
    low, high = QUALITIES
    if not (0 < height <= LARGEST and 0 < width <= LARGEST and low <= quality <= high and 1 << lanes <= MOST_LANES):
        raise ArtifactError(f"the head of a picture says {height} × {width} at quality {quality} in 2^{lanes} lanes")
    return (height, width), quality, Stack.from_bytes(data[HEAD.size :], 1 << lanes, 0, 0)


def _begun(lanes: int) -> Stack:
    """A stack whose heads hold nothing: what is coded without bits back needs none below."""
    stack = Stack(lanes)
    stack.heads[:] = LEAST
    return stack


def _lanes(bits: float) -> int:
    """log2 of how many lanes a picture of so many bits is worth."""
    return max(0, min(MOST_LANES.bit_length() - 1, round(float(np.log2(max(1.0, bits / 8 / WORTH))))))


def _bits(frequency: Numbers) -> float:
    return float(np.log2(WHOLE / frequency).sum())


def _size(x: Tensor) -> Size:
    return int(x.shape[-2]), int(x.shape[-1])
