"""Lapped: a modified discrete cosine transform, as many coefficients as samples, exactly invertible and orthogonal.

Blocks of F samples, T of them. About each boundary between two blocks samples that lie alike are turned against each other by the
window, (r, l) → (c·r + s·l, c·l − s·r); then each block has its DCT-IV. Both steps are rotations, so that energy is kept
(Parseval) and the inverse is the transpose. At both ends of the signal nothing is turned: no sample more is needed there.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import fft

Window = Literal["sine", "kaiser"]
BETA = 4 * np.pi  # of the Kaiser-Bessel-derived window, as in AAC


@dataclass(frozen=True)
class Lapped:
    """The transform of signals of whole blocks of `bands` samples; window: sine, or Kaiser-Bessel-derived.

    Princen & Bradley, Analysis/synthesis filter bank design based on time domain aliasing cancellation, 1986.
    """

    bands: int
    window: Window = "sine"

    def forward(self, signal: np.ndarray) -> np.ndarray:
        """[…, T·F] → coefficients […, F, T], of the same type and energy."""
        blocks = np.array(signal.reshape(*signal.shape[:-1], signal.shape[-1] // self.bands, self.bands))
        self._turn(blocks, 1)
        return np.ascontiguousarray(np.swapaxes(fft.dct(blocks, type=4, norm="ortho", axis=-1), -1, -2))

    def inverse(self, coefficients: np.ndarray) -> np.ndarray:
        """[…, F, T] → the signal [..., T·F]."""
        swapped = np.ascontiguousarray(np.swapaxes(coefficients, -1, -2))
        blocks: np.ndarray = fft.idct(swapped, type=4, norm="ortho", axis=-1)
        self._turn(blocks, -1)
        return blocks.reshape(*blocks.shape[:-2], blocks.shape[-2] * self.bands)

    def _turn(self, blocks: np.ndarray, direction: int) -> None:
        """Turn the halves of neighbouring blocks against each other, in place: forth (1) or back (−1)."""
        half = self.bands // 2
        cosine, sine = (part.astype(blocks.dtype) for part in self._angles())
        sine = sine * direction
        right, left = blocks[..., 1:, :half], blocks[..., :-1, : self.bands - half - 1 : -1]
        turned = cosine * right + sine * left
        left[...] = cosine * left - sine * right
        right[...] = turned

    def _angles(self) -> tuple[np.ndarray, np.ndarray]:
        """What the window is right of a boundary, from there on, and what it is left of it; [F // 2] each."""
        size, half = self.bands, self.bands // 2
        if self.window == "sine":
            rise = np.sin(np.pi / (2 * size) * (np.arange(size) + 0.5))
        else:
            steps = np.cumsum(np.kaiser(size + 1, BETA))
            rise = np.sqrt(steps[:-1] / steps[-1])
        return rise[size - half :], rise[:half][::-1]
