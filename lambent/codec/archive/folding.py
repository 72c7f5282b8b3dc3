"""Folding bytes with Zstandard, and unfolding them into exactly as many as were declared."""

import importlib
from typing import Any

from lambent.errors import ArtifactError, MachineError

LEVEL = 19
QUICK = 3  # hundreds of megabytes a second: enough to tell what is far from worth while


def folded(content: bytes, level: int = LEVEL) -> bytes:
    """The content compressed, or as it is where that would be no shorter: of equal length means verbatim."""
    made: bytes = _zstandard().ZstdCompressor(level=level).compress(content) if content else b""
    return made if len(made) < len(content) else content


def unfolded(data: bytes, size: int) -> bytes:
    """The inverse of `folded`, of exactly `size` bytes; no more are allocated. Raises `ArtifactError` for anything else."""
    if len(data) == size:
        return data
    zstandard = _zstandard()
    try:
        if zstandard.frame_content_size(data) != size:
            raise ArtifactError("what is stored unfolds to another length than it says")
        made: bytes = zstandard.ZstdDecompressor().decompress(data, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ArtifactError(f"what is stored cannot be unfolded: {error}") from None
    if len(made) != size:
        raise ArtifactError("what is stored unfolds to another length than it says")
    return made


def _zstandard() -> Any:
    try:
        return importlib.import_module("zstandard")
    except ImportError:
        raise MachineError("archives need the package zstandard: pip install 'lambent[codec]'") from None
