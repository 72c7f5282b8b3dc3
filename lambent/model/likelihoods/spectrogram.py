"""A distance of sounds as they are heard, in the place of log p(x | z): spectrograms of several resolutions."""

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from lambent.distributions import Perceived
from lambent.errors import UsageError
from lambent.model.likelihoods.base import Likelihood
from lambent.part import Shape, elements, option

NEAREST = 1e-3  # what two sounds differ by, at least, where the data are all alike
HOPS = 4  # of a window
BETA = 4 * math.pi  # of the Kaiser-Bessel-derived window


class Spectrogram(Likelihood):
    """−λ n d(x, x̂): how far the sound x̂(z) lies from x in spectrograms of several resolutions, phases left aside.

    Rows are coefficients [channels, bands, frames] of a lapped transform, which is undone: what is compared are the magnitudes M
    of short-time Fourier transforms of the waveforms,
    d = ½ mean_r (mean |log(M + ε) − log(M̂ + ε)| / c_r + mean |M − M̂| / c'_r),
    c the same of two sounds drawn at random, so that d is 1 between these; n numbers make a row. No phase is asked for, so that
    the decoder may choose one. It is no log-probability: nothing here bounds log p(x), and no ELBO is reported.
    Yamamoto et al., Parallel WaveGAN, 2020.
    """

    papers = ("yamamoto2020parallel",)

    normalized = False
    forgeable = True

    weight: float = option(
        "λ: what each number of a row costs, in nats, where it is as far off as one drawn at random",
        default=5.0,
        above=0,
        maximum=1e6,
    )
    windows: tuple[int, ...] = option(
        "samples of the windows, one for each resolution; what is longer than a sound is as long as it",
        default=(128, 256, 512, 1024),
        minimum=2,
        maximum=65536,
    )
    floor: float = option(
        "ε: magnitudes of about this, of rows of unit RMS, and below are not told apart",
        default=0.03,
        above=0,
        maximum=1e6,
    )
    lapped: Literal["sine", "kaiser"] = option("window of the transform that rows are coefficients of", default="sine")

    def setup(self, event: Shape) -> Shape:
        if len(event) != 3 or event[1] % 2:
            raise UsageError(
                "Spectrogram takes sounds, [channels, bands, frames] of an even number of bands, not rows of shape "
                f"{list(event)}: use Gaussian"
            )
        self.event = event
        bands = torch.arange(event[1], dtype=torch.float64) + 0.5
        basis = math.sqrt(2 / event[1]) * torch.cos(math.pi / event[1] * bands[:, None] * bands)
        self.register_buffer("basis", basis.float(), persistent=False)
        self.register_buffer("turns", _turns(event[1], self.lapped), persistent=False)
        self.register_buffer("between", torch.ones(2, len(self.windows)))
        return event

    @torch.no_grad()
    def study(self, observed: Tensor, generator: torch.Generator) -> None:
        """See how far two of these sounds lie apart."""
        if len(observed) > 1:
            found = self._differences(observed, observed.roll(1, 0))
            self.between.copy_(found.mean(-1).clamp_min(NEAREST))

    def forward(self, raw: Tensor, context: Tensor | None = None) -> Distribution:
        return Perceived(raw, self.event, self._cost)

    def waveform(self, x: Tensor) -> Tensor:
        """Coefficients [..., C, F, T] → the sound [..., C, F · T]."""
        blocks = x.transpose(-1, -2) @ self.basis.to(x.dtype)
        half = self.event[1] // 2
        cosine, sine = self.turns.to(x.dtype)
        left, right = blocks[..., :-1, half:].flip(-1), blocks[..., 1:, :half]
        ends = (cosine * left + sine * right).flip(-1), cosine * right - sine * left
        later = torch.cat((blocks[..., :1, :half], ends[1]), -2)
        sooner = torch.cat((ends[0], blocks[..., -1:, half:]), -2)
        return torch.cat((later, sooner), -1).flatten(-2)

    def _cost(self, picture: Tensor, value: Tensor) -> Tensor:
        found = self._differences(picture, value)
        weights = 0.5 * self.weight * elements(self.event) / len(self.windows) / self.between
        return torch.einsum("kr,kr...->...", weights.to(found.dtype), found)

    def _differences(self, first: Tensor, second: Tensor) -> Tensor:
        """The mean difference of log magnitudes and of magnitudes, [2, resolutions, ...], of rows [..., *event]."""
        waves = self.waveform(first), self.waveform(second)
        found = []
        for window in self.windows:
            one, other = (self._magnitudes(wave, window) for wave in waves)
            apart = (one + self.floor).log() - (other + self.floor).log()
            found.append(torch.stack((apart.abs().mean((-3, -2, -1)), (one - other).abs().mean((-3, -2, -1)))))
        return torch.stack(found, 1)

    def _magnitudes(self, wave: Tensor, window: int) -> Tensor:
        """[..., C, samples] → [..., C, frequencies, times], of white noise of unit RMS about 1."""
        size = min(window, wave.shape[-1])
        taper = torch.hann_window(size, dtype=wave.dtype, device=wave.device)
        flat = wave.reshape(-1, wave.shape[-1])
        found = torch.stft(flat, size, max(1, size // HOPS), window=taper, pad_mode="constant", return_complex=True)
        power = torch.view_as_real(found).square().sum(-1) / taper.square().sum()
        return (power + 1e-8).sqrt().reshape(*wave.shape[:-1], *found.shape[1:])


def _turns(bands: int, window: str) -> Tensor:
    """The window right of a boundary between two blocks, and what it is left of it, [2, bands // 2]."""
    if window == "sine":
        rise = np.sin(np.pi / (2 * bands) * (np.arange(bands) + 0.5))
    else:
        steps = np.cumsum(np.kaiser(bands + 1, BETA))
        rise = np.sqrt(steps[:-1] / steps[-1])
    half = bands // 2
    return torch.from_numpy(np.stack((rise[half:], rise[:half][::-1]))).float()
