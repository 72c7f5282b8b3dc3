"""The layout of an archive, byte for byte: what each record holds, how it is checked, and how much it may claim.

All numbers are little-endian. Nothing is allocated on a record's word: each length is held against a limit here, and by the
reader against the bytes that are there.
"""

import hashlib
import itertools
import json
import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lambent.disk import strict_json
from lambent.errors import ArtifactError

MAGIC = b"LAMBENT\n"
END = b"LAMBEND\n"
VERSION = 1
MOST_HEADER = 1 << 20  # bytes of the description
MOST_MODEL = 1 << 32
MOST_BYTES = 1 << 28  # of a block's content, of its side data, of its payload
MOST_ROWS = 1 << 20  # of a block
MOST_LANES = 1 << 16
EXPANSION = 1024  # a coded block gives at most so many times its payload, or little work would make much
CODED, STORED = 0, 1
DIGEST = 16  # bytes

PROLOGUE = struct.Struct("<8sHHIQ")  # magic, version, 0, length of the description, of the model
HEAD = struct.Struct("<4sBBHIIIIIIIIQ16s16s16s")
INDEX = struct.Struct("<4sIQQ16s")  # tag, blocks, rows, bytes of content, link
ENTRY = struct.Struct("<QIII")  # where a block begins, its rows, bytes of content, check of its head
TAIL = struct.Struct("<QI32s8s")  # where the index begins, its check, SHA-256 of all before, END
CHECK = struct.Struct("<I")
BLOCK_TAG, INDEX_TAG = b"blk\n", b"idx\n"
HEAD_BYTES = HEAD.size + CHECK.size


def digest(*pieces: bytes | memoryview) -> bytes:
    """The first 16 bytes of SHA-256 of the pieces, one behind the other."""
    made = hashlib.sha256()
    for piece in pieces:
        made.update(piece)
    return made.digest()[:DIGEST]


# ---- the beginning ---------------------------------------------------------------------------------------------------


def prologue(header: Mapping[str, Any], model: bytes | None) -> bytes:
    """The first bytes of an archive, up to the model: lengths and the description, canonical JSON, with their digest."""
    fault = header_fault(header)
    if fault:
        raise ArtifactError(f"the description of an archive: {fault}")
    text = header_bytes(header)
    if len(text) > MOST_HEADER:
        raise ArtifactError(f"the description of an archive takes {len(text)} bytes; {MOST_HEADER} are allowed")
    start = PROLOGUE.pack(MAGIC, VERSION, 0, len(text), len(model or b"")) + text
    return start + digest(start)


def header_bytes(header: Any) -> bytes:
    """Canonical JSON: names in order, no blanks, UTF-8."""
    return json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def lengths(start: bytes) -> tuple[int, int]:
    """Lengths of the description and of the model, by the first bytes of a file; `ArtifactError` says what is wrong."""
    if not start:
        raise ArtifactError("is empty")
    if not start.startswith(MAGIC[: len(start)]):
        raise ArtifactError("is no archive of lambent's (.lam)")
    if len(start) < PROLOGUE.size:
        raise ArtifactError(f"breaks off after {len(start)} bytes, before its description")
    _, version, zero, header, model = PROLOGUE.unpack(start)
    if version != VERSION:
        raise ArtifactError(f"has format {version}, and this version reads {VERSION}: update lambent")
    if zero or not 2 <= header <= MOST_HEADER or model > MOST_MODEL:
        raise ArtifactError("is damaged: the lengths at its beginning cannot be")
    return header, model


def parsed_header(text: bytes) -> dict[str, Any]:
    """The description, as strict JSON with the fields that every archive has; raises `ArtifactError`."""
    try:
        header = strict_json.parsed(text.decode("utf-8"), deepest=16)
    except ValueError as error:
        raise ArtifactError(f"is damaged: its description cannot be read: {error}") from None
    fault = header_fault(header)
    if fault:
        raise ArtifactError(f"is damaged: its description: {fault}")
    return dict(header)


def header_fault(header: Any) -> str | None:
    """What is wrong with a description; None where all that must be there is, and is sensible.

    kind: text; model: SHA-256 of the model, 64 hexadecimal digits; numerics: a whole number, the rules of arithmetic;
    event: sizes of one row, none where they differ by row. Whatever else stands there is the codec's.
    """
    if not isinstance(header, Mapping):
        return "it is no object"
    kind, model, numerics, event = (header.get(name) for name in ("kind", "model", "numerics", "event"))
    if not isinstance(kind, str) or not 1 <= len(kind) <= 64:
        return "`kind` must be a short text"
    if not isinstance(model, str) or len(model) != 64 or not set(model) <= set("0123456789abcdef"):
        return "`model` must be a SHA-256 of 64 hexadecimal digits"
    if type(numerics) is not int or not 1 <= numerics < 2**31:
        return "`numerics` must be a whole number from 1"
    if not isinstance(event, (list, tuple)) or len(event) > 8 or not all(type(n) is int and n >= 1 for n in event):
        return "`event` must be a list of at most 8 sizes"
    if math.prod(event) > MOST_BYTES:
        return f"rows of shape {str(list(event))[:80]} have more than {MOST_BYTES} numbers"
    return None


