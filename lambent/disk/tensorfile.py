"""Files of named tensors, in the safetensors format: written one tensor after the other, read as if a stranger had made them.

The format: 8 bytes, little-endian, the length of the header; the header, JSON; the tensors' bytes without gaps.
"""

import hashlib
import json
import math
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lambent.disk import strict_json
from lambent.errors import ArtifactError

LARGEST_HEADER = 1 << 24  # bytes; a column of a table takes about a hundred
MOST_AXES = 64  # that torch gives a tensor
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Entry:
    """A tensor as the header declares it."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes of its numbers."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Header:
    """What a file says before its tensors: free text by name, and which tensors follow."""

    metadata: dict[str, str]
    tensors: dict[str, Entry]


def write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Fill a new file. The safetensors library's own writer would leave a file of its own behind when it is killed.

    Raises `ArtifactError` for a header that `read_header` would refuse as too long.
    """
    header: dict[str, Any] = {"__metadata__": metadata}
    ordered = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))  # aligned to their own size
    place = 0
    for name in ordered:
        tensor = tensors[name]
        size = tensor.numel() * tensor.element_size()
        dtype, shape = NAMES[tensor.dtype], list(tensor.shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [place, place + size]}
        place += size
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    if len(head) > LARGEST_HEADER:
        raise ArtifactError(
            f"the description is {len(head)} bytes long, and a file of tensors holds {LARGEST_HEADER}: "
            "fewer columns or shorter names would fit"
        )
    with open(path, "xb") as file:
        file.write(len(head).to_bytes(8, "little"))
        file.write(head)
        for name in ordered:
            file.write(as_bytes(tensors[name]))


def as_bytes(tensor: Tensor) -> memoryview:
    """The tensor's numbers as they lie in memory, row after row."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    if flat.stride() != (1,):  # a single number may have any stride and count as contiguous
        flat = flat.new_empty(flat.shape).copy_(flat)
    return flat.view(torch.uint8).numpy().data if flat.numel() else memoryview(b"")


def digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes, in the order of names."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        found.update(as_bytes(tensor))
    return found.hexdigest()


def read_header(path: Path) -> Header:
    """The header of a file that is whole; nothing is allocated on its word.

    The safetensors library holds types, shapes and offsets against each other and against the file's length. What it
    lets pass is looked at here: keys given twice, of which each reader takes another, and headers of up to 100 MB.

    Raises `ArtifactError` for anything else.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would be waited for
            raise ArtifactError(f"{path} is no file")
        with open(path, "rb") as file:
            whole = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(LARGEST_HEADER, whole - 8):
                raise ArtifactError(
                    f"{path} is no model file, or only a part of one: its header would be {length} bytes long"
                )
            content = strict_json.parsed(file.read(length).decode("utf-8"))
        with safe_open(path, framework="pt"):
            return _header(content)
    except FileNotFoundError:
        raise ArtifactError(f"there is no file at {path}") from None
    except (SafetensorError, OSError, ValueError) as error:
        if isinstance(error, ArtifactError):
            raise
        what = "cannot be read" if isinstance(error, OSError) else "is damaged"
        raise ArtifactError(f"{path} {what}: {error}") from None


def read_tensors(path: Path, header: Header) -> dict[str, Tensor]:
    """All tensors of a file whose header was read; their sizes are those that it declares."""
    try:
        with safe_open(path, framework="pt") as file:
            found: dict[str, Tensor] = {name: file.get_tensor(name) for name in header.tensors}
    except (SafetensorError, OSError, ValueError) as error:
        raise ArtifactError(f"{path} is damaged: {error}") from None
    return found


def _header(content: dict[str, Any]) -> Header:
    """A header that safetensors has taken: of its types those that torch has here, of its shapes those that torch can hold."""
    metadata, entries = content.pop("__metadata__", None), {}
    for name, entry in content.items():
        if entry["dtype"] not in DTYPES:
            raise ValueError(f"tensor {name[:80]!r} has the unknown type {entry['dtype']!r}")
        if len(entry["shape"]) > MOST_AXES:
            raise ValueError(f"tensor {name[:80]!r} has {len(entry['shape'])} axes, and {MOST_AXES} can be")
        entries[name] = Entry(DTYPES[entry["dtype"]], tuple(entry["shape"]))
    return Header(metadata or {}, entries)
