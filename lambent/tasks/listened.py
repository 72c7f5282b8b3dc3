"""Listened: a section of a report with sounds to look at and to listen to; by dispatch on the modality."""

from collections.abc import Sequence
from functools import singledispatch
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lambent.data import Audio
from lambent.data.kinds.modality import Encoded
from lambent.data.kinds.sound.shown import spectrograms
from lambent.data.writers.wav import sixteen_bits
from lambent.fitted import Fitted, Rows
from lambent.tasks import explore
from lambent.tasks.sections import Block, Clip, Heard, Section

PAIRS, SAMPLES, STEPS = 4, 4, 5
BYTES = 600_000  # of all the sounds of a page
SIZE = (64, 128)  # pixels of a spectrogram


def listened(fitted: Fitted, rows: Encoded, seed: int = 0) -> list[Section]:
    """Sounds with their reconstructions, samples and a walk from one sound to another; of other kinds of data nothing."""
    return _of(fitted.modality, fitted, rows, seed)


@singledispatch
def _of(modality: Any, fitted: Fitted, rows: Encoded, seed: int) -> list[Section]:
    return []


@_of.register
def _(modality: Audio, fitted: Fitted, rows: Encoded, seed: int) -> list[Section]:
    taken = fitted.rows(rows, seed)
    spread = torch.linspace(0, len(taken) - 1, min(PAIRS, len(taken))).round().long()
    some, names = taken.at(spread), _names(rows, spread.tolist())
    body: list[Block] = []
    if fitted.model.latent.encodes:
        again = explore.reconstruct(fitted, some.x, some.context)
        body.append(_heard(modality, [some.x, again], names, ("sound", "through the code")))
    drawn = explore.generate(fitted, SAMPLES, seed, context=_given(some, SAMPLES), noise=not modality.by_mean)
    body.append(_heard(modality, [drawn], [f"sample {number + 1}" for number in range(SAMPLES)], ("sampled",)))
    if fitted.model.latent.encodes and len(some) > 1:
        ends = some.at(torch.tensor([0])), some.at(torch.tensor([len(some) - 1]))
        walk = explore.interpolate(
            fitted, ends[0].x, ends[1].x, STEPS, context=ends[0].context, context_end=ends[1].context
        )[0]
        body.append(_heard(modality, [walk], [f"step {step + 1}" for step in range(STEPS)], ("morphed",)))
    longest = _longest(modality)
    cut = f" Of each the first {longest / modality.hertz:.2g} s." if longest < modality.samples else ""
    lead = "Sounds beside what the model makes of them, then samples, and a morph from the first sound to the last."
    return [Section("sounds", "Sounds", f"{lead} Time runs to the right, low notes are below.{cut}", body)]


def _given(some: Rows, count: int) -> Tensor | None:
    return None if some.context is None else some.context[torch.arange(count) % len(some)]


def _names(rows: Encoded, numbers: Sequence[int]) -> list[str]:
    """The files of rows, or else their numbers."""
    return [f"row {number}" if rows.files is None else rows.files[number] for number in numbers]


def _longest(modality: Audio) -> int:
    """Samples of a sound that find room on the page."""
    return min(modality.samples, BYTES // 2 // (2 * PAIRS + SAMPLES + STEPS))


def _heard(modality: Audio, lines: Sequence[Tensor], names: Sequence[str], heads: Sequence[str]) -> Heard:
    """Lines of sounds, each a spectrogram with a player, the channels mixed to one."""
    mixed: list[NDArray[np.float32]] = [modality.decode(x).mean(1)[:, : _longest(modality)] for x in lines]
    pictures = spectrograms(np.concatenate(mixed), modality.hertz, *SIZE).reshape(len(lines), -1, *SIZE, 3)
    clips = [
        [
            Clip(f"{head}, {name}" if len(lines) > 1 else name, picture, sixteen_bits(sound[None], modality.hertz))
            for name, picture, sound in zip(names, line, sounds, strict=True)
        ]
        for head, line, sounds in zip(heads, pictures, mixed, strict=True)
    ]
    return Heard(clips)
