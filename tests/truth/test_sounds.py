"""What is known of sounds: the transform keeps energy and comes back, distances have their values."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lambent.data.kinds.sound.lapped import Lapped, Window
from lambent.data.kinds.sound.shown import file_names, spectrograms
from lambent.errors import UsageError
from lambent.metrics.sounds import griffin_lim, log_spectral_distance, magnitudes, si_sdr, stft_distance


@settings(deadline=None, max_examples=30)
@given(
    half=st.integers(1, 70),
    frames=st.integers(1, 9),
    window=st.sampled_from(["sine", "kaiser"]),
    seed=st.integers(0, 99),
)
def test_the_lapped_transform_is_orthogonal_and_comes_back(half: int, frames: int, window: Window, seed: int) -> None:
    transform = Lapped(2 * half, window)
    signal = np.random.default_rng(seed).standard_normal((2, 1, 2 * half * frames))
    found = transform.forward(signal)
    assert found.shape == (2, 1, 2 * half, frames)
    np.testing.assert_allclose(transform.inverse(found), signal, atol=1e-9)
    np.testing.assert_allclose(np.square(found).sum((1, 2, 3)), np.square(signal).sum((1, 2)))
    single = transform.inverse(transform.forward(signal.astype(np.float32)))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, signal, atol=1e-5)


@pytest.mark.parametrize("window", ["sine", "kaiser"])
def test_the_matrix_of_the_lapped_transform_is_orthogonal(window: Window) -> None:
    matrix = Lapped(8, window).forward(np.eye(32)).reshape(32, 32)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(32), atol=1e-12)


def test_the_lapped_transform_is_that_of_the_formula() -> None:
    """X[k, t] = √(2/F) Σ_n w[n] x[tF − F/2 + n] cos(π/F (n + ½ − F/2)(k + ½)), n = 0 … 2F − 1, inside the signal."""
    size, frames = 16, 6
    signal = np.random.default_rng(0).standard_normal(size * frames)
    n, k = np.arange(2 * size), np.arange(size)
    window = np.sin(np.pi / (2 * size) * (n + 0.5))
    basis = np.sqrt(2 / size) * np.cos(np.pi / size * (n[None] + 0.5 - size / 2) * (k[:, None] + 0.5))
    # The transform's frames lie half a block to each side of a block, so that the window of a frame covers it wholly.
    padded = np.concatenate([np.zeros(size), signal, np.zeros(size)])
    mine = Lapped(size).forward(signal)
    for frame in range(1, frames - 1):
        start = size + frame * size - size // 2
        np.testing.assert_allclose(mine[:, frame], basis @ (window * padded[start : start + 2 * size]))


def test_a_tone_lies_in_its_band() -> None:
    rate, bands = 8_000, 128
    tone = np.sin(2 * np.pi * 1_015.625 * np.arange(bands * 20) / rate)  # the middle of band 32
    power = np.square(Lapped(bands).forward(tone))[:, 2:-2].sum(1)
    assert power.argmax() == 32
    assert power[31:34].sum() > 0.99 * power.sum()


def test_log_spectral_distance_of_a_gain_is_the_gain() -> None:
    sounds = torch.randn(3, 4_000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(log_spectral_distance(sounds, sounds), torch.zeros(3))
    louder = log_spectral_distance(sounds, sounds * 10 ** (6 / 20))
    torch.testing.assert_close(louder, torch.full((3,), 6.0), atol=1e-3, rtol=0)
    silence = log_spectral_distance(sounds, torch.zeros_like(sounds))
    assert (silence > 50).all()
    assert (silence < 80.1).all()


def test_si_sdr_of_orthogonal_noise_is_the_ratio_of_energies() -> None:
    n = torch.arange(8_000, dtype=torch.float64)
    sound = torch.sin(2 * torch.pi * 100 * n / 8_000)[None]
    noise = torch.cos(2 * torch.pi * 250 * n / 8_000)[None] / 10**0.5
    torch.testing.assert_close(si_sdr(sound + noise, sound), torch.tensor([10.0], dtype=torch.float64))
    torch.testing.assert_close(si_sdr(3 * (sound + noise), sound), torch.tensor([10.0], dtype=torch.float64))
    assert si_sdr(sound, sound).item() > 100
    assert si_sdr(noise, sound).item() < -100


def test_stft_distance_of_a_gain() -> None:
    sounds = torch.randn(2, 4_000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(stft_distance(sounds, sounds), torch.zeros(2))
    # Half as loud: half of the magnitudes are missing, and the logarithms differ by ln 2.
    expected = 0.5 + float(np.log(2))
    torch.testing.assert_close(stft_distance(sounds / 2, sounds), torch.full((2,), expected), atol=1e-3, rtol=0)
    with pytest.raises(UsageError, match="row by row"):
        stft_distance(sounds, sounds[:, :-1])


def test_griffin_lim_comes_near_the_magnitudes() -> None:
    rate = torch.arange(4_096) / 8_000
    sounds = (torch.sin(2 * torch.pi * (300 + 400 * rate) * rate) * torch.hann_window(4_096))[None]
    wanted = magnitudes(sounds, 256)
    made = griffin_lim(wanted, 4_096, torch.Generator().manual_seed(0))
    found = magnitudes(made, 256)
    assert (found - wanted).norm() < 0.15 * wanted.norm()
    assert made.shape == sounds.shape


def test_spectrograms_show_pitch_and_loudness() -> None:
    n = np.arange(4_000)
    low, high = (np.sin(2 * np.pi * pitch * n / 8_000) for pitch in (500, 3_000))
    pictures = spectrograms(np.stack([low, high, 0 * low]), 8_000)
    assert pictures.shape == (3, 128, 256, 3)
    brightest = pictures[:2].astype(int).sum(3)[:, :, 128].argmax(1)
    np.testing.assert_allclose(brightest, [128 * (1 - 500 / 4_000), 128 * (1 - 3_000 / 4_000)], atol=2)
    assert (pictures[2] == pictures[2, 0, 0]).all()


def test_names_of_files_are_unique_and_stay_within_their_folder() -> None:
    assert file_names({}, 2) == ["0000.wav", "0001.wav"]
    assert file_names({"file": ["a/x.wav", "b/x.flac"]}, 2) == ["a/x.wav", "b/x.wav"]
    assert file_names({"file": ["x.wav", "x.wav"]}, 2) == ["x-0000.wav", "x-0001.wav"]
    assert file_names({"file": ["../../etc/x.wav", "/etc/y.wav"]}, 2) == ["x.wav", "y.wav"]
    assert file_names({"unit": ["1:2", "../3"], "value": [0.5, -0.5]}, 2) == [
        "unit1_2-value0.5.wav",
        "unit.._3-value-0.5.wav",
    ]
