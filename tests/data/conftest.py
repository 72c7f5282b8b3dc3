"""Real data sets where they lie at hand, small files made on the spot otherwise."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def real(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of real data sets, which the catalog reads from too."""
    monkeypatch.setenv("LAMBENT_DATA", str(real_data))
    return real_data


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No data folder, an empty cache; returns the cache's folder."""
    monkeypatch.delenv("LAMBENT_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "lambent"


@pytest.fixture
def draw(tmp_path: Path) -> Callable[..., Path]:
    """Saves a random picture: draw(name, mode, height, width, **save options)."""
    from PIL import Image as Pil

    def made(name: str, mode: str = "RGB", height: int = 10, width: int = 12, seed: int = 0, **options: object) -> Path:
        rng = np.random.default_rng(seed)
        channels = {"L": (), "RGB": (3,), "RGBA": (4,), "CMYK": (4,), "LA": (2,)}[mode]
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Pil.fromarray(rng.integers(0, 256, (height, width, *channels), dtype=np.uint8), mode).save(path, **options)
        return path

    return made
