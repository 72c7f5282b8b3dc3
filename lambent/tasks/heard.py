"""Heard: how near reconstructions are, by the measures of what kind of data they are; by dispatch on the modality."""

from functools import singledispatch
from typing import Any

import torch
from torch import Tensor

from lambent.data import Audio
from lambent.fitted import Fitted, Rows
from lambent.metrics.sounds import log_spectral_distance, si_sdr, stft_distance
from lambent.tasks import explore

MOST = 500  # rows that are decoded for it


@singledispatch
def nearness(modality: Any, fitted: Fitted, rows: Rows) -> dict[str, tuple[Tensor, str, str]]:
    """By name, (values [rows], unit, meaning) of reconstructions from the posterior's means; of most kinds none."""
    return {}


@nearness.register
def _(modality: Audio, fitted: Fitted, rows: Rows) -> dict[str, tuple[Tensor, str, str]]:
    taken = rows if len(rows) <= MOST else rows.at(torch.linspace(0, len(rows) - 1, MOST).round().long())
    again = explore.reconstruct(fitted, taken.x, taken.context)
    own, other = (torch.from_numpy(modality.decode(x)).flatten(0, 1) for x in (taken.x, again))
    window = 2 * modality.event[1]
    return {
        "log_spectral_distance": (
            log_spectral_distance(own, other, window),
            "dB",
            "how far reconstructions are from the sounds, by their spectra; 0 is the same",
        ),
        "stft_distance": (
            stft_distance(other, own),
            "relative",
            "the same at several resolutions, in shares of the magnitudes and in their logarithms",
        ),
        "si_sdr": (
            si_sdr(other, own),
            "dB",
            "energy that reconstructions share with the sounds over that of the rest, phases counted; high is near",
        ),
    }
