"""Small models that have learned something, and rows such as they have learned from."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lambent import DiscretizedLogistics, Elbo, Fitted, Flat, Image, LatentModel, Mlp, fit
from lambent.data.kinds.modality import Encoded

Levels = Callable[..., NDArray[np.uint8]]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Models that are compressed by are noted in a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def slopes() -> Levels:
    """slopes(count, seed, channels, side): pictures [count, side, side(, channels)] of random slopes with noise."""
    return made


def made(count: int, seed: int = 0, channels: int = 1, side: int = 8) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    across = np.linspace(-1, 1, side)[:, None]
    height, down, right = rng.normal(size=(3, count, 1, 1, 1)) + 0.1 * rng.normal(size=(3, count, 1, 1, channels))
    noise = rng.normal(size=(count, side, side, channels))
    whole = 128 + 30 * height + 20 * (down * across[:, None] + right * across) + noise
    found: NDArray[np.uint8] = np.clip(np.rint(whole), 0, 255).astype(np.uint8)
    return found[..., 0] if channels == 1 else found


def learned(channels: int) -> Fitted:
    modality = Image()
    x = modality.fit(made(512, channels=channels)).encode(made(512, channels=channels))
    model = LatentModel(latent=Flat(size=4), likelihood=DiscretizedLogistics(), network=Mlp(width=32, depth=1))
    fit(model, Elbo(), Encoded(x, modality), epochs=25, batch=64, learning_rate=6e-3, validation=0.0, precision="fp32")
    return Fitted(model, modality)


@pytest.fixture(scope="session")
def grey() -> Fitted:
    """A model of grey slopes, 8 × 8, trained for a second or two."""
    return learned(1)


@pytest.fixture(scope="session")
def colour() -> Fitted:
    """A model of slopes in colour."""
    return learned(3)


@pytest.fixture(scope="session")
def grey_run(grey: Fitted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The grey model as a run's folder."""
    folder = tmp_path_factory.mktemp("runs") / "grey"
    grey.save(folder / "model.safetensors")
    return folder
