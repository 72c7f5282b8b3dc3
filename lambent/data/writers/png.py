"""PNG of 16 bits a sample, grey or colour, with transparency or without, which Pillow cannot write in colour."""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # of colour, by the number of bands: grey, grey and transparency, RGB, RGBA
UP = 2  # the filter: each row as what it differs by from the row above


def sixteen_bits(picture: NDArray[np.uint16]) -> bytes:
    """A picture [H, W], or [H, W, C] of 2, 3 or 4 bands, as the bytes of a PNG file."""
    height, width = picture.shape[:2]
    rows = np.ascontiguousarray(picture, ">u2").reshape(height, -1).view(np.uint8)
    differences = np.diff(rows, axis=0, prepend=np.zeros((1, rows.shape[1]), np.uint8))
    filtered = np.insert(differences, 0, UP, axis=1)
    kind = TYPES[picture.shape[2] if picture.ndim == 3 else 1]
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes(), 9)), (b"IEND", b""))
    return SIGNATURE + b"".join(_chunk(name, body) for name, body in parts)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
