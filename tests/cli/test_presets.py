"""Presets: sizes by the machine, told as the flags that repeat them."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image as Pil

from lambent import VAE
from lambent.cli.program import main
from lambent.data.kinds.image import Image
from lambent.errors import UsageError
from lambent.machine import PRESETS, Machine
from lambent.model import LatentModel
from lambent.objectives import Elbo
from lambent.training.fitting import prepared
from lambent.training.saving import _of_a_row
from lambent.training.settings import Training

ROOMY = Machine(cores=8, memory=64 * 10**9, gpu=None)


def pictures(folder: Path, sizes: list[tuple[int, int]], count: int = 24) -> Path:
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(count):
        height, width = sizes[number % len(sizes)]
        picture = np.full((height, width, 3), generator.integers(100, 255, 3), np.uint8)
        picture[height // 4 : height // 2, width // 4 : width // 2] = generator.integers(0, 100, 3)
        Pil.fromarray(picture).save(folder / f"{number:02}.png")
    return folder


def trained(folder: Path, out: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[dict[str, Any], str]:
    """The configuration of a run, and the flags that it told."""
    few = ("--samples", "2", "--threads", "1")
    assert main(["train", str(folder), "--out", str(out), *few, *flags]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "says the same" in line]
    return yaml.safe_load((out / "config.yaml").read_text()), told[0].partition("as: ")[2] if told else ""


def test_the_flags_that_are_printed_repeat_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pictures(tmp_path / "photos", [(40, 50), (64, 40)])
    own = ("--epochs", "1", "--latent.channels", "2")
    config, told = trained(folder, tmp_path / "a", capsys, "--preset", "small", *own)
    assert "preset" not in str(config)
    assert config["data"]["crop"] == 32  # the largest power of two that every picture holds
    assert config["latent"]["type"] == "Grid"
    assert config["latent"]["layers"] == "/8x2 /4x2 /2x2"  # of a crop: no place for the whole picture
    assert config["latent"]["channels"] == [2]
    again, _ = trained(folder, tmp_path / "b", capsys, *shlex.split(told), "--latent.channels", "2")
    for tree in (config, again):
        del tree["data"]["memory"]  # half of what was free when it began
    assert again == config
    assert (tmp_path / "a" / "history.jsonl").read_text().count("\n") == 1


def test_what_was_given_stands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pictures(tmp_path / "photos", [(16, 16)])
    own = ("--epochs", "1", "--latent", "Flat", "--latent.size", "3", "--batch", "8", "--network.blocks", "2")
    config, told = trained(folder, tmp_path / "a", capsys, "--preset", "small", *own)
    assert (config["latent"]["type"], config["latent"]["size"]) == ("Flat", 3)
    assert config["fit"]["batch"] == 8
    assert config["network"]["blocks"] == 2
    assert "--latent" not in told
    assert "--batch 8" in told


def test_tables_have_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,b\n" + "".join(f"{n},{n * n % 7}\n" for n in range(40)))
    assert main(["train", str(path), "--out", str(tmp_path / "a"), "--preset", "small"]) == 2
    assert "what suits a Table is found from its rows: leave preset=small out" in capsys.readouterr().err
    with pytest.raises(UsageError, match="what suits a Table"):
        VAE(preset="large").fit(np.random.default_rng(0).normal(size=(40, 3)))
    with pytest.raises(UsageError, match=r"no preset is called 'smal'.*small"):
        Image().fit(np.zeros((4, 8, 8), np.uint8)).preset("smal", ROOMY)
    assert main(["train", str(path), "--preset", "smal"]) == 2


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("shape", [(28, 28), (32, 32, 3), (112, 92), (7, 50)])
def test_every_preset_makes_a_model_of_every_size(name: str, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).integers(0, 255, (2, *shape), np.uint8)
    image = Image().fit(x)
    chosen = image.preset(name, ROOMY)
    spec = {"type": "LatentModel", **{part: chosen[part] for part in ("likelihood", "latent", "network")}}
    with torch.device("cpu" if name == "constant" else "meta"):  # a flow computes with numbers as it is made
        model = LatentModel.from_spec(spec).setup(image.event)
    assert sum(parameter.numel() for parameter in model.parameters()) > 1e5
    Training.of(**chosen["fit"])


def test_presets_grow_and_follow_the_machine() -> None:
    image = Image().fit(np.random.default_rng(0).integers(0, 255, (500, 64, 64, 3), np.uint8))

    def fit_of(name: str, cores: int, memory: int, gpu: int | None = None) -> dict[str, Any]:
        return dict(image.preset(name, Machine(cores, memory, gpu))["fit"])

    roomy = [fit_of(name, 8, 64 * 10**9) for name in ("small", "medium", "large")]
    assert [each["accumulate"] for each in roomy[:2]] == [1, 1]
    tight = fit_of("large", 8, 2 * 10**9)
    assert tight["recompute"]
    assert tight["accumulate"] >= 4
    assert not fit_of("large", 2, 2 * 10**9, 80 * 10**9)["recompute"]  # the GPU's memory counts
    assert fit_of("large", 2, 64 * 10**9)["epochs"] < fit_of("large", 2, 64 * 10**9, 80 * 10**9)["epochs"]


@pytest.mark.parametrize("name", PRESETS)
def test_what_a_preset_reckons_with_is_what_a_step_keeps(name: str) -> None:
    """To a factor of two, so that a quarter of the memory stays well under a half."""
    from lambent.data.kinds.presets import kept_of_a_row

    for shape in ((32, 32, 3), (48, 48)):
        x = np.random.default_rng(0).integers(0, 255, (4, *shape), np.uint8)
        image = Image().fit(x)
        chosen = image.preset(name, ROOMY)
        parts = {part: chosen[part] for part in ("likelihood", "latent", "network")}
        run = prepared(
            LatentModel.from_spec({"type": "LatentModel", **parts}), Elbo(), image.encode(x), Training(batch=4)
        )
        assert 0.5 < kept_of_a_row(name, image.event) / _of_a_row(run, "fp32", False) < 2


def test_an_estimator_takes_a_preset(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "photos", [(20, 16), (16, 18)])
    vae = VAE(preset="small", epochs=1, device="cpu", precision="fp32", latent=None).fit(folder)
    assert vae.modality_.crop == 16
    assert type(vae.model_.latent).__name__ == "Grid"
    assert vae.sample(2).shape == (2, 16, 16, 3)
