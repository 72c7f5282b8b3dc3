"""Parts: bytes side by side, numbers and JSON among them, small where they are small."""

import json
import lzma
from collections.abc import Sequence
from typing import Any

from lambent.codec import leb128
from lambent.errors import ArtifactError

MOST = 1 << 31  # bytes that one part may unpack to
_FILTERS: tuple[dict[str, Any], ...] = (
    {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 4, "lp": 0, "pb": 0},
)


def joined(parts: Sequence[bytes]) -> bytes:
    """Parts, the length of each before it."""
    return b"".join(leb128.encoded(len(part)) + part for part in parts)


def parted(data: bytes) -> list[bytes]:
    """The inverse of `joined`; `ArtifactError` for what breaks off."""
    found, place = [], 0
    while place < len(data):
        try:
            length, place = leb128.decoded(data, place)
        except ValueError:
            raise ArtifactError("a length among the parts of the table is damaged") from None
        if length > len(data) - place:
            raise ArtifactError(f"a part of {length:,} bytes is announced where {len(data) - place:,} are left")
        found.append(data[place : place + length])
        place += length
    return found


def squeezed(content: bytes) -> bytes:
    """The same by LZMA, without a header; or as it is, where that is no longer. The first byte says which."""
    made = lzma.compress(content, lzma.FORMAT_RAW, filters=_filters(content))
    return b"\1" + made if len(made) < len(content) else b"\0" + content


def unsqueezed(data: bytes, most: int = MOST) -> bytes:
    """The inverse of `squeezed`; `ArtifactError` for bytes that are none, or of which more than so many come."""
    if data[:1] == b"\0":
        return data[1:]
    try:
        reader = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTERS)
        content = reader.decompress(data[1:], most)
    except lzma.LZMAError as error:
        raise ArtifactError(f"a part of the table cannot be unpacked ({error})") from None
    if data[:1] != b"\1" or not reader.eof:
        raise ArtifactError("a part of the table cannot be unpacked: it breaks off, is too large, or of no known kind")
    return content


def _filters(content: bytes) -> tuple[dict[str, Any], ...]:
    """A dictionary no larger than the content, so that little memory is taken for little."""
    return tuple(one | {"dict_size": max(4096, min(len(content), 1 << 26))} for one in _FILTERS)


def plain(content: Any) -> bytes:
    """JSON, squeezed."""
    return squeezed(json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode("utf-8"))


def unplain(data: bytes, most: int = MOST) -> Any:
    """The inverse of `plain`; `ArtifactError` for bytes that are none, or of which more than so many come."""
    try:
        return json.loads(unsqueezed(data, most))
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"a description in the table is damaged ({str(error)[:100]})") from None
