"""The measures of the benchmark of speech: what they must be where that is known."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
import torch


@pytest.fixture
def hearing(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("benchmarks/hearing.py")


@pytest.fixture
def waves() -> torch.Tensor:
    """Tones that rise, 0.5 s each, with a little noise."""
    time = torch.arange(4000) / 8000
    pitch = torch.tensor([200.0, 400.0, 700.0])[:, None]
    tones = torch.sin(2 * torch.pi * (pitch * time + 300 * time.square()))
    return tones + 0.01 * torch.randn(3, 4000, generator=torch.Generator().manual_seed(0))


def test_a_sound_is_as_near_to_itself_as_can_be_however_loud(hearing: ModuleType, waves: torch.Tensor) -> None:
    assert hearing.log_spectral_distance(waves, 0.3 * waves) < 1e-3
    assert hearing.si_sdr(waves, -0.3 * waves) > 100
    noise = torch.randn_like(waves) * waves.square().mean().sqrt()
    assert hearing.si_sdr(waves, waves + 0.1 * noise) == pytest.approx(
        20, abs=0.7
    )  # a tenth of the size, 20 dB of power
    assert hearing.log_spectral_distance(waves, noise) > 10


def test_a_factor_between_bands_is_their_distance(hearing: ModuleType, waves: torch.Tensor) -> None:
    """Ten times the power of half of the frequencies, by decibels above the floor of −50: √(½) · 10 dB in the mean."""
    found = hearing.decibels(waves)
    other = found.clone()
    other[:, ::2] += 10
    apart = (found - other).square().mean(1).sqrt().mean()
    assert float(apart) == pytest.approx(10 * (65 / 129) ** 0.5, rel=1e-4)
    assert float(found.min()) >= -50
    assert float(found.amax()) == pytest.approx(0, abs=1e-4)


def test_phases_found_from_magnitudes_give_these_magnitudes(hearing: ModuleType, waves: torch.Tensor) -> None:
    magnitudes = hearing.spectrum(waves).abs()
    made = hearing.griffin_lim(magnitudes, 4000)
    once = hearing.griffin_lim(magnitudes, 4000, rounds=1)
    assert hearing.log_spectral_distance(waves, made) < 0.7 * hearing.log_spectral_distance(waves, once)
    assert torch.equal(made, hearing.griffin_lim(magnitudes, 4000))


def test_the_area_under_the_curve(hearing: ModuleType) -> None:
    usual, odd = np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.5, 5.0, 3.0])
    assert hearing.auroc(usual, odd) == pytest.approx((2 + 4 + 2.5) / 12)
    assert hearing.auroc(usual, usual) == pytest.approx(0.5)


def test_bands_of_the_mel_scale_cover_what_is_heard(hearing: ModuleType) -> None:
    bank = hearing.mel_bank()
    assert bank.shape == (129, hearing.BANDS)
    inner = bank[4:115].sum(1)  # between the middles of the first and the last band every frequency counts once
    torch.testing.assert_close(inner, torch.ones_like(inner))
    assert hearing._mel(1000.0) == pytest.approx(1000, rel=1e-3)  # by which the scale was made


def test_words_that_differ_are_told_apart(hearing: ModuleType, waves: torch.Tensor) -> None:
    generator = torch.Generator().manual_seed(1)
    words = torch.arange(60) % 3
    said = waves[words] * (0.5 + torch.rand(60, 1, generator=generator))
    net = hearing.recognizer(said[:40], words[:40], 8, 0)
    assert float((hearing.heard(net, said[40:]) == words[40:]).float().mean()) > 0.9
