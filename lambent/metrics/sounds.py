"""Sounds: how far one is from another, by ear and by sample; and a sound made of magnitudes alone, to compare with."""

import torch
from torch import Tensor

from lambent.errors import UsageError

RANGE = 80.0  # decibels below the loudest place of a sound, under which nothing is told apart
RESOLUTIONS = (256, 512, 1024)
LEAST = 1e-12


def log_spectral_distance(first: Tensor, second: Tensor, window: int = 256) -> Tensor:
    """Mean over frames of √(mean over frequencies of (20 log₁₀ |S| / |Ŝ|)²), in dB, [N], of sounds [N, samples].

    |S| and |Ŝ| under Hann windows that overlap by three quarters, not told apart below 80 dB under the loudest of `first`: a
    sound that is g dB louder throughout is g dB away. Gray & Markel, Distance measures for speech processing, 1976.
    """
    _refuse_unlike(first, second)
    one, other = magnitudes(first, window), magnitudes(second, window)
    least = one.amax((1, 2), keepdim=True).clamp_min(LEAST) * 10 ** (-RANGE / 20)
    apart = 20 * (torch.maximum(one, least).log10() - torch.maximum(other, least).log10())
    return apart.square().mean(1).sqrt().mean(1)


def si_sdr(estimate: Tensor, reference: Tensor) -> Tensor:
    """10 log₁₀ (‖α s‖² / ‖α s − ŝ‖²) with α = ⟨ŝ, s⟩ / ‖s‖², in dB, [N], of sounds [N, samples]; the greater the nearer.

    The scale of ŝ does not count, its phase does: of two sounds that sound alike it may be low. Le Roux et al., SDR – half-baked
    or well done?, 2019.
    """
    _refuse_unlike(estimate, reference)
    estimate, reference = estimate.double(), reference.double()
    scale = (estimate * reference).sum(1, keepdim=True) / reference.square().sum(1, keepdim=True).clamp_min(LEAST)
    target = scale * reference
    wrong = (target - estimate).square().sum(1)
    return 10 * (target.square().sum(1).clamp_min(LEAST) / wrong.clamp_min(LEAST)).log10()


def stft_distance(estimate: Tensor, reference: Tensor, windows: tuple[int, ...] = RESOLUTIONS) -> Tensor:
    """Mean over windows of ‖|S| − |Ŝ|‖ / ‖|S|‖ + mean |ln |S| − ln |Ŝ||, [N], of sounds [N, samples]; 0 of alike ones.

    Magnitudes are not told apart below 80 dB under the loudest of the reference. Yamamoto et al., Parallel WaveGAN, 2020.
    """
    _refuse_unlike(estimate, reference)
    total = torch.zeros(len(reference))
    for window in windows:
        own, other = magnitudes(reference, window), magnitudes(estimate, window)
        least = own.amax((1, 2), keepdim=True).clamp_min(LEAST) * 10 ** (-RANGE / 20)
        converged = (own - other).norm(dim=(1, 2)) / own.norm(dim=(1, 2)).clamp_min(LEAST)
        logs = (torch.maximum(own, least).log() - torch.maximum(other, least).log()).abs().mean((1, 2))
        total += converged + logs
    return total / len(windows)


def magnitudes(sounds: Tensor, window: int) -> Tensor:
    """|STFT| [N, window // 2 + 1, frames] of sounds [N, samples], under Hann windows that overlap by three quarters."""
    size = min(window, sounds.shape[1])
    taper = torch.hann_window(size)
    found = torch.stft(sounds.float(), size, max(1, size // 4), window=taper, pad_mode="constant", return_complex=True)
    return found.abs()


def griffin_lim(magnitudes: Tensor, samples: int, generator: torch.Generator, iterations: int = 60) -> Tensor:
    """Sounds [N, samples] whose |STFT| are nearly `magnitudes`, [N, window // 2 + 1, frames]: phases found by going to and fro.

    From random phases, each step keeps the phases of the transform of the sound and gives it the magnitudes back. What a model
    of magnitudes alone comes to. Griffin & Lim, Signal estimation from modified short-time Fourier transform, 1984.
    """
    window = 2 * (magnitudes.shape[1] - 1)
    taper, hop = torch.hann_window(window), window // 4
    turned = torch.rand(magnitudes.shape, generator=generator) * (2 * torch.pi)
    spectrum = torch.polar(magnitudes, turned)
    for _ in range(iterations):
        sound = torch.istft(spectrum, window, hop, window=taper, length=samples)
        found = torch.stft(sound, window, hop, window=taper, pad_mode="constant", return_complex=True)
        spectrum = torch.polar(magnitudes, found.angle())
    return torch.istft(spectrum, window, hop, window=taper, length=samples)


def _refuse_unlike(first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape or first.dim() != 2 or not first.numel():
        raise UsageError(
            f"sounds are compared row by row, [N, samples] each, not {list(first.shape)} with {list(second.shape)}"
        )
