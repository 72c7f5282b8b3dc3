"""The data sets that samples are measured on, and the sizes of the models that suit them."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lambent import Image
from lambent.data import load, load_parted
from lambent.data.kinds.modality import Encoded
from lambent.part import Spec

FINITE: Spec = {"type": "Finite", "levels": [8, 6, 5]}


def frey(data: Path) -> tuple[Encoded, Encoded]:
    pictures = np.load(data / "faces" / "frey.npz")["x"].reshape(-1, 28, 20)
    return load_parted(pictures, 0.1, 0, modality=Image())  # type: ignore[return-value]


def att(data: Path) -> tuple[Encoded, Encoded]:
    pictures = np.load(data / "faces" / "att.npz")["x"].reshape(-1, 112, 92)
    return load_parted(pictures, 0.1, 0, modality=Image(size=(56, 46)))  # type: ignore[return-value]


def emoji(data: Path) -> tuple[Encoded, Encoded]:
    pictures = np.load(data / "emoji" / "google.npz")["x"]
    return load_parted(pictures, 0.1, 0, modality=Image())  # type: ignore[return-value]


def fashion(data: Path) -> tuple[Encoded, Encoded]:
    os.environ.setdefault("LAMBENT_DATA", str(data))
    train = load("fashion-mnist", "train")
    return train, load("fashion-mnist", "test", train.modality)


@dataclass(frozen=True)
class Setting:
    """How a data set is read, and the sizes that suit it."""

    read: Callable[[Path], tuple[Encoded, Encoded]]
    units: int = 32  # of the autoencoder's code
    factor: int = 4  # how many times smaller than the picture the map of the codebook is
    quantizer: Spec = field(default_factory=lambda: FINITE)
    beside: tuple[Spec, ...] = ()  # quantizers whose reconstructions and usage are measured, too


SETS: dict[str, Setting] = {
    "frey": Setting(frey),
    "att": Setting(att, factor=8),
    "emoji": Setting(emoji, units=64, quantizer={"type": "Nearest", "entries": 512, "size": 16}, beside=(FINITE,)),
    "fashion": Setting(fashion),
}
