"""Sounds in files or an array: what they have in common, and their decoding by several threads."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from lambent.data.readers import arrays, folders, pictures, sounds
from lambent.data.readers import regular as files
from lambent.data.readers.sounds import Sounds
from lambent.errors import DataError

T = TypeVar("T")
AT_ONCE = 256  # files that are begun together, so that a bad one stops the rest


@dataclass(frozen=True)
class Form:
    """What each sound is brought to: samples a second, channels, samples of each."""

    rate: int
    channels: int
    samples: int

    @property
    def said(self) -> str:
        return f"{self.samples / self.rate:.3g} s"


def opened(raw: Any, pattern: str | None) -> Sounds | np.ndarray:
    """Any raw form of sounds → sounds on disk, or one array [N, C, samples]; `DataError` for what is neither."""
    if isinstance(raw, Sounds):
        return raw
    if isinstance(raw, (str, Path)):
        return waves(arrays.read(raw).array) if arrays.is_array_file(raw) else sounds.sounds_in(raw, pattern)
    if isinstance(raw, (list, tuple)) and (not raw or isinstance(raw[0], (str, Path))):
        return sounds.sounds_in(raw, pattern)
    if isinstance(raw, Tensor):
        raw = raw.detach().cpu()
        raw = (raw.float() if raw.dtype == torch.bfloat16 else raw).numpy()
    try:
        return waves(np.asarray(raw))
    except (ValueError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"a {type(raw).__name__} holds no sounds; give a folder, a list of files, or an array [N, samples]"
        ) from None


def mostly_sounds(folder: Path) -> bool:
    """Whether a folder holds sounds, and not as many pictures."""
    try:
        found, _ = folders.files_below(folder, (*sounds.SUFFIXES, *pictures.SUFFIXES))
    except DataError:  # which is told when it is read
        return False
    return 2 * sum(path.suffix.lower() in sounds.SUFFIXES for path in found) > len(found)


def waves(array: np.ndarray) -> np.ndarray:
    """An array of sounds as float32 [N, C, samples] in −1 … 1; whole numbers of 16 bits are divided by 32,768."""
    if array.ndim not in (2, 3) or not array.size:
        raise DataError(f"an array of shape {array.shape} holds no sounds; [N, samples] and [N, channels, samples] do")
    shaped = array[:, None] if array.ndim == 2 else array
    if shaped.shape[1] > min(sounds.MOST_CHANNELS, shaped.shape[2]):
        raise DataError(f"an array of shape {array.shape} has its channels last; give [N, channels, samples]")
    if array.dtype == np.int16:
        return shaped.astype(np.float32) / np.float32(32_768)
    if array.dtype.kind != "f":
        raise DataError(f"samples of type {array.dtype}; floats in −1 … 1 and int16 are taken")
    bad = ~np.isfinite(shaped).all((1, 2))
    if bad.any():
        raise DataError(f"sound {int(bad.argmax())} holds samples that are not finite; fill them or leave it out")
    loudest = float(np.abs(shaped).max())
    if loudest > 100:
        raise DataError(f"samples up to {loudest:g}; floats lie in −1 … 1: divide by the greatest, such as 32,768")
    return shaped.astype(np.float32)


@dataclass
class Looked:
    """What the headers of many files have in common, and what was noticed. seconds: their lengths, of each file once."""

    rate: int
    channels: int
    seconds: np.ndarray
    notices: Counter[str] = field(default_factory=Counter)


def looked(found: Sounds, skip_bad: bool) -> Looked:
    """The headers of all files: the most common rate, and the channels that all have."""
    rates: Counter[int] = Counter()
    channels: Counter[int] = Counter()
    seconds, notices = [], Counter[str]()
    for path in dict.fromkeys(found.files):
        try:
            header = sounds.look(path)
        except DataError:
            if not skip_bad:
                raise
            notices["skipped_bad"] += 1
            continue
        rates[header.rate] += 1
        channels[header.channels] += 1
        seconds.append(header.seconds)
    if not seconds:
        raise DataError(f"none of the {len(found)} files could be read as sound")
    return Looked(rates.most_common(1)[0][0], channels.most_common(1)[0][0], np.array(seconds), notices)


def decoded(found: Sounds, form: Form, skip_bad: bool, notices: Counter[str]) -> tuple[np.ndarray, np.ndarray]:
    """(float32 [kept, C, samples], the indices kept); conversions are counted in `notices`."""
    out = files.empty((len(found), form.channels, form.samples), np.dtype(np.float32), f"{len(found)} sounds")

    def one(row: int) -> list[str] | None:
        try:
            start = float(found.starts[row])
            values, conversions, there = sounds.decode(found.files[row], form.rate, form.channels, form.samples, start)
        except DataError:
            if skip_bad:
                return None
            raise
        length = values.shape[1]
        out[row, :, :length], out[row, :, length:] = values, 0
        windows = start > 0
        if length < form.samples and not windows:
            conversions.append(f"shorter than {form.said}, silence follows")
        elif round(there * form.rate) > form.samples and not windows:
            conversions.append(f"longer than {form.said}, the rest is left out")
        return conversions

    outcomes = list(_each(one, range(len(found))))
    kept = np.array([row for row, outcome in enumerate(outcomes) if outcome is not None], np.int64)
    for outcome in outcomes:
        notices.update(["skipped_bad"] if outcome is None else outcome)
    if not len(kept):
        raise DataError(f"none of the {len(found)} files could be read as sound")
    return (out if len(kept) == len(found) else out[kept]), kept


def fitted(values: np.ndarray, form: Form, notices: Counter[str]) -> np.ndarray:
    """An array [N, C, samples] with the channels and the length that are wanted."""
    if values.shape[1] != form.channels and form.channels != 1:
        raise DataError(f"the sounds have {values.shape[1]} channels, not {form.channels} as fitted")
    if values.shape[1] != form.channels:
        notices[f"mixed from {values.shape[1]} channels to one"] = len(values)
        values = values.mean(1, keepdims=True)
    out = np.zeros((len(values), form.channels, form.samples), np.float32)
    length = min(form.samples, values.shape[2])
    out[..., :length] = values[..., :length]
    if values.shape[2] < form.samples:
        notices[f"shorter than {form.said}, silence follows"] = len(values)
    elif values.shape[2] > form.samples:
        notices[f"longer than {form.said}, the rest is left out"] = len(values)
    return out


def _each(task: Callable[[int], T], rows: Sequence[int]) -> Iterator[T]:
    """The task on every row, in parallel and in order: decoders let go of the lock."""
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        for start in range(0, len(rows), AT_ONCE):
            yield from pool.map(task, rows[start : start + AT_ONCE])
