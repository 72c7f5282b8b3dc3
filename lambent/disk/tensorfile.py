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

from lambent.errors import ArtifactError

LARGEST_HEADER = 1 << 24  # bytes; a column of a table takes about a hundred
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
    """The header, held against the file's length; nothing is allocated on its word.

    Raises `ArtifactError` for anything but a file that is whole.
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
            content = strict_json(file.read(length).decode("utf-8"))
        return _checked(content, whole - 8 - length)
    except FileNotFoundError:
        raise ArtifactError(f"there is no file at {path}") from None
    except (OSError, ValueError, RecursionError) as error:
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


def strict_json(text: str) -> Any:
    """JSON with finite numbers and no name given twice; `ValueError` otherwise."""
    return json.loads(text, parse_constant=_refused, parse_float=_finite, object_pairs_hook=_unique)


def _checked(content: Any, size: int) -> Header:
    """The header's entries, one after another without a gap from the first byte to the last."""
    if not isinstance(content, dict):
        raise ValueError("its header is no object")
    metadata = content.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata are no texts")
    entries, spans = {}, []
    for name, entry in content.items():
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise ValueError(f"tensor {name[:80]!r} is not described by type, shape and offsets")
        shape, offsets = entry["shape"], entry["data_offsets"]
        if not _whole_numbers(shape) or not _whole_numbers(offsets) or len(offsets) != 2 or len(shape) > 64:
            raise ValueError(f"tensor {name[:80]!r} has a shape or offsets that are no whole numbers from 0 up")
        if not isinstance(entry["dtype"], str) or entry["dtype"] not in DTYPES:
            raise ValueError(f"tensor {name[:80]!r} has the unknown type {str(entry['dtype'])[:80]!r}")
        entries[name] = Entry(DTYPES[entry["dtype"]], tuple(shape))
        if entries[name].size != offsets[1] - offsets[0]:
            raise ValueError(f"tensor {name[:80]!r} has a shape that does not fit its offsets")
        spans.append(offsets)
    end = 0
    for start, stop in sorted(spans):
        if start != end:
            raise ValueError("its tensors overlap or leave a gap")
        end = stop
    if end != size:
        raise ValueError(f"its tensors take {end} bytes, and {size} are there")
    return Header(metadata, entries)


def _whole_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)


def _refused(constant: str) -> float:
    raise ValueError(f"{constant} is no number here (nan and infinities are refused)")


def _finite(text: str) -> float:
    return number if math.isfinite(number := float(text)) else _refused(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found
