"""Sounds as they are shown: pictures of their spectrograms, and the names of files that hold them."""

import io
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np

DECIBELS = 70.0  # below the loudest of all that are shown together, where a spectrogram is black
SIDE = 256  # pixels of the higher side, about
WINDOW_SECONDS = 0.025
# Heights of brightness at even steps, black through violet and orange to a pale yellow: as bright as it is loud.
COLOURS = np.array(
    [
        (0, 0, 4),
        (40, 11, 84),
        (101, 21, 110),
        (159, 42, 99),
        (212, 72, 66),
        (245, 125, 21),
        (250, 193, 39),
        (252, 255, 164),
    ]
)


def spectrograms(sounds: np.ndarray, rate: int, height: int = 128, width: int = SIDE) -> np.ndarray:
    """Sounds [N, samples] as pictures of loudness, uint8 [N, height, width, 3]: time to the right, low notes below.

    20 log₁₀ |STFT| under Hann windows of 25 ms, from 70 dB below the loudest of all to it.
    """
    magnitudes = stft(sounds, max(32, 2 * round(WINDOW_SECONDS * rate / 2)), width)
    level = 20 * np.log10(magnitudes + 1e-12)
    level = np.clip((level - level.max()) / DECIBELS + 1, 0, 1)
    picked = np.minimum((np.arange(height) * level.shape[1]) // height, level.shape[1] - 1)
    place = level[:, picked][:, ::-1] * (len(COLOURS) - 1)
    below = np.minimum(place.astype(np.int64), len(COLOURS) - 2)
    share = (place - below)[..., None]
    found: np.ndarray = np.rint(COLOURS[below] * (1 - share) + COLOURS[below + 1] * share).astype(np.uint8)
    return found


def stft(sounds: np.ndarray, window: int, times: int) -> np.ndarray:
    """|STFT| [N, window // 2 + 1, times] of sounds [N, samples], at so many even times from the first sample to the last."""
    padded = np.pad(sounds.astype(np.float32), ((0, 0), (window // 2, window - window // 2)))
    starts = np.linspace(0, sounds.shape[1] - 1, times).astype(np.int64)
    taper = np.hanning(window + 1)[:-1].astype(np.float32)
    frames = np.stack([padded[:, start : start + window] for start in starts], 1) * taper
    found: np.ndarray = np.abs(np.fft.rfft(frames)).transpose(0, 2, 1)
    return found


def sheet(pictures: np.ndarray, gap: int = 2) -> np.ndarray:
    """Pictures [N, H, W, 3] on one white sheet, about square."""
    columns = max(1, round((len(pictures) * pictures.shape[1] / pictures.shape[2]) ** 0.5))
    lines = -(-len(pictures) // columns)
    framed = np.full((lines * columns, pictures.shape[1] + gap, pictures.shape[2] + gap, 3), 255, np.uint8)
    framed[: len(pictures), :-gap, :-gap] = pictures
    rows = framed.reshape(lines, columns, *framed.shape[1:]).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(rows.reshape(lines * framed.shape[1], -1, 3))


def png(picture: np.ndarray) -> bytes:
    """A picture [H, W, 3] as the bytes of a PNG file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def file_names(lead: Mapping[str, Any], rows: int) -> list[str]:
    """A name for each sound's file, ending in .wav: that of the file it came from, else what tells rows apart, else a number.

    Names are unique: those that several share have the row's number as well.
    """
    numbers = [f"{row:04d}" for row in range(rows)]
    if "file" in lead:
        inner = [PurePosixPath(str(name).replace("\\", "/")) for name in lead["file"]]
        stems = [path.stem if path.is_absolute() or ".." in path.parts else str(path.with_suffix("")) for path in inner]
    elif lead:
        told = zip(*(np.asarray(values).tolist() for values in lead.values()), strict=True)
        stems = ["-".join(f"{name}{_plain(value)}" for name, value in zip(lead, row, strict=True)) for row in told]
    else:
        stems = numbers
    often = Counter(stems)
    return [f"{s}.wav" if often[s] == 1 else f"{s}-{n}.wav" for s, n in zip(stems, numbers, strict=True)]


def _plain(value: Any) -> str:
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    return re.sub(r"[^\w.+-]", "_", text)[:60]
