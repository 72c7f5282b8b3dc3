"""Free Spoken Digits as arrays, read from sound files or from one prepared file; and what is said of the measurements."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from record import column
from torch import Tensor
from torch.nn import functional

from lambent.data.kinds.audio import Audio

PROTOCOL = (
    "Free Spoken Digits (3,000 takes of ten digits by six speakers, 8 kHz), 0.64 s of each. Takes 0–4 of every digit and speaker "
    "are the test set, takes 45–49 validate, the others are learned from, each so many times, later by up to 32 ms at random. "
    "Frames of 128 bands of a lapped transform; the likelihood tells the power of each band and frame, and sounds are heard with "
    "signs drawn once (reconstructions: of the mean code) or from p(x|z) (samples). The recognizer is a small network of "
    "convolutions over log-mel features, trained on the real takes that are learned from (and those that validate), of all "
    "speakers; it is never trained on what a model makes. recognized: the share of sounds that it hears as the digit they are "
    "of, beside the same of the real ones. The plain model knows no labels. The conditioned one is given digit and speaker; its "
    "samples are of every digit and speaker alike, from a prior under both that is fitted to its codes. The converting one is "
    "given the speaker alone, and its codes are kept from telling him (Invariant): test takes are read under their own speaker "
    "and decoded as each other one. Probes are linear, of mean codes. Log-spectral distance: "
    "spectrograms of 32 ms every 8 ms, no lower than 50 dB below the loudest. Griffin-Lim: the true magnitudes of the same "
    "spectrograms, 60 rounds. Detection: AUROC of −bound (16 codes a row) between test takes of the digits that were trained on "
    "and those of the digit left out, or white noise as loud as each. Units: active of all, after a quarter of the steps, at the "
    "end, and after the prior was fitted."
)
COLUMNS = [
    column("row", "Model"),
    column("sounds", "Sounds"),
    column("recognized", "Recognized", "%", ".1f"),
    column("real", "Real ones", "%", ".1f"),
    column("speakers", "Speaker heard", "%", ".1f"),
    column("lsd", "Log-spectral distance", "dB", ".2f"),
    column("si_sdr", "SI-SDR", "dB", ".1f"),
    column("digit_probe", "Digits by codes", "%", ".1f"),
    column("speaker_probe", "Speakers by codes", "%", ".1f"),
    column("auroc", "AUROC", "", ".3f"),
    column("nats", "Bound", "nats a sound", ".0f"),
    column("kl", "KL", "nats a sound", ".1f"),
    column("units", "Units"),
    column("count", "How many"),
    column("minutes", "Training", "minutes", ".1f"),
    column("epochs", "Epochs"),
    column("device", "Device"),
    column("seed", "Seed"),
]
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
