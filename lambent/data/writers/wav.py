"""WAV of 16 bits a sample: sounds as files that everything plays."""

import struct

import numpy as np
from numpy.typing import NDArray

FULL = 32_767


def sixteen_bits(sound: NDArray[np.float32], rate: int) -> bytes:
    """A sound [C, samples] in −1 … 1, at so many samples a second, as the bytes of a WAV file; what is louder is clipped."""
    channels = sound.shape[0]
    body = np.ascontiguousarray(np.rint(np.clip(sound, -1, 1) * FULL).T, "<i2").tobytes()
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * 2, channels * 2, 16)
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks
