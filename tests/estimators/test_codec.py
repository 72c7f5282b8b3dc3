"""lambent.Codec: archives from Python."""

from pathlib import Path

import numpy as np
import pytest

from lambent import VAE, ArtifactError, Codec, DiscretizedLogistics, Image, Mlp, UsageError


@pytest.fixture(scope="module")
def slopes() -> np.ndarray:
    rng = np.random.default_rng(0)
    whole = 100 + 30 * rng.normal(size=(300, 1, 1)) + 5 * np.arange(8) + rng.normal(size=(300, 8, 8))
    return np.clip(np.rint(whole), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def vae(slopes: np.ndarray) -> VAE:
    made = VAE(
        2, prior="Standard", likelihood=DiscretizedLogistics(), network=Mlp(width=16, depth=1), modality=Image(), epochs=30,
        batch=32, learning_rate=5e-3, validation=0.0, precision="fp32",
    )  # fmt: skip
    return made.fit(slopes)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def test_there_and_back(vae: VAE, slopes: np.ndarray, tmp_path: Path) -> None:
    """A fitted VAE compresses; the sizes are those of the file; another Codec without a model has the rows again."""
    codec = Codec(vae)
    codec.compress(slopes, tmp_path / "x.lam", with_model=True)
    assert codec.sizes is not None
    assert codec.sizes.bytes == (tmp_path / "x.lam").stat().st_size
    assert codec.sizes.payload < slopes.nbytes / 2
    assert codec.sizes.rows == 300
    assert (Codec().decompress(tmp_path / "x.lam") == slopes).all()
    found = Codec().decompress(tmp_path / "x.lam", tmp_path / "y.npy")
    assert found.count == 300
    assert (np.load(tmp_path / "y.npy") == slopes).all()
    with open(tmp_path / "x.lam", "rb") as stream:
        assert (Codec().decompress(stream) == slopes).all()


def test_the_cost_is_the_negative_elbo(vae: VAE, slopes: np.ndarray, tmp_path: Path) -> None:
    """Bits of the blocks beside −ELBO by sampling: within five per cent, on rows so small and few that headings weigh."""
    from lambent import evaluate

    codec = Codec(vae)
    codec.compress(slopes, tmp_path / "x.lam")
    assert codec.sizes is not None
    bound = evaluate(vae, slopes, samples=1, seed=0).metrics["elbo"].value
    assert 8 * codec.sizes.payload / 300 == pytest.approx(-bound / np.log(2), rel=0.05)


def test_a_run_by_its_path(vae: VAE, slopes: np.ndarray, tmp_path: Path) -> None:
    """A model file or its folder; where it lies is noted, so that the archive needs no name of it later."""
    vae.fitted_.save(tmp_path / "elsewhere" / "deep" / "model.safetensors")
    codec = Codec(tmp_path / "elsewhere" / "deep")
    codec.compress(slopes, tmp_path / "x.lam")
    assert (Codec().decompress(tmp_path / "x.lam") == slopes).all()
    (tmp_path / "elsewhere" / "deep" / "model.safetensors").unlink()
    with pytest.raises(ArtifactError, match="name its run"):
        Codec().decompress(tmp_path / "x.lam")
    assert (codec.decompress(tmp_path / "x.lam") == slopes).all()


def test_a_codec_without_a_model_compresses_nothing(slopes: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs a trained model"):
        Codec().compress(slopes, tmp_path / "x.lam")
