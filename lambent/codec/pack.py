"""Packing a model for an archive: what describes it, and its weights rounded and entropy-coded.

    packed = sizes, description, tables and tensors that are kept as they are, stack

A weight is a whole number of 2^-bits; those of a tensor go onto one stack by a histogram of their own. docs/format.md.
"""

import json
import math
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lambent.codec import leb128
from lambent.codec.archive.folding import folded, unfolded
from lambent.codec.histogram import MOST_BINS, Binned
from lambent.codec.stack import Numbers, Stack
from lambent.disk import modelfile, strict_json, tensorfile
from lambent.errors import ArtifactError, LambentError, UsageError
from lambent.fitted import Fitted, load, save
from lambent.model import LatentModel

VERSION = 1
SIZES = struct.Struct("<BBHIIII")  # version, bits, lanes, description folded and unfolded, tables folded and unfolded
MOST_DESCRIPTION = 1 << 24
MOST_TABLES = 1 << 30
MOST_LANES = 256
WIDEST = 5  # bytes of a number in the tables
EACH = 4096  # weights of a lane, at least: its head takes 8 bytes
EXACT = 1 << 24  # whole numbers below it are exact in float32
ROOM = 1 << 20  # weights that any packed model may have
EXPANSION = 1024  # and for each of its bytes: a tensor of equal weights takes none


def packed(given: Fitted | LatentModel, weight_bits: int = 16) -> bytes:
    """The model as bytes, each weight rounded to a multiple of 2^-weight_bits; other tensors are kept as they are.

    Of a model of Fashion-MNIST with 670,000 weights 12 bits take 28 % off the bytes that 16 take, and add 0.00003 bits to each
    dimension of what it codes; 10 bits 42 % and 0.0003; 8 bits 56 % and 0.002.
    What it was trained on and how stays behind: an archive needs the model and its modality. Code an archive by
    `unpacked(packed(model))`, for that is what decodes it.
    Errors: `UsageError` for bits outside 1 … 24.
    """
    if not 1 <= weight_bits <= 24:
        raise UsageError(f"weights are rounded to 1 … 24 bits behind the point, not to {weight_bits}")
    fitted = Fitted.of(given)
    weights = {name for name, _ in fitted.model.named_parameters()}
    header, tensors = _told(fitted)
    entries: list[dict[str, Any]] = []
    tables, coded = bytearray(), list[tuple[Binned, Numbers]]()
    for name, tensor in sorted(tensors.items()):
        entry: dict[str, Any] = {"name": name, "shape": list(tensor.shape)}
        values = _whole(tensor, weight_bits) if name in weights else None
        binned = None if values is None else Binned.of(values)
        if values is None or binned is None:
            entry["dtype"] = tensorfile.NAMES[tensor.dtype]
            tables += tensorfile.as_bytes(tensor)
        else:
            entry |= {"low": binned.low, "shift": binned.shift, "bins": len(binned.counts)}
            tables += leb128.encoded(*binned.counts.tolist())
            coded.append((binned, values))
        entries.append(entry)
    lanes = _lanes(sum(binned.count for binned, _ in coded))
    stack = Stack(lanes)
    for binned, values in reversed(coded):
        binned.push(stack, values)
    text = json.dumps({"header": header, "tensors": entries}, separators=(",", ":"), allow_nan=False).encode()
    pieces = folded(text), folded(bytes(tables))
    sizes = SIZES.pack(VERSION, weight_bits, lanes, len(pieces[0]), len(text), len(pieces[1]), len(tables))
    return sizes + pieces[0] + pieces[1] + stack.to_bytes()


def unpacked(data: bytes) -> Fitted:
    """The model in these bytes. Raises `ArtifactError` for anything that `packed` did not make."""
    try:
        header, tensors = _opened(data)
        with tempfile.TemporaryDirectory(prefix="lambent-") as folder:  # read by the one way that models are read
            path = modelfile.written(Path(folder) / modelfile.MODEL, tensors, header)
            try:
                return load(path)
            except LambentError as error:
                raise ArtifactError(str(error).removeprefix(f"{path} ")) from None
    except (ArtifactError, KeyError, TypeError, ValueError, OverflowError, RuntimeError) as error:
        what = str(error) if isinstance(error, ArtifactError) else f"{type(error).__name__}: {error}"
        raise ArtifactError(f"the model inside cannot be read: {what.splitlines()[0][:200]}") from None


