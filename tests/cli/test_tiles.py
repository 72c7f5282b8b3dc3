"""--data.crop and --tiles: a model of crops, and what the verbs make of whole photographs."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

import lambent
from lambent.cli import program

SIZES = [(41, 70), (80, 33), (40, 40), (64, 90), (36, 52), (47, 47)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photographs and a run of a small model of their crops."""
    folder = tmp_path_factory.mktemp("tiles")
    (folder / "photos").mkdir()
    generator = np.random.default_rng(0)
    for number, size in enumerate(SIZES):
        Pil.fromarray(generator.integers(0, 256, (*size, 3), np.uint8)).save(folder / "photos" / f"{number}.png")
    latent = ["--latent", "Grid", "--latent.layers", "/4x1", "--latent.channels", "2", "--latent.width", "4"]
    network = ["--network", "Conv", "--network.channels", "4,6", "--network.width", "8"]
    size = ["--data.crop", "16", "--epochs", "2", "--batch", "3", "--samples", "2", "--quiet"]
    words = ["train", str(folder / "photos"), *latent, *network, *size, "--out", str(folder / "run")]
    assert program.main(words) == 0
    return folder


def pixels(path: Path) -> np.ndarray:
    with Pil.open(path) as opened:
        return np.asarray(opened)


def run(*words: object) -> int:
    return program.main([str(word) for word in words])


def test_a_photograph_is_reconstructed_at_its_own_size(trained: Path) -> None:
    for number in (0, 1):
        out = trained / f"again{number}.png"
        photo = trained / "photos" / f"{number}.png"
        assert run("reconstruct", trained / "run", photo, "--tiles", 64, "--out", out, "--quiet") == 0
        assert pixels(out).shape[:2] == SIZES[number]
        tiles = lambent.Tiles.of(lambent.load(trained / "run"))
        x = next(tiles.photographs(photo))[1]
        assert np.array_equal(x[0].permute(1, 2, 0).numpy(), pixels(photo))
        assert np.array_equal(pixels(out), tiles.picture(tiles.reconstruct(x)))


def test_codes_of_a_photograph_are_maps(trained: Path) -> None:
    out = trained / "codes.npz"
    assert run("embed", trained / "run", trained / "photos" / "0.png", "--tiles", "auto", "--out", out, "--quiet") == 0
    assert np.load(out)["z"].shape == (1, 2, 11, 18)


def test_every_photograph_of_a_folder_is_scored(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = trained / "scores.csv"
    words = ("score", trained / "run", trained / "photos", "--tiles", "auto", "--samples", 2, "--out", out)
    assert run(*words) == 0
    assert "6 photographs" in capsys.readouterr().out
    lines = out.read_text("utf-8").splitlines()
    assert len(lines) == 7
    tiles = lambent.Tiles.of(lambent.load(trained / "run"))
    for line, (_, x) in zip(lines[1:], tiles.photographs(trained / "photos"), strict=True):
        _, height, width, bound, *_, bits = line.split(",")
        assert (int(height), int(width)) == tuple(x.shape[2:])
        assert float(bound) == float(tiles.score(x, 2).bound)
        assert abs(float(bits) + float(bound) / (x.numel() * np.log(2))) < 1e-9


def test_what_cannot_go_together_is_refused(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos, model = trained / "photos", trained / "run"
    cases = {
        "holds several photographs": ("reconstruct", model, photos, "--tiles", "auto", "--out", trained / "x.png"),
        "give one of the two": (
            "reconstruct", model, photos / "0.png", "--tiles", "auto", "--levels", "--out", trained / "x.png",
        ),
        "name the file or the folder": ("score", model, "--tiles", "auto", "--out", trained / "x.csv"),
        "leave --resize and --split out": (
            "score", model, photos, "--tiles", "auto", "--resize", "--out", trained / "x.csv",
        ),
        "which are written as .npz": ("embed", model, photos / "0.png", "--tiles", "auto", "--out", trained / "x.csv"),
        "takes auto, or a number of pixels": ("score", model, photos, "--tiles", "0", "--out", trained / "x.csv"),
    }  # fmt: skip
    for told, words in cases.items():
        assert run(*words) != 0
        assert told in capsys.readouterr().err


def test_rows_of_a_run_are_crops(trained: Path) -> None:
    config = (trained / "run" / "config.yaml").read_text("utf-8")
    assert "crop: 16" in config
    assert run("embed", trained / "run", trained / "photos", "--out", trained / "rows.csv", "--quiet") == 0
    assert len((trained / "rows.csv").read_text("utf-8").splitlines()) == 7
