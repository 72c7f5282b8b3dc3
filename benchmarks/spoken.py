"""Free Spoken Digits as arrays: read from sound files, or from one prepared file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lambent.data.kinds.audio import Audio

RATE = 8000
SECONDS = 0.64  # of each sound; one in sixteen is longer
LATE = 256  # samples by which a copy comes later, at most


@dataclass
class Speech:
    """Waveforms [n, samples] in −1 … 1 with the digit, the speaker and the take of each."""

    waves: np.ndarray
    digits: np.ndarray
    speakers: np.ndarray
    takes: np.ndarray

    def where(self, chosen: np.ndarray) -> "Speech":
        return Speech(self.waves[chosen], self.digits[chosen], self.speakers[chosen], self.takes[chosen])

    def __len__(self) -> int:
        return len(self.waves)

    def save(self, path: Path) -> None:
        whole = np.rint(self.waves * 32767).astype(np.int16)
        np.savez_compressed(path, waves=whole, digits=self.digits, speakers=self.speakers, takes=self.takes)
        print(f"{path}: {len(self):,} sounds", flush=True)


def read(folder: Path) -> Speech:
    """From sound files, as the modality reads them."""
    audio = Audio(pattern="{label}_{speaker}_{take}", seconds=SECONDS)
    source = folder / "speech" / "fsdd"
    encoded = audio.fit(source).read(source)
    waves = audio.decode(encoded.x)[:, 0, : round(SECONDS * RATE)]
    assert encoded.labels is not None
    assert encoded.label_names is not None
    digits = np.array(encoded.label_names)[encoded.labels].astype(np.int64)
    speakers, takes = encoded.beside["speaker"].astype(str), encoded.beside["take"].astype(np.int64)
    return Speech(waves, digits, speakers, takes)


def prepared(path: Path) -> Speech:
    with np.load(path) as file:
        waves = file["waves"].astype(np.float32) / 32767
        return Speech(waves, file["digits"], file["speakers"], file["takes"])


def contexts(digits: Tensor, speakers: Tensor, voices: int) -> Tensor:
    """Digit and speaker as one vector, [n, 10 + speakers]."""
    return torch.cat((functional.one_hot(digits, 10), functional.one_hot(speakers, voices)), 1).float()
