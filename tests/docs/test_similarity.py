"""MS-SSIM, by which the benchmark of lossy photographs judges, against values told by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Script = Callable[[str], Any]


@pytest.fixture
def lossy(script: Script, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return script("benchmarks/lossy.py")


def test_the_same_pictures_are_alike_by_one(lossy: Any) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (176, 192, 3), dtype=np.uint8)
    assert lossy.ms_ssim(picture, picture) == pytest.approx(1.0, abs=1e-12)


def test_flat_pictures_differ_by_their_luminance_at_the_last_scale_alone(lossy: Any) -> None:
    """Contrast and structure of flat pictures are 1 at every scale; luminance counts at the coarsest one."""
    dark, light = np.full((176, 176, 1), 60, np.uint8), np.full((176, 176, 1), 180, np.uint8)
    low = (0.01 * 255) ** 2
    luminance = (2 * 60 * 180 + low) / (60**2 + 180**2 + low)
    assert lossy.ms_ssim(dark, light) == pytest.approx(luminance**0.1333, rel=1e-9)


def test_half_the_contrast_is_four_fifths_of_the_structure(lossy: Any) -> None:
    """y = m + (x − m)/2 has 2·½/(1 + ¼) = 0.8 of the structure at every scale, up to the constant: 0.8 at all shares together."""
    random, x = np.random.default_rng(0), np.full((176, 192, 1), 128.0)
    for size in (1, 2, 4, 8, 16):  # so that there is contrast at every scale
        x += np.kron(random.normal(0, 40, (176 // size, 192 // size, 1)), np.ones((size, size, 1)))
    told = lossy.ms_ssim(x, 128 + (x - 128) / 2)
    assert told == pytest.approx(0.8, abs=0.02)


def test_of_noise_the_finest_scale_tells_most(lossy: Any) -> None:
    random = np.random.default_rng(0)
    picture = np.kron(random.integers(40, 200, (11, 12, 1)), np.ones((16, 16, 1)))
    little, much = (picture + random.normal(0, deviation, picture.shape) for deviation in (5, 20))
    assert 1 > lossy.ms_ssim(picture, little) > lossy.ms_ssim(picture, much) > 0


def test_ten_times_the_error_is_ten_decibels(lossy: Any) -> None:
    zero = np.zeros((8, 8, 3))
    assert lossy.psnr(zero, zero + 255) == 0
    assert lossy.psnr(zero, zero + 25.5) == pytest.approx(20.0)