def elements(header: Mapping[str, Any]) -> int:
    """Numbers of one row; 1 where rows have no shape of their own."""
    return math.prod(header["event"])


# ---- a block ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Head:
    """The record before a block's bytes.

    kind: CODED or STORED; size: bytes of what it decodes to; payload, side: bytes that follow, the payload first; side_size: of
    the side data when unfolded; lanes, borrowed, seed: of the stack; link: digest of the head before (of the first: of the
    description); content, body: digests of what it decodes to, and of payload and side.
    """

    kind: int
    number: int
    rows: int
    size: int
    payload: int
    side: int
    side_size: int
    lanes: int
    borrowed: int
    seed: int
    link: bytes
    content: bytes
    body: bytes

    def to_bytes(self, identity: bytes) -> bytes:
        """identity: the digest of the archive's description, which the check begins with."""
        counts = (self.number, self.rows, self.size, self.payload, self.side, self.side_size, self.lanes, self.borrowed)
        packed = HEAD.pack(BLOCK_TAG, self.kind, 0, 0, *counts, self.seed, self.link, self.content, self.body)
        return packed + CHECK.pack(zlib.crc32(identity + packed))

    def fault(self, elements: int) -> str | None:
        """What cannot be in it, by limits alone; elements: numbers of one row."""
        if self.kind not in (CODED, STORED):
            return f"it is of the unknown kind {self.kind}"
        if max(self.size, self.payload, self.side, self.side_size) > MOST_BYTES:
            return f"it would have more than {MOST_BYTES} bytes"
        if self.rows > MOST_ROWS or self.rows * elements > MOST_BYTES:
            return f"it would have {self.rows} rows of {elements} numbers"
        if self.side > self.side_size:
            return "its side data are longer folded than unfolded"
        if self.kind == STORED:
            more = self.payload > self.size or self.lanes or self.borrowed or self.seed
            return "what is stored has no stack, and no more bytes than its content" if more else None
        if not 1 <= self.lanes <= MOST_LANES or 8 * self.lanes > self.payload:
            return f"it would have {self.lanes} lanes in {self.payload} bytes"
        if max(self.size, self.rows * elements) > EXPANSION * self.payload:
            return f"its {self.payload} bytes would make {max(self.size, self.rows * elements)}"
        return None


def parsed_head(data: bytes, identity: bytes) -> Head | None:
    """The head in these bytes; None where they are no head of a block of this archive."""
    if len(data) != HEAD_BYTES or not data.startswith(BLOCK_TAG):
        return None
    packed, check = data[: HEAD.size], CHECK.unpack(data[HEAD.size :])[0]
    _, kind, zero, zeros, *fields = HEAD.unpack(packed)
    return None if zero or zeros or zlib.crc32(identity + packed) != check else Head(kind, *fields)


def head_check(data: bytes) -> int:
    """The check at the end of a head's bytes."""
    return int(CHECK.unpack(data[HEAD.size :])[0])


# ---- the end ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """A block in the index: where it begins, its rows, bytes of content, and the check of its head."""

    offset: int
    rows: int
    size: int
    check: int


@dataclass(frozen=True)
class Index:
    """All blocks in order, and the link that a next one would have."""

    entries: tuple[Entry, ...]
    link: bytes

    @property
    def rows(self) -> int:
        return sum(entry.rows for entry in self.entries)

    @property
    def size(self) -> int:
        """Bytes of all content."""
        return sum(entry.size for entry in self.entries)

    def to_bytes(self) -> bytes:
        start = INDEX.pack(INDEX_TAG, len(self.entries), self.rows, self.size, self.link)
        return start + b"".join(ENTRY.pack(e.offset, e.rows, e.size, e.check) for e in self.entries)


def tail_start(index: bytes, offset: int, identity: bytes) -> bytes:
    """The tail as far as the SHA-256 of the whole goes over it."""
    return struct.pack("<QI", offset, zlib.crc32(identity + index + struct.pack("<Q", offset)))


def parsed_index(data: bytes, offset: int, check: int, identity: bytes) -> Index | None:
    """The index in these bytes, which begin at `offset`; None where it is none, or another archive's."""
    count, left = divmod(len(data) - INDEX.size, ENTRY.size)
    if count < 0 or left or zlib.crc32(identity + data + struct.pack("<Q", offset)) != check:
        return None
    tag, said, rows, size, link = INDEX.unpack_from(data)
    entries = tuple(Entry(*ENTRY.unpack_from(data, INDEX.size + i * ENTRY.size)) for i in range(count))
    index = Index(entries, link)
    places = [entry.offset for entry in entries] + [offset]
    far_enough = all(a + HEAD_BYTES <= b for a, b in itertools.pairwise(places))
    return index if tag == INDEX_TAG and (said, rows, size) == (count, index.rows, index.size) and far_enough else None