def _told(fitted: Fitted) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a model file says of a model, and its tensors, without where it came from."""
    with tempfile.TemporaryDirectory(prefix="lambent-") as folder:
        path = save(Path(folder) / modelfile.MODEL, Fitted(fitted.model, fitted.modality))
        header, found = modelfile.opened(path)
        header.pop("sha256")
        return header | {"provenance": {}}, tensorfile.read_tensors(path, found)


def _whole(tensor: Tensor, bits: int) -> Numbers | None:
    """Weights in units of 2^-bits, [n], to even where they lie between two; None where float32 could not give them back."""
    if tensor.dtype != torch.float32 or not tensor.numel():
        return None
    values = np.rint(tensor.reshape(-1).double().numpy() * 2.0**bits)
    return values.astype(np.int64) if abs(values).max() < EXACT else None


def _lanes(weights: int) -> int:
    return min(MOST_LANES, 1 << max(0, (weights // EACH).bit_length() - 1))


# ---- reading ---------------------------------------------------------------------------------------------------------


@dataclass
class _Tables:
    """What stands behind the description, read front to back."""

    data: bytes
    place: int = 0

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.place:
            raise ArtifactError("its tables break off")
        self.place += count
        return self.data[self.place - count : self.place]

    def number(self) -> int:
        """A number in LEB128."""
        try:
            value, self.place = leb128.decoded(self.data, self.place, WIDEST)
        except ValueError:
            raise ArtifactError("its tables break off, or hold a number beyond 32 bits") from None
        return value


def _opened(data: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a model file would say of it, and its tensors."""
    if len(data) < SIZES.size:
        raise ArtifactError("it breaks off")
    version, bits, lanes, text_folded, text_size, tables_folded, tables_size = SIZES.unpack_from(data)
    if version != VERSION:
        raise ArtifactError(f"it is packed by format {version}, and this version reads {VERSION}: update lambent")
    first, second = SIZES.size + text_folded, SIZES.size + text_folded + tables_folded
    if second > len(data) or text_size > MOST_DESCRIPTION or tables_size > MOST_TABLES or not 1 <= bits <= 24:
        raise ArtifactError("its sizes cannot be")
    described = strict_json.parsed(unfolded(data[SIZES.size : first], text_size).decode(), deepest=64)
    tables = _Tables(unfolded(data[first:second], tables_size))
    stack = Stack.from_bytes(data[second:], lanes, 0, 0)
    tensors = dict(_tensors(described["tensors"], tables, stack, bits, ROOM + EXPANSION * len(data)))
    if tables.place != len(tables.data) or not stack.is_empty:
        raise ArtifactError("its tables or its stack hold more than its weights")
    return dict(described["header"]), tensors


def _tensors(
    entries: list[dict[str, Any]], tables: _Tables, stack: Stack, bits: int, room: int
) -> Iterator[tuple[str, Tensor]]:
    """Each tensor by name; `room`: how many numbers they may have in all."""
    for entry in entries:
        name, shape = entry["name"], entry["shape"]
        if not isinstance(name, str) or len(shape) > tensorfile.MOST_AXES or not all(type(n) is int for n in shape):
            raise ArtifactError("it describes a tensor without a name or a shape")
        size = math.prod(shape)
        room -= size
        if min([0, *shape]) < 0 or room < 0:
            raise ArtifactError("its tensors are far larger than its bytes can tell")
        kept = "dtype" in entry
        tensor = _verbatim(entry, size, tables) if kept else _coded(entry, size, tables, stack, bits)
        yield name, tensor.reshape(shape)


def _verbatim(entry: dict[str, Any], size: int, tables: _Tables) -> Tensor:
    dtype = tensorfile.DTYPES[entry["dtype"]]
    data = bytearray(tables.take(size * dtype.itemsize))
    return torch.frombuffer(data, dtype=dtype) if size else torch.empty(0, dtype=dtype)


def _coded(entry: dict[str, Any], size: int, tables: _Tables, stack: Stack, bits: int) -> Tensor:
    low, shift, bins = (int(entry[name]) for name in ("low", "shift", "bins"))
    if not 1 <= bins <= MOST_BINS or abs(low) >= EXACT:
        raise ArtifactError("a histogram has bins beyond its limits")
    binned = Binned(low, shift, np.array([tables.number() for _ in range(bins)], np.int64))
    if binned.count != size:
        raise ArtifactError(f"{entry['name'][:80]} has {size} weights, and its histogram {binned.count}")
    return torch.from_numpy((binned.pop(stack) * 2.0**-bits).astype(np.float32))
