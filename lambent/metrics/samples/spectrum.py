"""The energy of pictures by spatial frequency: what is blurred lacks the high ones, what is noise has too much of them."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lambent.errors import UsageError
from lambent.metrics.samples.kernel import Estimate

BANDS = 16
HIGH = 0.5  # of the highest frequency, from which on energy counts as sharpness
SWEEP = 4_000_000  # numbers at a time
LEAST = 1e-12  # of the energy of a white picture, below which there is none

Pixels = NDArray[np.float64]


class Spectrum(NamedTuple):
    """The middle of every band as a share of the highest frequency (half a cycle per pixel), and each picture's energy there."""

    frequencies: NDArray[np.float64]  # [bands]
    energy: NDArray[np.float64]  # [n, bands]


def spectrum(pictures: NDArray[Any], bands: int = BANDS) -> Spectrum:
    """Mean |FFT(window · (x − mean))|² over the frequencies of each band, all channels together.

    pictures: [n, H, W] or [n, H, W, C], bytes or numbers in [0, 1]. A Hann window keeps the edges of a picture, where its left
    meets its right, out of the sums; energy is per pixel, so that pictures of one size compare. Bands are rings of equal width.
    """
    x = pictures[..., None] if pictures.ndim == 3 else pictures
    if x.ndim != 4 or min(x.shape[1:3]) < 4:
        raise UsageError(f"a spectrum is of pictures [n, H, W(, C)] of at least 4 × 4 pixels, not {list(x.shape)}")
    height, width = x.shape[1:3]
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[None, 1:-1]
    down, across = (np.fft.fftfreq(side)[:, None] * 2 for side in (height, width))
    radius = np.hypot(down, across.T)  # 1 at half a cycle per pixel
    edges = np.linspace(0, 1, bands + 1)
    place = np.digitize(radius, edges) - 1
    rings = [(place == band) & (radius > 0) for band in range(bands)]
    kept = [band for band in range(bands) if rings[band].any()]
    step = max(1, SWEEP // math.prod(x.shape[1:]))
    pieces = []
    for start in range(0, len(x), step):
        power = _power(x[start : start + step], window[..., None])
        pieces.append(np.stack([power[:, rings[band]].mean((1, 2)) for band in kept], 1))
    return Spectrum((edges[:-1] + edges[1:])[kept] / 2, np.concatenate(pieces))


def _power(pictures: NDArray[Any], window: Pixels) -> Pixels:
    """[n, H, W, C] → the energy at every frequency, per pixel."""
    x = pictures.astype(np.float64) / (255 if pictures.dtype == np.uint8 else 1)
    off = x - (x * window).sum((1, 2), keepdims=True) / window.sum()
    return np.asarray(np.abs(np.fft.fft2(off * window, axes=(1, 2))) ** 2 / (window**2).sum())


def sharpness(drawn: Spectrum, real: Spectrum, *, above: float = HIGH, below: float = math.inf) -> Estimate:
    """The energy of the drawn pictures at high frequencies over that of the real ones: 1 as sharp, below blurred, above noisy.

    High is above a quarter of a cycle per pixel; above, below: another band, as shares of half a cycle. error: of a ratio of two
    independent means.
    """
    high = (real.frequencies > above) & (real.frequencies <= below)
    own, other = (side.energy[:, high].sum(1) for side in (drawn, real))
    if not other.mean() > LEAST:
        return Estimate(float("nan"), float("nan"))
    ratio = float(own.mean() / other.mean())
    parts = [values.var(ddof=1) / len(values) for values in (own, other)]
    error = float(np.sqrt(parts[0] + ratio**2 * parts[1]) / other.mean())
    return Estimate(ratio, error)


def relative(drawn: Spectrum, real: Spectrum) -> NDArray[np.float64]:
    """log₁₀ of the mean energy of drawn pictures over that of real ones in every band, [bands]."""
    own, other = (side.energy.mean(0) for side in (drawn, real))
    return np.asarray(np.log10(np.maximum(own, LEAST)) - np.log10(np.maximum(other, LEAST)))
