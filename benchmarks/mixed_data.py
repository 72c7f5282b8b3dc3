"""Tables of mixed columns, made from the files in LAMBENT_DATA or ../shared/data: frames of pandas, each with a target."""

import os
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

SHARED = Path(os.environ.get("LAMBENT_DATA", Path(__file__).parents[2] / "shared" / "data"))


class Mixed(NamedTuple):
    """A table by how it is read. target: the column to predict. apart: columns that are left out where copies are counted."""

    read: Callable[[], pd.DataFrame]
    target: str
    apart: tuple[str, ...] = ()


def adult() -> pd.DataFrame:
    """The census of 1994 with the spaces before its cells."""
    return pd.read_csv(SHARED / "tables" / "adult.csv")


def intrusions() -> pd.DataFrame:
    """NSL-KDD, the fifth of its training rows: connections, 38 numbers and 3 categories, normal or one of the attacks."""
    folder = SHARED / "anomaly" / "nsl-kdd"
    names = pd.read_csv(folder / "Field Names.csv", header=None)[0].tolist()
    found = pd.read_csv(folder / "KDDTrain+_20Percent.txt", header=None, names=[*names, "attack", "difficulty"])
    found["attack"] = np.where(found["attack"] == "normal", "normal", "attack")
    return found.drop(columns="difficulty")


def payments() -> pd.DataFrame:
    """Card payments, 1,722 of them: time, 28 principal components, the amount, and whether they were fraud."""
    found = pd.read_csv(SHARED / "anomaly" / "fraud-sample.csv", index_col=0)
    found["Class"] = np.where(found["Class"] == 1, "fraud", "genuine")
    return found.reset_index(drop=True)


def digits() -> pd.DataFrame:
    """Three thousand spoken digits: who speaks, which digit, and what can be measured of the sound."""
    rows = [_heard(path) for path in sorted((SHARED / "speech" / "fsdd").rglob("*.wav"))]
    return pd.DataFrame(rows)


def _heard(path: Path) -> dict[str, Any]:
    digit, speaker, _ = path.stem.split("_")
    with wave.open(str(path)) as file:
        rate, sound = file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(float)
    power = np.abs(np.fft.rfft(sound)) ** 2
    tones = np.fft.rfftfreq(len(sound), 1 / rate)
    share = np.cumsum(power) / power.sum()
    return {
        "speaker": speaker,
        "digit": f"digit {digit}",
        "milliseconds": round(1000 * len(sound) / rate),
        "peak": int(np.abs(sound).max()),
        "loudness": round(float(np.log10(1 + np.mean(sound**2))), 4),
        "crossings": int((np.diff(np.sign(sound)) != 0).sum()),
        "centre": round(float((tones * power).sum() / power.sum()), 1),
        "median": round(float(tones[np.searchsorted(share, 0.5)]), 1),
        "highest": round(float(tones[np.searchsorted(share, 0.95)]), 1),
        "late": round(float(np.abs(sound[len(sound) // 2 :]).sum() / np.abs(sound).sum()), 4),
    }


TABLES = {
    "Adult": Mixed(adult, "income", ("fnlwgt",)),
    "NSL-KDD": Mixed(intrusions, "attack"),
    "Card payments": Mixed(payments, "Class"),
    "Spoken digits": Mixed(digits, "speaker"),
}
