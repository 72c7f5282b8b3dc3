"""Units come back as they went in: by the estimator, by a loaded model, and as files that the command writes."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

import lambent
from lambent import VAE
from lambent.cli import main

SMALL = {"type": "Conv", "channels": [4], "width": 8}
RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (24, 8, 8), dtype=np.uint8)
TWELVE = RNG.integers(0, 4096, (24, 8, 8), dtype=np.uint16)
CASES = {
    "bytes": (BYTES, np.uint8, 255),
    "12 bits": (TWELVE, np.uint16, 4095),
    "floats": (BYTES / 255, np.float32, 1.0),
    "float32": ((BYTES / 255).astype(np.float32), np.float32, 1.0),
    "truth": (BYTES > 127, bool, True),
    "bits": ((BYTES > 127).astype(np.uint8), np.uint8, 1),
    "colour floats": (RNG.random((24, 8, 8, 3)), np.float32, 1.0),
    "four bands": (RNG.integers(0, 256, (24, 8, 8, 4), dtype=np.uint8), np.uint8, 255),
}


@pytest.mark.parametrize("name", CASES)
def test_pictures_come_back_in_their_units(name: str, tmp_path: Path) -> None:
    array, kind, white = CASES[name]
    modality = {"type": "Image", "bands": "all"} if name == "four bands" else None
    vae = VAE(latent=2, epochs=2, network=SMALL, modality=modality, precision="fp32").fit(array)
    loaded = lambent.load(vae.save(tmp_path / "model"))
    made = {
        "reconstructed": vae.reconstruct(array),
        "sampled": vae.sample(5, random_state=1),
        "decoded": vae.inverse_transform(vae.transform(array)),
        "loaded": loaded.reconstruct(array),
    }
    for values in made.values():
        assert values.dtype == kind
        assert values.shape[1:] == array.shape[1:]
        assert 0 <= values.min() <= values.max() <= white
    assert np.array_equal(made["loaded"], made["reconstructed"])
    back = vae.modality_.decode(vae.modality_.encode(array))
    assert np.abs(back.astype(float) - array.astype(float)).max() <= (0.5001 / 255 if kind == np.float32 else 0)


def test_a_likelihood_of_parts_of_one_reads_and_gives_12_bits() -> None:
    """A Gaussian on pictures of one flat level, 1000 of 4095: what comes back is that level, and not a 255th of anything."""
    flat = np.full((32, 8, 8), 1000, np.uint16)
    flat[:, 0, 0] = 4095
    vae = VAE(
        latent=2, epochs=150, learning_rate=1e-2, network={"type": "Mlp", "width": 16}, likelihood="Gaussian"
    ).fit(flat)
    assert vae.model_.white == 4095
    assert abs(float(vae.reconstruct(flat)[:, 1:, 1:].mean()) - 1000) < 40
    assert np.allclose(vae.model_.likelihood.observe(vae.modality_.encode(flat))[0, 0, 1, 1], 1000 / 4095)


def test_a_model_built_for_bytes_is_told_of_deeper_pictures() -> None:
    encoded = lambent.data.load(TWELVE)
    model = lambent.LatentModel(lambent.Flat(2), lambent.Gaussian(), lambent.Mlp(8, 1))
    with pytest.raises(lambent.UsageError, match=r"levels up to 4,095.*LatentModel\(white=4095\)"):
        lambent.fit(model, lambent.Elbo(), encoded, epochs=1)
    bytes_ = lambent.LatentModel(lambent.Flat(2), lambent.DiscretizedLogistics(), lambent.Mlp(8, 1))
    with pytest.raises(lambent.DataError, match=r"DiscretizedLogistics\(levels=4096\)"):
        lambent.fit(bytes_, lambent.Elbo(), encoded, epochs=1)


@pytest.mark.parametrize("colour", [False, True])
def test_the_command_writes_pictures_of_16_bits(
    colour: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The originals above their reconstructions are the data, with white as the file's white; samples are of 12 bits."""
    from lambent.data.kinds.depth import spread
    from lambent.data.readers import pictures, samples

    array = np.stack([TWELVE] * 3, -1) if colour else TWELVE
    np.save(tmp_path / "x.npy", array)
    run, grid = str(tmp_path / "run"), tmp_path / "again.png"
    flags = ["--epochs", "1", "--network.channels", "4", "--network.width", "8", "--latent.size", "2", "--samples", "2"]
    assert main(["train", str(tmp_path / "x.npy"), "--out", run, *flags]) == 0
    assert "kept at 12 bits: 2" in capsys.readouterr().err
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())["metrics"]
    assert 11 < metrics["bits_per_dim"]["value"] < 16  # of noise of 12 bits, by a model that has hardly begun
    assert main(["reconstruct", run, str(tmp_path / "x.npy"), "--limit", "1", "--out", str(grid)]) == 0
    with Pil.open(grid) as picture:
        assert samples.is_deep(picture)
        sheet = samples.deep(picture, grid)[0]
    found = sheet.transpose(1, 2, 0) if colour else sheet[0]
    assert np.array_equal(found[2:10, 2:10], spread(array[0], 4095, 65535))
    assert (found[:2] == 65535).all()
    assert pictures.highest(grid) == 65535
    assert main(["sample", run, "-n", "3", "--out", str(tmp_path / "s.npz")]) == 0
    assert np.load(tmp_path / "s.npz")["x"].dtype == np.uint16
